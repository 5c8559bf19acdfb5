"""What may stand for a flip rate wherever an estimator asks for one, its check, and the flips it stands for.

A flip rate is the probability that a measured bit is not what it should be. At one half the bit says nothing, so every
rate stays below it.
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation.hamming import distances, pack_words
from quell.mitigation.table import CountTable

__all__ = ["FlipKernel", "FlipRate", "FlipRateEstimator", "resolve_flip_rate", "why_no_flips"]

# A rate of exactly zero would make a flip impossible and its logarithm infinite; one in 10^9 is as good as never.
_LEAST_RATE = 1e-9
# Intermediate arrays of this size stay in a processor's cache, which is several times as fast as memory.
_CACHED_NUMBERS = 100_000


class FlipKernel:
    """Independent flips: how likely each string is where another one was the answer.

    Attributes:
        log_odds: For each bit log((1 − p)/p), what a flip of it costs; float64 of shape (num_bits,).
        log_stay: The logarithm of the probability that no bit flips.
        mean_flips: How many bits flip on average, Σp.
        deviation: The standard deviation of their number, √Σp(1−p).

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation import read_counts
        >>> from quell.mitigation.flip_rates import FlipKernel
        >>> table = read_counts({"00": 8, "01": 2})
        >>> kernel = FlipKernel(np.array([0.1, 0.2]))
        >>> np.exp(kernel.log_likelihood(table.words, table.bits, table.bits)).round(2).tolist()
        [[0.72, 0.08], [0.08, 0.72]]
    """

    def __init__(self, rates: NDArray[np.float64]) -> None:
        rates = np.maximum(rates, _LEAST_RATE)
        self.log_odds: NDArray[np.float64] = np.log1p(-rates) - np.log(rates)
        self.log_stay = float(np.log1p(-rates).sum())
        self.mean_flips = float(rates.sum())
        self.deviation = math.sqrt(float((rates * (1 - rates)).sum()))
        self._one_rate = bool((rates == rates[0]).all())

    def log_likelihood(
        self,
        words: NDArray[np.uint64],
        bits: NDArray[np.uint8],
        centers: NDArray[np.uint8],
        dtype: type[np.floating[Any]] = np.float64,
    ) -> NDArray[Any]:
        """Returns the logarithm of the probability of each string given each centre.

        Args:
            words: The strings packed by `quell.mitigation.hamming.pack_words`.
            bits: The same strings, uint8 of shape (num_strings, num_bits), column i for bit i.
            centers: uint8 of shape (num_centers, num_bits).
            dtype: The precision to compute in.

        Returns:
            `dtype` of shape (num_strings, num_centers).
        """
        odds = self.log_odds.astype(dtype)
        packed, turned = pack_words(centers), 1 - 2 * centers.T.astype(dtype)
        likelihood = np.empty((len(bits), len(centers)), dtype=dtype)
        step = max(1, _CACHED_NUMBERS // max(bits.shape[1], len(centers)))
        for start in range(0, len(bits), step):
            rows = slice(start, start + step)
            if self._one_rate:
                # A multiple of a whole number, so that equally distant centres are exactly equally likely.
                flips: NDArray[Any] = distances(words[rows], packed) * odds[0]
            else:
                # x(1−c) + c(1−x) = x + c − 2xc, bit by bit, so that one matrix product does it.
                flips = (bits[rows] * odds) @ turned
                flips += centers @ odds
                np.maximum(flips, 0, out=flips)
            np.subtract(dtype(self.log_stay), flips, out=likelihood[rows])
        return likelihood


@runtime_checkable
class FlipRateEstimator(Protocol):
    """Anything that tells the flip rate of counts: a regressor, a mixture model, a table of calibrations.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation import QCluster
        >>> class Calibrated:
        ...     def flip_rate(self, table):
        ...         return np.linspace(0.02, 0.04, table.num_bits)
        >>> QCluster(Calibrated()).mitigate({"000": 870, "001": 60, "010": 40, "100": 30}).report.flip_rate
        0.03
    """

    def flip_rate(self, table: CountTable) -> float | NDArray[np.float64]:
        """Returns one rate for all bits, or float64 of shape (num_bits,) with index i for bit i, each in [0, 0.5)."""
        ...


FlipRate: TypeAlias = float | Sequence[float] | NDArray[np.float64] | FlipRateEstimator
"""A number in [0, 0.5), one such number for each bit with index i for bit i, or a `FlipRateEstimator`."""

_FORMS = "a number in [0, 0.5), one such number for each bit, or an object with a flip_rate(table) method"


def resolve_flip_rate(name: str, value: FlipRate | None, table: CountTable) -> NDArray[np.float64]:
    """Returns a flip rate as one number for each bit.

    Args:
        name: What the value is called in a message.
        value: A number in [0, 0.5), `table.num_bits` of them with index i for bit i, a `FlipRateEstimator`, or None for
            what `quell.mitigation.BitFlipMixture` finds in the counts themselves.
        table: The counts it is meant for; an estimator sees them.

    Returns:
        float64 of shape (num_bits,).

    Raises:
        InputError: If the value, or what the estimator returned, is no probability below one half or is not as long
            as the strings.

    Examples:
        >>> from quell.mitigation import read_counts
        >>> from quell.mitigation.flip_rates import resolve_flip_rate
        >>> table = read_counts({"01": 3, "10": 1})
        >>> resolve_flip_rate("flip_rate", 0.1, table).tolist()
        [0.1, 0.1]
        >>> resolve_flip_rate("flip_rate", 0.7, table)
        Traceback (most recent call last):
        quell.errors.InputError: flip_rate must be a probability below 0.5, got 0.7: a bit that is wrong more often ...
    """
    if value is None:
        from quell.mitigation.mixture import BitFlipMixture

        value = BitFlipMixture()
    if isinstance(value, type):
        raise InputError(f"{name} must be {_FORMS}, got the class {value.__name__}: pass an instance of it")
    if isinstance(value, FlipRateEstimator):
        return _checked(f"{name}, as {type(value).__name__} estimated it,", value.flip_rate(table), table.num_bits)
    return _checked(name, value, table.num_bits)


def why_no_flips(value: FlipRate | None) -> str:
    """Returns why counts are left alone whose flip rate is zero in every bit.

    Args:
        value: The flip rate as it was given, None where it was to follow from the counts.

    Examples:
        >>> from quell.mitigation.flip_rates import why_no_flips
        >>> why_no_flips(0.0)
        'a flip rate of 0 leaves nothing to correct'
    """
    if value is None:
        return "the counts themselves tell no flip rate: give one as flip_rate"
    return "a flip rate of 0 leaves nothing to correct"


def _checked(name: str, value: object, num_bits: int) -> NDArray[np.float64]:
    """Returns `value` as float64 of shape (num_bits,), or raises `InputError`."""
    rates = _numbers(name, value)
    if rates.ndim > 1 or (rates.ndim == 1 and len(rates) != num_bits):
        shape = f"{len(rates)} rates" if rates.ndim == 1 else f"an array of shape {rates.shape}"
        raise InputError(f"{name} must hold one rate for each of the {num_bits} bits, bit 0 first, got {shape}")
    for bit, rate in enumerate(np.atleast_1d(rates).tolist()):
        if not 0 <= rate < 0.5:
            where = f" for bit {bit}" if rates.ndim else ""
            raise InputError(
                f"{name} must be a probability below 0.5, got {rate!r}{where}: a bit that is wrong more often than not "
                "should be inverted first, and one that is wrong half the time holds nothing to recover"
            )
    return np.array(np.broadcast_to(rates, (num_bits,)))


def _numbers(name: str, value: object) -> NDArray[np.float64]:
    """Returns numbers as float64; text, booleans and everything else that is no real number are refused."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "iuf":
        shown = repr(value)
        raise InputError(f"{name} must be {_FORMS}, got {shown if len(shown) < 80 else f'a {type(value).__name__}'}")
    return array.astype(np.float64)
