"""The eight features, computed by hand for circuits small enough for it."""

import math
from typing import Any

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, transpile
from qiskit.circuit import Parameter

from quell.errors import InputError
from quell.mitigation import read_counts
from quell.mitigation.flip_rate import (
    FEATURE_NAMES,
    FlipRateRecord,
    circuit_features,
    effective_flip_rate,
    normalised_entropy,
)


def device(num_qubits: int = 3, gate: str = "cz") -> dict[str, Any]:
    """Qubit q has T1 = 100 (q + 1) µs and readout error 0.01 (q + 1); single-qubit gates last 50 ns, pairs 500 ns."""
    qubits = [
        [
            {"name": "T1", "unit": "us", "value": 100 * (q + 1)},
            {"name": "T2", "unit": "us", "value": 100},
            {"name": "readout_error", "value": 0.01 * (q + 1)},
            {"name": "readout_length", "unit": "ns", "value": 1000},
        ]
        for q in range(num_qubits)
    ]

    def entry(name: str, on: list[int], error: float, length: float) -> dict[str, Any]:
        parameters = [
            {"name": "gate_error", "value": error},
            {"name": "gate_length", "unit": "ns", "value": length},
        ]
        return {"gate": name, "qubits": on, "parameters": parameters}

    singles = [entry(name, [q], 0.001 * (q + 1), 50) for name in ("sx", "x", "rx", "id") for q in range(num_qubits)]
    pairs = [entry(gate, [q, q + 1], 0.02, 500) for q in range(num_qubits - 1)]
    return {"backend_name": "three", "qubits": qubits, "gates": singles + pairs}


def test_every_feature_by_hand() -> None:
    circuit = QuantumCircuit(3, 2)
    circuit.rz(0.3, 1)
    circuit.sx(1)
    circuit.x(2)
    circuit.rx(0.2, 2)
    circuit.id(1)
    circuit.barrier()
    circuit.cz(2, 1)
    circuit.delay(500, 1)
    circuit.measure([1, 2], [0, 1])
    features = circuit_features(circuit, device())
    decay_1, decay_2 = 1 - math.exp(-50 / 200_000), 1 - math.exp(-50 / 300_000)
    pair = 1 - math.exp(-500 * (1 / 200_000 + 1 / 300_000))
    esp = (1 - 0.002 - decay_1) ** 2 * (1 - 0.003 - decay_2) ** 2 * (1 - 0.02 - pair) * 0.98 * 0.97
    assert features.esp == pytest.approx(esp, rel=1e-12)
    table = read_counts({"00": 50, "11": 25, "01": 25})
    expected = dict(
        zip(FEATURE_NAMES, (2, 2, 1, 2, 1, 1, 1.5 / 2, pytest.approx(esp)), strict=True)
    )  # id counts for ESP alone, rx as sx
    assert dict(zip(FEATURE_NAMES, features.with_counts(table).tolist(), strict=True)) == expected


def test_esp_is_a_product_of_what_qiskit_reports() -> None:
    from qiskit.providers.fake_provider import GenericBackendV2

    backend = GenericBackendV2(5, basis_gates=["cz", "id", "rz", "sx", "x"], seed=7)
    circuit = QuantumCircuit(5)
    circuit.h(0)
    for qubit in range(4):
        circuit.cx(qubit, qubit + 1)
    circuit.measure_all()
    transpiled = transpile(circuit, backend, seed_transpiler=1)
    product = 1.0
    for item in transpiled.data:
        places = tuple(transpiled.find_bit(qubit).index for qubit in item.qubits)
        if item.operation.name == "barrier":
            continue
        known = backend.target[item.operation.name][places]
        if item.operation.name == "measure":
            product *= 1 - known.error
            continue
        rate = sum(1 / backend.target.qubit_properties[place].t1 for place in places)
        product *= 1 - known.error - (1 - math.exp(-known.duration * rate))
    found = circuit_features(transpiled, backend)
    assert found.esp == pytest.approx(product, rel=1e-12)
    counted = transpiled.count_ops()
    assert (found.rz, found.sx, found.x, found.two_qubit) == tuple(
        counted.get(name, 0) for name in ("rz", "sx", "x", "cz")
    )
    assert (found.qubits, found.measured) == (5, 5)


def test_a_broken_gate_makes_esp_zero_and_says_so() -> None:
    broken = device()
    broken["gates"][-1]["parameters"][0]["value"] = 1.0
    circuit = QuantumCircuit(3, 1)
    circuit.cz(1, 2)
    circuit.measure(2, 0)
    found = circuit_features(circuit, broken)
    assert found.esp == 0
    assert "reports as broken" in found.notes[-1]


