"""The chains' steps leave the distribution of failing sets as it is; every chi-square test rejects it once in 10^7.

Thousands of chains start from exact draws, independent of each other, so that the frequencies after some steps can be
tested without knowing how long a chain remembers.
"""

import dataclasses

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.qec.rare_events import chains, kernels
from quell.qec.rare_events.chains import ChainProblem, ChainRunner, _Chains

from .test_fault_counts import check_frequencies
from .truths import problem_of, repetition, surface_data

MODELS = {
    "uneven repetition": repetition([0.1, 0.02, 0.3, 0.05, 0.2]),
    "two rounds": repetition([0.1, 0.2, 0.3], rounds=2),
    "surface code data": surface_data(3, 0.1),
}
NUM_CHAINS = 40_000


@dataclasses.dataclass
class Truth:
    """All sets of faults, as bits; which of them fail."""

    runner: ChainRunner
    sets: NDArray[np.int32]
    sizes: NDArray[np.int64]
    failed: NDArray[np.bool_]

    @staticmethod
    def of(circuit: stim.Circuit) -> "Truth":
        runner = ChainRunner(ChainProblem(problem_of(circuit)), None)
        size = len(runner.faults)
        inside = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1 == 1
        sets = np.sort(np.where(inside, np.arange(size), size), axis=1).astype(np.int32)
        failed, _ = runner._judge.judge(runner.faults.combine(sets))
        return Truth(runner, sets, inside.sum(axis=1), failed)

    def probability(self, scale: float, room: int = 99) -> NDArray[np.float64]:
        """Of each set, given that it fails and has room, with the odds multiplied."""
        odds = np.append(scale * self.runner.faults.odds, 1.0)
        weight = odds[self.sets].prod(axis=1) * self.failed * (self.sizes <= room)
        return np.asarray(weight / weight.sum())

    def draw(self, scale: float, count: int, rng: np.random.Generator, room: int = 99) -> list[NDArray[np.int32]]:
        rows = rng.choice(len(self.sets), count, p=self.probability(scale, room))
        return [self.sets[row, : self.sizes[row]] for row in rows]

    def counts(self, sets: NDArray[np.int32], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
        inside = np.arange(sets.shape[1]) < sizes[:, None]
        numbers = np.where(inside, 1 << sets.astype(np.int64), 0).sum(axis=1)
        return np.bincount(numbers, minlength=len(self.sets))


@pytest.mark.parametrize("redraws", [0.0, 0.5, 1.0], ids=["moves", "both", "redraws"])
@pytest.mark.parametrize("name", MODELS)
def test_steps_keep_the_distribution(name: str, redraws: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_REDRAWS", redraws)
    truth = Truth.of(MODELS[name])
    rng = np.random.default_rng(1)
    scales = (0.3, 4.0)
    seeds = [seed for scale in scales for seed in truth.draw(scale, NUM_CHAINS // 2, rng)]
    state = _Chains(truth.runner, rng, seeds, len(truth.runner.faults))
    state.scale[:] = np.repeat(scales, NUM_CHAINS // 2)
    before = truth.counts(state.sets, state.sizes)
    for _ in range(25):
        state.step()
    assert (truth.counts(state.sets, state.sizes) != before).any()
    for half, scale in zip(np.split(np.arange(NUM_CHAINS), 2), scales, strict=True):
        check_frequencies(truth.counts(state.sets[half], state.sizes[half]), truth.probability(scale))
    inside = np.arange(state.sets.shape[1]) < state.sizes[:, None]
    padded = np.where(inside, state.sets, len(truth.runner.faults))
    np.testing.assert_array_equal(state.flip_bytes(), truth.runner.faults.combine(padded))


@pytest.mark.parametrize("name", MODELS)
def test_chains_from_one_set_reach_all(name: str) -> None:
    truth = Truth.of(MODELS[name])
    rng = np.random.default_rng(2)
    heaviest = int(np.flatnonzero(truth.failed)[-1])
    state = _Chains(truth.runner, rng, [truth.sets[heaviest, : truth.sizes[heaviest]]] * 6_000, truth.sets.shape[1])
    for _ in range(250):
        state.step()
    check_frequencies(truth.counts(state.sets, state.sizes), truth.probability(1.0))


def test_chains_without_room_for_more_keep_to_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_REDRAWS", 1.0)
    truth = Truth.of(MODELS["uneven repetition"])
    rng = np.random.default_rng(3)
    state = _Chains(truth.runner, rng, truth.draw(3.0, NUM_CHAINS, rng, room=3), 3)
    state.scale[:] = 3.0
    for _ in range(6):
        state.step()
    check_frequencies(truth.counts(state.sets, state.sizes), truth.probability(3.0, room=3))


def test_only_the_chosen_chains_move() -> None:
    truth = Truth.of(MODELS["surface code data"])
    rng = np.random.default_rng(4)
    state = _Chains(truth.runner, rng, truth.draw(1.0, 400, rng), truth.sets.shape[1])
    before = truth.runner.faults.as_bytes(state._flips).copy(), state.sizes.copy(), state.sets.copy()
    for _ in range(20):
        state.step(np.arange(400) < 200)
    np.testing.assert_array_equal(state.sets[200:], before[2][200:])
    np.testing.assert_array_equal(state.sizes[200:], before[1][200:])
    assert (state.sizes[:200] != before[1][:200]).any()


def test_exchanges_keep_the_distribution_of_every_level() -> None:
    truth = Truth.of(MODELS["uneven repetition"])
    rng = np.random.default_rng(5)
    log_scales = np.array([1.0, 0.2, -0.5, -1.0])
    num_ladders, num_levels = 8_000, len(log_scales)
    seeds = [seed for value in log_scales for seed in truth.draw(float(np.exp(value)), num_ladders, rng)]
    state = _Chains(truth.runner, rng, seeds, len(truth.runner.faults))
    at = np.arange(num_ladders * num_levels).reshape(num_levels, num_ladders).T.copy()
    exchanged, trips = np.zeros(num_levels, np.int64), np.zeros(num_ladders, np.int64)
    for step in range(6):
        kernels.exchange(
            rng, at, state.sizes, log_scales, step % 2, exchanged, np.zeros(len(seeds), np.int64), trips
        )  # fmt: skip
    assert (exchanged[:-1] > 0).all()
    assert exchanged[-1] == 0
    np.testing.assert_array_equal(np.sort(at.ravel()), np.arange(at.size))
    for level, value in enumerate(log_scales):
        here = at[:, level]
        check_frequencies(truth.counts(state.sets[here], state.sizes[here]), truth.probability(float(np.exp(value))))


def test_trips_are_arrivals_from_the_top_at_the_bottom() -> None:
    rng = np.random.default_rng(6)
    at = np.arange(3).reshape(1, 3)
    direction, trips, exchanged = np.zeros(3, np.int64), np.zeros(1, np.int64), np.zeros(3, np.int64)
    seen = []
    for step in range(8):  # levels that are alike always exchange
        kernels.exchange(rng, at, np.array([2, 5, 1]), np.zeros(3), step % 2, exchanged, direction, trips)
        seen.append((at[0].tolist(), int(trips[0])))
    # 0 1 2 -> 1 0 2 -> 1 2 0 -> 2 1 0 -> ...: chain 1 is at the top first, and at the bottom after three more.
    assert seen[:4] == [([1, 0, 2], 0), ([1, 2, 0], 0), ([2, 1, 0], 0), ([2, 0, 1], 1)]
    assert seen[-1][1] == 3
    assert exchanged.tolist() == [4, 4, 0]


def test_records_count_sizes_and_sum_weights() -> None:
    sets = np.array([[0, 2, 9], [1, 9, 9], [0, 1, 2], [2, 9, 9]], np.int32)
    sizes = np.array([2, 1, 3, 1])
    at = np.array([[1, 0], [2, 3]])
    histogram, weights = np.zeros((2, 2, 4), np.int64), np.zeros((2, 1, 4))
    residuals = np.log(np.array([[2.0, 3.0, 5.0]]))
    kernels.record(at, sets, sizes, histogram, residuals, weights)
    assert histogram.tolist() == [[[0, 1, 0, 0], [0, 0, 1, 0]], [[0, 0, 0, 1], [0, 1, 0, 0]]]
    np.testing.assert_allclose(weights, [[[0, 3, 10, 0]], [[0, 5, 0, 30]]])
