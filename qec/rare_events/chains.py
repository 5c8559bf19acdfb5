"""Chains on the sets of faults that fail, in ladders of noise strengths, as a worker runs them.

A ladder has a chain on each level. A level multiplies the odds of all faults; at the top a shot fails often enough to
be found by plain sampling, at the bottom is the noise that was asked for. Neighbouring levels exchange their chains
(parallel tempering), so that what is at the bottom has come down from the top, again and again.
"""

import copy
import dataclasses
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray

from quell.errors import import_extra
from quell.qec.rare_events.decoding import DecodingProblem, Judge
from quell.qec.rare_events.fault_counts import AliasTable, IndependentSampler
from quell.qec.rare_events.faults import log_odds_ratios

__all__ = ["ChainOrder", "ChainProblem", "ChainState", "ChainYield", "Ladder", "Plan", "Refusal"]

_ANCHOR_BATCH = 2_000
_LEVEL_STEPS = 200  # that a chain takes on each level on its way down
_LEVEL_GAP = 0.8  # in standard deviations of the number of faults: exchanges then succeed every other time
_PLANNING_CHAINS = 32
_TOP_RATE = 0.02  # of failures at the top: frequent enough to be counted, rare enough to be like those below
_LEAST_TOP_RATE = 1e-4
_TOP_STEP = 1.25
_FAR = 10.0
_SURE_FAILURES = 10
_SEEDS = 64
_REDRAWS = 0.7  # of the proposals: they bring chains down the ladder fastest; the others move what crosses the code


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why there can be no chains."""

    reason: str


@dataclasses.dataclass(frozen=True)
class Ladder:
    """The levels.

    Attributes:
        log_scales: float64 (levels,): logarithms of what multiplies the odds, falling.
        room: Most faults in a set.
    """

    log_scales: NDArray[np.float64]
    room: int


@dataclasses.dataclass
class ChainState:
    """Where the chains of a group of ladders are; sets of faults stand for everything that follows from them.

    Attributes:
        sets: int32 (chains, room).
        sizes: int64 (chains,).
        at: int64 (ladders, levels): the chain on each level.
        direction: int64 (chains,): 1 if the chain has seen the top last, -1 the bottom, 0 neither.
        generator: The state of the random numbers.
        steps: Steps taken.
    """

    sets: NDArray[np.int32]
    sizes: NDArray[np.int64]
    at: NDArray[np.int64]
    direction: NDArray[np.int64]
    generator: dict[str, Any]
    steps: int = 0


@dataclasses.dataclass
class ChainYield:
    """What a chunk brought.

    Attributes:
        state: To go on from.
        histogram: int64 (ladders, levels, room + 1): how often sets had each size.
        weights: float64 (ladders, models, room + 1): the sum of what other models give these sets for weights.
        trips: int64 (ladders,): chains that came from the top to the bottom.
        exchanged: int64 (levels,): exchanges of each level with the one below.
        anchor_shots: Shots at the top, drawn without chains.
        anchor_failed: Those of them that failed.
        decoded: Shots that were decoded.
        seconds: The time it took.
    """

    state: ChainState
    histogram: NDArray[np.int64]
    weights: NDArray[np.float64]
    trips: NDArray[np.int64]
    exchanged: NDArray[np.int64]
    anchor_shots: int
    anchor_failed: int
    decoded: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """A ladder, and how it was found.

    Attributes:
        ladder: The ladder.
        decoded: Shots that it took.
        seconds: The time that it took.
    """

    ladder: Ladder
    decoded: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class ChainOrder:
    """What a worker should do in a chunk.

    Attributes:
        kind: `"plan"` finds a ladder, `"start"` puts chains on one, `"go on"` lets them run.
        seed: For the first two.
        lowest: For a plan: the logarithm of the smallest scale that is needed.
        ladder: For the others.
        num_ladders: For a start.
        anchor_failures: Failures at the top to wait for.
        state: To go on from.
        steps: To take at most.
    """

    kind: str
    seed: int = 0
    lowest: float = 0.0
    ladder: Ladder | None = None
    num_ladders: int = 0
    anchor_failures: int = 0
    state: ChainState | None = None
    steps: int = 0


@dataclasses.dataclass(frozen=True)
class ChainProblem:
    """A `Problem` for `run_chunk`: chains of a decoding problem, for its own model and others over the same faults."""

    decoding: DecodingProblem
    others: tuple[stim.DetectorErrorModel, ...] = ()

    def compile(self, folder: Path) -> "ChainRunner":
        """Compiles the decoder, and the loops."""
        return ChainRunner(self, folder)


class ChainRunner:
    """Runs chains; made in the worker."""

    def __init__(self, problem: ChainProblem, folder: Path | None) -> None:
        import_extra("numba", "rare")
        from quell.qec.rare_events import kernels

        self._kernels = kernels
        self.faults = problem.decoding.faults()
        others = tuple(dataclasses.replace(problem.decoding, dem=dem).faults() for dem in problem.others)
        ratios = log_odds_ratios(self.faults, others)
        shifts = np.average(ratios[:, :-1], axis=1, weights=self.faults.probabilities)
        self.residuals = np.ascontiguousarray((ratios - shifts[:, None])[1:, :-1])
        self._judge = Judge(problem.decoding, self.faults, folder)
        self._table = AliasTable(self.faults.odds)
        self.decoded = 0
        self._stop: threading.Event | None = None

    def run(self, order: ChainOrder, stop: threading.Event | None) -> "Plan | ChainYield | Refusal | None":
        """Does what the order says; None if it was stopped on its way to a first result."""
        start = time.monotonic()
        self.decoded = 0
        self._stop = stop
        if order.kind == "plan":
            ladder = self._plan(order, np.random.default_rng(order.seed))
            if ladder is None or isinstance(ladder, Refusal):
                return ladder
            return Plan(ladder, self.decoded, time.monotonic() - start)
        assert order.ladder is not None
        if order.kind == "start":
            found = self._start(order, order.ladder)
            if found is None:
                return None
        else:
            assert order.state is not None
            found = self._go_on(copy.deepcopy(order.state), order.ladder, order)
        found.decoded = self.decoded
        found.seconds = time.monotonic() - start
        return found

    def _plan(self, order: ChainOrder, rng: np.random.Generator) -> Ladder | Refusal | None:
        """Finds the top, and then, with chains on their way down, levels close enough for exchanges."""
        log_scale, seeds = self._find_top(rng)
        if self._stopped():
            return None
        if not seeds:
            return Refusal(
                "no strength of noise was found at which more than 1 in 10,000 shots are kept and fail, so that the "
                "chains have nothing to start from"
            )
        room = max(64, 2 * max(len(seed) for seed in seeds) + 32)
        chains = _Chains(self, rng, [seeds[index % len(seeds)] for index in range(_PLANNING_CHAINS)], room)
        if not self._judge.is_deterministic(chains.flip_bytes()):
            return Refusal(
                "the decoder gives different answers to the same shots, and a chain needs one answer: use "
                'method="strata", which does not'
            )
        levels = [log_scale]
        while True:
            chains.scale[:] = np.exp(levels[-1])
            sizes = []
            for step in range(_LEVEL_STEPS):
                chains.step()
                if step >= _LEVEL_STEPS // 2:
                    sizes.append(chains.sizes.copy())
                if self._stopped():
                    return None
            if levels[-1] <= order.lowest:
                if len(levels) > 2 and levels[-2] - levels[-1] < 0.4 * (levels[-3] - levels[-2]):
                    del levels[-2]  # hardly a step
                return Ladder(np.array(levels), room)
            gap = _LEVEL_GAP / max(0.5, float(np.std(sizes)))
            levels.append(max(order.lowest, levels[-1] - gap))

    def _find_top(self, rng: np.random.Generator) -> tuple[float, list[NDArray[np.int32]]]:
        """Raises the noise until shots fail often; where discards get in the way, until they fail most often."""
        best: tuple[float, float, list[NDArray[np.int32]]] = (0.0, 0.0, [])
        scale = _TOP_STEP
        while not self._stopped():
            failed = self._sample_top(scale, _ANCHOR_BATCH, rng)
            rate = len(failed) / _ANCHOR_BATCH
            if rate > best[0]:
                best = (rate, scale, failed)
            # A few failures by chance, and none at the next strength, are no sign that discards get in the way.
            if rate >= _TOP_RATE or (len(best[2]) >= _SURE_FAILURES and rate < best[0] / 3):
                break
            if best[0] > 0 and scale > _FAR * best[1]:
                break
            scale *= _TOP_STEP
            if np.median(scale * self.faults.odds) > 1:
                break  # most faults happen more often than not: stronger noise is none
        rate, scale, seeds = best
        shots = _ANCHOR_BATCH
        while 0 < len(seeds) < _PLANNING_CHAINS and len(seeds) / shots >= _LEAST_TOP_RATE and not self._stopped():
            seeds = seeds + self._sample_top(scale, _ANCHOR_BATCH, rng)
            shots += _ANCHOR_BATCH
        if len(seeds) / shots < _LEAST_TOP_RATE:
            return 0.0, []
        return float(np.log(scale)), seeds

    def _sample_top(self, scale: float, shots: int, rng: np.random.Generator) -> list[NDArray[np.int32]]:
        """Draws shots without chains and returns the sets that failed."""
        sets = IndependentSampler(scale * self.faults.odds).draw(shots, rng)
        failed, _ = self._judge.judge(self.faults.combine(sets))
        self.decoded += shots
        return [row[row < len(self.faults)] for row in sets[failed]]

    def _stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    def _start(self, order: ChainOrder, ladder: Ladder) -> ChainYield | None:
        """Counts failures at the top, and leads chains from there to their levels."""
        rng = np.random.default_rng(order.seed)
        shots, seeds = self._anchor(ladder, max(order.anchor_failures, _SEEDS), rng)
        if self._stopped():
            return None
        failed = len(seeds)
        num_levels = len(ladder.log_scales)
        num_chains = order.num_ladders * num_levels
        seeds = [seed for seed in seeds if len(seed) <= ladder.room]
        chosen = [seeds[index % len(seeds)] for index in rng.permutation(max(num_chains, len(seeds)))[:num_chains]]
        chains = _Chains(self, rng, chosen, ladder.room)
        level = np.arange(num_chains) % num_levels
        for reached, log_scale in enumerate(ladder.log_scales):
            chains.scale[:] = np.exp(log_scale)
            for _ in range(_LEVEL_STEPS):
                chains.step(level >= reached)
                if self._stopped():
                    return None
        state = ChainState(
            sets=chains.sets,
            sizes=chains.sizes,
            at=np.arange(num_chains).reshape(order.num_ladders, num_levels),
            direction=np.zeros(num_chains, np.int64),
            generator=dict(rng.bit_generator.state),
        )
        result = self._nothing(state, ladder)
        result.anchor_shots, result.anchor_failed = shots, failed
        return result

    def _anchor(self, ladder: Ladder, failures: int, rng: np.random.Generator) -> tuple[int, list[NDArray[np.int32]]]:
        """Draws shots at the top until so many have failed; returns how many it took, and the sets that failed."""
        shots = 0
        seeds: list[NDArray[np.int32]] = []
        while len(seeds) < failures and not self._stopped():
            seeds += self._sample_top(float(np.exp(ladder.log_scales[0])), _ANCHOR_BATCH, rng)
            shots += _ANCHOR_BATCH
        return shots, seeds

    def _nothing(self, state: ChainState, ladder: Ladder) -> ChainYield:
        num_ladders, num_levels = state.at.shape
        return ChainYield(
            state=state,
            histogram=np.zeros((num_ladders, num_levels, ladder.room + 1), np.int64),
            weights=np.zeros((num_ladders, len(self.residuals), ladder.room + 1)),
            trips=np.zeros(num_ladders, np.int64),
            exchanged=np.zeros(num_levels, np.int64),
            anchor_shots=0,
            anchor_failed=0,
            decoded=0,
            seconds=0.0,
        )

    def _go_on(self, state: ChainState, ladder: Ladder, order: ChainOrder) -> ChainYield:
        rng = np.random.default_rng()
        rng.bit_generator.state = state.generator
        chains = _Chains(self, rng, None, ladder.room, state)
        result = self._nothing(state, ladder)
        result.anchor_shots, more = self._anchor(ladder, order.anchor_failures, rng)
        result.anchor_failed = len(more)
        scales = np.exp(ladder.log_scales)
        for _ in range(order.steps):
            chains.scale[state.at] = scales
            chains.step()
            self._kernels.exchange(
                rng,
                state.at,
                state.sizes,
                ladder.log_scales,
                state.steps % 2,
                result.exchanged,
                state.direction,
                result.trips,
            )
            self._kernels.record(state.at, state.sets, state.sizes, result.histogram, self.residuals, result.weights)
            state.steps += 1
            if self._stopped():
                break
        state.generator = dict(rng.bit_generator.state)
        return result


class _Chains:
    """Chains, each at its own strength of noise, that take their steps together."""

    def __init__(
        self,
        runner: ChainRunner,
        rng: np.random.Generator,
        seeds: list[NDArray[np.int32]] | None,
        room: int,
        state: ChainState | None = None,
    ) -> None:
        self._runner = runner
        self._rng = rng
        faults = runner.faults
        if state is None:
            assert seeds is not None
            self.sets = np.zeros((len(seeds), room), np.int32)
            self.sizes = np.array([len(seed) for seed in seeds], np.int64)
            for row, seed in zip(self.sets, seeds, strict=True):
                row[: len(seed)] = seed
        else:
            self.sets, self.sizes = state.sets, state.sizes
        inside = np.arange(room) < self.sizes[:, None]
        padded = np.where(inside, self.sets, len(faults))
        self._flips = faults.combine_words(padded)
        self._new = (self.sets.copy(), self.sizes.copy(), self._flips.copy())
        self._changed = np.zeros(len(self.sets), np.bool_)
        self.scale = np.ones(len(self.sets))
        self._odds_sum = float(faults.odds.sum())

    def flip_bytes(self) -> NDArray[np.uint8]:
        """What each chain's faults flip, as a decoder wants it."""
        return self._runner.faults.as_bytes(self._flips)

    def step(self, which: NDArray[np.bool_] | None = None) -> None:
        """Proposes, decodes and accepts; only the chains of `which`, if it is given."""
        runner, kernels, faults = self._runner, self._runner._kernels, self._runner.faults
        old = (self.sets, self.sizes, self._flips)
        if self._rng.random() < _REDRAWS:
            table = runner._table
            kernels.propose_redraws(
                self._rng, *old, self.scale, *self._new, self._changed,
                faults.words, faults.odds, table.threshold, table.other, self._odds_sum,
            )  # fmt: skip
        else:
            kernels.propose_moves(
                self._rng, *old, *self._new, self._changed, faults.words, faults.odds, *faults.neighbours
            )
        if which is not None:
            self._changed &= which
        moved = np.flatnonzero(self._changed)
        if not len(moved):
            return
        failed, _ = runner._judge.judge(faults.as_bytes(self._new[2][moved]))
        runner.decoded += len(moved)
        self._changed[moved] = failed
        kernels.accept(*old, *self._new, self._changed)
