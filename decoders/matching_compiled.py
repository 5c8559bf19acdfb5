"""How the loops of matching are compiled: with numba, kept on disk for all processes.

numba compiles anew when a function's own file changes, but not when one changes from which it calls; old and new code
would then meet in one process under the same names, and crash it. So every function is named after the sources of all
files `matching_*.py`, which call one another.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])

_SOURCES = sorted(Path(__file__).parent.glob("matching_*.py"))
_VERSION = hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).hexdigest()[:12]


def compiled(function: Function) -> Function:
    """Compiles a function once for all processes, or for each where no folder can be written to.

    Examples:
        >>> from quell.decoders.matching_compiled import compiled
        >>> def twice(x):
        ...     return 2 * x
        >>> compiled(twice)(3)
        6
    """
    function.__qualname__ += f"_{_VERSION}"
    try:
        return numba.njit(cache=True)(function)
    except RuntimeError:
        return numba.njit(cache=False)(function)
