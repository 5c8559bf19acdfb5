"""Rates that drift are followed to their present, and those that stand still are left alone."""

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.noise_learning.closed_form import closed_form
from quell.decoders.noise_learning.drift import Drift
from quell.decoders.noise_learning.learner import NoiseLearner
from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
from quell.decoders.noise_learning.translation import translation_classes

pytest.importorskip("numba")

HALF_LIFE = 20_000
PORTION = 1_250
PAIR = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 D1"))


def packed(events: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(events, axis=1, bitorder="little")


@settings(max_examples=40, deadline=None)  # the first call compiles
@given(st.integers(0, 2**32), st.lists(st.tuples(st.integers(1, 200), st.floats(0.3, 1)), min_size=1, max_size=6))
def test_ages_are_those_of_the_shots(seed: int, steps: list[tuple[int, float]]) -> None:
    rng = np.random.default_rng(seed)
    sets = ParitySets.of(PAIR)
    counts, plain = ParityCounts(sets, num_blocks=4, with_ages=True), ParityCounts(sets, num_blocks=4)
    odd, age, weight = np.zeros((0, 3)), np.zeros(0), np.zeros(0)
    for number, factor in steps:
        events = rng.random((number, 2)) < 0.4
        for each in (counts, plain):
            each.decay(factor, number)
            each.add(packed(events))
        parities = np.stack([events[:, row[row >= 0]].sum(axis=1) % 2 for row in sets.sets], axis=1)
        odd = np.concatenate([odd, parities])
        age = np.concatenate([age + number, np.full(number, number / 2)])
        weight = np.concatenate([weight * factor, np.ones(number)])
    assert counts.odd_ages is not None
    assert counts.odd.sum(axis=0) == pytest.approx(weight @ odd)
    assert counts.odd_ages.sum(axis=0) == pytest.approx((weight * age) @ odd)
    assert counts.ages.sum(axis=0) == pytest.approx([weight @ age, weight @ age**2])
    assert counts.odd == pytest.approx(plain.odd)
    copy = counts.copy()
    copy.add(packed(events))
    assert copy.odd_ages is not None
    assert (copy.ages != counts.ages).any()
    assert copy.num_shots == pytest.approx(counts.num_shots + len(events))


def test_the_end_of_the_line_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(8)
    counts = ParityCounts(ParitySets.of(PAIR), with_ages=True)
    events = [rng.random((3_200, 2)) < p for p in (0.02, 0.03, 0.04, 0.05)]
    for each in events:
        counts.decay(0.8, len(each))
        counts.add(packed(each))
    shares = [[each[:, 0].mean(), (each[:, 0] ^ each[:, 1]).mean(), each[:, 1].mean()] for each in events]
    ages = 3_200 * np.arange(3.5, 0, -1)
    ends = np.polyfit(ages, shares, 1, w=np.sqrt(0.8 ** np.arange(3, -1, -1)))[1]
    logs = -np.log(1 - 2 * ends)
    found = closed_form(PAIR, counts, now=True)
    # The rate of both together, and the mean of a logarithm lies a little below: 1 / n at most.
    assert found.rates == pytest.approx([(logs[0] + logs[2] - logs[1]) / 2], abs=1e-4)
    assert (found.weights @ found.influences) == pytest.approx([0.0], abs=1e-12)


def test_scatter_of_the_end_is_as_the_blocks_say() -> None:
    """200 independent pairs: their variance is met to sqrt(2 / 200) = 10 %, so 40 % off is a false alarm in 1e4."""
    rng = np.random.default_rng(9)
    structure = FaultStructure.of(stim.DetectorErrorModel("\n".join(f"error(.1) D{d}" for d in range(200))))
    counts = ParityCounts(ParitySets.of(structure), with_ages=True)
    for _ in range(100):
        counts.decay(0.5 ** (PORTION / HALF_LIFE), PORTION)
        counts.add(packed(rng.random((PORTION, 200)) < 0.1))
    now, usual = closed_form(structure, counts, now=True), closed_form(structure, counts)
    true = -np.log(1 - 2 * 0.1)
    assert np.mean((now.rates - true) ** 2) == pytest.approx(now.variances.mean(), rel=0.4)
    # Of a line through exponential weights: (2 - x)^2 e^(-2 x) over e^(-2 x), integrated.
    assert now.variances.mean() / usual.variances.mean() == pytest.approx(2.5, rel=0.15)


def memory(p: float) -> stim.Circuit:
    return rotated_surface_memory(5, 5, noise=NoiseModel.uniform_depolarizing(p))


def drifting(rates: list[float], half_life: float | None = HALF_LIFE) -> NoiseLearner:
    learner = NoiseLearner(memory(0.01), memory=half_life)
    for seed, p in enumerate(rates):
        sampler = memory(p).compile_detector_sampler(seed=seed)
        learner.update(sampler.sample(2 * PORTION, bit_packed=True), bit_packed=True)
    return learner


def covered(learner: NoiseLearner, p: float) -> float:
    """The share of true probabilities that lie in their intervals."""
    found = learner.estimate()
    true = FaultStructure.of(memory(p))
    assert str(true.dem).count("error") == len(found.intervals)
    probabilities = probabilities_of(true.nominal)[true.errors_faults]
    return float(((probabilities >= found.intervals[:, 0]) & (probabilities <= found.intervals[:, 1])).mean())


@pytest.mark.parametrize(("first", "last"), [(0.003, 0.006), (0.006, 0.003)])
def test_rates_that_change_are_followed(first: float, last: float) -> None:
    """Half-life 2e4 and 6e4 shots: means lag by 2.3e4 of these, by a fifth of the last rate or more."""
    learner = drifting(np.linspace(first, last, 24).tolist())
    found = learner.estimate()
    assert abs(np.log(np.median(found.drift))) > 0.1
    assert np.median(found.drift > 1) == (last > first)
    # Without, 30 to 40 % are.
    assert covered(learner, last) > 0.85
    total = float(FaultStructure.of(memory(last)).nominal.sum())
    assert float(FaultStructure.of(found.dem).nominal.sum()) == pytest.approx(total, rel=0.1)
    [note] = [note for note in found.notes() if "drifts" in note]
    assert "times as likely now as on average over the memory" in note
    assert found.to_json()["drift"]["highest"] == found.drift.max()
    assert f"{found.drift.max():.2f}" in note
    # Means of classes, and what each error has, are of the same moment.
    assert found.classes[0].probability == pytest.approx(float(_of_class(learner, 0).mean()), rel=0.05)


def _of_class(learner: NoiseLearner, number: int) -> NDArray[np.float64]:
    found, structure = learner.estimate(), learner.structure
    classes = translation_classes(structure)[:, -1]
    faults = {tuple(int(d) for d in row if d >= 0): fault for fault, row in enumerate(structure.detectors)}
    chosen = classes[structure.errors_faults] == classes[faults[found.classes[number].such_as]]
    of_class: NDArray[np.float64] = found.probabilities[chosen]
    return of_class


def test_noise_that_stands_still_is_left_alone() -> None:
    found = drifting([0.004] * 24).estimate()
    assert (found.drift == 1).all()
    assert not any("drift" in note for note in found.notes())
    assert (drifting([0.003, 0.006] * 4, half_life=None).estimate().drift == 1).all()


def test_a_line_needs_shots_of_different_ages() -> None:
    counts = ParityCounts(ParitySets.of(PAIR), with_ages=True)
    counts.decay(0.5, 6_400)
    counts.add(packed(np.random.default_rng(2).random((6_400, 2)) < 0.1))
    estimates = closed_form(PAIR, counts)
    drift = Drift.of(PAIR, counts, estimates, np.zeros(1, dtype=np.int64), estimates.rates)
    assert drift.factors.tolist() == [1.0]
    assert drift.widened(np.array([0.2]), np.array([[0.1, 0.3]])) == pytest.approx(np.array([[0.1, 0.3]]))
    without = ParityCounts(ParitySets.of(PAIR))
    without.add(np.zeros((64, 1), dtype=np.uint8))
    with pytest.raises(ValueError, match="no ages"):
        closed_form(PAIR, without, now=True)


def test_intervals_get_wider_and_hold_no_drift_and_twice_as_much() -> None:
    changes = np.array([0.3, -0.3, 3.0, -0.9, -5.0])
    drift = Drift(changes, np.abs(changes) / 2)
    assert drift.factors == pytest.approx([1.3, 1 / 1.3, 4.0, 1 / 1.9, 1 / 6])
    # 1.96 halves of the change on either side.
    assert (np.abs(drift.factor_ends[:, 0] - [1.0, 1 / 1.6, 1.0, 1 / 2.8, 1 / 11]) < 0.07).all()
    assert (np.abs(drift.factor_ends[:, 1] - [1.6, 1.0, 7.0, 1.0, 1.0]) < 0.1).all()
    rates, intervals = np.full(5, 0.1), np.tile([0.08, 0.13], (5, 1))
    found = drift.widened(rates, intervals)
    assert (found[:, 0] < np.minimum(0.08 * drift.factors, 0.1 * drift.factor_ends[:, 0])).all()
    assert (found[:, 1] > np.maximum(0.13 * drift.factors, 0.1 * drift.factor_ends[:, 1])).all()
    assert (found[:, 1] < 0.25).sum() == 4
    assert (Drift(changes, np.abs(changes)).widened(rates, np.tile([0.0, 0.2], (5, 1)))[:, 0] == 0).all()


def repetition(p: float) -> stim.Circuit:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=5,
        rounds=5,
        after_clifford_depolarization=p,
        before_measure_flip_probability=p,
    )


