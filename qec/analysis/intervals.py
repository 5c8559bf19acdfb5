"""Rates with their intervals: how often a shot failed, was discarded, or failed in each round.

An interval holds the probabilities whose likelihood ratio to the best one stays under the chi-square quantile
(Wilks 1938). With no hits at all it is the exact one-sided interval instead, the "rule of three" (Hanley and
Lippman-Hand 1983), because there the chi-square quantile would cover too rarely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from quell.errors import DataError, InputError

if TYPE_CHECKING:
    import sinter
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Described",
    "Estimate",
    "binomial_interval",
    "discard_rate",
    "error_rate",
    "error_rate_per_round",
    "normal_quantile",
    "per_round_probability",
    "rounds_of",
]


# From this ratio of its ends on, an interval spans decades, and each number is shown by itself.
_DECADES = 1000


class Described(Protocol):
    """A result of a task: `sinter.TaskStats`, and what else says where it came from in the same words."""

    @property
    def decoder(self) -> str:
        """The decoder's name."""

    @property
    def json_metadata(self) -> Any:
        """The metadata of the task."""


@dataclass(frozen=True)
class Estimate:
    """A number and the interval that travels with it.

    Attributes:
        value: The estimate itself; nan where the data says nothing.
        low: Lower end of the interval.
        high: Upper end of the interval; infinite where only a lower limit is known.
        confidence: How often such an interval holds the truth, between 0 and 1.

    Examples:
        >>> from quell.qec.analysis import Estimate
        >>> print(Estimate(0.012341, 0.011876, 0.012812))
        0.01234 [0.01188, 0.01281]
        >>> Estimate(0.5, 0.25, 0.75).to_json()
        {'value': 0.5, 'interval': [0.25, 0.75], 'confidence': 0.95}
    """

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def to_json(self) -> dict[str, Any]:
        """Returns the estimate as JSON has it; what is not finite becomes null, which JSON can write."""
        return {
            "value": finite_or_none(self.value),
            "interval": [finite_or_none(self.low), finite_or_none(self.high)],
            "confidence": self.confidence,
        }

    def __str__(self) -> str:
        """Returns value and interval, to two digits of the half width; two of each number if that spans decades."""
        width = self.high - self.low
        if not (math.isfinite(width) and width > 0):
            return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]"
        if self.low > 0 and self.high >= _DECADES * self.low:
            return f"{self.value:#.2g} [{self.low:#.2g}, {self.high:#.2g}]"
        top = max(abs(self.high), abs(self.low))
        # Two digits of the interval's half width: more would be noise, fewer would hide the interval, unless the number
        # is exact but for rounding.
        last = math.floor(math.log10(max(width / 2, 1e-7 * top))) - 1
        if top < 1e-3 or top >= 1e6:
            digits = max(0, math.floor(math.log10(top)) - last)
            value, low, high = (f"{x:.{digits}e}" if x else "0" for x in (self.value, self.low, self.high))
            return f"{value} [{low}, {high}]"
        digits = max(0, -last)
        return f"{self.value:.{digits}f} [{self.low:.{digits}f}, {self.high:.{digits}f}]"


def finite_or_none(value: float) -> float | None:
    """Returns the number, or None where JSON has no way to write it."""
    return float(value) if math.isfinite(value) else None


def check_confidence(confidence: float) -> float:
    """Returns `confidence` as a float strictly between 0 and 1, or raises `InputError`."""
    if not 0 < float(confidence) < 1:
        raise InputError(f"confidence must be between 0 and 1, both left out, got {confidence!r}")
    return float(confidence)


def normal_quantile(confidence: float) -> float:
    """Returns how many standard deviations a two-sided normal interval reaches to each side.

    Examples:
        >>> from quell.qec.analysis import normal_quantile
        >>> round(normal_quantile(0.95), 4)
        1.96
    """
    return NormalDist().inv_cdf(0.5 + check_confidence(confidence) / 2)


