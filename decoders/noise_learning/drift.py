"""How far rates are now from their means over the learner's memory.

What is remembered is as old as the memory is long, and noise that drifts has gone on since. A straight line through
each parity over time ends at its present; where that differs from the mean by more than chance, rates follow, all those
of a class together, and intervals are as much wider as that is uncertain. How much classes drift is learned from all of
them (empirical Bayes), so that noise that stands still costs next to nothing.
"""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.closed_form import RateEstimates, closed_form
from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.pooling import PooledRates
from quell.decoders.noise_learning.structure import FaultStructure

__all__ = ["Drift"]

Floats = NDArray[np.float64]

# How far classes may drift: standard deviations, of the change over the mean.
_SCATTERS = np.concatenate([[0.0], np.geomspace(0.003, 1.0, 30)])
_BORNE_OUT = 8.0  # by how much the log-likelihood must be higher with a drift than without
_FEWEST_BLOCKS = 12  # of shots, behind the end of a line
_VAGUE = 0.2  # standard error of a change, above which a class says nothing
_LARGE = 2.0  # times the median of its class: what is larger counts as if it were not
_CURVED = 0.5  # of what a straight line says: its standard error, so that no drift and twice as much are likely enough
_DEVIATIONS = 1.96  # of 95 %


@dataclasses.dataclass(frozen=True, eq=False)
class Drift:
    """How far each rate has gone.

    Attributes:
        changes: float64 (F,): by what share of its mean each rate is higher now, along a straight line.
        deviations: float64 (F,): their standard errors; 0 where no drift is borne out.
    """

    changes: Floats
    deviations: Floats

    @classmethod
    def none(cls, num_faults: int) -> "Drift":
        """Returns that of noise that stands still."""
        return cls(np.zeros(num_faults), np.zeros(num_faults))

    @classmethod
    def of(
        cls,
        structure: FaultStructure,
        counts: ParityCounts,
        estimates: RateEstimates,
        classes: NDArray[np.int64],
        rates: Floats,
    ) -> "Drift":
        """Finds by how much rates have gone, those of a class together.

        Args:
            structure: The faults.
            counts: With ages.
            estimates: What they say on average.
            classes: int64 (F,): numbered from 0.
            rates: float64 (F,): what was learned. One that is much larger than its like does not take them along.

        Examples:
            Two rates that double; of what is remembered, half is from the last 60,000 shots.

            >>> import numpy as np, stim
            >>> from quell.decoders.noise_learning.closed_form import closed_form
            >>> from quell.decoders.noise_learning.drift import Drift
            >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
            >>> from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
            >>> structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 \\n error(.1) D1"))
            >>> counts = ParityCounts(ParitySets.of(structure), with_ages=True)
            >>> rng = np.random.default_rng(1)
            >>> for p in np.linspace(0.04, 0.08, 200):
            ...     counts.decay(0.5 ** (1_000 / 60_000), 1_000)
            ...     counts.add(np.packbits(rng.random((1_000, 2)) < p, axis=1, bitorder="little"))
            >>> estimates = closed_form(structure, counts)
            >>> drift = Drift.of(structure, counts, estimates, np.zeros(2, dtype=np.int64), estimates.rates)
            >>> for rates in (estimates.rates, estimates.rates * drift.factors):
            ...     print(probabilities_of(rates).round(2).tolist())
            [0.07, 0.07]
            [0.08, 0.08]
        """
        if not _has_a_line(counts):
            return cls.none(structure.num_faults)
        large = rates / np.maximum(_LARGE * _medians(rates, classes), 1e-300)
        weights = 1 / np.maximum(large, 1.0)
        met = _Changes.of(estimates, closed_form(structure, counts, now=True), classes, weights)
        changes, variances = met.drawn_together()
        return cls(changes[classes], np.sqrt(variances + (_CURVED * changes) ** 2)[classes])

    @functools.cached_property
    def factors(self) -> Floats:
        """float64 (F,): by which rates are higher now than on average."""
        return _factors(self.changes)

    @functools.cached_property
    def factor_ends(self) -> Floats:
        """float64 (F, 2): what holds the factors with 95 %."""
        spreads = _DEVIATIONS * self.deviations
        return np.stack([_factors(self.changes - spreads), _factors(self.changes + spreads)], axis=1)

    def followed(self, pooled: PooledRates) -> PooledRates:
        """Returns rates that have gone on, and their intervals, from those of their means."""
        intervals = self.widened(pooled.rates, pooled.intervals)
        return dataclasses.replace(pooled, rates=pooled.rates * self.factors, intervals=intervals)

    def widened(self, rates: Floats, intervals: Floats) -> Floats:
        """Returns intervals, (F, 2), of rates (F,) that have gone on, from those of their means."""
        if not self.deviations.any():
            return intervals
        with np.errstate(divide="ignore"):
            ends = np.log(np.maximum(intervals, 0.0) / rates[:, None])
        further = np.log(self.factor_ends / self.factors[:, None])
        widths = np.copysign(np.hypot(ends, further), further)
        return np.asarray((rates * self.factors)[:, None] * np.exp(widths), dtype=np.float64)


