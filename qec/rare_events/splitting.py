"""Error rates by splitting: how much rarer a failure becomes from level to level of a ladder of noise strengths.

Splitting was brought to decoding by Bravyi and Vargo (arXiv:1308.6270). Here all levels run at once and exchange
their chains; the number of faults is all that two levels disagree about, so the histograms of that number, over all
levels, are weighed together (Ferrenberg and Swendsen, PRL 63, 1989), and give the rate at every strength of noise.
Nothing is fitted or extrapolated: at the top, failures are counted. What it takes for granted is that the chains have
visited what matters; several ladders from seeds of their own, their trips from top to bottom, and their agreement
are the evidence, without which there is no interval.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.special
import scipy.stats
from numpy.typing import NDArray

from quell.qec.analysis.intervals import Estimate, binomial_interval
from quell.qec.rare_events.chains import ChainOrder, ChainState, ChainYield, Ladder
from quell.qec.rare_events.fault_counts import log_no_fault
from quell.qec.rare_events.faults import FaultModel, log_odds_ratios
from quell.qec.rare_events.intervals import combine_logs

__all__ = ["Group", "SplittingEstimator", "join_histograms"]

_BLOCK_DECODES = 32_768
_MOST_BLOCKS = 32
_WARM_UP = 0.25  # of the steps, left out
_HALVES = ((_WARM_UP, (1 + _WARM_UP) / 2), ((1 + _WARM_UP) / 2, 1.0))
_LEAST_TRIPS = 4  # from top to bottom, of every ladder after the warm-up
_LEAST_TRIPS_TOGETHER = 64
_LEAST_EXCHANGED = 0.1
_LARGEST_DEVIATION = 0.7  # of the ladders' logarithms: beyond, their mean is not the logarithm of the rate
_STATE_ARRAYS = ("sets", "sizes", "at", "direction")
_DISAGREE = 1e-3  # the probability with which halves, or sets of seeds, that agree are taken for different


@dataclasses.dataclass
class Block:
    """What a group's ladders brought in some of their steps; fields as in `ChainYield`."""

    steps: int
    histogram: NDArray[np.int64]
    weights: NDArray[np.float64]
    trips: NDArray[np.int64]
    exchanged: NDArray[np.int64]

    def __add__(self, other: "Block") -> "Block":
        """Both."""
        return Block(*(getattr(self, item.name) + getattr(other, item.name) for item in dataclasses.fields(self)))


@dataclasses.dataclass
class Group:
    """Ladders with seeds of their own, that one worker runs at a time."""

    seed: int
    state: ChainState | None = None
    anchor_shots: int = 0
    anchor_failed: int = 0
    blocks: list[Block] = dataclasses.field(default_factory=list)
    block_steps: int = 1  # of a block at the beginning of the list

    @property
    def steps(self) -> int:
        """Steps taken."""
        return 0 if self.state is None else self.state.steps

    def add(self, found: ChainYield) -> None:
        """Takes in a chunk."""
        steps = found.state.steps - self.steps
        self.state = found.state
        self.anchor_shots += found.anchor_shots
        self.anchor_failed += found.anchor_failed
        if not steps:
            return
        new = Block(steps, found.histogram, found.weights, found.trips, found.exchanged)
        if self.blocks and self.blocks[-1].steps + steps <= self.block_steps:
            self.blocks[-1] += new
        else:
            self.block_steps = max(self.block_steps, steps)
            self.blocks.append(new)
        if len(self.blocks) > _MOST_BLOCKS:
            pairs = zip(self.blocks[::2], self.blocks[1::2], strict=False)
            odd = self.blocks[-1:] if len(self.blocks) % 2 else []
            self.blocks = [first + second for first, second in pairs] + odd
            self.block_steps *= 2

    def _blocks_of(self, start: float, end: float) -> list[Block]:
        ends = np.cumsum([block.steps for block in self.blocks])
        begins = ends - [block.steps for block in self.blocks]
        return [
            block
            for block, begin in zip(self.blocks, begins, strict=True)
            if start * ends[-1] <= begin < end * ends[-1]
        ]

    def has_part(self, start: float, end: float) -> bool:
        """Whether a block begins in that part of all steps, given by fractions."""
        return bool(self.blocks and self._blocks_of(start, end))

    def part(self, start: float, end: float) -> Block:
        """The sum of the blocks that begin in that part of all steps, given by fractions."""
        total, *rest = self._blocks_of(start, end)
        for block in rest:
            total = total + block
        return total


