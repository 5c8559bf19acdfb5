"""Shots in strata: sets with exactly w faults, drawn from their conditional distribution, and decoded.

A stratum with few sets is gone through from first to last, which proves its rate. In the others, sets that plain
matching surely corrects are counted without being decoded. The same shots serve several error models over the same
faults, each shot with the weight that makes up for the other odds.
"""

import dataclasses
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import stim
from numpy.typing import NDArray

from quell.qec.rare_events.decoding import DecodingProblem, Judge
from quell.qec.rare_events.fault_counts import FaultSampler
from quell.qec.rare_events.faults import log_odds_ratios
from quell.qec.rare_events.matching import MatchingBound

__all__ = ["StrataOrder", "StrataProblem", "StrataYield", "StratumCounts"]

_BATCH_BYTES = 4_000_000  # what a batch's flips take: more would fall out of the cache


@dataclasses.dataclass
class StratumCounts:
    """What came of the shots of one stratum, for T error models, the one it was drawn from first.

    Attributes:
        shots: Shots, or sets of faults where all were gone through.
        failed: Those that failed.
        decoded: Those that were given to the decoder; the others were known to be corrected.
        failed_weight: float64 (T,): the sum of the weights of the failed; over `shots`, it is the failure rate.
        failed_squares: float64 (T,): the sum of the squares of these weights.
        discarded_weight: float64 (T,): the sum of the weights of the discarded.
        exact: Whether these are all sets, or proof made shots unnecessary.
    """

    shots: int
    failed: int
    decoded: int
    failed_weight: NDArray[np.float64]
    failed_squares: NDArray[np.float64]
    discarded_weight: NDArray[np.float64]
    exact: bool = False

    @staticmethod
    def none(num_models: int) -> "StratumCounts":
        """No shots yet."""
        return StratumCounts(0, 0, 0, np.zeros(num_models), np.zeros(num_models), np.zeros(num_models))

    def add(self, other: "StratumCounts") -> None:
        """Adds counts of the same stratum."""
        self.shots += other.shots
        self.failed += other.failed
        self.decoded += other.decoded
        self.failed_weight += other.failed_weight
        self.failed_squares += other.failed_squares
        self.discarded_weight += other.discarded_weight
        self.exact |= other.exact


@dataclasses.dataclass(frozen=True)
class StrataYield:
    """What a chunk brought: counts by the number of faults, and the time it took.

    Where all sets were asked for and there was no time to go through them, there are no counts.
    """

    counts: dict[int, StratumCounts]
    seconds: float


@dataclasses.dataclass(frozen=True)
class StrataOrder:
    """What a worker should do in a chunk.

    Attributes:
        shots: Pairs of a number of faults and the shots to take with it.
        all_sets: Numbers of faults of which all sets should be gone through.
        seed: Of the random numbers.
        max_seconds: Seconds after which no further batch is begun.
    """

    shots: tuple[tuple[int, int], ...]
    all_sets: tuple[int, ...]
    seed: int
    max_seconds: float


@dataclasses.dataclass(frozen=True)
class StrataProblem:
    """A `Problem` for `run_chunk`: strata of a decoding problem, for its own model and others over the same faults."""

    decoding: DecodingProblem
    others: tuple[stim.DetectorErrorModel, ...] = ()

    def compile(self, folder: Path) -> "StrataRunner":
        """Compiles the decoder and lists the faults."""
        return StrataRunner(self, folder)


