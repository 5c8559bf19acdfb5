"""Error rates known from outside: closed forms, and sums over all that can happen in small models.

A model of D detectors and O observables has 2^(D + O) outcomes. Their exact probabilities come from one pass over the
errors, each of which mixes every outcome with one other, so that D + O up to 20 or so is small, however many errors.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import Any

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.qec import RareEstimate, rare_error_rates
from quell.qec.rare_events.decoding import DecodingProblem
from quell.qec.sweeps.tasks import Job, prepare_jobs


class Inline(Executor):
    """Runs a call at once, in the thread that submits it: numba's loops are then compiled once for all tests."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


HERE: dict[str, Any] = {"executor": Inline(), "num_workers": 1, "progress": False}


def repetition(probabilities: Sequence[float], rounds: int = 1) -> stim.Circuit:
    """Bit flips on the data of a repetition code, measured without error after every round."""
    size = len(probabilities)
    circuit = stim.Circuit()
    for done in range(rounds):
        for qubit, probability in enumerate(probabilities):
            circuit.append("X_ERROR", [qubit], probability)
        circuit.append("MZZ", [qubit for pair in zip(range(size - 1), range(1, size), strict=True) for qubit in pair])
        for check in range(size - 1):
            back = [check - (size - 1)] + ([check - 2 * (size - 1)] if done else [])
            circuit.append("DETECTOR", [stim.target_rec(each) for each in back])
    circuit.append("M", [0])
    circuit.append("OBSERVABLE_INCLUDE", [stim.target_rec(-1)], 0)
    return circuit


def majority_failure(size: int, probability: float, rounds: int = 1) -> float:
    """How often `repetition` fails under matching, for an odd size and one probability: a majority vote each round."""
    once = sum(
        math.comb(size, k) * probability**k * (1 - probability) ** (size - k) for k in range(size // 2 + 1, size + 1)
    )
    return -math.expm1(rounds * math.log1p(-2 * once)) / 2


def surface(distance: int, probability: float, rounds: int | None = None, basis: str = "z") -> stim.Circuit:
    """Stim's own rotated surface code, with noise everywhere."""
    return stim.Circuit.generated(
        f"surface_code:rotated_memory_{basis}",
        distance=distance,
        rounds=distance if rounds is None else rounds,
        after_clifford_depolarization=probability,
        before_measure_flip_probability=probability,
        after_reset_flip_probability=probability,
        before_round_data_depolarization=probability,
    )


def surface_data(distance: int, probability: float) -> stim.Circuit:
    """The rotated surface code with noise on its data alone, in one round."""
    return stim.Circuit.generated(
        "surface_code:rotated_memory_z", distance=distance, rounds=1, before_round_data_depolarization=probability
    )


def job_of(task: stim.Circuit | sinter.Task, decoder: Any = "pymatching") -> Job:
    (job,) = prepare_jobs(task, decoder, {}, num_workers=1)
    return job


def problem_of(task: stim.Circuit | sinter.Task, decoder: Any = "pymatching") -> DecodingProblem:
    return DecodingProblem.of(job_of(task, decoder))


def mechanisms(dem: stim.DetectorErrorModel) -> list[tuple[int, float]]:
    """What every error flips, as the number of an outcome, and its probability; errors that flip the same are one."""
    merged: dict[int, float] = {}
    for instruction in dem.flattened():
        if instruction.type != "error":
            continue
        outcome = 0
        for target in instruction.targets_copy():
            if target.is_relative_detector_id():
                outcome ^= 1 << target.val
            elif target.is_logical_observable_id():
                outcome ^= 1 << (dem.num_detectors + target.val)
        sign = 1 - 2 * instruction.args_copy()[0]
        merged[outcome] = merged.get(outcome, 1.0) * sign
    return [(outcome, (1 - sign) / 2) for outcome, sign in merged.items()]


def outcome_probabilities(dem: stim.DetectorErrorModel) -> NDArray[np.float64]:
    """float64 (2^(D + O),): bit i of an outcome is detector i, bit D + j is observable j."""
    outcomes = np.arange(1 << (dem.num_detectors + dem.num_observables))
    found = np.zeros(len(outcomes))
    found[0] = 1
    for outcome, probability in mechanisms(dem):
        found = (1 - probability) * found + probability * found[outcomes ^ outcome]
    return found


def outcomes_by_weight(faults: Sequence[tuple[int, float]], size: int, largest: int) -> NDArray[np.float64]:
    """float64 (largest + 1, 2^size): the probability of each outcome and just so many faults."""
    outcomes = np.arange(1 << size)
    found = np.zeros((largest + 1, len(outcomes)))
    found[0, 0] = 1
    for outcome, probability in faults:
        flipped = probability * found[:-1, outcomes ^ outcome]
        found *= 1 - probability
        found[1:] += flipped
    return found


def failing_outcomes(
    dem: stim.DetectorErrorModel, possible: NDArray[np.bool_], decoder: Any = None
) -> NDArray[np.bool_]:
    """bool (2^(D + O),): which outcomes a sinter decoder (PyMatching's, if None) predicts wrongly."""
    decoder = sinter.BUILT_IN_DECODERS["pymatching"] if decoder is None else decoder
    num_detectors, num_observables = dem.num_detectors, dem.num_observables
    syndromes = np.flatnonzero(possible.reshape(-1, 1 << num_detectors).any(axis=0))
    bits = (syndromes[:, None] >> np.arange(num_detectors)) & 1
    packed = np.packbits(bits.astype(np.uint8), axis=1, bitorder="little")
    compiled = decoder.compile_decoder_for_dem(dem=dem)
    answers = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed)
    predicted = np.zeros(1 << num_detectors, np.int64)
    predicted[syndromes] = answers[:, 0]
    outcomes = np.arange(1 << (num_detectors + num_observables))
    actual = outcomes >> num_detectors
    return possible & (predicted[outcomes & ((1 << num_detectors) - 1)] != actual)


def exact_rate(dem: stim.DetectorErrorModel, decoder: Any = None, weights: stim.DetectorErrorModel | None = None
               ) -> float:  # fmt: skip
    """How often a decoder fails under a model; it knows the weights of another, if one is given."""
    probability = outcome_probabilities(dem)
    return float(probability[failing_outcomes(weights or dem, probability > 0, decoder)].sum())


def assert_near(result: RareEstimate, truth: float, half_widths: float) -> None:
    """Checks the error rate against the truth, in logarithms, with the interval made longer by a factor.

    An interval of strata is normal, and 2.7 half widths are 5.3 standard deviations: 1 in 10^7 lies outside. One of
    splitting is Student's t with 11 degrees of freedom or more, of which 1 in 10^7 lies outside of 5 half widths.
    """
    assert result.trusted, result.reason
    rate = result.error_rate
    assert rate.low <= rate.value <= rate.high
    below, above = math.log(rate.value / rate.low), math.log(rate.high / rate.value)
    distance = math.log(truth / rate.value)
    assert -half_widths * below - 1e-9 <= distance <= half_widths * above + 1e-9, (str(result), truth)


def held(circuit: stim.Circuit, truth: float, method: str, repetitions: int, *, target: float) -> int:
    """How many of so many runs, each with a seed of its own, have the truth in their interval."""
    found = 0
    for seed in range(repetitions):
        options: Any = {"method": method, "seed": seed, "target_relative_error": target, **HERE}
        (result,) = rare_error_rates(circuit, "pymatching", **options)
        assert result.trusted
        found += result.error_rate.low <= truth <= result.error_rate.high
    return found
