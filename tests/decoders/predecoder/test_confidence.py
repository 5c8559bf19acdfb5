"""The choice of a confidence: what each one does, and which is taken."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders import PreDecoded, PreDecoder, choose_confidence
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.confidence import CONFIDENCES, ConfidenceRow, paired_ratio
from quell.errors import CircuitError, InputError, UnknownNameError

from .sources import RandomOdds, WorkedOut, constant, unpacked
from .tools import stims_memory

# Three qubits in a row: qubit k flips detectors k-1 and k, so that the events tell every error.
TOLD = stim.Circuit(
    """
    R 0 1 2
    X_ERROR(0.2) 0 1 2
    M 0 1 2
    DETECTOR rec[-3] rec[-2]
    DETECTOR rec[-2] rec[-1]
    DETECTOR rec[-1]
    OBSERVABLE_INCLUDE(0) rec[-3]
    """
)
# With a second boundary: every set of events has two explanations, of which one is likelier.
RING = stim.Circuit(
    """
    R 0 1 2 3 4
    X_ERROR(0.1) 0 1 2 3 4
    M 0 1 2 3 4
    DETECTOR rec[-5] rec[-4]
    DETECTOR rec[-4] rec[-3]
    DETECTOR rec[-3] rec[-2]
    DETECTOR rec[-2] rec[-1]
    OBSERVABLE_INCLUDE(0) rec[-5]
    """
)


def explained(likelier: bool) -> WorkedOut:
    """Sure odds of the likelier explanation by the fewest errors of all events; or of the other one."""

    def rule(graph: EdgeGraph, edges: NDArray[np.int64], events: NDArray[np.uint8]) -> NDArray[np.int16]:
        num_edges = len(edges)
        answers: dict[int, NDArray[np.int16]] = {}
        # Heavier ones first, so that the last one stays; or the other way round.
        chosen = [np.array(bits) for bits in itertools.product((0, 1), repeat=num_edges)]
        for errors in sorted(chosen, key=lambda bits: int(bits.sum()), reverse=likelier):
            flipped = np.zeros(graph.num_detectors, dtype=np.uint8)
            for ends in graph.ends[edges[errors > 0]].tolist():
                for detector in ends:
                    if detector >= 0:
                        flipped[detector] ^= 1
            key = int(np.packbits(flipped[None], axis=1, bitorder="little")[0, 0])
            answers[key] = np.where(errors > 0, 30000, -30000).astype(np.int16)
        return np.array([answers[shot[0]] for shot in events]).reshape(len(events), num_edges).astype(np.int16)

    return WorkedOut(rule)


def test_perfect_odds_are_committed_whole() -> None:
    choice = choose_confidence("vacuous", [TOLD, TOLD], source=explained(True), num_shots=500)
    assert choice.confidence == max(CONFIDENCES)
    assert [row.confidence for row in choice.rows] == list(CONFIDENCES)
    for row in choice.rows:
        assert (row.shots, row.errors, row.errors_both, row.events_left) == (1000, 0, 0, 0.0)
        # Predicting nothing is wrong where the first qubit flipped, once in five: six standard deviations.
        assert abs(row.errors_alone - 200) < 6 * math.sqrt(160)
        assert row.ratio == 0
        assert row.interval == (0, 3.7 / row.errors_alone)


def test_odds_that_repeat_a_matching_change_nothing() -> None:
    choice = choose_confidence("pymatching", [RING], source=explained(True), num_shots=1000)
    assert choice.confidence == max(CONFIDENCES)
    for row in choice.rows:
        assert row.errors == row.errors_alone == row.errors_both > 0
        assert (row.ratio, row.events_left) == (1, 0)
        assert row.interval == pytest.approx((1, 1))


def test_harmful_odds_are_not_committed() -> None:
    choice = choose_confidence("pymatching", [RING], source=explained(False), num_shots=1000)
    assert choice.confidence == 1
    for row in choice.rows:
        assert row.errors + row.errors_alone == 1000
        assert row.errors_both == 0
        assert row.ratio > row.interval[0] > 1.05


def decoded(decoder: Any, dem: stim.DetectorErrorModel, dets: NDArray[np.uint8]) -> NDArray[np.uint8]:
    compiled = decoder.compile_decoder_for_dem(dem=dem)
    found: NDArray[np.uint8] = compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets)
    return found


@pytest.mark.parametrize("inner", ["pymatching", "pymatching-correlated", PreDecoded("vacuous", source=constant(0))])
def test_rows_are_what_a_direct_computation_counts(inner: Any) -> None:
    circuits = [stims_memory(3, 3, "x", 0.02).circuit, stims_memory(3, 2, "z", 0.03).circuit]
    source = RandomOdds(3, sharpness=900)
    choice = choose_confidence(inner, circuits, source=source, num_shots=400, seed=7, confidences=[0.9, 0.5, 0.9, 0.7])
    assert [row.confidence for row in choice.rows] == [0.5, 0.7, 0.9]
    for row in choice.rows:
        wrong, alone, events, left = [], [], 0, 0
        for number, circuit in enumerate(circuits):
            dem = circuit.detector_error_model(decompose_errors=True)
            dets, actual = circuit.compile_detector_sampler(seed=7 + number).sample(
                400, separate_observables=True, bit_packed=True
            )
            decoder = sinter.BUILT_IN_DECODERS[inner] if isinstance(inner, str) else inner
            residual, frame = PreDecoder(source, confidence=row.confidence).compile(dem).apply(dets)
            wrong.append((decoded(decoder, dem, residual) ^ frame != actual).any(axis=1))
            alone.append((decoded(decoder, dem, dets) != actual).any(axis=1))
            events += int(unpacked(dets, dem.num_detectors).sum())
            left += int(unpacked(residual, dem.num_detectors).sum())
        mine, others = np.concatenate(wrong), np.concatenate(alone)
        counted = (row.shots, row.errors, row.errors_alone, row.errors_both)
        assert counted == (800, mine.sum(), others.sum(), (mine & others).sum())
        assert row.events_left == pytest.approx(left / events)
        assert row.ratio == pytest.approx(mine.sum() / others.sum())
        assert row.interval[0] <= row.ratio <= row.interval[1]


def test_the_highest_that_leaves_few_events_is_taken() -> None:
    circuit = stims_memory(3, 3, "x", 0.01).circuit

    def chosen(**limits: float) -> tuple[float, tuple[ConfidenceRow, ...]]:
        choice = choose_confidence("pymatching", [circuit], num_shots=1000, device="cpu", **limits)
        return choice.confidence, choice.rows

    confidence, rows = chosen(max_events_left=1.0, max_ratio=10)
    assert confidence == max(CONFIDENCES)
    left = [row.events_left for row in rows]
    assert left == sorted(left)
    assert left[0] == 0 < left[3] < left[-1] < 1
    assert chosen(max_events_left=(left[3] + left[4]) / 2, max_ratio=10)[0] == CONFIDENCES[3]
    assert chosen(max_events_left=0.0, max_ratio=10)[0] == CONFIDENCES[0]
    # None is good enough.
    assert chosen(max_events_left=1.0, max_ratio=0.01)[0] == 1
    # None that is good enough leaves so few: of those, the one that leaves the fewest.
    ends = [row.interval[1] for row in rows]
    limit = sorted(ends)[4]
    good = [row for row in rows if row.interval[1] <= limit]
    confidence, _ = chosen(max_events_left=0.0, max_ratio=limit)
    assert confidence == min(good, key=lambda row: row.events_left).confidence


def test_intervals_hold_as_often_as_they_say() -> None:
    """Of 4,000 intervals of a known ratio 95 % hold; six standard deviations of that count, and 1 % for the formula."""
    rng = np.random.default_rng(5)
    both, mine, other = rng.poisson([[200.0, 60.0, 100.0]], size=(4000, 3)).T
    held = 0
    for b, m, o in zip(both, mine, other, strict=True):
        _, (low, high) = paired_ratio(int(m + b), int(o + b), int(b))
        held += low <= 260 / 300 <= high
    assert abs(held / 4000 - 0.95) < 6 * math.sqrt(0.95 * 0.05 / 4000) + 0.01


def test_ratios_of_few_errors() -> None:
    assert paired_ratio(0, 0, 0) == (1, (0, math.inf))
    assert paired_ratio(4, 0, 0) == (math.inf, (0, math.inf))
    # Poisson: with none seen, 3 are expected at most, at 95 %.
    assert paired_ratio(0, 37, 0) == (0, (0, 0.1))


def test_a_circuit_without_noise() -> None:
    circuit = stim.Circuit(str(TOLD).replace("0.2", "0"))
    choice = choose_confidence("pymatching", [circuit], source=constant(-1000), num_shots=10)
    assert all((row.errors, row.errors_alone, row.events_left) == (0, 0, 0) for row in choice.rows)
    assert choice.confidence == 1, "no errors say nothing"


@pytest.mark.filterwarnings("ignore:the pre-decoder steps aside")
def test_where_it_steps_aside_nothing_is_chosen() -> None:
    circuit = stim.Circuit.generated(
        "surface_code:rotated_memory_x", distance=3, rounds=3, before_measure_flip_probability=0.05
    )
    choice = choose_confidence("pymatching-correlated", [circuit], num_shots=200, device="cpu")
    assert choice.confidence == 1
    assert all(row.events_left == 1 for row in choice.rows)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"circuits": []}, "circuits must hold at least one circuit"),
        ({"circuits": TOLD}, r"circuits must be stim\.Circuits, got"),
        ({"circuits": ["M 0"]}, r"circuits must be stim\.Circuits, got str"),
        ({"num_shots": 0}, "num_shots must be an integer >= 1"),
        ({"seed": -1}, "seed must be an integer >= 0"),
        ({"max_events_left": 1.5}, "max_events_left must be a probability"),
        ({"confidences": [0.3]}, r"confidence must be between 0\.5"),
        ({"source": "fats"}, "did you mean 'fast'"),
        ({"inner": "pymatchin"}, "unknown decoder 'pymatchin': did you mean 'pymatching'"),
        ({"inner": 7}, r"inner must be the name of a decoder, a sinter\.Decoder or a pymatching\.Matching, got 7"),
    ],
)
def test_arguments_have_limits(options: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"inner": "pymatching", "circuits": [TOLD], "source": constant(0), "num_shots": 10}
    with pytest.raises(InputError, match=message):
        choose_confidence(**{**given, **options})


def test_errors_are_of_their_type() -> None:
    with pytest.raises(UnknownNameError):
        choose_confidence("pymatchin", [TOLD], source=constant(0))
    whole = stim.Circuit("R 0\nX_ERROR(0.1) 0\nM 0\nDETECTOR rec[-1]\nDETECTOR rec[-1]\nDETECTOR rec[-1]")
    with pytest.raises(CircuitError, match="the circuit has no decomposed detector error model"):
        choose_confidence("pymatching", [whole], source=constant(0))
