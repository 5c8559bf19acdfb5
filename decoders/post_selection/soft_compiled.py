"""How the kernels of the soft output are compiled.

numba's cache looks at the file of a function and not at the files of those that it calls; so the names of all carry a
hash of all of these files, those of the matching that they call among them.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

Function = TypeVar("Function", bound=Callable[..., Any])

_HERE = Path(__file__).parent
_SOURCES = [
    *(_HERE / name for name in ("parity_matching.py", "alternating_walks.py", "soft_kernels.py", "shortcuts.py")),
    *sorted(_HERE.parent.glob("matching_*.py")),
]
_VERSION = hashlib.sha256(b"".join(file.read_bytes() for file in _SOURCES)).hexdigest()[:12]


def compiled(function: Function) -> Function:
    """Compiles a function once for all processes, or for each where no folder can be written to.

    Examples:
        >>> from quell.decoders.post_selection.soft_compiled import compiled
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