class StrataRunner:
    """Takes shots in strata; made in the worker."""

    def __init__(self, problem: StrataProblem, folder: Path | None) -> None:
        self.faults = problem.decoding.faults()
        others = tuple(dataclasses.replace(problem.decoding, dem=dem).faults() for dem in problem.others)
        self.log_ratios = log_odds_ratios(self.faults, others)
        self._judge = Judge(problem.decoding, self.faults, folder)
        self._sampler = FaultSampler(self.faults.odds)
        self._bound = None
        self._proved: dict[int, bool] = {}
        if problem.decoding.plain_matching and not problem.decoding.postselects():
            self._bound = MatchingBound.of(problem.decoding.dem, self.faults)
        self._batch = max(64, _BATCH_BYTES // self.faults.symptoms.shape[1])

    def run(self, order: StrataOrder, stop: threading.Event | None) -> StrataYield:
        """Fills the order, or as much of it as there is time for: at least a batch."""
        start = time.monotonic()
        found = self._fill(order, start + order.max_seconds, stop)
        return StrataYield(found, time.monotonic() - start)

    def _fill(self, order: StrataOrder, end: float, stop: threading.Event | None) -> dict[int, StratumCounts]:
        rng = np.random.default_rng(order.seed)
        every = {num_faults: self._all_sets(num_faults, end, stop) for num_faults in order.all_sets}
        found = {num_faults: counts for num_faults, counts in every.items() if counts is not None}
        # Batch after batch of each stratum in turn, so that an early end has no favourites.
        left = dict(order.shots)
        while left:
            for num_faults in list(left):
                batch = min(left[num_faults], max(64, self._batch // max(1, num_faults // 4)))
                counts = self._sample(num_faults, batch, rng)
                if num_faults in found:
                    found[num_faults].add(counts)
                else:
                    found[num_faults] = counts
                left[num_faults] -= counts.shots
                if left[num_faults] <= 0 or counts.exact:
                    del left[num_faults]
                if time.monotonic() > end or (stop is not None and stop.is_set()):
                    return found
        return found

    def _sample(self, num_faults: int, shots: int, rng: np.random.Generator) -> StratumCounts:
        if self._surely_corrected(num_faults):
            return dataclasses.replace(StratumCounts.none(len(self.log_ratios)), shots=shots, exact=True)
        sets = self._sampler.draw(num_faults, shots, rng)
        return self._count(sets, None)

    def _surely_corrected(self, num_faults: int) -> bool:
        """Whether no set of that many faults can fail."""
        if self._bound is None or num_faults == 0:
            return False
        if num_faults not in self._proved:
            self._proved[num_faults] = self._bound.none_may_fail(num_faults)
        return self._proved[num_faults]

    def _all_sets(self, num_faults: int, end: float, stop: threading.Event | None) -> StratumCounts | None:
        """Goes through all sets of that many faults; None if there is no time for that."""
        total = StratumCounts.none(len(self.log_ratios))
        if self._surely_corrected(num_faults):
            return dataclasses.replace(total, shots=math.comb(len(self.faults), num_faults), exact=True)
        log_odds = np.append(np.log(self.faults.odds), 0.0)
        all_weight = 0.0
        for sets in _combinations(len(self.faults), num_faults, self._batch):
            weights = np.exp(log_odds[sets].sum(axis=1))
            all_weight += float(weights.sum())
            total.add(self._count(sets, weights))
            if time.monotonic() > end or (stop is not None and stop.is_set()):
                return None
        scale = total.shots / all_weight
        total.failed_weight *= scale
        total.failed_squares *= scale**2
        total.discarded_weight *= scale
        total.exact = True
        return total

    def _count(self, sets: NDArray[np.int32], weights: NDArray[np.float64] | None) -> StratumCounts:
        """Decodes sets of faults, of weight 1 if none are given."""
        shots = len(sets)
        if self._bound is not None and sets.shape[1]:
            may_fail = np.flatnonzero(self._bound.may_fail(sets))
            sets = sets[may_fail]
            weights = None if weights is None else weights[may_fail]
        failed, discarded = self._judge.judge(self.faults.combine(sets))
        failed_weights = self._weights(sets, weights, failed)
        return StratumCounts(
            shots=shots,
            failed=int(failed.sum()),
            decoded=len(sets),
            failed_weight=failed_weights.sum(axis=1),
            failed_squares=(failed_weights**2).sum(axis=1),
            discarded_weight=self._weights(sets, weights, discarded).sum(axis=1),
        )

    def _weights(
        self, sets: NDArray[np.int32], weights: NDArray[np.float64] | None, which: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The weights, under each model, of the shots that are marked: float64 (models, marked)."""
        ratios: NDArray[np.float64] = np.exp(self.log_ratios[:, sets[which]].sum(axis=2))
        return ratios if weights is None else ratios * weights[which]


def _combinations(size: int, number: int, batch: int) -> Iterator[NDArray[np.int32]]:
    """Yields all sets of a number of indices below `size`: int32 (sets, number), a batch or so at a time."""
    if number == 0:
        yield np.zeros((1, 0), np.int32)
        return
    if number == 1:
        yield np.arange(size, dtype=np.int32)[:, None]
        return
    held: list[NDArray[np.int32]] = []
    for first in range(size - number + 1):
        for rest in _combinations(size - first - 1, number - 1, batch):
            sets = np.empty((len(rest), number), np.int32)
            sets[:, 0] = first
            sets[:, 1:] = rest + (first + 1)
            held.append(sets)
            if sum(map(len, held)) >= batch:
                yield np.concatenate(held)
                held = []
    if held:
        yield np.concatenate(held)
