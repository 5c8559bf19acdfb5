"""Fault structures against models read by other means, Stim's circuits, and how independent flips add."""

import collections
import re

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.circuits import NoiseModel, rotated_surface_memory, rp2_memory
from quell.decoders.noise_learning.structure import MOST_DETECTORS, FaultStructure, probabilities_of, rates_of
from quell.errors import InputError

UNIFORM = NoiseModel.uniform_depolarizing(0.004)

Effect = tuple[frozenset[str], frozenset[str]]


def effects(text: str) -> list[tuple[float, Effect]]:
    """Every error of a flat model's text: its probability, and the detectors and observables that it flips."""
    found = []
    for probability, targets in re.findall(r"^error(?:\[.*?\])?\((.*?)\)(.*)$", text, re.MULTILINE):
        often = collections.Counter(targets.split())
        odd = frozenset(name for name, times in often.items() if times % 2 and name != "^")
        detectors = frozenset(name for name in odd if name.startswith("D"))
        found.append((float(probability), (detectors, odd - detectors)))
    return found


def together(pairs: list[tuple[float, Effect]]) -> dict[Effect, float]:
    """The chance that an odd number of the errors of each effect happens."""
    found: dict[Effect, float] = collections.defaultdict(float)
    for p, effect in pairs:
        found[effect] = found[effect] * (1 - p) + (1 - found[effect]) * p
    return found


def by_detectors(pairs: list[tuple[float, Effect]]) -> dict[frozenset[str], float]:
    merged = together([(p, (detectors, frozenset())) for p, (detectors, _) in pairs])
    return {detectors: p for (detectors, _), p in merged.items()}


def names(structure: FaultStructure) -> list[frozenset[str]]:
    return [frozenset(f"D{d}" for d in row if d >= 0) for row in structure.detectors.tolist()]


@st.composite
def models(draw: st.DrawFn) -> stim.DetectorErrorModel:
    """Models with repeated targets, parts that cancel, observables, and probabilities of 0."""
    target = st.sampled_from(["D0", "D1", "D2", "D3", "D4", "L0", "L1"])
    part = st.lists(target, min_size=1, max_size=4).map(" ".join)
    error = st.lists(part, min_size=1, max_size=3).map(" ^ ".join)
    rows = draw(st.lists(st.tuples(st.sampled_from([0.0, 1e-4, 0.02, 0.1, 0.3]), error), min_size=1, max_size=12))
    return stim.DetectorErrorModel("\n".join(f"error({p}) {targets}" for p, targets in rows) + "\nerror(0.05) D5\n")


@settings(max_examples=50, deadline=None)
@given(models())
def test_faults_are_the_distinct_sets_with_the_chances_of_odd_numbers(dem: stim.DetectorErrorModel) -> None:
    structure = FaultStructure.of(dem)
    expected = by_detectors(effects(str(dem)))
    expected.pop(frozenset(), None)
    rows = names(structure)
    assert len(set(rows)) == len(rows) == structure.num_faults
    assert set(rows) == set(expected)
    assert probabilities_of(structure.nominal) == pytest.approx([expected[row] for row in rows], abs=1e-12)
    assert structure.sizes.tolist() == [len(row) for row in rows]
    for row, size in zip(structure.detectors, structure.sizes, strict=True):
        assert (np.diff(row[:size]) > 0).all()
        assert (row[size:] == -1).all()
    flips = [detectors for _, (detectors, _) in effects(str(dem.flattened()))]
    assert [rows[fault] if fault >= 0 else frozenset() for fault in structure.given_faults] == flips