def _x_minus_log1p(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns x - log(1 + x), also where the two terms agree in all but their last digits."""
    series = np.zeros_like(x)
    for power in range(10, 1, -1):
        series = x * (series + (1 if power % 2 == 0 else -1) / power)
    series *= x
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.abs(x) < 0.01, series, x - np.log1p(x))


def _deviance(
    shift: NDArray[np.float64], hits: NDArray[np.float64], trials: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Twice the fall of the log-likelihood when the probability moves by `shift` from hits/trials."""
    misses = trials - hits
    # The terms linear in the shift cancel exactly, so they are left out before rounding can see them.
    return 2 * (hits * _x_minus_log1p(shift * trials / hits) + misses * _x_minus_log1p(-shift * trials / misses))


def _solve_shift(
    sign: int, hits: NDArray[np.float64], trials: NDArray[np.float64], target: float
) -> NDArray[np.float64]:
    """Finds the shift of the given sign at which the deviance reaches `target`; 0 < hits < trials."""
    best = hits / trials
    inner = np.zeros_like(best)
    outer = (1 - best) if sign > 0 else best
    size = np.minimum(math.sqrt(target) * np.sqrt(best * (1 - best) / trials), 0.9 * outer)
    for _ in range(100):
        deviance = _deviance(sign * size, hits, trials)
        outside = deviance > target
        outer = np.where(outside, size, outer)
        inner = np.where(outside, inner, size)
        # Half the derivative, for Newton on the square root: that is nearly a straight line in the shift.
        slope = size * trials / ((best + sign * size) * (1 - best - sign * size))
        newton = size - (deviance - np.sqrt(deviance * target)) / slope
        newton = np.where((newton > inner) & (newton < outer), newton, (inner + outer) / 2)
        done = np.abs(newton - size) <= 1e-12 * size
        size = newton
        if done.all():
            break
    return sign * size


def binomial_interval(
    hits: ArrayLike, trials: ArrayLike, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Finds the likelihood-ratio interval of a binomial probability.

    It stays accurate at 10^12 trials and at the smallest rates. With no hits (or nothing but hits) the far
    end is exact and one-sided: `1 - (1 - confidence)^(1/trials)`, about 3/trials at 95 %.

    Args:
        hits: How often it happened; a number or an array of any shape.
        trials: How often it could have happened; broadcast against `hits`. 0 gives the interval [0, 1].
        confidence: How often the interval should hold the truth, between 0 and 1.

    Returns:
        The lower and the upper ends, float64 arrays of the broadcast shape.

    Raises:
        InputError: Counts are negative, hits exceed trials, or confidence is not between 0 and 1.

    Examples:
        >>> from quell.qec.analysis import binomial_interval
        >>> low, high = binomial_interval([0, 5, 50], 100)
        >>> [f"{a:.4f}-{b:.4f}" for a, b in zip(low, high)]
        ['0.0000-0.0295', '0.0182-0.1044', '0.4029-0.5971']
    """
    target = normal_quantile(confidence) ** 2
    k, n = np.broadcast_arrays(np.asarray(hits, dtype=np.float64), np.asarray(trials, dtype=np.float64))
    if not (np.all(k >= 0) and np.all(k <= n)):
        raise InputError("hits must be >= 0 and at most trials: check the order of the arguments")
    low, high = np.zeros(k.shape), np.ones(k.shape)
    inside = (k > 0) & (k < n)
    if inside.any():
        best = k[inside] / n[inside]
        low[inside] = best + _solve_shift(-1, k[inside], n[inside], target)
        high[inside] = best + _solve_shift(+1, k[inside], n[inside], target)
    tried = n > 0
    with np.errstate(divide="ignore"):
        one_sided = -np.expm1(math.log1p(-confidence) / n)
    high = np.where(tried & (k == 0), one_sided, high)
    low = np.where(tried & (k == n), 1 - one_sided, low)
    return low, high


def _binomial_estimate(hits: int, trials: int, confidence: float) -> Estimate:
    low, high = binomial_interval(hits, trials, confidence)
    return Estimate(hits / trials if trials else math.nan, float(low), float(high), float(confidence))


def error_rate(stats: sinter.TaskStats, *, confidence: float = 0.95) -> Estimate:
    """Returns how often a shot that was kept was decoded wrongly: errors / (shots - discards).

    Args:
        stats: What was counted.
        confidence: How often the interval should hold the truth.

    Returns:
        The rate per shot. Without any kept shot its value is nan and its interval [0, 1].

    Raises:
        InputError: `confidence` is not between 0 and 1.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import error_rate
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={}, shots=1000, errors=20)
        >>> print(error_rate(stats))
        0.0200 [0.0125, 0.0299]
    """
    return _binomial_estimate(stats.errors, stats.shots - stats.discards, confidence)


def discard_rate(stats: sinter.TaskStats, *, confidence: float = 0.95) -> Estimate:
    """Returns how often a shot was discarded: discards / shots.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import discard_rate
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={}, shots=1000, discards=250)
        >>> print(discard_rate(stats))
        0.250 [0.224, 0.277]
    """
    return _binomial_estimate(stats.discards, stats.shots, confidence)


def per_round_probability(probability: ArrayLike, rounds: ArrayLike) -> NDArray[np.float64]:
    """Turns the probability of an odd number of flips over all rounds into that of a flip in one round.

    A shot fails when an odd number of its rounds flipped the observable, so 1 - 2P is the rounds-th power of
    1 - 2q. Above one half, where no such q below one half exists, it continues as the mirror image, as
    `sinter.shot_error_rate_to_piece_error_rate` does: the map stays increasing, so intervals map end by end.

    Args:
        probability: Probability per shot, between 0 and 1; any shape.
        rounds: How many rounds a shot has, > 0; broadcast.

    Returns:
        Probability per round, float64.

    Examples:
        >>> from quell.qec.analysis import per_round_probability
        >>> round(float(per_round_probability(0.18, 2)), 6)
        0.1
    """
    per_shot = np.asarray(probability, dtype=np.float64)
    folded = np.minimum(per_shot, 1 - per_shot)
    with np.errstate(divide="ignore"):
        per_round = -np.expm1(np.log1p(-2 * folded) / np.asarray(rounds, dtype=np.float64)) / 2
    return np.asarray(np.where(per_shot > 0.5, 1 - per_round, per_round))


def rounds_of(stats: Described) -> float | None:
    """Returns the number of rounds that the metadata gives under `r` or `rounds`, or None.

    Raises:
        DataError: The entry is there but is not a positive number.
    """
    metadata = stats.json_metadata
    if not isinstance(metadata, dict):
        return None
    rounds = metadata.get("r", metadata.get("rounds"))
    if rounds is None:
        return None
    if isinstance(rounds, bool) or not isinstance(rounds, (int, float)) or not rounds > 0:
        raise DataError(f"rounds must be a number > 0, got {rounds!r} in the metadata {metadata}")
    return float(rounds)


def error_rate_per_round(stats: sinter.TaskStats, rounds: float | None = None, *, confidence: float = 0.95) -> Estimate:
    """Returns the error rate per round, by the rule of `per_round_probability`.

    Args:
        stats: What was counted.
        rounds: Rounds in a shot; None takes `r` or `rounds` from the metadata.
        confidence: How often the interval should hold the truth.

    Raises:
        InputError: There are no rounds to divide by.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import error_rate_per_round
        >>> stats = sinter.TaskStats(
        ...     strong_id="a", decoder="pymatching", json_metadata={"r": 10}, shots=10_000, errors=100)
        >>> print(error_rate_per_round(stats))
        0.00101 [0.00082, 0.00122]
    """
    count = rounds_of(stats) if rounds is None else rounds
    if count is None or not count > 0:
        raise InputError(f"rounds must be > 0, got {count!r}: pass rounds=, or put 'r' in the metadata of the task")
    rate = error_rate(stats, confidence=confidence)
    value, low, high = per_round_probability([rate.value, rate.low, rate.high], count)
    return Estimate(float(value), float(low), float(high), rate.confidence)
