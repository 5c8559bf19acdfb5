"""What is taken for granted of plain matching, against matching itself."""

import itertools

import numpy as np
import pymatching
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell import circuits
from quell.errors import CircuitError
from quell.qec.rare_events.faults import FaultModel
from quell.qec.rare_events.matching import MatchingBound, refuse_hyperedges, relevant_detectors

from .truths import repetition, surface, surface_data

NOISE = circuits.NoiseModel.uniform_depolarizing(0.02)
MEMORIES = {
    "rotated z": surface(3, 0.02),
    "rotated x": surface(5, 0.02, basis="x"),
    "unrotated": stim.Circuit.generated(
        "surface_code:unrotated_memory_z", distance=3, rounds=3, after_clifford_depolarization=0.02
    ),
    "repetition": stim.Circuit.generated(
        "repetition_code:memory", distance=5, rounds=4, after_clifford_depolarization=0.05
    ),
    "ours x": circuits.rotated_surface_memory(3, 3, "X", NOISE),
    "ours z": circuits.rotated_surface_memory(3, 3, "Z", NOISE),
}


def model_of(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    return circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)


def bound_of(dem: stim.DetectorErrorModel) -> tuple[FaultModel, MatchingBound]:
    faults = FaultModel.from_dem(dem, relevant_detectors(dem))
    bound = MatchingBound.of(dem, faults)
    assert bound is not None
    return faults, bound


def fails(dem: stim.DetectorErrorModel, faults: FaultModel, sets: np.ndarray) -> np.ndarray:
    flips = faults.combine(sets)
    matching = pymatching.Matching.from_detector_error_model(dem)
    predicted = matching.decode_batch(
        np.ascontiguousarray(flips[:, : faults.detector_bytes]), bit_packed_shots=True, bit_packed_predictions=True
    )
    return np.asarray((predicted != flips[:, faults.detector_bytes :]).any(axis=1))


@pytest.mark.parametrize("name", MEMORIES)
def test_left_out_detectors_do_not_change_the_answer(name: str) -> None:
    circuit = MEMORIES[name]
    dem = model_of(circuit)
    keep = sorted(relevant_detectors(dem))
    events, _ = circuit.compile_detector_sampler(seed=1).sample(4_000, separate_observables=True)
    matching = pymatching.Matching.from_detector_error_model(dem)
    fewer = np.zeros_like(events)
    fewer[:, keep] = events[:, keep]
    assert (events != fewer).any() == (len(keep) < circuit.num_detectors)
    np.testing.assert_array_equal(matching.decode_batch(fewer), matching.decode_batch(events))
    assert len(keep) < circuit.num_detectors or name == "repetition"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1e-4, 0.01, 0.1, 0.3]),
            st.sets(st.integers(0, 5), min_size=1, max_size=2),
            st.booleans(),
        ),
        min_size=1,
        max_size=10,
    )
)  # fmt: skip
def test_left_out_detectors_of_any_graph(errors: list[tuple[float, set[int], bool]]) -> None:
    lines = [f"error({p}) {' '.join(f'D{d}' for d in sorted(ends))}{' L0' * flips}" for p, ends, flips in errors]
    # A boundary for every detector, so that every shot has a matching.
    dem = stim.DetectorErrorModel("\n".join([*lines, *(f"error(0.001) D{d}" for d in range(6)), "error(0.1) D6 L0"]))
    keep = sorted(relevant_detectors(dem))
    events = (np.arange(1 << 7)[:, None] >> np.arange(7)) & 1 == 1
    fewer = np.zeros_like(events)
    fewer[:, keep] = events[:, keep]
    matching = pymatching.Matching.from_detector_error_model(dem)
    np.testing.assert_array_equal(matching.decode_batch(fewer), matching.decode_batch(events))


def noisy_repetition(probabilities: list[float], flip: float, rounds: int) -> stim.Circuit:
    circuit = repetition(probabilities, rounds)
    text = str(circuit).replace("MZZ", f"MZZ({flip})")
    size = len(probabilities)
    last = stim.Circuit(text[: text.rindex("\nM 0")])
    last.append("M", range(size))
    for check in range(size - 1):
        back = [check - size, check + 1 - size, check - size - (size - 1)]
        last.append("DETECTOR", [stim.target_rec(each) for each in back])
    last.append("OBSERVABLE_INCLUDE", [stim.target_rec(-size)], 0)
    return last