def events(p: float, number: int, seed: int) -> NDArray[np.bool_]:
    return repetition(p).compile_detector_sampler(seed=seed).sample(number)


def test_the_first_shots_make_no_line() -> None:
    """Pending shots are in few blocks, whose scatter says nothing of the end of a line that they hold alone."""
    for seed in range(20):
        for number in (3_157, 3_189, 3_325, 6_300):
            learner = NoiseLearner(repetition(0.005), memory=50_000)
            learner.update(events(0.005, number, seed))
            assert (learner.estimate().drift == 1).all()


def test_a_fall_is_followed_and_nothing_comes_to_nothing() -> None:
    """Errors of a tenth, each half a half-life; beside a learner that does not follow."""
    learner = NoiseLearner(repetition(0.01), memory=HALF_LIFE)
    learner.update(events(0.02, 6 * HALF_LIFE, seed=1))
    true = FaultStructure.of(repetition(0.002))
    expected = probabilities_of(true.nominal)[true.errors_faults]
    for seed in range(8):
        learner.update(events(0.002, HALF_LIFE // 2, seed=2 + seed))
        found = learner.estimate()
        error = np.log(found.probabilities / expected)
        lagging = np.log(found.probabilities / found.drift / expected)
        assert np.sqrt((error**2).mean()) < np.sqrt((lagging**2).mean())
        assert (found.intervals[:, 1] < 0.1).all()
    assert np.sqrt((error**2).mean()) < 0.4


def test_one_that_drifts_does_not_take_its_class_along() -> None:
    def model(bad: float) -> stim.DetectorErrorModel:
        return stim.DetectorErrorModel("\n".join(f"error({0.002 if d else bad}) D{d}" for d in range(10)))

    learner = NoiseLearner(model(0.002), memory=20_000, classes=[0] * 10)
    for seed, bad in enumerate(np.linspace(0.2, 0.01, 48)):
        learner.update(model(bad).compile_sampler(seed=seed).sample(1_250)[0])
    found = learner.estimate()
    assert found.probabilities[1:] == pytest.approx([0.002] * 9, rel=0.3)


def test_errors_that_flip_no_detector_do_not_drift() -> None:
    def model(p: float) -> stim.DetectorErrorModel:
        return stim.DetectorErrorModel(f"error(0.25) L0\nerror({p}) D0\nerror({p}) D1")

    learner = NoiseLearner(model(0.01), memory=20_000, classes=[0, 1, 1])
    for seed, p in enumerate(np.linspace(0.05, 0.2, 48)):
        learner.update(model(p).compile_sampler(seed=seed).sample(2_500)[0])
    found = learner.estimate()
    assert found.drift[0] == 1
    assert found.drift[1] == found.drift[2]
    assert found.drift[1] > 1.1
    assert found.to_json()["drift"] == {"lowest": found.drift[1], "highest": found.drift[1]}
