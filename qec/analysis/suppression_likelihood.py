"""The binomial likelihood of the law log q = offset - slope (d + 1)/2, with slope = log Lambda.

Every maximum and every end of a profile-likelihood interval is found by bracketing, starting from the
observed
rates: that needs no derivative of second order and does not run away where a distance saw no error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quell.qec.analysis.intervals import (
    Estimate,
    binomial_interval,
    normal_quantile,
    per_round_probability,
)
from quell.qec.analysis.points import Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Likelihood"]

# exp(-WIDEST) to exp(WIDEST) holds every Lambda and prefactor that data could ask for.
WIDEST = 60.0


class Likelihood:
    """Deviance and score of the law for the points of one physical error rate."""

    def __init__(self, points: Points, per_round: bool) -> None:
        """Takes points of one group at one physical error rate."""
        self.points = points
        self.rounds = points.rounds if per_round else np.ones(len(points))
        self.power = (points.distance + 1) / 2
        self.highest = math.log(0.5) if per_round else 0.0
        smoothed = np.minimum((points.errors + 0.5) / (points.shots + 1), 0.49 if per_round else 1.0)
        # Half an error more, so that a distance without errors has a logarithm to begin the search with.
        self.log_seen = np.log(per_round_probability(smoothed, self.rounds))

    def _rates(self, slope: float, offset: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Probability per shot, and its derivative by the logarithm of the rate."""
        log_rate = np.minimum(offset - slope * self.power, self.highest - 1e-12)
        rate = np.exp(np.maximum(log_rate, -600.0))
        per_shot = np.where(self.rounds == 1, rate, -np.expm1(self.rounds * self._log_bias(rate)) / 2)
        slope_of = np.where(self.rounds == 1, 1.0, self.rounds * np.exp((self.rounds - 1) * self._log_bias(rate)))
        return np.clip(per_shot, 1e-280, 1 - 1e-15), slope_of * rate

    @staticmethod
    def _log_bias(rate: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.log1p(-2 * np.minimum(rate, 0.5 - 1e-15)))

    def deviance(self, slope: float, offset: float) -> float:
        """Twice the log-likelihood lost against free rates; chi-square distributed if the law holds."""
        k, n = self.points.errors, self.points.shots
        per_shot, _ = self._rates(slope, offset)
        some, missed = k > 0, k < n
        total = float(np.sum(k[some] * np.log(k[some] / (n[some] * per_shot[some]))))
        observed = np.log1p(-(k[missed] / n[missed]))
        total += float(np.sum((n - k)[missed] * (observed - np.log1p(-per_shot[missed]))))
        return max(0.0, 2 * total)

    def _score(self, slope: float, offset: float) -> NDArray[np.float64]:
        """Derivative of each point's log-likelihood by the logarithm of its rate."""
        k, n = self.points.errors, self.points.shots
        per_shot, slope_of = self._rates(slope, offset)
        return np.asarray((k / per_shot - (n - k) / (1 - per_shot)) * slope_of)

    def offset_at(self, slope: float) -> float:
        """The best offset for a slope."""
        each = self.log_seen + slope * self.power
        return _falling_root(lambda at: float(self._score(slope, at).sum()), each.min(), each.max())

    def slope_at(self, offset: float) -> float:
        """The best slope for an offset."""
        each = (offset - self.log_seen) / self.power
        return -_falling_root(lambda minus: float(self._score(-minus, offset) @ self.power), -each.max(), -each.min())

    def best(self) -> tuple[float, float]:
        """Slope and offset of greatest likelihood."""
        centred = self.power - float(self.power.mean())
        weight = self.points.errors + 0.5
        about = self.power - np.average(self.power, weights=weight)
        guess = float((weight * about) @ self.log_seen / (weight @ about**2))
        minus = _falling_root(lambda minus: float(self._score(-minus, self.offset_at(-minus)) @ centred), guess, guess)
        return -minus, self.offset_at(-minus)

    def slope_interval(self, rise: float) -> tuple[float, float]:
        """The slopes whose profile deviance stays within `rise` of the least."""
        slope, offset = self.best()
        limit = self.deviance(slope, offset) + rise

        def excess(at: float) -> float:
            return self.deviance(at, self.offset_at(at)) - limit

        return _edge(excess, slope, -1), _edge(excess, slope, +1)

    def offset_interval(self, rise: float) -> tuple[float, float]:
        """The offsets whose profile deviance stays within `rise` of the least."""
        slope, offset = self.best()
        limit = self.deviance(slope, offset) + rise

        def excess(at: float) -> float:
            return self.deviance(self.slope_at(at), at) - limit

        return _edge(excess, offset, -1), _edge(excess, offset, +1)

    def ratio(self, confidence: float) -> Estimate:
        """Lambda of two points, also where one of them saw no error."""
        k = self.points.errors
        if k.all():
            slope, _ = self.best()
            low, high = self.slope_interval(normal_quantile(confidence) ** 2)
            return Estimate(math.exp(slope), math.exp(low), math.exp(high), confidence)
        # As for a rate without hits: one-sided, at the likelihood ratio 1 - confidence.
        rise = -2 * math.log1p(-confidence)

        def excess(at: float) -> float:
            return self.deviance(at, self.offset_at(at)) - rise

        if k[1] == 0:
            return Estimate(math.inf, math.exp(_edge(excess, WIDEST, -1)), math.inf, confidence)
        return Estimate(0.0, 0.0, math.exp(_edge(excess, -WIDEST, +1)), confidence)

    def rates(self, confidence: float) -> tuple[Estimate, ...]:
        """The observed rate at each distance, per round or per shot."""
        k, n = self.points.errors, self.points.shots
        ends = [k / n, *binomial_interval(k, n, confidence)]
        value, low, high = (per_round_probability(end, self.rounds) for end in ends)
        return tuple(
            Estimate(float(v), float(a), float(b), confidence) for v, a, b in zip(value, low, high, strict=True)
        )


def _falling_root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a function that is positive far below and negative far above; begins at a guess."""
    from scipy.optimize import brentq

    step = 0.05
    while function(low) < 0 and step < WIDEST:
        low, step = low - step, 2 * step
    step = 0.05
    while function(high) > 0 and step < WIDEST:
        high, step = high + step, 2 * step
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    return float(brentq(function, low, high, xtol=1e-11, rtol=1e-13, maxiter=500))


def _edge(excess: Callable[[float], float], start: float, sign: int) -> float:
    """Where `excess` turns positive on one side of `start`; infinite where it never does."""
    from scipy.optimize import brentq

    step, near = 1e-3, start
    while abs(near - start) < 2 * WIDEST:
        far = near + sign * step
        if excess(far) > 0:
            inner, outer = sorted((near, far))
            return float(brentq(excess, inner, outer, xtol=1e-10))
        near, step = far, 2 * step
    return sign * math.inf
