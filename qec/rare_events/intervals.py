"""Intervals for a weighted sum of unknown rates, each seen in shots of its own.

The interval holds the sums whose likelihood, at the best rates that give them, is close enough to the best of all
(profile likelihood): strata without a hit count with what they may still hide, and nothing is taken to be normal.
"""

import math
from collections.abc import Callable

import numpy as np
import scipy.optimize
import scipy.special
from numpy.typing import NDArray

from quell.qec.analysis.intervals import Estimate, normal_quantile

__all__ = ["combine_logs", "ratio_of_estimates", "weighted_rate_interval"]

_STRONGEST_PULL = 1e60


def weighted_rate_interval(
    weights: NDArray[np.float64], hits: NDArray[np.float64], shots: NDArray[np.float64], confidence: float = 0.95
) -> tuple[float, float]:
    """Returns the interval of the sum of weight times rate.

    Args:
        weights: float64 (strata,), not negative.
        hits: float64 (strata,), whole numbers or effective ones.
        shots: float64 (strata,), at least `hits`. A stratum without shots may have any rate.
        confidence: How often the interval should hold the sum.

    Examples:
        >>> import numpy as np
        >>> from quell.qec.rare_events.intervals import weighted_rate_interval
        >>> low, high = weighted_rate_interval(np.array([1.0, 0.01]), np.array([0, 50]), np.array([1e6, 1e3]))
        >>> bool(low < 5e-4 < high)
        True
    """
    unseen = float(weights[shots <= 0].sum())
    used = (shots > 0) & (weights > 0)
    weights, hits, shots = weights[used], hits[used], shots[used]
    if not len(weights):
        return 0.0, unseen
    scale = float(weights.max())
    weights = weights / scale
    best = _log_likelihood(hits / shots, hits, shots)
    # Without any hit the chi-square quantile covers too rarely: there the limit is the "rule of three".
    allowed = normal_quantile(confidence) ** 2 / 2 if hits.any() else -math.log(1 - confidence)

    def sum_at(multiplier: float) -> float:
        return float(weights @ _rates(multiplier, weights, hits, shots))

    def excess(multiplier: float) -> float:
        return best - _log_likelihood(_rates(multiplier, weights, hits, shots), hits, shots) - allowed

    high = sum_at(_root(excess, -1.0))
    low = sum_at(_root(excess, 1.0)) if hits.any() else 0.0
    return low * scale, high * scale + unseen


def _rates(
    multiplier: float, weights: NDArray[np.float64], hits: NDArray[np.float64], shots: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The likeliest rates under a pull on their weighted sum: down if the multiplier is positive, else up.

    They solve hits / rate - (shots - hits) / (1 - rate) = multiplier * weight.
    """
    pull = multiplier * weights
    middle = shots + pull
    root = np.sqrt(np.maximum(middle**2 - 4 * pull * hits, 0))
    # Of the two ways to write the same root, the one that does not subtract nearly equal numbers.
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(middle > 0, 2 * hits / (middle + root), (middle - root) / (2 * pull))
    return np.clip(np.where(pull == 0, hits / shots, rates), 0.0, 1.0)


def _log_likelihood(rates: NDArray[np.float64], hits: NDArray[np.float64], shots: NDArray[np.float64]) -> float:
    return float((scipy.special.xlogy(hits, rates) + scipy.special.xlog1py(shots - hits, -rates)).sum())


def _root(excess: Callable[[float], float], sign: float) -> float:
    """The multiplier of that sign at which the likelihood has fallen far enough."""
    end = sign
    while excess(end) < 0:
        end *= 4
        if abs(end) > _STRONGEST_PULL:
            return end  # every rate is at its limit, and the likelihood has not fallen: all shots are hits
    return float(scipy.optimize.brentq(excess, 0.0, end, xtol=1e-300, rtol=1e-10, maxiter=500))


def combine_logs(value: float, *errors: tuple[float, float]) -> tuple[float, float]:
    """Returns the interval of a product of independent estimates.

    Args:
        value: The product.
        *errors: For each factor how far the logarithm may lie below and above: two numbers, not negative.
    """
    below = math.sqrt(sum(low**2 for low, _ in errors))
    above = math.sqrt(sum(high**2 for _, high in errors))
    return value * math.exp(-below), value * math.exp(above)


def ratio_of_estimates(above: Estimate, below: Estimate) -> Estimate:
    """Returns the ratio of two independent estimates of probabilities, such as failures among the shots that are kept.

    Examples:
        >>> from quell.qec import Estimate
        >>> from quell.qec.rare_events.intervals import ratio_of_estimates
        >>> print(ratio_of_estimates(Estimate(0.01, 0.009, 0.011), Estimate(0.5, 0.49, 0.51)))
        0.0200 [0.0180, 0.0220]
    """
    if below.value <= 0 or above.value <= 0:
        return Estimate(0.0, 0.0, 1.0 if below.low <= 0 else min(1.0, above.high / below.low))
    value = above.value / below.value
    low, high = combine_logs(
        value,
        (_log_ratio(above.value, above.low), _log_ratio(above.high, above.value)),
        (_log_ratio(below.high, below.value), _log_ratio(below.value, below.low)),
    )
    return Estimate(value, low, min(1.0, high))


def _log_ratio(above: float, below: float) -> float:
    return math.log(above / below) if below > 0 else math.inf
