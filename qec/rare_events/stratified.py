"""Error rates from strata by the number of faults: LER(p) = sum over w of P(w faults; p) times f(w).

Shots go where they narrow the interval most (Neyman's allocation, with room for strata in which nothing has failed
yet). What lies beyond the last stratum counts in the upper end.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.qec.analysis.intervals import Estimate
from quell.qec.rare_events.fault_counts import fault_number_distribution, log_no_fault
from quell.qec.rare_events.faults import FaultModel, log_odds_ratios
from quell.qec.rare_events.intervals import ratio_of_estimates, weighted_rate_interval
from quell.qec.rare_events.strata import StrataOrder, StrataYield, StratumCounts

__all__ = ["StrataEstimator"]

_SMALLEST_TAIL = 1e-25  # probability of more faults than the last stratum has, before anything is known
_ROUNDING = 1e-10  # of sums over many sets of faults
_PILOT_SHOTS = 512
_FEW_SETS = 50_000  # are gone through before anything else
_MANY_SETS = 2_500_000  # are gone through if it takes less than shots do: a second or two
_MOST_FAULTS_OF_ALL_SETS = 3
_ALL_SETS_SECONDS = 5.0  # after which shots it is
_WIDE = 1.1  # more shots than needed on paper: the paper knows the rates only roughly
_EXCLUDE = 3.0  # expected hits, if an empty stratum were to fill the interval


class StrataEstimator:
    """Keeps the counts of all strata, says which shots to take next, and estimates.

    Args:
        models: Error models over the same faults; shots are drawn from the first.
        target_relative_error: Half the width of the interval over the error rate, to be reached for every model.
    """

    def __init__(self, models: Sequence[FaultModel], target_relative_error: float) -> None:
        self.target = target_relative_error
        self._faults = models[0]
        self._ratios = log_odds_ratios(models[0], tuple(models[1:]))
        odds = [np.exp(np.log(models[0].odds) + ratio[:-1]) for ratio in self._ratios]
        largest = min(len(models[0]), max(_last_stratum(values) for values in odds))
        # For each model, of each number of faults: the probability, and what a weight in the first's shots is worth.
        self.probability = np.array([fault_number_distribution(values, largest) for values in odds])
        none = np.array([log_no_fault(values) for values in odds])
        self._worth = np.exp(none - none[0])[:, None] * self.probability[0]
        self.counts = {w: StratumCounts.none(len(models)) for w in range(largest + 1)}
        self.seconds = 0.0
        self._asked: set[int] = set()  # strata of which all sets were asked for, once

    @property
    def shots(self) -> int:
        """Sets of faults that were drawn."""
        return sum(counts.shots for counts in self.counts.values())

    def add(self, found: StrataYield) -> None:
        """Takes in what a worker counted."""
        for num_faults, counts in found.counts.items():
            if counts.exact and not self.counts[num_faults].exact:
                self.counts[num_faults] = counts  # all sets are better than what was drawn of them
            elif not self.counts[num_faults].exact:
                self.counts[num_faults].add(counts)
        self.seconds += found.seconds

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Returns the counts as arrays, for a file."""
        every = self.counts.values()
        return {
            "whole": np.array([(each.shots, each.failed, each.decoded, each.exact) for each in every], np.int64),
            "sums": np.array([(each.failed_weight, each.failed_squares, each.discarded_weight) for each in every]),
            "seconds": np.array(self.seconds),
        }

    def set_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Takes the counts that `to_arrays` returned."""
        for num_faults, (whole, sums) in enumerate(zip(arrays["whole"], arrays["sums"], strict=True)):
            shots, failed, decoded, exact = (int(number) for number in whole)
            weight, squares, discarded = (row.copy() for row in sums)
            self.counts[num_faults] = StratumCounts(shots, failed, decoded, weight, squares, discarded, bool(exact))
        self.seconds = float(arrays["seconds"])

    def odds_spread(self, model: int) -> float:
        """By what factor, less one, the odds of two faults change differently from the first model to another."""
        return math.expm1(float(np.ptp(self._ratios[model, :-1])))

    def first_order(self, seed: int, seconds: float) -> StrataOrder:
        """A few shots of every stratum, and all sets of the smallest."""
        all_sets = tuple(w for w in self.counts if self._num_sets(w) <= _FEW_SETS)
        self._asked |= set(all_sets)
        return StrataOrder(tuple((w, _PILOT_SHOTS) for w in self.counts if w not in all_sets), all_sets, seed, seconds)

    def next_order(self, seed: int, seconds: float, share: float) -> StrataOrder:
        """The shots that are missing, or a share of them."""
        wanted = self._wanted()
        # Where there are fewer sets than shots are missing, all of them are the better answer.
        for w, want in wanted.items():
            if w not in self._asked and self._num_sets(w) <= min(_MANY_SETS, want - self.counts[w].shots):
                self._asked.add(w)
                return StrataOrder((), (w,), seed, max(seconds, _ALL_SETS_SECONDS))
        shots = tuple(
            (w, math.ceil((want - self.counts[w].shots) * share))
            for w, want in wanted.items()
            if want > self.counts[w].shots
        )
        if not shots:  # enough on paper, but the interval says no
            shots = tuple((w, max(64, math.ceil(want * 0.2 * share))) for w, want in wanted.items())
        return StrataOrder(shots, (), seed, seconds)

    def _num_sets(self, num_faults: int) -> float:
        """How many sets of that many faults there are; infinite where nobody wants to know."""
        number = math.comb(len(self._faults), num_faults)
        return number if num_faults <= _MOST_FAULTS_OF_ALL_SETS or number <= _FEW_SETS else math.inf

    def acceptance_order(self, seed: int, seconds: float, share: float) -> StrataOrder | None:
        """The shots, or a share of them, that are missing before the acceptance is known well enough; None if none."""
        wanted = dict.fromkeys(self.counts, 0)
        for model in range(len(self.probability)):
            kept = self.acceptance(model)
            if kept is None or kept.value <= 0 or (kept.high - kept.low) / 2 <= self.target / 3 * kept.value:
                continue
            shots = (1.96 / (self.target / 3)) ** 2 / kept.value
            for w, probability in enumerate(self.probability[model]):
                if not self.counts[w].exact:
                    # Never less than is there, by a fifth: the paper knows the variance only roughly.
                    wanted[w] = max(wanted[w], math.ceil(max(shots, 1.2 * self.shots) * probability))
        missing = {w: math.ceil((want - self.counts[w].shots) * share) for w, want in wanted.items()}
        shots_of = tuple((w, number) for w, number in missing.items() if number > 0)
        return StrataOrder(shots_of, (), seed, seconds) if shots_of else None

    def shots_missing(self) -> int:
        """How many shots are missing, as far as the counts can tell; those that need no decoding count little."""
        total = 0.0
        for w, want in self._wanted().items():
            counts = self.counts[w]
            missing = min(max(0.0, want - counts.shots), self._num_sets(w))
            total += missing * (counts.decoded + 1) / (counts.shots + 1)
        return round(total)

    def _wanted(self) -> dict[int, int]:
        """For each stratum that is not exact, the shots with which all intervals would be narrow enough."""
        open_strata = [w for w, counts in self.counts.items() if not counts.exact]
        rate = self._guessed_rates()
        wanted = dict.fromkeys(open_strata, 0.0)
        for model, probability in enumerate(self.probability):
            value = self._sum(self._mean_failed(model))
            if value <= 0:
                for w in open_strata:  # nothing has failed yet: twice as many everywhere, where it could matter
                    wanted[w] = max(wanted[w], 2 * max(self.counts[w].shots, _PILOT_SHOTS))
                continue
            spread = {w: probability[w] * math.sqrt(rate[w]) for w in open_strata}
            all_spread = sum(spread.values())
            scale = all_spread / (self.target / 1.96 * value) ** 2
            for w in open_strata:
                want = scale * spread[w]
                if not self.counts[w].failed:
                    want = max(want, _EXCLUDE * probability[w] / (self.target * value))
                wanted[w] = max(wanted[w], want)
        return {w: math.ceil(want * _WIDE) for w, want in wanted.items() if want > 0}

    def _guessed_rates(self) -> dict[int, float]:
        """The failure rate of each stratum; without a failure, less than that of the next stratum."""
        rates: dict[int, float] = {}
        above = 1.0
        for w in sorted(self.counts, reverse=True):
            counts = self.counts[w]
            above = counts.failed / counts.shots if counts.failed else min(above / 10, 1 / (counts.shots + 1))
            rates[w] = above
        return rates

    def _mean_failed(self, model: int) -> NDArray[np.float64]:
        """For each stratum, what it adds to the failure rate under a model: float64 (strata,)."""
        means = [counts.failed_weight[model] / max(1, counts.shots) for counts in self.counts.values()]
        return np.asarray(self._worth[model] * means, np.float64)

    @staticmethod
    def _sum(terms: NDArray[np.float64]) -> float:
        return float(np.sort(terms).sum())

    def failure(self, model: int) -> Estimate:
        """The probability of failing and being kept, under a model."""
        probability = self.probability[model]
        terms = self._mean_failed(model)
        weights, hits, shots, exact = [], [], [], 0.0
        for w, counts in self.counts.items():
            if counts.exact:
                exact += terms[w]
            elif counts.failed:
                # Failures of unequal weight are worth fewer of equal weight.
                effective = counts.failed_weight[model] ** 2 / counts.failed_squares[model]
                effective_shots = counts.shots * effective / counts.failed
                hits.append(effective)
                shots.append(effective_shots)
                weights.append(terms[w] * effective_shots / effective)
            else:
                hits.append(0.0)
                shots.append(float(counts.shots))
                weights.append(probability[w])
        low, high = weighted_rate_interval(np.array(weights), np.array(hits), np.array(shots))
        tail = max(0.0, 1 - self._sum(probability))
        if len(probability) > len(self._faults):
            tail = 0.0  # there are no more faults than the last stratum has
        elif tail <= 1e-12:
            tail = _tail_bound(probability)
        # Where nearly all is exact, rounding alone would put an end on the wrong side.
        value = self._sum(terms)
        low, high = (low + exact) * (1 - _ROUNDING), (high + exact + tail) * (1 + _ROUNDING)
        return Estimate(value, float(min(value, low)), float(max(value, min(1.0, high))))

    def acceptance(self, model: int) -> Estimate | None:
        """The probability of being kept, under a model; None if no shot was ever discarded."""
        if not any(counts.discarded_weight[0] for counts in self.counts.values()):
            return None
        worth = self._worth[model]
        value, variance = 0.0, 0.0
        for w, counts in self.counts.items():
            rate = counts.discarded_weight[model] / max(1, counts.shots)
            value += worth[w] * rate
            if not counts.exact:
                plain = (counts.discarded_weight[0] + 1) / (counts.shots + 2)
                variance += self.probability[model, w] ** 2 * plain * (1 - plain) / max(1, counts.shots)
        error = 1.96 * math.sqrt(variance)
        kept = 1 - value
        return Estimate(float(kept), float(max(0.0, kept - error)), float(min(1.0, kept + error)))

    def error_rate(self, model: int) -> tuple[Estimate, Estimate | None]:
        """Errors per kept shot, and the fraction that is kept."""
        failure, acceptance = self.failure(model), self.acceptance(model)
        if acceptance is None:
            return failure, None
        return ratio_of_estimates(failure, acceptance), acceptance


def _last_stratum(odds: NDArray[np.float64]) -> int:
    """The number of faults beyond which there is no probability to speak of."""
    mean = float((odds / (1 + odds)).sum())
    # Chernoff's bound for a sum of independent coins, which is Poisson's at worst.
    last = max(3, math.ceil(mean))
    while last - mean - last * math.log(last / mean) > math.log(_SMALLEST_TAIL) and last < len(odds):
        last += 1
    return min(last, len(odds))


def _tail_bound(probability: NDArray[np.float64]) -> float:
    """A limit to the probability of more faults than the last, from how fast it falls there."""
    if len(probability) < 2 or probability[-2] <= 0:
        return 0.0
    ratio = probability[-1] / probability[-2]
    return float(probability[-1] * ratio / (1 - ratio)) if ratio < 1 else 1.0
