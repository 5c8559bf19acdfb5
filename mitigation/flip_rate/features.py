"""The eight numbers that the flip rate is predicted from, as in Patil, Baron, Zhou (arXiv:2504.10801).

Seven belong to the circuit on its device: how many qubits it touches and measures, how many gates of each kind it
has, and the estimated success probability ESP. The eighth, the entropy, belongs to the counts.
"""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation.flip_rate.calibration import Calibration
from quell.mitigation.flip_rate.calibration_reading import read_calibration
from quell.mitigation.table import CountTable

__all__ = [
    "FEATURE_NAMES",
    "CircuitFeatures",
    "circuit_features",
    "effective_flip_rate",
    "normalised_entropy",
]

FEATURE_NAMES = ("qubits", "measured", "rz", "sx", "x", "two_qubit", "entropy", "esp")
"""The features in the order of the regressor's columns."""

# How a single-qubit gate is counted. rx, which newer machines have, takes the place of a pair of sx.
_SINGLE = {"rz": "rz", "sx": "sx", "rx": "sx", "x": "x", "id": None}
_PASSED_OVER = ("barrier", "delay")


@dataclass(frozen=True)
class CircuitFeatures:
    """What is known of a circuit on its device before anything is measured.

    Attributes:
        qubits: How many qubits have at least one gate or measurement.
        measured: How many bits are measured.
        rz: Number of rz gates.
        sx: Number of sx gates; rx gates count here too.
        x: Number of x gates.
        two_qubit: Number of two-qubit gates.
        esp: Estimated success probability, between 0 and 1.
        num_clbits: How many classical bits the circuit has, measured or not.
        notes: What was assumed, in sentences.
    """

    qubits: int
    measured: int
    rz: int
    sx: int
    x: int
    two_qubit: int
    esp: float
    num_clbits: int
    notes: tuple[str, ...] = ()

    def with_counts(self, table: CountTable) -> NDArray[np.float64]:
        """Returns the eight features of these counts, float64 of shape (8,), in the order of `FEATURE_NAMES`.

        Raises:
            InputError: If the counts have another number of bits than the circuit.
        """
        if table.num_bits not in (self.measured, self.num_clbits):
            raise InputError(
                f"the counts have {table.num_bits} bits and the circuit measures {self.measured}: "
                "give the counts of this circuit"
            )
        entropy = normalised_entropy(table, self.measured)
        values = (self.qubits, self.measured, self.rz, self.sx, self.x, self.two_qubit, entropy, self.esp)
        return np.array(values, dtype=np.float64)


def circuit_features(circuit: Any, device: object) -> CircuitFeatures:
    """Returns the features of a transpiled circuit.

    ESP is the product, over all gates and measurements, of the probability that nothing goes wrong: for a gate,
    1 - error - (1 - exp(-duration / T1)), where a pair of qubits decays with the sum of both rates, and not below 0;
    for a measurement, 1 - readout error. Delays and barriers do not count.

    Args:
        circuit: A `qiskit.QuantumCircuit`, transpiled for the device, with measurements at its end.
        device: Whatever `read_calibration` reads: a backend, a Target, a snapshot or CSV file.

    Raises:
        InputError: If the circuit is not transpiled for the device, measures in the middle, branches on results,
            resets qubits, or measures nothing.
        DataError: If a calibration file is damaged.

    Examples:
        >>> from qiskit import QuantumCircuit
        >>> from quell.mitigation.flip_rate import circuit_features
        >>> gates = [{"gate": "sx", "qubits": [0], "parameters": [{"name": "gate_error", "value": 0.001}]}]
        >>> device = {"qubits": [[{"name": "readout_error", "value": 0.02}]], "gates": gates}
        >>> circuit = QuantumCircuit(1, 1)
        >>> _ = circuit.sx(0), circuit.measure(0, 0)
        >>> features = circuit_features(circuit, device)
        >>> features.sx, features.measured, round(features.esp, 3)
        (1, 1, 0.979)
    """
    calibration = read_calibration(device)
    _check_width(circuit, calibration)
    counted: Counter[str] = Counter()
    touched: set[int] = set()
    bit_of: dict[int, int] = {}
    esp = 1.0
    for instruction in circuit.data:
        name = instruction.operation.name
        if name in _PASSED_OVER:
            continue
        qubits = tuple(circuit.find_bit(qubit).index for qubit in instruction.qubits)
        _check_operation(name, instruction.operation, qubits, bit_of)
        touched.update(qubits)
        if name == "measure":
            bit = circuit.find_bit(instruction.clbits[0]).index
            if bit in bit_of.values():
                raise InputError(f"classical bit {bit} is measured twice: give the circuit one bit per measurement")
            bit_of[qubits[0]] = bit
            esp *= 1 - float(calibration.readout_error[qubits[0]])
            continue
        counted["two_qubit" if len(qubits) == 2 else _SINGLE[name] or "other"] += 1
        error, duration = calibration.gate(name, qubits)
        decay = -math.expm1(-duration * sum(1 / max(float(calibration.t1[qubit]), 1e-12) for qubit in qubits))
        esp *= max(0.0, 1 - error - decay)
    if not bit_of:
        raise InputError("the circuit measures nothing: add measurements at its end")
    notes = () if esp > 0 else ("ESP is 0: the circuit uses a gate that the device reports as broken",)
    return CircuitFeatures(
        qubits=len(touched),
        measured=len(bit_of),
        rz=counted["rz"],
        sx=counted["sx"],
        x=counted["x"],
        two_qubit=counted["two_qubit"],
        esp=esp,
        num_clbits=circuit.num_clbits,
        notes=(*calibration.notes, *notes),
    )


