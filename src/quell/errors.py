"""What quell raises, and the checks that raise it. Every other module may import this one; it imports none.

QuellError
├── InputError            also a ValueError: an argument outside its limits
│   ├── UnknownNameError  a name nobody registered; says which known name is nearest
│   ├── CircuitError      a circuit that cannot be used, or on which noise cannot be placed
│   └── TooLargeError     a request that would need more than the machine has; says what it would need
├── DataError             also a ValueError: a file that does not hold what it should
│   └── IdentityError     rows that look like a task's but were taken under other settings
├── StorageError          also an OSError: a file that cannot be read or written
├── NoThresholdError      the data does not contain what a fit was asked to find
├── MissingExtraError     also an ImportError: an optional dependency is not installed
└── SweepError            also a RuntimeError: a worker failed while sampling or decoding
"""

import difflib
import importlib
import math
import numbers
from collections.abc import Iterable
from types import ModuleType
from typing import SupportsFloat

__all__ = [
    "CircuitError",
    "DataError",
    "IdentityError",
    "InputError",
    "MissingExtraError",
    "NoThresholdError",
    "QuellError",
    "StorageError",
    "SweepError",
    "TooLargeError",
    "UnknownNameError",
    "check_integer",
    "check_known",
    "check_probability",
    "import_extra",
]


_MOST_NAMES = 30


class QuellError(Exception):
    """Base of everything that quell raises on purpose."""


class InputError(QuellError, ValueError):
    """An argument is outside its limits. The message names the value, the limit and the way out."""


class UnknownNameError(InputError):
    """A name that is not known; the message says which known name is nearest."""


class CircuitError(InputError):
    """A circuit cannot be used as given, or a noise model cannot be placed on it."""


class TooLargeError(InputError):
    """A request needs more than the machine has. The message says what it would need."""


class DataError(QuellError, ValueError):
    """A file is empty, cut off, or not what it should be."""


class IdentityError(DataError):
    """Rows of a file look like a task's but were taken under other settings."""


class StorageError(QuellError, OSError):
    """A file cannot be read or written."""


class NoThresholdError(QuellError):
    """The data does not contain what the fit was asked to find, for example no crossing."""


class MissingExtraError(QuellError, ImportError):
    """An optional dependency is not installed. The message gives the command that installs it."""


class SweepError(QuellError, RuntimeError):
    """A worker failed while it compiled, sampled or decoded a task."""


def check_integer(name: str, value: object, *, minimum: int, odd: bool = False) -> int:
    """Returns `value` as an int, or raises `InputError`.

    Args:
        name: What the value is called in the message.
        value: Any integer, numpy's included; booleans are refused.
        minimum: The smallest value that is allowed.
        odd: Whether even values are refused.

    Examples:
        >>> from quell.errors import check_integer
        >>> check_integer("rounds", 3, minimum=1)
        3
        >>> check_integer("distance", 4, minimum=3, odd=True)
        Traceback (most recent call last):
        quell.errors.InputError: distance must be odd and >= 3, got 4
    """
    if not isinstance(value, bool) and isinstance(value, numbers.Integral):
        number = int(value)
        if number >= minimum and not (odd and number % 2 == 0):
            return number
    raise InputError(f"{name} must be {'odd and ' if odd else 'an integer '}>= {minimum}, got {_shown(value)}")


def check_probability(name: str, value: object, *, maximum: float = 1.0) -> float:
    """Returns `value` as a float in [0, maximum], or raises `InputError`.

    Examples:
        >>> from quell.errors import check_probability
        >>> check_probability("p", 0.25)
        0.25
        >>> check_probability("p", -0.1)
        Traceback (most recent call last):
        quell.errors.InputError: p must be a probability between 0 and 1, got -0.1
    """
    # An array of one number is a float to Python, with a warning; here it is no probability.
    if not isinstance(value, (bool, str)) and isinstance(value, SupportsFloat) and not getattr(value, "ndim", 0):
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            number = math.nan
        if 0 <= number <= maximum:
            return number
    raise InputError(f"{name} must be a probability between 0 and {maximum:g}, got {_shown(value)}")


def _shown(value: object) -> str:
    """Returns `repr(value)`, or its type for integers of more digits than Python prints."""
    try:
        return repr(value)
    except ValueError:
        return f"a {type(value).__name__} too long to print"


def check_known(kind: str, name: str, known: Iterable[str]) -> str:
    """Returns `name` if it is one of `known`, or raises `UnknownNameError` with the nearest known name.

    Examples:
        >>> from quell.errors import check_known
        >>> check_known("decoder", "pymatchin", ["pymatching", "vacuous"])
        Traceback (most recent call last):
        quell.errors.UnknownNameError: unknown decoder 'pymatchin': did you mean 'pymatching'? Known: ...
    """
    names = sorted(known)
    if name in names:
        return name
    nearest = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f": did you mean {nearest[0]!r}?" if nearest else "."
    more = f", … and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    raise UnknownNameError(f"unknown {kind} {name!r}{hint} Known: {', '.join(names[:_MOST_NAMES])}{more}")


def import_extra(module: str, extra: str) -> ModuleType:
    """Imports an optional dependency, or raises `MissingExtraError` with the command that installs it.

    Args:
        module: The module to import, for example `"matplotlib.pyplot"`.
        extra: The extra of quell's that brings it, for example `"plots"`.

    Examples:
        >>> from quell.errors import import_extra
        >>> import_extra("no_such_plotter", "plots")
        Traceback (most recent call last):
        quell.errors.MissingExtraError: no_such_plotter is not installed: this needs pip install 'quell[plots]'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        wanted = module.partition(".")[0]
        if error.name is not None and error.name.partition(".")[0] != wanted:
            raise
        message = f"{wanted} is not installed: this needs pip install 'quell[{extra}]'"
        raise MissingExtraError(message) from error