@settings(max_examples=50, deadline=None)
@given(models())
def test_nominal_rates_give_the_same_distribution(dem: stim.DetectorErrorModel) -> None:
    structure = FaultStructure.of(dem)
    before, after = (together(effects(str(each))) for each in (dem.flattened(), structure.model(structure.nominal)))
    assert set(before) == set(after)
    assert [after[effect] for effect in before] == pytest.approx(list(before.values()), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(models(), st.integers(0, 2**32))
def test_a_model_has_the_rates_that_it_was_made_with(dem: stim.DetectorErrorModel, seed: int) -> None:
    structure = FaultStructure.of(dem)
    rates = np.random.default_rng(seed).gamma(1.0, 0.2, structure.num_faults)
    model = structure.model(rates)
    found = by_detectors(effects(str(model)))
    assert probabilities_of(rates) == pytest.approx([found[row] for row in names(structure)], abs=1e-12)
    assert structure.probabilities(rates)[structure.errors_faults >= 0] == pytest.approx(
        [p for p, (detectors, _) in effects(str(model)) if detectors], abs=1e-15
    )
    undetectable = [p for p, (detectors, _) in effects(str(structure.dem)) if not detectors]
    assert [p for p, (detectors, _) in effects(str(model)) if not detectors] == undetectable


def test_errors_that_flip_the_same_detectors_share_as_in_the_structure() -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0\nerror(.3) D0 L0\nerror(.2) D1"))
    w = -np.log(1 - 2 * np.array([0.1, 0.3]))
    assert structure.shares == pytest.approx([*(w / w.sum()), 1])
    new = structure.probabilities(3 * structure.nominal)
    assert -np.log(1 - 2 * new) == pytest.approx(3 * np.array([*w, -np.log(0.6)]))


def test_errors_of_probability_zero_share_equally() -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel("error(0) D0\nerror(0) D0 L0\nerror(0) D1\nerror(.1) D1 L0"))
    assert structure.nominal[0] == 0
    assert structure.shares.tolist() == [0.5, 0.5, 0.0, 1.0]
    assert structure.probabilities(rates_of(np.array([0.2, 0.2])))[2:].tolist() == pytest.approx([0.0, 0.2])


@pytest.mark.parametrize("p", [0.5, 0.7, 1.0])
def test_errors_that_are_likelier_than_not_are_kept_below_a_half(p: float) -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel(f"error({p}) D0\nerror(.1) D1"))
    assert np.isfinite(structure.nominal).all()
    model = structure.model(structure.nominal)
    assert 0.45 < effects(str(model))[0][0] < 0.5
    assert effects(str(model))[1][0] == pytest.approx(0.1)


def test_all_but_the_probabilities_is_kept() -> None:
    text = """
        error[first](0.125) D0 D1 ^ D2 L0
        detector[there](1, 2, 0) D0
        logical_observable[which] L2
        repeat 2 {
            error[again](0.25) D1 L1
            shift_detectors(0, 0, 1) 3
            detector(5, 6, 7) D3
        }
        error[unseen](0.0625) L1
        detector D14
    """
    dem = stim.DetectorErrorModel(text)
    structure = FaultStructure.of(dem)
    assert (structure.num_detectors, structure.num_observables) == (21, 3)
    assert structure.coordinates == dem.get_detector_coordinates()
    assert structure.coordinates[9] == [5, 6, 9]
    assert structure.errors_faults.tolist() == [2, 0, 1, -1]
    assert structure.model(structure.nominal).approx_equals(dem.flattened(), atol=1e-12)
    changed = structure.model(2 * structure.nominal)
    zeroed = re.sub(r"\(0\.\d+\)", "()", str(changed)), re.sub(r"\(0\.\d+\)", "()", str(dem.flattened()))
    assert zeroed[0] == zeroed[1]
    assert "unseen](0.0625)" in str(changed)


