"""Post-selection: rates of the shots that are kept, against sums over all outcomes and against sweeps of sinter."""

import math
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell.qec import error_rate, rare_error_rates, sweep

from .truths import HERE, assert_near, failing_outcomes, job_of, outcome_probabilities, problem_of, surface

CIRCUIT = surface(3, 0.004, rounds=2)
MODEL = job_of(CIRCUIT).model
NUM_DETECTORS = CIRCUIT.num_detectors
MASKED = (0, 3, 9)  # of both bases
MASK = np.packbits([index in MASKED for index in range(NUM_DETECTORS)], bitorder="little")


class Careful(sinter.Decoder):
    """PyMatching that discards shots with many detection events."""

    def __init__(self, most: int = 5) -> None:
        self.most = most

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        return _CompiledCareful(dem, self.most)


class _CompiledCareful(sinter.CompiledDecoder):
    def __init__(self, dem: stim.DetectorErrorModel, most: int) -> None:
        self.plain = sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)
        self.most = most

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        right = self.plain.decode_shots_bit_packed(bit_packed_detection_event_data=bit_packed_detection_event_data)
        many = np.bitwise_count(bit_packed_detection_event_data).sum(axis=1) > self.most
        return np.hstack([right, many[:, None].astype(np.uint8)])


def kept_and_failed(kept: NDArray[np.bool_]) -> tuple[float, float]:
    """The exact fraction of shots that are kept, and the errors among them."""
    probability = outcome_probabilities(MODEL)
    failed = failing_outcomes(MODEL, probability > 0)
    accepted = float(probability[kept].sum())
    return accepted, float(probability[failed & kept].sum()) / accepted


def syndromes() -> NDArray[np.int64]:
    return np.arange(1 << (NUM_DETECTORS + 1)) & ((1 << NUM_DETECTORS) - 1)


CASES: dict[str, tuple[sinter.Task, Any, NDArray[np.bool_]]] = {
    "masked detectors": (
        sinter.Task(circuit=CIRCUIT, postselection_mask=MASK),
        "pymatching",
        (syndromes() & sum(1 << each for each in MASKED)) == 0,
    ),
    "the decoder discards": (sinter.Task(circuit=CIRCUIT), Careful(3), np.bitwise_count(syndromes()) <= 3),
    "both": (
        sinter.Task(circuit=CIRCUIT, postselection_mask=MASK),
        Careful(3),
        ((syndromes() & sum(1 << each for each in MASKED)) == 0) & (np.bitwise_count(syndromes()) <= 3),
    ),
}


@pytest.mark.parametrize("method", ["strata", "splitting"])
@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_the_kept_shots(name: str, method: str) -> None:
    task, decoder, kept = CASES[name]
    acceptance, rate = kept_and_failed(kept)
    (result,) = rare_error_rates(task, decoder, method=method, seed=1, target_relative_error=0.15, **HERE)
    assert_near(result, rate, 2.7 if method == "strata" else 5)
    assert result.acceptance is not None
    half = (result.acceptance.high - result.acceptance.low) / 2
    assert abs(result.acceptance.value - acceptance) <= 2.7 * half


@pytest.mark.parametrize("name", CASES)
def test_verdicts_are_those_of_a_sweep(name: str) -> None:
    """Errors and discards of 20,000 shots of sinter lie within 5.5 standard deviations of the exact ones."""
    task, decoder, kept = CASES[name]
    acceptance, rate = kept_and_failed(kept)
    (stats,) = sweep(task, decoder, max_shots=20_000, **HERE)
    deviation = math.sqrt(acceptance * (1 - acceptance) / stats.shots)
    assert abs(stats.discards / stats.shots - (1 - acceptance)) < 5.5 * deviation
    found = error_rate(stats)
    assert found.value < rate + 5.5 * math.sqrt(rate / (stats.shots - stats.discards)) + 3e-4


def test_a_wrong_observable_can_be_discarded() -> None:
    """With two observables, of which the first is post-selected: failures are those of the second alone."""
    text = "\n".join(
        f"error({p}) D{a} D{a + 1}{flips}"
        for p, a, flips in [(0.01, 0, " L0"), (0.02, 1, ""), (0.004, 3, " L1"), (0.01, 4, ""), (0.003, 2, "")]
    )
    dem = stim.DetectorErrorModel(text + "\nerror(0.01) D0\nerror(0.02) D5\nerror(0.003) D3")
    circuit = stim.Circuit()
    for index in range(8):
        circuit.append("R", [index])
    circuit.append("M", range(8))
    for index in range(6):
        circuit.append("DETECTOR", [stim.target_rec(index - 8)])
    circuit.append("OBSERVABLE_INCLUDE", [stim.target_rec(-2)], 0)
    circuit.append("OBSERVABLE_INCLUDE", [stim.target_rec(-1)], 1)
    task = sinter.Task(
        circuit=circuit, detector_error_model=dem, postselected_observables_mask=np.array([1], np.uint8)
    )  # fmt: skip
    probability = outcome_probabilities(dem)
    compiled = sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)
    outcomes = np.arange(1 << 8)
    answers = compiled.decode_shots_bit_packed(
        bit_packed_detection_event_data=(outcomes & 63).astype(np.uint8)[:, None]
    )  # fmt: skip
    wrong = answers[:, 0] ^ (outcomes >> 6)
    kept = wrong & 1 == 0
    rate = probability[kept & (wrong & 2 == 2)].sum() / probability[kept].sum()
    assert problem_of(task).postselects()
    (result,) = rare_error_rates(task, "pymatching", method="strata", seed=2, target_relative_error=0.05, **HERE)
    assert_near(result, float(rate), 2.7)
    assert result.acceptance is not None
    assert result.acceptance.value == pytest.approx(probability[kept].sum(), rel=0.01)


def test_masks_change_what_a_run_is_called() -> None:
    keys = {job_of(task).key for task, decoder, _ in CASES.values() if decoder == "pymatching"} | {job_of(CIRCUIT).key}
    assert len(keys) == 2
