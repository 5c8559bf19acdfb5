"""Compiles the loops of matching, which call one another across all files `matching_*.py`."""

from pathlib import Path

from quell.compiled_kernels import compiler

__all__ = ["compiled"]

compiled = compiler(sorted(Path(__file__).parent.glob("matching_*.py")))
