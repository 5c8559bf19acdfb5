"""Stim's noise channels as values: made from rates, checked, and written in their simplest exact form.

Only sums of independent errors keep Stim's detector error models exact, and DEPOLARIZE1, DEPOLARIZE2 and single Pauli
errors are the forms that are.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, SupportsFloat

from quell.errors import InputError, check_probability

__all__ = [
    "Channel",
    "biased_rates",
    "check_bias",
    "check_channel_rates",
    "check_rate",
    "check_rates",
    "depolarize1",
    "depolarize2",
    "flip",
    "independent_flips",
    "pauli_channel_1",
    "pauli_channel_2",
]

_DEPOLARIZE1_LIMIT = 3 / 4
_DEPOLARIZE2_LIMIT = 15 / 16


class Channel(NamedTuple):
    """A noise instruction of Stim without its targets: `Channel("X_ERROR", (0.001,))`."""

    name: str
    args: tuple[float, ...]


def check_rate(name: str, value: object, *, maximum: float = 1.0, because: str = "") -> float:
    """Returns `value` as a probability up to `maximum`, or raises `InputError` that says why."""
    try:
        return check_probability(name, value, maximum=maximum)
    except InputError as error:
        raise InputError(f"{error}: {because}" if because else str(error)) from None


def flip(basis: str, probability: float) -> Channel | None:
    """The Pauli error that flips a qubit prepared or measured in `basis` (`"X"`, `"Y"` or `"Z"`)."""
    if probability == 0:
        return None
    return Channel("Z_ERROR" if basis == "X" else "X_ERROR", (probability,))


def pauli_channel_1(rates: Sequence[float]) -> Channel | None:
    """A one-qubit channel from its rates (px, py, pz); equal rates make a DEPOLARIZE1, a single one an X, Y
    or Z error, and others a PAULI_CHANNEL_1, for which Stim asks `approximate_disjoint_errors=True`.
    """
    total = math.fsum(rates)
    present = [(basis, rate) for basis, rate in zip("XYZ", rates, strict=True) if rate > 0]
    if not present:
        return None
    if len(present) == 1:
        return Channel(f"{present[0][0]}_ERROR", (present[0][1],))
    if len(set(rates)) == 1 and total <= _DEPOLARIZE1_LIMIT:
        return Channel("DEPOLARIZE1", (total,))
    return Channel("PAULI_CHANNEL_1", tuple(rates))


def pauli_channel_2(rates: Sequence[float]) -> Channel | None:
    """A two-qubit channel from its 15 rates, in Stim's order IX, IY, IZ, XI, …, ZZ."""
    total = math.fsum(rates)
    if total == 0:
        return None
    if len(set(rates)) == 1 and total <= _DEPOLARIZE2_LIMIT:
        return Channel("DEPOLARIZE2", (total,))
    return Channel("PAULI_CHANNEL_2", tuple(rates))


def depolarize1(p: float) -> Channel | None:
    """DEPOLARIZE1(p), or None at p = 0."""
    return Channel("DEPOLARIZE1", (p,)) if p else None


def depolarize2(p: float) -> Channel | None:
    """DEPOLARIZE2(p), or None at p = 0."""
    return Channel("DEPOLARIZE2", (p,)) if p else None


def independent_flips(p: float) -> tuple[Channel, ...]:
    """X with probability p and, independently, Z with probability p."""
    return (Channel("X_ERROR", (p,)), Channel("Z_ERROR", (p,))) if p else ()


def check_rates(name: str, values: Sequence[float], length: int) -> tuple[float, ...]:
    """Returns `length` probabilities, or raises `InputError`."""
    if isinstance(values, str) or not hasattr(values, "__len__") or len(values) != length:
        raise InputError(f"{name} must be {length} probabilities, got {values!r}")
    return tuple(check_rate(f"{name}[{index}]", value) for index, value in enumerate(values))


def check_channel_rates(name: str, values: Sequence[float], length: int) -> tuple[float, ...]:
    """Returns the rates of one channel, which exclude each other, or raises `InputError`."""
    rates = check_rates(name, values, length)
    # Stim allows for rounding in the same way.
    if math.fsum(rates) > 1 + 1e-9:
        raise InputError(f"the rates of {name} must sum to at most 1, got {math.fsum(rates):g}")
    return rates


def check_bias(eta: object) -> float:
    """Returns `eta` as a float >= 0, `"inf"` as infinity, or raises `InputError`."""
    number = math.nan
    if eta == "inf" or (
        not isinstance(eta, (bool, str)) and isinstance(eta, SupportsFloat) and not getattr(eta, "ndim", 0)
    ):
        try:
            number = float(eta)
        except (OverflowError, TypeError, ValueError):
            number = math.nan
    if not number >= 0:
        raise InputError(f"eta must be a number >= 0 (0.5 is unbiased, math.inf is pure Z), got {eta!r}")
    return number


def biased_rates(p: float, eta: float, z_like: Sequence[bool]) -> list[float]:
    """Splits p over errors, those in `z_like` with the weight 2 eta and the others with 1."""
    # Only the ratio of the weights counts; scaled so, neither overflows and an infinite eta is no special case.
    favoured, other = (2 * eta, 1.0) if eta <= 1 else (2.0, 1 / eta)
    total = favoured * sum(z_like) + other * (len(z_like) - sum(z_like))
    return [p * (favoured if z else other) / total for z in z_like]