@pytest.mark.parametrize("decompose", [True, False])
@pytest.mark.parametrize(
    "circuit",
    [
        rotated_surface_memory(3, 4, "X", UNIFORM),
        rp2_memory(3, 3, "Z", UNIFORM),
        stim.Circuit.generated(
            "surface_code:unrotated_memory_z", distance=3, rounds=3, after_clifford_depolarization=0.01
        ),
    ],
    ids=["rotated", "RP2", "unrotated"],
)
def test_models_of_circuits_come_back(circuit: stim.Circuit, decompose: bool) -> None:
    dem = circuit.detector_error_model(decompose_errors=decompose)
    structure = FaultStructure.of(dem)
    model = structure.model(structure.nominal)
    assert (model.num_detectors, model.num_observables) == (circuit.num_detectors, circuit.num_observables)
    assert model.get_detector_coordinates() == circuit.get_detector_coordinates()
    plain = circuit.detector_error_model().flattened()
    before, after = together(effects(str(plain))), together(effects(str(model)))
    assert set(before) == set(after)
    assert [after[effect] for effect in before] == pytest.approx(list(before.values()), abs=1e-12)


def test_a_circuit_is_read_as_its_decomposed_model() -> None:
    circuit = rotated_surface_memory(3, 2, "X", UNIFORM)
    of_circuit = FaultStructure.of(circuit)
    of_model = FaultStructure.of(circuit.detector_error_model(decompose_errors=True))
    assert str(of_circuit.dem) == str(of_model.dem)
    assert "^" in str(of_circuit.dem)


def test_a_circuit_that_does_not_decompose_is_read_as_it_is() -> None:
    circuit = stim.Circuit("X_ERROR(0.1) 0\nM 0\nDETECTOR rec[-1]\nDETECTOR rec[-1]\nDETECTOR rec[-1]")
    with pytest.raises(ValueError, match="decompose"):
        circuit.detector_error_model(decompose_errors=True)
    assert FaultStructure.of(circuit).detectors.tolist() == [[0, 1, 2]]


def test_disjoint_errors_are_approximated_as_independent() -> None:
    circuit = stim.Circuit("PAULI_CHANNEL_1(0.01, 0, 0.02) 0\nMR 0\nDETECTOR rec[-1]")
    assert probabilities_of(FaultStructure.of(circuit).nominal) == pytest.approx([0.01])


def test_the_largest_fault_that_is_taken() -> None:
    largest = " ".join(f"D{d}" for d in range(MOST_DETECTORS))
    assert FaultStructure.of(stim.DetectorErrorModel(f"error(.1) {largest}")).sizes.tolist() == [MOST_DETECTORS]
    with pytest.raises(InputError, match=r"flips 13 detectors \(D0, D1, D2, D3, …\), the limit is 12: leave"):
        FaultStructure.of(stim.DetectorErrorModel(f"error(.1) {largest} D12"))
    # What cancels does not count.
    assert FaultStructure.of(stim.DetectorErrorModel(f"error(.1) {largest} D12 ^ D12")).num_faults == 1


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (stim.DetectorErrorModel(), "0 detectors and 0 errors"),
        (stim.DetectorErrorModel("error(.1) L0\ndetector D4"), "5 detectors and 1 errors, none of which flips"),
        (stim.DetectorErrorModel("error(.1) D0 ^ D0"), "none of which flips a detector"),
        (rotated_surface_memory(3, 2, "X"), "16 detectors and 0 errors.*with noise on it"),
        ("error(.1) D0", "stim.Circuit or a stim.DetectorErrorModel, got str"),
        (None, "got NoneType"),
        (stim.Circuit("RX 0\nX_ERROR(0.1) 0\nM 0\nDETECTOR rec[-1]"), "non-deterministic"),
    ],
    ids=["nothing", "observables", "cancelled", "noiseless", "text", "None", "not deterministic"],
)
def test_refused(structure: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        FaultStructure.of(structure)  # type: ignore[arg-type]  # that is what is refused


@given(st.lists(st.floats(1e-12, 0.45), min_size=1, max_size=5))
def test_rates_add_where_errors_flip_the_same(probabilities: list[float]) -> None:
    odd = 0.0
    for p in probabilities:
        odd = odd * (1 - p) + (1 - odd) * p
    assert probabilities_of(rates_of(np.array(probabilities)).sum()) == pytest.approx(odd, rel=1e-9)
