"""Strata against sums over all outcomes, and against closed forms."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell import circuits
from quell.errors import InputError
from quell.qec import rare_error_rates
from quell.qec.rare_events.faults import FaultModel, log_odds_ratios
from quell.qec.rare_events.strata import StrataOrder, StrataProblem, StrataRunner, _combinations
from quell.qec.rare_events.stratified import StrataEstimator

from .truths import (
    HERE,
    assert_near,
    exact_rate,
    failing_outcomes,
    job_of,
    majority_failure,
    mechanisms,
    outcome_probabilities,
    outcomes_by_weight,
    problem_of,
    repetition,
    surface,
    surface_data,
)

OUR_NOISE = circuits.NoiseModel.uniform_depolarizing(0.001)
SMALL = {
    "repetition": (repetition([0.01] * 5), repetition([0.03] * 5)),
    "uneven repetition": (repetition([0.3, 0.001, 0.02, 0.1]), repetition([0.2, 0.01, 0.002, 0.3])),
    "two rounds": (repetition([0.1, 0.2, 0.3], rounds=2), repetition([0.2, 0.1, 0.1], rounds=2)),
    "surface code data": (surface_data(3, 0.02), surface_data(3, 0.005)),
}


def runner_of(circuit: stim.Circuit, *others: stim.Circuit, decoder: str = "pymatching") -> StrataRunner:
    models = tuple(job_of(other).model for other in others)
    return StrataRunner(StrataProblem(problem_of(circuit, decoder), models), None)


@pytest.mark.parametrize("name", SMALL)
def test_all_sets_give_every_stratum_its_rate(name: str) -> None:
    """Under the model itself, and under another one with other odds but the decoder's weights of the first."""
    first, other = SMALL[name]
    runner = runner_of(first, other)
    model, other_model = job_of(first).model, job_of(other).model
    size = len(runner.faults)
    keep = [d for d in range(model.num_detectors) if any(d in own for own in runner.faults.detectors)]
    mask = sum(1 << detector for detector in keep) | (1 << model.num_detectors)
    found = runner.run(StrataOrder((), tuple(range(size + 1)), 1, 60.0), None).counts
    estimator = StrataEstimator((runner.faults, FaultModel.from_dem(other_model, keep)), 0.1)
    for index, dem in enumerate((model, other_model)):
        failing = failing_outcomes(model, outcome_probabilities(model) > 0)
        merged: dict[int, float] = {}
        for outcome, p in mechanisms(dem):
            old = merged.get(outcome & mask, 0.0)
            merged[outcome & mask] = old + p - 2 * old * p
        merged.pop(0, None)
        by_weight = outcomes_by_weight(list(merged.items()), model.num_detectors + 1, size)
        expected = by_weight[:, failing].sum(axis=1)
        for w in range(estimator.probability.shape[1]):
            assert estimator.probability[index, w] == pytest.approx(by_weight[w].sum())
            mean = found[w].failed_weight[index] / found[w].shots
            assert estimator._worth[index, w] * mean == pytest.approx(expected[w], rel=1e-9, abs=1e-300)
            assert found[w].exact
            assert found[w].shots == math.comb(size, w)


@pytest.mark.parametrize("name", SMALL)
def test_shots_of_a_stratum_agree_with_all_its_sets(name: str) -> None:
    """Each within 5.5 standard deviations, which a true rate leaves less than once in 10^7."""
    first, other = SMALL[name]
    runner = runner_of(first, other)
    runner._bound = None  # so that nothing is known beforehand
    size = len(runner.faults)
    exact = runner.run(StrataOrder((), tuple(range(size + 1)), 1, 60.0), None).counts
    drawn = runner.run(StrataOrder(tuple((w, 4_000) for w in range(size + 1)), (), 2, 60.0), None).counts
    with_bound = runner_of(first, other).run(StrataOrder((), tuple(range(size + 1)), 1, 60.0), None).counts
    for w in range(size + 1):
        assert drawn[w].shots == 4_000
        assert exact[w].failed_weight == pytest.approx(with_bound[w].failed_weight)
        for index in range(2):
            truth = exact[w].failed_weight[index] / exact[w].shots
            mean = drawn[w].failed_weight[index] / 4_000
            deviation = math.sqrt(max(0.0, drawn[w].failed_squares[index] / 4_000 - mean**2) / 4_000)
            spread = exact[w].failed_squares[index] / exact[w].shots
            assert abs(mean - truth) <= 5.5 * max(deviation, math.sqrt(spread / 4_000)) + 1e-12


@pytest.mark.parametrize(
    ("size", "number", "batch"), [(6, 3, 4), (5, 0, 2), (5, 5, 100), (9, 2, 1), (7, 1, 3), (3, 4, 9)]
)
def test_combinations_come_once_each(size: int, number: int, batch: int) -> None:
    found = [tuple(row) for sets in _combinations(size, number, batch) for row in sets.tolist()]
    assert found == list(itertools.combinations(range(size), number))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(2, 9), st.integers(0, 15), st.booleans()), min_size=1, max_size=6))
