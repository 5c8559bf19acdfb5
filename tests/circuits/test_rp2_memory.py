"""RP² memories against their code, stabilizer flows, exhaustive searches, and an enumerated error rate."""

import itertools
from collections import defaultdict

import numpy as np
import pymatching
import pytest
import stim

from quell.circuits import NoiseModel, rp2_code
from quell.circuits.rp2_lattice import check_kind, rp2_lattice
from quell.circuits.rp2_memory import rp2_memory
from quell.errors import InputError, TooLargeError
from quell.qec import sweep
from quell.qec.codes.circuit_distance import circuit_distance

UNIFORM = NoiseModel.uniform_depolarizing(0.001)


def seen_by(model: stim.DetectorErrorModel, basis: str) -> stim.DetectorErrorModel:
    """What the checks of one basis see of each fault; under depolarizing noise that part is a fault too."""
    sites = model.get_detector_coordinates()
    cut = stim.DetectorErrorModel()
    for error in model.flattened():
        if error.type == "error":
            targets = [
                target
                for target in error.targets_copy()
                if target.is_logical_observable_id()
                or check_kind((sites[target.val][0], sites[target.val][1])) == basis
            ]
            if targets:
                cut.append("error", error.args_copy(), targets)
    return cut


@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize(("d", "rounds"), [(3, 1), (3, 2), (3, 7), (5, 3), (7, 2), (9, 3)])
def test_every_detector_is_deterministic_and_none_is_missing(d: int, rounds: int, basis: str) -> None:
    circuit = rp2_memory(d, rounds, basis)
    circuit.detector_error_model()  # raises on a detector or an observable that is random
    assert not circuit.compile_detector_sampler(seed=1).sample(64, append_observables=True).any()
    assert (circuit.num_qubits, circuit.num_detectors, circuit.num_observables) == (
        2 * d**2 + 1,
        (d**2 + 1) * rounds,
        1,
    )
    coordinates = {tuple(place) for place in circuit.get_detector_coordinates().values()}
    ends = {(*check.site, t) for check in rp2_lattice(d).checks for t in (0, rounds) if check.kind == basis}
    between = {(*check.site, t) for check in rp2_lattice(d).checks for t in range(1, rounds)}
    assert coordinates == ends | between


@pytest.mark.parametrize("d", [3, 5, 7, 9, 15, 21])
def test_five_layers_without_conflict(d: int) -> None:
    depth, busy = 0, set()
    for instruction in rp2_memory(d, 1):
        if instruction.name == "TICK":
            busy.clear()
        elif instruction.name in {"R", "RX", "CX", "M", "MX"}:
            qubits = [target.value for target in instruction.targets_copy()]
            assert len(set(qubits)) == len(qubits)
            assert busy.isdisjoint(qubits)
            busy.update(qubits)
            depth += instruction.name == "CX"
        else:
            assert instruction.name in {"QUBIT_COORDS", "DETECTOR", "OBSERVABLE_INCLUDE", "SHIFT_COORDS"}
    assert depth == 5


@pytest.mark.parametrize("d", [3, 5, 7])
def test_a_round_measures_the_checks_of_the_code_and_nothing_else(d: int) -> None:
    code = rp2_code(d)
    round_of_checks = stim.Circuit()
    for instruction in rp2_memory(d, 1):
        if instruction.name == "CX":
            round_of_checks.append(instruction)
        elif instruction.name in {"R", "RX", "M", "MX"}:
            ancillas = [target for target in instruction.targets_copy() if target.value >= d**2]
            round_of_checks.append(instruction.name, ancillas)
    places = {tuple(place): qubit for qubit, place in rp2_memory(d, 1).get_final_qubit_coordinates().items()}
    assert code.coordinates is not None
    data = [places[tuple(place)] for place in code.coordinates]
    assert sorted(data) == list(range(d**2))

    def pauli(kind: str, support: np.ndarray) -> stim.PauliString:  # type: ignore[type-arg]
        product = stim.PauliString(round_of_checks.num_qubits)
        for index in np.flatnonzero(support):
            product[data[index]] = kind
        return product

    nothing = stim.PauliString(0)
    unmatched = set(range(d**2 + 1))
    for kind, checks, logicals in (("X", code.x_checks, code.logical_x), ("Z", code.z_checks, code.logical_z)):
        for support in checks:
            product = pauli(kind, support)
            # Which measurement it is the code does not say; its flow says it.
            measured = [
                record
                for record in unmatched
                if round_of_checks.has_flow(stim.Flow(input=product, output=nothing, measurements=[record]))
            ]
            assert len(measured) == 1
            unmatched.remove(measured[0])
            assert round_of_checks.has_flow(stim.Flow(input=product, output=product))
        for support in logicals:
            product = pauli(kind, support)
            assert round_of_checks.has_flow(stim.Flow(input=product, output=product))
    assert not unmatched


@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize("d", [3, 5, 7])
def test_the_circuit_keeps_the_distance_of_the_code(d: int, basis: str) -> None:
    for rounds in (d, 2 * d) if d < 7 else (d,):
        circuit = rp2_memory(d, rounds, basis, UNIFORM)
        assert len(circuit.shortest_graphlike_error()) == d
        model = seen_by(circuit.detector_error_model(), basis)
        # No fault flips more than two checks of one basis: the shortest cycle of the graph is the exact distance.
        assert len(model.shortest_graphlike_error(ignore_ungraphlike_errors=False)) == d
    assert len(rp2_memory(d, 1, basis, NoiseModel.code_capacity(0.01)).shortest_graphlike_error()) == d


