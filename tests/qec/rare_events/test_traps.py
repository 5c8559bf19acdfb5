"""Models on which a careless rare-event method gives a narrow interval around a wrong number."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell.errors import InputError
from quell.qec import Estimate, rare_error_rates
from quell.qec.rare_events import methods
from quell.qec.rare_events.decoding import DecodingProblem
from quell.qec.rare_events.faults import FaultModel
from quell.qec.rare_events.matching import MatchingBound, relevant_detectors
from quell.qec.rare_events.splitting import SplittingEstimator

from .truths import HERE, exact_rate, job_of, repetition


def two_parts(first: list[float], second: list[float]) -> stim.Circuit:
    """Two repetition codes one after the other, each with an observable."""
    circuit = repetition(first)
    circuit.append("R", range(len(first)))
    other = stim.Circuit(str(repetition(second)).replace("OBSERVABLE_INCLUDE(0)", "OBSERVABLE_INCLUDE(1)"))
    return circuit + other


@pytest.mark.parametrize("probabilities", [[0.5] * 5, [0.499999999] * 5, [0.5, 0.5, 0.5, 1e-3, 1e-3]])
def test_errors_without_weight_prove_nothing(probabilities: list[float]) -> None:
    dem = job_of(repetition(probabilities)).model
    faults = FaultModel.from_dem(dem)
    bound = MatchingBound.of(dem, faults)
    assert bound is None or not bound.none_may_fail(1)
    if exact_rate(dem) > 0.1:
        with pytest.raises(InputError, match="plain sampling is the tool"):
            rare_error_rates(repetition(probabilities), "pymatching", **HERE)


def test_an_edge_that_no_fault_flips_still_counts() -> None:
    dem = stim.DetectorErrorModel("""
        error(0.45) D3
        error(0.499) D2 D0
        error(0.1) D3 D2
        error(0.45) D0 L0
        error(0.499) D3 D1 ^ D2 D1
    """)
    faults = FaultModel.from_dem(dem, relevant_detectors(dem))
    bound = MatchingBound.of(dem, faults)
    # Over D1, where no fault leaves a detection event, the boundary is nearer than over the edge from D3 to D2.
    assert bound is not None
    assert bound.needed.min() < 0.25


def test_splitting_refuses_parts_that_its_chains_would_miss() -> None:
    circuit = two_parts([1e-10] * 3, [1e-3] * 15)
    truth = 3 * 1e-20  # of the first part; the second adds 6.4e-21
    (auto,) = rare_error_rates(circuit, "pymatching", **HERE)
    assert auto.method == "strata"
    assert truth < auto.error_rate.low <= auto.error_rate.high < 4e-20
    (split,) = rare_error_rates(circuit, "pymatching", method="splitting", **HERE)
    assert not split.trusted
    assert "2 parts that share no detector" in split.reason
    assert (split.error_rate.low, split.error_rate.high) == (0.0, 1.0)


def test_chains_that_contradict_the_strata_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SplittingEstimator, "failure", lambda *_: (Estimate(1e-9, 0.9e-9, 1.1e-9), ""))
    monkeypatch.setattr(SplittingEstimator, "is_stuck", lambda _: True)  # ends the run at the first check
    (result,) = rare_error_rates(
        repetition([0.01] * 5), "pymatching", method="splitting", target_relative_error=0.5, **HERE
    )
    assert not result.trusted
    assert "strata have seen more" in result.reason


def test_the_acceptance_is_refined_until_it_adds_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "_FIRST_CHECK", 2)
    circuit = repetition([0.02] * 5)
    mask: NDArray[np.uint8] = np.array([1], np.uint8)
    task = sinter.Task(circuit=circuit, postselection_mask=mask)
    options: Any = {"method": "splitting", "target_relative_error": 0.05, "seed": 3, **HERE}
    (result,) = rare_error_rates(task, "pymatching", **options)
    assert result.relative_error() <= 0.05
    assert result.acceptance is not None
    half = (result.acceptance.high - result.acceptance.low) / 2
    assert half <= 0.05 / 3 * result.acceptance.value


@dataclasses.dataclass(frozen=True)
class Guess(sinter.Decoder):
    """A decoder whose settings do not say what it answers, as after a cell was corrected and run again."""

    answer: int

    def settings_id(self) -> str:
        return "the same"

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> "CompiledGuess":  # noqa: ARG002
        return CompiledGuess(self.answer)


@dataclasses.dataclass(frozen=True)
class CompiledGuess(sinter.CompiledDecoder):
    answer: int

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.full((len(bit_packed_detection_event_data), 1), self.answer, np.uint8)


def test_workers_that_outlive_a_run_do_not_keep_its_decoder() -> None:
    circuit = repetition([0.001] * 3)
    with ThreadPoolExecutor(1) as threads:
        options: Any = {"method": "strata", "executor": threads, "num_workers": 1, "seed": 1}
        (right,) = rare_error_rates(circuit, {"guess": Guess(0)}, **options)
        assert right.error_rate.value < 0.0011
        with pytest.raises(InputError, match=r"99\.9% of all shots fail"):
            rare_error_rates(circuit, {"guess": Guess(1)}, **options)


def test_a_model_that_changes_in_place_is_read_again() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 L0")
    assert len(FaultModel.from_dem(dem)) == 1
    dem += stim.DetectorErrorModel("error(0.1) D1 L0")
    assert len(FaultModel.from_dem(dem)) == 2


def test_the_problem_of_correlated_matching_refuses_hyperedges_too() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 D1 D2 L0\nerror(0.1) D0\nerror(0.1) D1\nerror(0.1) D2")
    circuit = stim.Circuit(
        "M 0 1 2 3\nDETECTOR rec[-1]\nDETECTOR rec[-2]\nDETECTOR rec[-3]\nOBSERVABLE_INCLUDE(0) rec[-4]"
    )
    task = sinter.Task(circuit=circuit, detector_error_model=dem)
    with pytest.raises(InputError, match="flips 3 detectors"):
        DecodingProblem.of(job_of(task, "pymatching-correlated"))