def _factors(changes: Floats) -> Floats:
    """What rates are multiplied by: those that fall as if their inverses rose in straight lines, never to nothing."""
    return np.where(changes >= 0, 1 + changes, 1 / (1 + np.abs(changes)))


def _medians(rates: Floats, classes: NDArray[np.int64]) -> Floats:
    """float64 (F,): the median of each fault's class."""
    order = np.lexsort((rates, classes))
    members = np.bincount(classes)
    ends = np.cumsum(members)
    return np.asarray(rates[order][ends - members + (members - 1) // 2][classes], dtype=np.float64)


def _has_a_line(counts: ParityCounts) -> bool:
    """Whether the end of a line is that of many blocks, so that their scatter says how sure it is."""
    if counts.odd_ages is None or not counts.num_shots:
        return False
    mean, square = counts.ages.sum(axis=0) / counts.num_shots
    if square - mean**2 <= 1e-9 * square:
        return False
    shares = (square * counts.shots - mean * counts.ages[:, 0]) / (square - mean**2) / counts.num_shots
    return bool((shares**2).sum() < 1 / _FEWEST_BLOCKS)


@dataclasses.dataclass(frozen=True, eq=False)
class _Changes:
    """By what share the rates of classes are higher now than on average, as far as something is known of them.

    Attributes:
        known: bool (C,).
        changes: float64 (K,), of those that are known.
        variances: float64 (K,), if nothing has changed.
        pulls: float64 (B, K): by how much each block of shots pulls them; classes share their shots.
        estimates: What the blocks are of.
    """

    known: NDArray[np.bool_]
    changes: Floats
    variances: Floats
    pulls: Floats
    estimates: RateEstimates

    @classmethod
    def of(
        cls, estimates: RateEstimates, now: RateEstimates, classes: NDArray[np.int64], weights: Floats
    ) -> "_Changes":
        def summed(values: Floats) -> Floats:
            return np.bincount(classes, weights=weights * values).astype(np.float64)

        mean, present = summed(estimates.rates), summed(now.rates)
        known = mean > 0
        mean = np.where(known, mean, 1.0)
        pulls = np.stack([summed(row) / mean for row in now.influences - estimates.influences])
        variances = estimates.variance_of(pulls)
        known &= (variances < _VAGUE**2) & (variances > 0)
        return cls(known, (present / mean - 1)[known], variances[known], pulls[:, known], estimates)

    def variance_of_mean(self, weights: Floats) -> float:
        """Returns that of a mean of the changes, by weights, float64 (K,)."""
        return float(self.estimates.variance_of((self.pulls @ weights)[:, None])[0])

    def drawn_together(self) -> tuple[Floats, Floats]:
        """What classes have changed by, (C,), and its variance: each drawn to the mean of all, as far as chance goes.

        Zeros where no change at all is nearly as likely.
        """
        still = np.zeros(len(self.known))
        if not self.known.any():
            return still, still
        likelihoods, means = zip(*(self._likelihood(scatter) for scatter in _SCATTERS), strict=True)
        best = int(np.argmax(likelihoods))
        # That the mean is not 0, and that classes scatter around it.
        equal = (1 / self.variances) / (1 / self.variances).sum()
        gain = means[0] ** 2 / self.variance_of_mean(equal) / 2 + likelihoods[best] - likelihoods[0]
        if gain < _BORNE_OUT:
            return still, still
        scatter, mean = float(_SCATTERS[best]), means[best]
        share, weights = np.zeros(len(self.known)), 1 / (scatter**2 + self.variances)
        share[self.known] = scatter**2 * weights
        own = np.zeros(len(self.known))
        own[self.known] = self.changes
        uncertain = (1 - share) * scatter**2 + (1 - share) ** 2 * self.variance_of_mean(weights / weights.sum())
        return share * own + (1 - share) * mean, uncertain

    def _likelihood(self, scatter: float) -> tuple[float, float]:
        """The log-likelihood of a scatter of the true changes around the mean that goes with it, and the mean."""
        total = scatter**2 + self.variances
        mean = float((self.changes / total).sum() / (1 / total).sum())
        return -0.5 * float((np.log(total) + (self.changes - mean) ** 2 / total).sum()), mean
