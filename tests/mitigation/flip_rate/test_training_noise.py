"""The simulated noise, against exact density matrices, closed forms and Stim."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, transpile
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import DensityMatrix, Pauli, Statevector

from quell.mitigation.flip_rate import read_calibration
from quell.mitigation.flip_rate.training_circuits import KINDS, WIDE_KINDS
from quell.mitigation.flip_rate.training_noise import compile_program, output_probabilities, sample_clifford, vary


def line_of_six(gate: str) -> GenericBackendV2:
    pairs = [[q, q + 1] for q in range(5)]
    return GenericBackendV2(6, basis_gates=[gate, "id", "rz", "sx", "x"], coupling_map=pairs, seed=1)


def small_device(num_qubits: int, gate: str, error: float, *, length: float = 0.0, t1: float = 1.0) -> dict[str, Any]:
    """Single-qubit errors are a tenth of those of pairs; no readout errors; `length` in ns for single-qubit gates."""

    def entry(name: str, on: list[int], value: float, duration: float) -> dict[str, Any]:
        parameters = [
            {"name": "gate_error", "value": value},
            {"name": "gate_length", "unit": "ns", "value": duration},
        ]
        return {"gate": name, "qubits": on, "parameters": parameters}

    times = [{"name": "T1", "unit": "s", "value": t1}, {"name": "T2", "unit": "s", "value": 2 * t1}]
    readout = [{"name": "prob_meas0_prep1", "value": 0.0}, {"name": "prob_meas1_prep0", "value": 0.0}]
    singles = [entry(name, [q], error / 10, length) for name in ("sx", "x") for q in range(num_qubits)]
    pairs = [entry(gate, [a, b], error, 0.0) for a in range(num_qubits) for b in range(num_qubits) if a != b]
    return {"qubits": [times + readout] * num_qubits, "gates": singles + pairs}


def measured_ideal(circuit: QuantumCircuit) -> NDArray[np.float64]:
    """What Qiskit's state vector says of the measured bits, bit i of an index being classical bit i."""
    bare = circuit.copy()
    places: dict[int, int] = {}
    bare.clear()
    for item in circuit.data:
        if item.operation.name == "measure":
            places[circuit.find_bit(item.clbits[0]).index] = circuit.find_bit(item.qubits[0]).index
        else:
            bare.append(item)
    return np.asarray(Statevector(bare).probabilities([places[bit] for bit in sorted(places)]))


@pytest.mark.parametrize("gate", ["cx", "cz", "ecr"])
@pytest.mark.parametrize("kind", ["adder", "inverse_qft", "random", "w_state"])
def test_without_noise_the_simulation_is_the_state_vector(gate: str, kind: str) -> None:
    backend = line_of_six(gate)
    circuit = KINDS[kind](4, np.random.default_rng(2))
    transpiled = transpile(circuit, target=backend.target, seed_transpiler=3, optimization_level=1)
    program = compile_program(transpiled, read_calibration(backend))
    ideal, noisy = output_probabilities(program, 4, np.random.default_rng(0))
    np.testing.assert_allclose(ideal, measured_ideal(circuit), atol=2e-6)
    assert noisy.sum() == pytest.approx(1)


def depolarised(state: DensityMatrix, qubits: list[int], total: float) -> DensityMatrix:
    """Depolarising noise, by summing over Paulis."""
    labels = [a + b for a in "IXYZ" for b in "IXYZ"][1:] if len(qubits) == 2 else list("XYZ")
    data = (1 - total) * state.data
    for label in labels:
        data = data + total / len(labels) * state.evolve(Pauli(label), qubits).data
    return DensityMatrix(data)


def test_gate_noise_is_depolarising_of_the_reported_infidelity() -> None:
    circuit = QuantumCircuit(3, 3)
    for a, b in ((0, 1), (1, 2), (0, 2)):
        circuit.sx(a)
        circuit.rz(0.7, a)
        circuit.sx(b)
        circuit.cx(a, b)
        circuit.x(b)
    circuit.measure(range(3), [1, 0, 2])
    error = 0.08
    state = DensityMatrix(QuantumCircuit(3))
    for item in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        if item.operation.name == "measure":
            continue
        state = state.evolve(item.operation, qubits)
        # Average infidelity e is a total Pauli probability of e (d + 1) / d.
        if item.operation.name != "rz":
            state = depolarised(state, qubits, error * 5 / 4 if len(qubits) == 2 else error / 10 * 3 / 2)
    program = compile_program(circuit, read_calibration(small_device(3, "cx", error)))
    _, noisy = output_probabilities(program, 20_000, np.random.default_rng(1))
    # Each probability is a mean over 20,000 values between 0 and 1: 0.02 is over 5.6 standard errors of at most
    # 0.0036, and there are 8 of them: below 1e-6.
    np.testing.assert_allclose(noisy, state.probabilities([1, 0, 2]), atol=0.02)


def test_a_waiting_qubit_decays_as_t1_says() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.cx(0, 1)
    for _ in range(20):
        circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    t1, wait = 5e-6, 20 * 100e-9
    program = compile_program(circuit, read_calibration(small_device(2, "cx", 0.0, length=100, t1=t1)))
    _, noisy = output_probabilities(program, 20_000, np.random.default_rng(1))
    # Twirled, a decay flips the bit with half its probability. Tolerance as above.
    assert noisy[1] == pytest.approx((1 - math.exp(-wait / t1)) / 2, abs=0.02)
    assert noisy[2] == noisy[3] == 0