@pytest.mark.parametrize(
    "circuit",
    [
        repetition([0.1, 0.001, 0.03]),
        repetition([0.4, 0.001, 0.03, 0.2, 1e-6]),
        repetition([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07]),
        repetition([0.01, 0.001, 0.2], rounds=3),
        noisy_repetition([0.1, 0.01, 0.3], 0.02, 2),
        noisy_repetition([0.01, 0.01, 0.01], 0.2, 3),
        surface_data(3, 0.01),
    ],
)
def test_no_failing_set_weighs_less_than_is_needed(circuit: stim.Circuit) -> None:
    dem = model_of(circuit)
    faults, bound = bound_of(dem)
    size = len(faults)
    assert size <= 16
    inside = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1 == 1
    sets = np.where(inside, np.arange(size), size)
    check_bound(dem, faults, bound, size)
    # These models have one edge for each fault: so a set that no detector sees is a sum of cycles.
    flips = faults.combine(sets)
    logical = ~flips[:, : faults.detector_bytes].any(axis=1) & flips[:, faults.detector_bytes :].any(axis=1)
    weight = np.where(inside, bound.weights, 0).sum(axis=1)
    through = [weight[logical & inside[:, fault]].min(initial=np.inf) for fault in range(size)]
    assert (bound.needed / 0.998 * 2 <= np.array(through) * (1 + 1e-9)).all()
    # Half of the lightest logical operator, less what PyMatching's rounding may take: at most a few thousandths.
    half = weight[logical].min() / 2
    assert 0.99 * half - 0.006 * bound.weights.max() <= bound.needed.min() <= half * (1 + 1e-9)


def check_bound(dem: stim.DetectorErrorModel, faults: FaultModel, bound: MatchingBound, largest: int) -> list[bool]:
    """Decodes all sets of up to so many faults; returns for each number whether sets of it fail."""
    found = []
    for number in range(1, largest + 1):
        sets = np.array(list(itertools.combinations(range(len(faults)), number)), np.int32)
        failed = fails(dem, faults, sets)
        assert not (failed & ~bound.may_fail(sets)).any(), "a set was cleared, and fails"
        assert not (bound.none_may_fail(number) and bound.may_fail(sets).any()), "the two proofs disagree"
        found.append(bool(failed.any()))
    assert bound.may_fail(np.arange(len(faults))[:, None]).sum() < len(faults), "nothing is ever cleared"
    return found


@pytest.mark.parametrize(
    ("circuit", "largest"),
    [
        (surface(3, 0.003, rounds=2), 2),
        (surface(3, 0.003, rounds=2, basis="x"), 2),
        (circuits.rotated_surface_memory(3, 2, "Z", circuits.NoiseModel.uniform_depolarizing(0.001)), 2),
        (stim.Circuit.generated("repetition_code:memory", distance=5, rounds=3, after_clifford_depolarization=0.01), 3),
    ],
)
def test_no_failing_set_of_a_circuit_weighs_less_than_is_needed(circuit: stim.Circuit, largest: int) -> None:
    dem = model_of(circuit)
    faults, bound = bound_of(dem)
    assert check_bound(dem, faults, bound, largest) == [False] * (largest - 1) + [True]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1e-6, 1e-3, 0.02, 0.1, 0.25, 0.45]),
            st.sets(st.integers(0, 3), min_size=1, max_size=2),
            st.booleans(),
        ),
        min_size=2,
        max_size=9,
    )
)
def test_the_bound_holds_on_any_graph(errors: list[tuple[float, set[int], bool]]) -> None:
    lines = [f"error({p}) {' '.join(f'D{d}' for d in sorted(ends))}{' L0' * flips}" for p, ends, flips in errors]
    dem = stim.DetectorErrorModel("\n".join([*lines, "error(0.05) D0 L0", "error(0.01) D0 D1 ^ D2 D3"]))
    faults = FaultModel.from_dem(dem, relevant_detectors(dem))
    bound = MatchingBound.of(dem, faults)
    if bound is None:
        return
    for number in range(1, len(faults) + 1):
        sets = np.array(list(itertools.combinations(range(len(faults)), number)), np.int32)
        failed, may_fail = fails(dem, faults, sets), bound.may_fail(sets)
        assert not (failed & ~may_fail).any()
        assert not (bound.none_may_fail(number) and may_fail.any())


def test_no_bound_where_an_edge_has_two_meanings() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 L0\nerror(0.2) D0\nerror(0.1) D0 D1\nerror(0.1) D1")
    assert MatchingBound.of(dem, FaultModel.from_dem(dem)) is None


def test_no_bound_where_an_observable_flips_without_a_detector() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 L0\nerror(0.1) D0 D1\nerror(0.1) D1\nerror(1e-5) L0")
    assert MatchingBound.of(dem, FaultModel.from_dem(dem)) is None


def test_errors_between_three_detectors_are_refused() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 D1 D7 L0\nerror(0.1) D0 L0")
    with pytest.raises(CircuitError, match=r"D0 D1 D7.*decompose_errors=True"):
        refuse_hyperedges(dem)
    refuse_hyperedges(stim.DetectorErrorModel("error(0) D0 D1 D7 L0\nerror(0.1) D0 D1 ^ D7 L0"))


@pytest.mark.parametrize("circuit", [repetition([0.4, 0.001, 0.03, 0.2, 1e-6]), surface(3, 0.003, rounds=2)])
def test_the_bound_of_large_graphs_is_weaker_and_holds(circuit: stim.Circuit, monkeypatch: pytest.MonkeyPatch) -> None:
    dem = model_of(circuit)
    _, close = bound_of(dem)
    monkeypatch.setattr("quell.qec.rare_events.matching._MOST_NODES", 0)
    faults, bound = bound_of(dem)
    assert bound.needed == pytest.approx(np.full(len(faults), close.needed.min()))
    check_bound(dem, faults, bound, 2)
