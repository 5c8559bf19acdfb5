"""The faults of a model against all that can happen in it."""

import itertools

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.errors import CircuitError, InputError
from quell.qec.rare_events.faults import FaultModel, components_of

from .truths import mechanisms, outcome_probabilities, outcomes_by_weight, surface

PART = st.lists(st.sampled_from(["D0", "D1", "D2", "D3", "L0", "L1"]), min_size=1, max_size=4).map(" ".join)
TARGETS = st.lists(PART, max_size=3).map(" ^ ".join)
PROBABILITIES = st.sampled_from([0.0, 1e-9, 0.01, 0.1, 0.3, 0.5])


def model_of(errors: list[tuple[float, str]]) -> stim.DetectorErrorModel:
    lines = ["detector D3", "logical_observable L1", "error(0.125) D0 L1"]
    lines += [f"error({probability}) {targets}" for probability, targets in errors]
    return stim.DetectorErrorModel("\n".join(lines))


def distribution(faults: FaultModel) -> np.ndarray:
    """The probabilities of all outcomes, from all sets of faults, as `combine` puts them together."""
    size = len(faults)
    inside = (np.arange(1 << size)[:, None] >> np.arange(size)) & 1 == 1
    sets = np.where(inside, np.arange(size), size)
    probability = np.where(inside, faults.probabilities, 1 - faults.probabilities).prod(axis=1)
    flips = faults.combine(sets)
    bits = [np.unpackbits(part, axis=1, bitorder="little", count=count) for part, count in (
        (flips[:, : faults.detector_bytes], faults.num_detectors),
        (flips[:, faults.detector_bytes :], faults.num_observables),
    )]  # fmt: skip
    outcome = np.concatenate(bits, axis=1) @ (1 << np.arange(faults.num_detectors + faults.num_observables))
    return np.bincount(outcome, probability, minlength=1 << (faults.num_detectors + faults.num_observables))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PROBABILITIES, TARGETS), max_size=9))
def test_merged_faults_give_every_outcome_its_probability(errors: list[tuple[float, str]]) -> None:
    dem = model_of(errors)
    faults = FaultModel.from_dem(dem)
    np.testing.assert_allclose(distribution(faults), outcome_probabilities(dem), atol=1e-15)
    assert len(set(faults.fault_keys())) == len(faults)
    assert (faults.probabilities > 0).all()
    assert not any(key.strip(b"\0") == b"" for key in faults.fault_keys()), "a fault that flips nothing"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(PROBABILITIES, TARGETS), max_size=9), st.sets(st.integers(0, 3)))
def test_left_out_detectors_leave_the_others_as_they_are(errors: list[tuple[float, str]], keep: set[int]) -> None:
    dem = model_of(errors)
    faults = FaultModel.from_dem(dem, keep)
    mask = sum(1 << detector for detector in keep) | 0b110000
    expected = np.zeros(1 << 6)
    np.add.at(expected, np.arange(1 << 6) & mask, outcome_probabilities(dem))
    np.testing.assert_allclose(distribution(faults), expected, atol=1e-15)


def test_loops_and_shifts_are_unrolled() -> None:
    dem = stim.DetectorErrorModel("""
        error(0.1) D0 L0
        repeat 3 {
            error(0.2) D0 D1
            repeat 2 {
                error(0.05) D1 ^ D1 D0 L0
                shift_detectors 1
            }
        }
        error(0.25) D0
    """)
    faults = FaultModel.from_dem(dem)
    assert faults.num_detectors == dem.num_detectors == 7
    flat = FaultModel.from_dem(dem.flattened())
    assert faults.fault_keys() == flat.fault_keys()
    np.testing.assert_allclose(distribution(faults), outcome_probabilities(dem), atol=1e-15)


def test_many_observables_and_detectors_keep_their_places() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D20 L9\nerror(0.2) D7 D8 L0 L8\nerror(0.3) L17")
    faults = FaultModel.from_dem(dem)
    shots = np.array([[0, 1, 3], [2, 3, 3], [3, 3, 3]])
    flips = np.unpackbits(faults.combine(shots), axis=1, bitorder="little")
    assert [np.flatnonzero(row).tolist() for row in flips] == [[7, 8, 20, 24, 24 + 8, 24 + 9], [24 + 17], []]
    assert faults.detectors == ((20,), (7, 8), ())


def test_neighbours_share_a_detector() -> None:
    dem = stim.DetectorErrorModel("error(0.1) D0 L0\nerror(0.1) D0 D1\nerror(0.1) D1 D2\nerror(0.1) D3\nerror(0.1) L0")
    first, second = FaultModel.from_dem(dem).neighbours
    assert [second[a:b].tolist() for a, b in itertools.pairwise(first)] == [[1], [0, 2], [1], [], []]


def test_a_circuit_has_the_errors_that_stim_says() -> None:
    dem = surface(3, 0.01).detector_error_model(decompose_errors=True)
    faults = FaultModel.from_dem(dem)
    expected = mechanisms(dem)
    assert len(faults) == len(expected)
    np.testing.assert_allclose(np.sort(faults.probabilities), np.sort([p for _, p in expected]))


def test_weights_add_up_to_outcomes() -> None:
    dem = surface(3, 0.02, rounds=1).detector_error_model()
    faults = mechanisms(dem)
    size = dem.num_detectors + dem.num_observables
    total = outcomes_by_weight(faults, size, len(faults)).sum(axis=0)
    np.testing.assert_allclose(total, outcome_probabilities(dem), atol=1e-15)


def test_components_of_a_mechanism() -> None:
    ((p, parts),) = components_of(stim.DetectorErrorModel("error(0.1) D0 D1 ^ D2 L3 ^ D2 D2 D4"))
    assert p == 0.1
    assert parts == [({0, 1}, set()), ({2}, {3}), ({4}, set())]


@pytest.mark.parametrize("text", ["error(0.1) D0", "error(0) D0 L0", "error(0.1) D0 L0 L0", "detector D0", ""])
def test_a_model_that_cannot_fail_is_refused(text: str) -> None:
    with pytest.raises(CircuitError, match="flips an observable"):
        FaultModel.from_dem(stim.DetectorErrorModel(f"{text}\nlogical_observable L0"))


def test_odds_above_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"probability 0\.75.*1/2"):
        FaultModel.from_dem(stim.DetectorErrorModel("error(0.75) D0 L0"))
    assert FaultModel.from_dem(stim.DetectorErrorModel("error(0.5) D0 L0\nerror(0.5) D0 L0")).odds.tolist() == [1.0]