def test_rounding_does_not_put_an_end_on_the_wrong_side(errors: list[tuple[float, int, bool]]) -> None:
    lines = ["error(0.001) D0 L0", "error(1e-7) D0", "detector D3"]
    for power, detectors, flips in errors:
        names = " ".join(f"D{bit}" for bit in range(4) if detectors >> bit & 1)
        lines.append(f"error({10.0**-power}) {names} {'L0' * flips}")
    text = "M 0 1 2 3 4\n" + "".join(f"DETECTOR rec[-{bit}]\n" for bit in range(1, 5)) + "OBSERVABLE_INCLUDE(0) rec[-5]"
    task = sinter.Task(circuit=stim.Circuit(text), detector_error_model=stim.DetectorErrorModel("\n".join(lines)))
    runner = StrataRunner(StrataProblem(problem_of(task, Nothing())), None)
    estimator = StrataEstimator((runner.faults,), 0.1)
    estimator.add(runner.run(estimator.first_order(1, 60.0), None))
    estimate = estimator.failure(0)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


class Nothing(sinter.Decoder):
    """Never predicts a flip, so that every set that flips the observable fails."""

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        assert dem.num_observables <= 8
        return _CompiledNothing()


class _CompiledNothing(sinter.CompiledDecoder):
    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.zeros((len(bit_packed_detection_event_data), 1), np.uint8)


def test_models_with_other_faults_are_refused() -> None:
    one, two = (FaultModel.from_dem(repetition(p).detector_error_model()) for p in ([0.1] * 3, [0.1] * 5))
    with pytest.raises(InputError, match="same faults"):
        log_odds_ratios(one, (two,))


CIRCUITS: dict[str, tuple[stim.Circuit, str]] = {
    "uneven repetition": (repetition([0.01, 0.002, 0.02, 0.001, 0.005, 1e-5, 0.03]), "pymatching"),
    "three rounds": (repetition([0.01] * 3, rounds=3), "pymatching"),
    "surface code": (surface(3, 0.002, rounds=2), "pymatching"),
    "surface code x": (surface(3, 0.0002, rounds=1, basis="x"), "pymatching"),
    "surface code, correlated": (surface(3, 0.002, rounds=2), "pymatching-correlated"),
    "ours": (circuits.rotated_surface_memory(3, 2, "X", OUR_NOISE), "pymatching"),
    "ours, correlated": (circuits.rotated_surface_memory(3, 2, "Z", OUR_NOISE), "pymatching-correlated"),
    "surface code data": (surface_data(3, 1e-4), "pymatching"),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_strata_agree_with_the_sum_over_all_outcomes(name: str) -> None:
    circuit, decoder = CIRCUITS[name]
    job = job_of(circuit, decoder)
    own: Any = job.decoder
    truth = exact_rate(job.model, own)
    (result,) = rare_error_rates(circuit, decoder, method="strata", seed=4, target_relative_error=0.05, **HERE)
    assert result.method == "strata"
    assert result.relative_error() <= 0.05
    assert_near(result, truth, 2.7)


@pytest.mark.parametrize(
    ("size", "p", "rounds"),
    [(3, 1e-3, 1), (3, 1e-9, 1), (5, 1e-3, 1), (9, 1e-3, 1), (9, 0.01, 1), (3, 1e-3, 4), (5, 0.02, 2)],
)  # fmt: skip
def test_strata_agree_with_a_majority_vote(size: int, p: float, rounds: int) -> None:
    circuit = repetition([p] * size, rounds)
    truth = majority_failure(size, p, rounds)
    if size * rounds <= 15:
        assert exact_rate(circuit.detector_error_model()) == pytest.approx(truth, rel=1e-7)
    (result,) = rare_error_rates(circuit, "pymatching", method="strata", seed=5, **HERE)
    assert result.relative_error() <= 0.1
    assert_near(result, truth, 2.7)


def test_one_run_decodes_with_the_weights_of_the_middle() -> None:
    """A curve's other tasks are exact sums too, under their own odds and with the weights of the one in the middle."""
    strengths = (0.0005, 0.001, 0.004)
    tasks = [sinter.Task(circuit=surface(3, p, rounds=2), json_metadata={"p": p}) for p in strengths]
    models = [job_of(task).model for task in tasks]
    results = rare_error_rates(tasks, "pymatching", method="strata", seed=6, target_relative_error=0.05, **HERE)
    for result, model, p in zip(results, models, strengths, strict=True):
        assert_near(result, exact_rate(model, weights=models[1]), 2.7)
        assert ("decoded with the weights of p = 0.001" in result.assumes) == (p != 0.001)
    own = rare_error_rates(tasks, "pymatching", method="strata", seed=7, one_run=False, **HERE)
    for result, model in zip(own, models, strict=True):
        assert_near(result, exact_rate(model), 2.7)
        assert "weights" not in result.assumes


def phenomenological(p: float, q: float) -> stim.Circuit:
    return stim.Circuit.generated(
        "surface_code:rotated_memory_z",
        distance=3,
        rounds=2,
        before_round_data_depolarization=p,
        before_measure_flip_probability=q,
    )


def test_odds_that_do_not_scale_together_are_weighed_and_reported() -> None:
    strengths = (0.00092, 0.00096, 0.001, 0.004)
    tasks = [sinter.Task(circuit=phenomenological(p, 0.002), json_metadata={"p": p}) for p in strengths]
    models = [job_of(task).model for task in tasks]
    results = rare_error_rates(tasks, "pymatching", method="strata", seed=8, target_relative_error=0.05, **HERE)
    # The last differs too much: it has a run of its own, with weights of its own.
    for result, model, weights in zip(results, models, (models[2], models[2], models[2], models[3]), strict=True):
        assert_near(result, exact_rate(model, weights=weights), 2.7)
    assert "weights of p = 0.001, and weighed for odds that scale together up to 0.087" in results[0].assumes
    assert "scale together up to 0.042" in results[1].assumes
    assert "weights" not in results[2].assumes
    assert "weights" not in results[3].assumes