@dataclasses.dataclass(frozen=True)
class LadderRates:
    """The logarithm of the failure rate under a model, without the error of the anchor.

    Attributes:
        pooled: From all ladders together.
        ladders: float64 (ladders,): from each alone.
    """

    pooled: float
    ladders: NDArray[np.float64]


class SplittingEstimator:
    """Keeps what the groups of ladders bring, and estimates.

    Args:
        models: Error models over the same faults; the chains belong to the first.
        ladder: The levels.
        groups: The groups, each with seeds of its own.
        num_ladders: In each group.
        target_relative_error: Half the width of the interval over the error rate, to be reached for every model.
    """

    def __init__(
        self,
        models: Sequence[FaultModel],
        ladder: Ladder,
        groups: list[Group],
        num_ladders: int,
        target_relative_error: float,
    ) -> None:
        self.ladder = ladder
        self.groups = groups
        self.num_ladders = num_ladders
        self.target = target_relative_error
        self.shots = 0
        self.seconds = 0.0
        ratios = log_odds_ratios(models[0], tuple(models[1:]))
        odds = models[0].odds
        self._shifts = np.average(ratios[:, :-1], axis=1, weights=models[0].probabilities)
        self._log_no_fault = [log_no_fault(odds * np.exp(ratio[:-1])) for ratio in ratios]
        self._log_no_fault_top = log_no_fault(odds * math.exp(ladder.log_scales[0]))

    def to_state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Returns a description that is JSON, and arrays, for a file."""
        groups = []
        arrays: dict[str, NDArray[Any]] = {"log_scales": self.ladder.log_scales}
        for index, group in enumerate(self.groups):
            described = {
                name: getattr(group, name) for name in ("seed", "anchor_shots", "anchor_failed", "block_steps", "steps")
            }
            if group.state is not None:
                described["generator"] = group.state.generator
                for name in _STATE_ARRAYS:
                    arrays[f"{name}_{index}"] = getattr(group.state, name)
                for item in dataclasses.fields(Block):
                    arrays[f"block_{item.name}_{index}"] = np.array([getattr(one, item.name) for one in group.blocks])
            groups.append(described)
        description = {
            "room": self.ladder.room,
            "num_ladders": self.num_ladders,
            "shots": self.shots,
            "seconds": self.seconds,
            "groups": groups,
        }
        return description, arrays

    @staticmethod
    def from_state(
        models: Sequence[FaultModel],
        target_relative_error: float,
        description: dict[str, Any],
        arrays: dict[str, NDArray[Any]],
    ) -> "SplittingEstimator":
        """Returns the estimator that `to_state` described."""
        groups = []
        for index, described in enumerate(description["groups"]):
            group = Group(described["seed"])
            group.anchor_shots, group.anchor_failed = described["anchor_shots"], described["anchor_failed"]
            group.block_steps = described["block_steps"]
            if "generator" in described:
                state = {name: arrays[f"{name}_{index}"] for name in _STATE_ARRAYS}
                group.state = ChainState(**state, generator=described["generator"], steps=described["steps"])
                columns = [arrays[f"block_{item.name}_{index}"] for item in dataclasses.fields(Block)]
                group.blocks = [Block(int(first), *rest) for first, *rest in zip(*columns, strict=True)]
            groups.append(group)
        ladder = Ladder(arrays["log_scales"], description["room"])
        estimator = SplittingEstimator(models, ladder, groups, description["num_ladders"], target_relative_error)
        estimator.shots, estimator.seconds = description["shots"], description["seconds"]
        return estimator

    @property
    def anchor(self) -> tuple[int, int]:
        """Failures and shots at the top."""
        return sum(group.anchor_failed for group in self.groups), sum(group.anchor_shots for group in self.groups)

    def next_order(self, group: Group) -> ChainOrder:
        """What a group should do next."""
        # At the end the anchor should add little: half of the target, for all groups together. A run that goes on
        # with a smaller target than it began with has some to make up for.
        wanted = math.ceil((1.96 / (0.5 * self.target)) ** 2 / len(self.groups))
        if group.state is None:
            return ChainOrder(
                "start",
                seed=group.seed,
                ladder=self.ladder,
                num_ladders=self.num_ladders,
                anchor_failures=wanted,
            )
        return ChainOrder(
            "go on",
            ladder=self.ladder,
            anchor_failures=max(0, wanted - group.anchor_failed),
            state=group.state,
            steps=self.chunk_steps(),
        )

    def chunk_steps(self) -> int:
        """Steps of a chunk, the same whatever machine it runs on, so that a seed says all."""
        return max(8, _BLOCK_DECODES // (self.num_ladders * len(self.ladder.log_scales)))

    def add(self, group: Group, found: ChainYield) -> None:
        """Takes in what a worker brought."""
        group.add(found)
        self.shots += found.decoded
        self.seconds += found.seconds

    def least_steps(self) -> int:
        """The steps that every group has taken."""
        return min(group.steps for group in self.groups)

    def is_ready(self) -> bool:
        """Whether there are steps enough for an estimate: both halves of what follows the warm-up have some."""
        return all(group.has_part(*part) for group in self.groups for part in _HALVES)

    def _rates(self, model: int, start: float, end: float) -> LadderRates:
        parts = [group.part(start, end) for group in self.groups]
        histograms = np.concatenate([part.histogram for part in parts])
        weights = np.concatenate([part.weights for part in parts])
        together = self._log_rate(model, histograms.sum(axis=0), weights.sum(axis=0))
        alone = [self._log_rate(model, *pair) for pair in zip(histograms, weights, strict=True)]
        return LadderRates(together, np.array(alone))

    def _log_rate(self, model: int, histogram: NDArray[np.int64], weights: NDArray[np.float64]) -> float:
        """The logarithm of the failure rate, but for that at the top."""
        sizes, log_density, log_top = join_histograms(histogram, self.ladder.log_scales)
        terms = log_density + self._shifts[model] * sizes
        if model > 0:
            terms += np.log(weights[model - 1, sizes] / histogram.sum(axis=0)[sizes])
        log_sum = float(scipy.special.logsumexp(terms))
        return log_sum - log_top + self._log_no_fault[model] - self._log_no_fault_top

    def failure(self, model: int) -> tuple[Estimate, str]:
        """The probability of failing and being kept, and why the interval is none if it is none."""
        failed, shots = self.anchor
        rates = self._rates(model, _WARM_UP, 1.0)
        value = math.exp(rates.pooled) * failed / shots
        reason = self._doubts(model, rates)
        if reason:
            return Estimate(value, 0.0, 1.0), reason
        number = len(rates.ladders)
        quantile = float(scipy.stats.t.ppf(0.975, number - 1))
        error = quantile * float(rates.ladders.std(ddof=1)) / math.sqrt(number)
        low, high = binomial_interval(failed, shots)
        rate = failed / shots
        anchor = (math.log(rate / low), math.log(high / rate))
        return Estimate(value, *combine_logs(value, (error, error), anchor)), ""

    def is_stuck(self) -> bool:
        """Whether two levels of the ladder are too far apart, which more steps would not mend."""
        parts = [group.part(_WARM_UP, 1.0) for group in self.groups]
        steps = sum(part.steps for part in parts)
        exchanged = np.sum([part.exchanged for part in parts], axis=0)[:-1] / (steps * self.num_ladders / 2)
        return bool((exchanged < _LEAST_EXCHANGED).any())

    def _doubts(self, model: int, rates: LadderRates) -> str:
        """What speaks against the chains having mixed; empty if nothing does."""
        parts = [group.part(_WARM_UP, 1.0) for group in self.groups]
        trips = np.concatenate([part.trips for part in parts])
        if trips.min() < _LEAST_TRIPS or trips.sum() < _LEAST_TRIPS_TOGETHER:
            return (
                f"the chains have not mixed: {trips.sum()} came from the strongest noise down to the weakest, on one "
                f"ladder {trips.min()}, and {_LEAST_TRIPS_TOGETHER} in all and {_LEAST_TRIPS} on each are the least; "
                f"let it run on"
            )
        if self.is_stuck():
            return (
                f"two levels of the ladder exchange chains less than {_LEAST_EXCHANGED:.0%} of the time: begin anew, "
                f"with another seed and, if it was saved, without its state"
            )
        deviation = float(rates.ladders.std(ddof=1))
        if deviation > _LARGEST_DEVIATION:
            return f"the ladders differ by factors of {math.exp(deviation):.1f}; let it run on"
        earlier, later = (self._rates(model, *half).ladders for half in _HALVES)
        change = later - earlier
        if scipy.stats.ttest_1samp(change, 0.0).pvalue < _DISAGREE:
            return f"the chains still drift: their later half gives {math.exp(change.mean()):.3g} times their earlier"
        sets = rates.ladders.reshape(len(self.groups), self.num_ladders)
        if len(sets) > 1 and scipy.stats.f_oneway(*sets).pvalue < _DISAGREE:
            values = ", ".join(f"{math.exp(mean - rates.pooled):.2f}" for mean in sets.mean(axis=1))
            return f"sets of seeds disagree: {values} times the mean; let it run on"
        return ""

    def details(self, model: int) -> dict[str, Any]:
        """Numbers of the method's own."""
        rates = self._rates(model, _WARM_UP, 1.0)
        failed, shots = self.anchor
        sets = rates.ladders.reshape(len(self.groups), self.num_ladders).mean(axis=1)
        trips = np.concatenate([group.part(_WARM_UP, 1.0).trips for group in self.groups])
        return {
            "levels": len(self.ladder.log_scales),
            "strongest_odds": math.exp(self.ladder.log_scales[0]),
            "failures_at_strongest": failed,
            "shots_at_strongest": shots,
            "sets_of_seeds": [math.exp(mean) * failed / shots for mean in sets],
            "ladders_of_a_set": self.num_ladders,
            "deviation_of_ladders": float(rates.ladders.std(ddof=1)),
            "trips": int(trips.sum()),
            "least_trips": int(trips.min()),
            "steps": self.least_steps(),
        }


