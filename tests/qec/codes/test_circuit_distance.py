"""Circuit distances against brute force, against Stim on matchable circuits, and on cultivation."""

import itertools

import numpy as np
import pytest
import stim

from quell.circuits import NoiseModel, cultivation, rotated_surface_memory
from quell.errors import CircuitError, InputError, TooLargeError
from quell.qec.codes.circuit_distance import CircuitDistance, circuit_distance

NOISE = NoiseModel.uniform_depolarizing(1e-3)


def brute_force(model: stim.DetectorErrorModel, most: int) -> int | None:
    rows = []
    for error in model.flattened():
        assert isinstance(error, stim.DemInstruction)
        if error.type != "error":
            continue
        targets = [t for t in error.targets_copy() if isinstance(t, stim.DemTarget)]
        rows.append(
            (
                sum(1 << t.val for t in targets if t.is_relative_detector_id()),
                sum(1 << t.val for t in targets if t.is_logical_observable_id()),
            )
        )
    for weight in range(1, most + 1):
        for chosen in itertools.combinations(rows, weight):
            detectors = observables = 0
            for row in chosen:
                detectors ^= row[0]
                observables ^= row[1]
            if not detectors and observables:
                return weight
    return None


def check_witness(found: CircuitDistance) -> None:
    detectors: set[int] = set()
    observables: set[int] = set()
    for mechanism in found.witness:
        detectors ^= set(mechanism.detectors)
        observables ^= set(mechanism.observables)
    assert len(set(found.witness)) == len(found.witness) == found.upper
    assert not detectors
    assert observables


def random_model(rng: np.random.Generator) -> stim.DetectorErrorModel:
    num_detectors, num_errors = int(rng.integers(4, 13)), int(rng.integers(6, 15))
    model = stim.DetectorErrorModel("logical_observable L1")
    for _ in range(num_errors):
        size = int(rng.integers(0 if rng.random() < 0.05 else 1, min(6, num_detectors)))
        targets = [stim.target_relative_detector_id(int(d)) for d in rng.choice(num_detectors, size, replace=False)]
        targets += [stim.target_logical_observable_id(o) for o in range(2) if rng.random() < 0.15]
        if targets:
            model.append("error", 0.1, targets)
    return model


def test_random_models_have_the_distance_of_a_brute_force() -> None:
    seen = set()
    for seed in range(400):
        model = random_model(np.random.default_rng(seed))
        expected = brute_force(model, 5)
        found = circuit_distance(model, exhaust=5)
        if expected is None:
            assert found.lower == 6, seed
        else:
            assert found.distance == expected, seed
            check_witness(found)
        shorter = circuit_distance(model, exhaust=2)
        assert shorter.lower == (min(expected, 3) if expected else 3)
        if shorter.witness:
            check_witness(shorter)
        seen.add(expected)
    assert seen == {1, 2, 3, 4, 5, None}


@pytest.mark.parametrize("distance", [3, 5])
def test_surface_codes_have_the_distance_that_stim_finds(distance: int) -> None:
    circuit = NOISE.apply(rotated_surface_memory(distance, 2))
    found = circuit_distance(circuit)
    assert found.distance == len(circuit.shortest_graphlike_error()) == distance
    check_witness(found)


def test_msc_3_with_s_stands_two_faults_and_msc_5_three() -> None:
    # The protocol is meant to stand four at distance 5; a set of four faults that it misses is below.
    found = circuit_distance(cultivation(3, noise=NOISE))
    assert found.distance == 3
    check_witness(found)
    circuit = cultivation(5, noise=NOISE, as_published=True)
    found = circuit_distance(circuit)
    assert found.distance == 4
    check_witness(found)
    check_in_a_simulation_of_the_state(circuit, found)


def check_in_a_simulation_of_the_state(circuit: stim.Circuit, found: CircuitDistance) -> None:
    """Puts the faults of a witness into the circuit, one at each of as many places, and runs it."""
    model = stim.DetectorErrorModel()
    for mechanism in found.witness:
        targets = [stim.target_relative_detector_id(d) for d in mechanism.detectors]
        model.append("error", 0.1, [*targets, *(stim.target_logical_observable_id(o) for o in mechanism.observables)])
    places: dict[int, list[tuple[str, int]]] = {}
    for error in circuit.explain_detector_error_model_errors(dem_filter=model, reduce_to_one_representative_error=True):
        (where,) = error.circuit_error_locations
        for each in where.flipped_pauli_product:
            assert isinstance(each.gate_target.value, int)
            pauli = (each.gate_target.pauli_type, each.gate_target.value)
            places.setdefault(where.stack_frames[0].instruction_offset, []).append(pauli)
    assert len(places) == found.upper
    faulty = stim.Circuit()
    for index, instruction in enumerate(circuit):
        assert isinstance(instruction, stim.CircuitInstruction)
        if not (stim.gate_data(instruction.name).is_noisy_gate and instruction.gate_args_copy()):
            faulty.append(instruction)
        for pauli, qubit in places.get(index, []):
            faulty.append(pauli, [qubit])
    converter = circuit.without_noise().compile_m2d_converter()
    for seed in range(4):
        simulator = stim.TableauSimulator(seed=seed)
        simulator.do(faulty)
        records = np.array([simulator.current_measurement_record()], np.bool_)
        detectors, observables = converter.convert(measurements=records, separate_observables=True)
        assert not detectors.any()
        assert observables.all()


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (stim.DetectorErrorModel("error(0.1) D0 L0"), {"exhaust": 0}, InputError, "exhaust must be an integer >= 1"),
        (stim.DetectorErrorModel("error(0.1) D0 L0"), {"exhaust": 6}, InputError, "exhaust must be <= 5, got 6"),
        (stim.DetectorErrorModel("error(0.1) D0"), {}, CircuitError, "1 to 64 observables, got 0"),
        (stim.DetectorErrorModel("detector D0\nlogical_observable L0"), {}, CircuitError, "put noise on the circuit"),
        (stim.DetectorErrorModel("error(0) D0 L0"), {}, CircuitError, "put noise on the circuit"),
        (stim.Circuit("R 0\nH 0\nM 0\nDETECTOR rec[-1]"), {}, CircuitError, "non-deterministic"),
        ("circuit", {}, InputError, "got str"),
    ],
)
def test_bad_input_is_named(model: object, options: dict[str, int], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        circuit_distance(model, **options)  # type: ignore[arg-type]


def test_a_circuit_with_too_many_mechanisms_is_refused_before_memory_runs_out() -> None:
    model = stim.DetectorErrorModel(
        "logical_observable L0\n" + "\n".join(f"error(0.1) D{i} D{i + 1}" for i in range(11_000))
    )
    with pytest.raises(TooLargeError, match=r"11,000 mechanisms make 60,494,500 pairs.*exhaust=2"):
        circuit_distance(model)
    few = stim.DetectorErrorModel(
        "logical_observable L0\n" + "\n".join(f"error(0.1) D{i} D{i + 1}" for i in range(2_700))
    )
    with pytest.raises(TooLargeError, match="exhaust=4"):
        circuit_distance(few, exhaust=5)


def test_nothing_found_leaves_the_upper_bound_open() -> None:
    found = circuit_distance(stim.DetectorErrorModel("error(0.1) D0 L0\nerror(0.1) D1"))
    assert (found.lower, found.upper, found.distance, found.witness) == (5, None, None, ())