def test_gates_start_as_late_as_they_can() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.x(0)
    for _ in range(20):
        circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    program = compile_program(circuit, read_calibration(small_device(2, "cx", 0.0, length=100, t1=1e-6)))
    ideal, noisy = output_probabilities(program, 10, np.random.default_rng(1))
    np.testing.assert_array_equal(ideal, noisy)


def test_readout_errors_strike_each_bit_on_its_own() -> None:
    device = small_device(2, "cx", 0.0)
    for qubit, (up, down) in enumerate([(0.1, 0.2), (0.03, 0.3)]):
        device["qubits"][qubit] = [
            {"name": "prob_meas1_prep0", "value": up},
            {"name": "prob_meas0_prep1", "value": down},
        ]
    circuit = QuantumCircuit(2, 2)
    circuit.x(1)
    circuit.measure([0, 1], [0, 1])
    _, noisy = output_probabilities(compile_program(circuit, read_calibration(device)), 1, np.random.default_rng(0))
    np.testing.assert_allclose(noisy, [0.9 * 0.3, 0.1 * 0.3, 0.9 * 0.7, 0.1 * 0.7], atol=1e-6)


@pytest.mark.parametrize("gate", ["cx", "cz", "ecr"])
def test_wide_sampling_agrees_with_state_vectors(gate: str) -> None:
    backend = line_of_six(gate)
    noise = vary(read_calibration(backend), 8.0, np.random.default_rng(5))
    for kind in WIDE_KINDS:
        circuit = WIDE_KINDS[kind](4, np.random.default_rng(2))
        transpiled = transpile(circuit, target=backend.target, seed_transpiler=3, optimization_level=1)
        program = compile_program(transpiled, noise)
        _, noisy = output_probabilities(program, 4000, np.random.default_rng(0))
        outputs = sample_clifford(program, 100_000, noisy=True, seed=8)
        assert outputs is not None
        shares = np.bincount(outputs @ (1 << np.arange(4)), minlength=16) / 100_000
        # Standard errors of at most 0.5 (1 / sqrt(4,000) + 1 / sqrt(100,000)) < 0.0095; 0.06 is over 6 of them.
        np.testing.assert_allclose(shares, noisy, atol=0.06)
        clean = sample_clifford(program, 1000, noisy=False, seed=8)
        assert clean is not None
        answers = measured_ideal(circuit)
        assert (answers[clean @ (1 << np.arange(4))] > 0.01).all()


def test_what_is_no_clifford_circuit_is_not_sampled() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.sx(0)
    circuit.rz(0.3, 0)
    circuit.sx(0)
    circuit.measure(0, 0)
    program = compile_program(circuit, read_calibration(small_device(1, "cx", 0.0)))
    assert sample_clifford(program, 10, noisy=False, seed=0) is None


def test_hidden_noise_is_worse_by_the_factor_and_stays_noise() -> None:
    calibration = read_calibration(small_device(40, "cx", 0.01))
    worse = vary(calibration, 4.0, np.random.default_rng(1))
    errors = [worse.gates[key].error / gate.error for key, gate in calibration.gates.items() if gate.error]
    # 1,640 log-normal factors of width 0.3: the median's standard error is 1.25 * 0.3 / 40 = 0.0094 in the log.
    assert abs(math.log(np.median(errors) / 4)) < 0.05
    assert abs(math.log(np.median(worse.t1) * 4)) < 0.4
    assert max(gate.error for gate in vary(calibration, 1e6, np.random.default_rng(1)).gates.values()) == 0.75
    assert vary(calibration, 4.0, np.random.default_rng(1)).gates == worse.gates


def test_kinds_have_the_answers_they_are_known_for() -> None:
    generator = np.random.default_rng(4)
    for kind, circuit in ((kind, build(5, generator)) for kind, build in KINDS.items()):
        ideal = measured_ideal(circuit)
        assert ideal.sum() == pytest.approx(1), kind
        if kind in ("adder", "bv", "fredkin", "hidden_shift", "mirror", "toffoli"):
            assert ideal.max() == pytest.approx(1), kind
        if kind in ("ghz", "cat"):
            assert sorted(ideal)[-2:] == pytest.approx([0.5, 0.5])
        if kind in ("coins", "qft"):
            np.testing.assert_allclose(ideal, 1 / 32, atol=1e-9)
        if kind == "w_state":
            np.testing.assert_allclose(ideal[[1, 2, 4, 8, 16]], 0.2, atol=1e-9)


def test_the_adder_adds() -> None:
    for seed in range(4):
        circuit = KINDS["adder"](7, np.random.default_rng(seed))
        flipped = {circuit.find_bit(item.qubits[0]).index for item in circuit.data if item.operation.name == "x"}
        numbers = [sum((qubit in flipped) << bit for bit, qubit in enumerate(range(start, 7, 2))) for start in (1, 2)]
        assert int(measured_ideal(circuit).argmax()) == sum(numbers)