def _check_width(circuit: Any, calibration: Calibration) -> None:
    if not hasattr(circuit, "data") or not hasattr(circuit, "find_bit"):
        raise InputError(f"circuit must be a qiskit.QuantumCircuit, got a {type(circuit).__name__}")
    if circuit.num_qubits != calibration.num_qubits:
        raise InputError(
            f"the circuit has {circuit.num_qubits} qubits and {calibration.name} has {calibration.num_qubits}: "
            "transpile it for this device, so that its qubits are the device's own"
        )


def _check_operation(name: str, operation: Any, qubits: tuple[int, ...], measured: dict[int, int]) -> None:
    """Refuses what the features do not cover."""
    if getattr(operation, "blocks", None) or getattr(operation, "condition", None) is not None:
        raise InputError(f"{name!r} depends on measured results: the flip rate of a dynamic circuit is not predicted")
    if name == "reset":
        raise InputError("the circuit resets a qubit: the flip rate of a dynamic circuit is not predicted")
    used = [qubit for qubit in qubits if qubit in measured]
    if used:
        raise InputError(f"qubit {used[0]} is used after its measurement: only measurements at the end are covered")
    if name != "measure" and (len(qubits) > 2 or (len(qubits) == 1 and name not in _SINGLE) or not qubits):
        raise InputError(
            f"gate {name!r} on {len(qubits)} qubits is not covered: transpile the circuit to {', '.join(_SINGLE)} "
            "and a two-qubit gate"
        )


def normalised_entropy(table: CountTable, measured: int) -> float:
    """Returns the Shannon entropy of the counts in bits, over the number of measured bits.

    Examples:
        >>> from quell.mitigation import read_counts
        >>> from quell.mitigation.flip_rate import normalised_entropy
        >>> normalised_entropy(read_counts({"00": 50, "11": 50}), 2)
        0.5
    """
    shares = table.probabilities
    return max(0.0, -float(shares @ np.log2(shares))) / measured


def effective_flip_rate(noisy: float, ideal: float, measured: int) -> float:
    """Returns 1 - (noisy / ideal)^(1 / measured), the flip rate that explains how far an answer has sunk.

    Negative where noise raised the answer's probability.

    Args:
        noisy: How probable the most probable ideal string is in the measured counts.
        ideal: How probable it is without noise.
        measured: How many bits are measured.

    Raises:
        InputError: If the answer was never seen, or is impossible.

    Source: arXiv:2504.10801.

    Examples:
        >>> from quell.mitigation.flip_rate import effective_flip_rate
        >>> round(effective_flip_rate(0.9**5, 1.0, 5), 6)
        0.1
    """
    if not 0 < ideal <= 1 or not 0 < noisy <= 1:
        raise InputError(
            f"an effective flip rate needs probabilities above 0 and up to 1, got {noisy!r} with noise and {ideal!r} "
            "without: an answer that no shot gave has none"
        )
    return float(1 - (noisy / ideal) ** (1 / measured))
