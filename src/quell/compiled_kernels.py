"""How loops are compiled: with numba, kept on disk for all processes.

numba compiles anew when a function's own file changes, but not when one changes from which it calls; old and new code
would then meet in one process under the same names, and crash it. So every function is named after the sources of all
files that call one another.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numba

__all__ = ["compiler"]

Function = TypeVar("Function", bound=Callable[..., Any])


def compiler(sources: Iterable[Path]) -> Callable[[Function], Function]:
    """Returns a decorator that compiles a function once for all processes, or for each where no folder can be written.

    Compiled functions run without Python's lock, so that threads run them side by side.

    Args:
        sources: The files of all functions that call one another, that of the decorated ones among them.

    Examples:
        >>> from pathlib import Path
        >>> import quell.compiled_kernels as here
        >>> def twice(x):
        ...     return 2 * x
        >>> here.compiler([Path(here.__file__)])(twice)(3)
        6
    """
    version = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:12]

    def compiled(function: Function) -> Function:
        function.__qualname__ += f"_{version}"
        try:
            return numba.njit(cache=True, nogil=True)(function)
        except RuntimeError:
            return numba.njit(cache=False, nogil=True)(function)

    return compiled