def join_histograms(
    histogram: NDArray[np.int64], log_scales: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], float]:
    """Weighs the histograms of all levels together.

    Level j draws sets of w faults with a probability proportional to g(w) exp(w log_scales[j]), g being the same.

    Args:
        histogram: int64 (levels, sizes): how often each level had each number of faults.
        log_scales: float64 (levels,).

    Returns:
        The sizes that occurred, the logarithms of g there, and that of the sum that normalises the first level.
    """
    sizes = np.flatnonzero(histogram.sum(axis=0))
    total = histogram.sum(axis=0)[sizes]
    drawn = histogram.sum(axis=1)
    energies = log_scales[:, None] * sizes
    # The first guess goes from level to level, by the overlap of neighbours.
    norms = np.zeros(len(log_scales))
    for level in range(1, len(log_scales)):
        shift = (log_scales[level] - log_scales[level - 1]) * np.arange(histogram.shape[1])
        forth = scipy.special.logsumexp(shift / 2, b=histogram[level - 1]) - math.log(drawn[level - 1])
        back = scipy.special.logsumexp(-shift / 2, b=histogram[level]) - math.log(drawn[level])
        norms[level] = norms[level - 1] + forth - back
    for _ in range(100):
        terms = np.log(drawn)[:, None] - norms[:, None] + energies
        log_mix = scipy.special.logsumexp(terms, axis=0)
        shares = np.exp(terms - log_mix)
        gradient = drawn - shares @ total
        hessian = np.diag(shares @ total) - (shares * total) @ shares.T
        step = np.zeros(len(norms))
        if len(norms) > 1:  # the first level stays fixed: only differences mean anything
            step[1:] = np.linalg.solve(hessian[1:, 1:], gradient[1:])
        norms -= np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-10:
            break
    log_density = np.log(total) - scipy.special.logsumexp(np.log(drawn)[:, None] - norms[:, None] + energies, axis=0)
    return sizes, log_density, float(scipy.special.logsumexp(log_density + energies[0]))
