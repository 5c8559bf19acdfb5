"""Compiles the loops of the soft output, which call one another and those of matching."""

from pathlib import Path

from quell.compiled_kernels import compiler

__all__ = ["compiled"]

_HERE = Path(__file__).parent
_NAMES = ("parity_matching.py", "alternating_walks.py", "soft_kernels.py", "shortcuts.py")

compiled = compiler([*(_HERE / name for name in _NAMES), *sorted(_HERE.parent.glob("matching_*.py"))])