@pytest.mark.parametrize("basis", "XZ")
def test_exhaustion_over_all_faults_agrees(basis: str) -> None:
    assert circuit_distance(rp2_memory(3, 3, basis, UNIFORM), exhaust=3).distance == 3


@pytest.mark.parametrize("basis", "XZ")
@pytest.mark.parametrize("d", [3, 5])
def test_matching_graph_has_one_observable_for_each_pair_of_detectors(d: int, basis: str) -> None:
    sites: dict[int, list[float]] = rp2_memory(d, d, basis).get_detector_coordinates()
    observables = defaultdict(set)
    for error in rp2_memory(d, d, basis, UNIFORM).detector_error_model(decompose_errors=True).flattened():
        if error.type == "error":
            for separator, part in itertools.groupby(error.targets_copy(), stim.DemTarget.is_separator):
                if not separator:
                    targets = list(part)
                    flipped = [target.val for target in targets if target.is_relative_detector_id()]
                    kinds = {check_kind((sites[index][0], sites[index][1])) for index in flipped}
                    assert len(kinds) == 1
                    assert len(flipped) <= 2
                    crosses = len(flipped) != len(targets)
                    assert not crosses or kinds == {basis}
                    observables[tuple(sorted(flipped))].add(crosses)
    assert all(len(values) == 1 for values in observables.values())


@pytest.mark.parametrize("basis", "XZ")
def test_sampled_error_rate_is_the_enumerated_one(basis: str) -> None:
    """All 512 errors of the code on paper; the sampled rate is beyond 5 sigma once in 1.7 million runs."""
    p, shots = 0.08, 200_000
    code, lattice = rp2_code(3), rp2_lattice(3)
    assert code.coordinates is not None
    index = {tuple(place): qubit for qubit, place in enumerate(code.coordinates)}
    checks = [[index[site] for site in check.data] for check in lattice.checks if check.kind == basis]
    logical = (code.logical_z if basis == "Z" else code.logical_x)[0]
    circuit = rp2_memory(3, 1, basis, NoiseModel.code_capacity(p))
    matching = pymatching.Matching.from_detector_error_model(circuit.detector_error_model(decompose_errors=True))
    exact = 0.0
    for bits in itertools.product((0, 1), repeat=9):
        error = np.array(bits)
        # The round sees the error, and the final readout nothing new.
        syndrome = [error[check].sum() % 2 for check in checks] + [0] * len(checks)
        if matching.decode(np.array(syndrome))[0] != logical @ error % 2:
            exact += p ** error.sum() * (1 - p) ** (9 - error.sum())
    assert 0.5 < exact / p**2 < 36  # no single error is wrong, and no more than all pairs are
    detections, flips = circuit.compile_detector_sampler(seed=11).sample(shots, separate_observables=True)
    wrong = int((matching.decode_batch(detections) != flips).any(axis=1).sum())
    assert abs(wrong - exact * shots) < 5 * np.sqrt(exact * (1 - exact) * shots)


def test_sweeps_find_the_larger_code_better() -> None:
    """About 150 and 20 errors in 20,000 shots, more than 9 sigma apart: the false-alarm rate is below 1e-18."""
    noise = NoiseModel.uniform_depolarizing(0.002)
    small, large = (
        sweep(rp2_memory(d, d, "Z", noise), "pymatching", max_shots=20_000, num_workers=1, progress=False)[0]
        for d in (3, 7)
    )
    assert min(small.shots, large.shots) >= 20_000
    assert 0 < large.errors < small.errors


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((4, 3), InputError, "distance must be odd and >= 3, got 4"),
        ((1, 3), InputError, "distance must be odd and >= 3, got 1"),
        ((3, 0), InputError, "rounds must be an integer >= 1, got 0"),
        ((3, 2.5), InputError, "rounds must be an integer >= 1, got 2.5"),
        ((3, 3, "Y"), InputError, "basis must be 'X' or 'Z', got 'Y'"),
        ((3, 3, "Z", 0.001), InputError, "noise must be a NoiseModel or None, got 0.001"),
        ((53, 3), TooLargeError, "distance must be <= 51 for RP² codes, got 53.*rotated_surface_memory"),
        ((3, 10**14 + 1), TooLargeError, "rounds must be <= 100,000,000,000,000 at distance 3.*lower rounds"),
        ((10**5000 + 1, 3), TooLargeError, "distance must be <= 51"),
        ((3, 10**5000), TooLargeError, "rounds must be <= 100,000,000,000,000"),
    ],
)
def test_bad_input_is_refused(arguments: tuple[object, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        rp2_memory(*arguments)  # type: ignore[arg-type]


def test_a_loop_holds_any_number_of_rounds() -> None:
    long, short = rp2_memory(3, 10**9), rp2_memory(3, 3)
    assert len(long) == len(short)
    assert long.num_detectors == 10 * 10**9
    assert rp2_memory(3, 3, "z") == short