def prepared(change: Any, num_qubits: int = 3) -> QuantumCircuit:
    circuit = QuantumCircuit(num_qubits, 3)
    change(circuit)
    circuit.measure(0, 0)
    return circuit


def branching(circuit: QuantumCircuit) -> None:
    with circuit.if_test((circuit.clbits[1], 1)):
        circuit.x(0)


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (prepared(lambda c: c.sx(0), num_qubits=2), "has 2 qubits and three has 3: transpile it for this device"),
        (prepared(lambda c: c.h(0)), "gate 'h' on 1 qubits is not covered: transpile the circuit"),
        (prepared(lambda c: c.ccx(0, 1, 2)), "gate 'ccx' on 3 qubits is not covered"),
        (prepared(lambda c: c.cx(0, 1)), "gate 'cx' is not among the calibrated gates of three, cz, id, rx, rz, sx"),
        (prepared(lambda c: c.cz(0, 2)), r"gate 'cz' is not calibrated on qubits \(0, 2\) of three"),
        (prepared(lambda c: c.reset(0)), "resets a qubit"),
        (prepared(branching), "'if_else' depends on measured results"),
        (prepared(lambda c: (c.measure(0, 1), c.x(0))), "qubit 0 is used after its measurement"),
        (prepared(lambda c: c.measure(1, 0)), "classical bit 0 is measured twice"),
        (QuantumCircuit(3, 1), "measures nothing"),
        ("x q[0];", "circuit must be a qiskit.QuantumCircuit, got a str"),
    ],
)
def test_circuits_that_are_not_covered_are_refused(circuit: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        circuit_features(circuit, device())


def test_unbound_angles_do_not_matter() -> None:
    circuit = prepared(lambda c: c.rz(Parameter("t"), 0))
    assert circuit_features(circuit, device()).rz == 1


def test_counts_must_fit_the_circuit() -> None:
    circuit = QuantumCircuit(QuantumRegister(3), ClassicalRegister(3))
    circuit.measure([0, 1], [0, 2])
    features = circuit_features(circuit, device())
    # The bit that is never measured may stand in the counts; entropy is shared among the two measured bits.
    for counts in ({"000": 1, "101": 1}, {"00": 1, "11": 1}):
        assert features.with_counts(read_counts(counts))[FEATURE_NAMES.index("entropy")] == 0.5
    with pytest.raises(InputError, match="the counts have 4 bits and the circuit measures 2"):
        features.with_counts(read_counts({"0000": 1}))


def test_entropy_of_uniform_and_certain_counts() -> None:
    assert normalised_entropy(read_counts({format(k, "05b"): 7 for k in range(32)}), 5) == pytest.approx(1)
    assert normalised_entropy(read_counts({"01010": 7}), 5) == 0


def test_effective_flip_rate_inverts_independent_flips() -> None:
    for rate in (0.0, 0.03, 0.4):
        assert effective_flip_rate(0.5 * (1 - rate) ** 9, 0.5, 9) == pytest.approx(rate)
    assert effective_flip_rate(0.6, 0.5, 3) < 0
    for noisy, ideal in ((0.0, 1.0), (0.5, 0.0), (1.2, 1.0)):
        with pytest.raises(InputError, match="needs probabilities above 0"):
            effective_flip_rate(noisy, ideal, 3)


def test_a_record_of_a_measured_circuit() -> None:
    circuit = QuantumCircuit(3, 2)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.measure([0, 1], [0, 1])
    counts = {"00": 400, "11": 410, "01": 100, "10": 90}
    record = FlipRateRecord.measured(circuit, device(), counts, {"00": 0.5, "11": 0.5}, name="bell", machine="three")
    assert record.p_eff == pytest.approx(1 - math.sqrt(0.405 / 0.5))
    assert (record.circuit, record.machine) == ("bell", "three")
    np.testing.assert_array_equal(record.features, circuit_features(circuit, device()).with_counts(read_counts(counts)))
    with pytest.raises(InputError, match="an answer that no shot gave has none"):
        FlipRateRecord.measured(circuit, device(), {"01": 5}, {"10": 1.0}, name="bell")
    for ideal in ({}, {"10": 2.0}):
        with pytest.raises(InputError, match="ideal must hold probabilities"):
            FlipRateRecord.measured(circuit, device(), counts, ideal, name="bell")
