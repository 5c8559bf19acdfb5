"""Pauli twirling of Qiskit circuits, and merging of the counts that twirled circuits give.

Q-Cluster and the mixture model assume that noise flips bits independently of the state. Twirling makes it more so: run
several versions of a circuit, each with random Paulis around its two-qubit gates that change nothing without noise,
and add up the counts (Wallman and Emerson, arXiv:1512.01098). Random flips before the measurement, undone on the
counts, do the same to readout errors (van den Berg, Minev, Temme, arXiv:2012.09738). The gates are twirled by Qiskit's
own `pauli_twirl_2q_gates`.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer, import_extra
from quell.mitigation.reading import read_counts
from quell.mitigation.table import BitOrder

__all__ = ["merge_twirled", "pauli_twirl", "twirl_measurements"]


def pauli_twirl(circuit: Any, num_twirls: int, seed: int, *, target: Any = None) -> list[Any]:
    """Returns versions of a circuit with random Paulis around its two-qubit gates, all the same without noise.

    Args:
        circuit: A `qiskit.QuantumCircuit`. Its cx, cz, ecr and iswap gates are twirled; other gates stay as they are.
        num_twirls: How many versions; 16 to 32 are common, with the shots divided among them.
        seed: The same seed gives the same versions.
        target: A Qiskit `Target`. With it, the Paulis are merged with the gates around them and written in the gates
            that the device has; without it, transpile the versions again, at a level that does not cancel the Paulis.

    Raises:
        InputError: If `circuit` is no circuit, or `num_twirls` or `seed` is out of range.
        MissingExtraError: If Qiskit is not installed.

    Examples:
        >>> from qiskit import QuantumCircuit
        >>> from qiskit.quantum_info import Operator
        >>> from quell.mitigation.twirling import pauli_twirl
        >>> circuit = QuantumCircuit(2)
        >>> _ = circuit.h(0), circuit.cx(0, 1)
        >>> [Operator(version).equiv(circuit) for version in pauli_twirl(circuit, 3, seed=0)]
        [True, True, True]
    """
    check_integer("num_twirls", num_twirls, minimum=1)
    check_integer("seed", seed, minimum=0)
    qiskit = import_extra("qiskit.circuit", "mitigation")
    _check_circuit(circuit, qiskit)
    versions: list[Any] = qiskit.pauli_twirl_2q_gates(circuit, seed=seed, num_twirls=num_twirls, target=target)
    for index, version in enumerate(versions):
        version.name = f"{circuit.name}-twirl-{index}"
        version.metadata = dict(circuit.metadata or {})
    return versions


def twirl_measurements(circuits: Sequence[Any], seed: int) -> tuple[list[Any], NDArray[np.uint8]]:
    """Returns circuits with random X gates before their measurements, and which classical bits they flip.

    Undone on the counts by `merge_twirled`, the flips make a 0 read as 1 and a 1 read as 0 equally probable on average.
    That is sound where every measurement is final: a flip of a result that a later gate depends on could not be undone.

    Args:
        circuits: Each a `qiskit.QuantumCircuit` whose measurements stand at its end; all of the same width.
        seed: The same seed gives the same flips.

    Returns:
        The circuits, and uint8 of shape (num_circuits, num_clbits): 1 where classical bit i is flipped.

    Raises:
        InputError: If there are no circuits, they differ in width, or one measures in its middle.

    Examples:
        >>> from qiskit import QuantumCircuit
        >>> from quell.mitigation.twirling import twirl_measurements
        >>> circuit = QuantumCircuit(2, 2)
        >>> _ = circuit.measure([0, 1], [0, 1])
        >>> versions, flips = twirl_measurements([circuit] * 2, seed=1)
        >>> flips.shape, [version.count_ops().get("x", 0) for version in versions] == flips.sum(axis=1).tolist()
        ((2, 2), True)
    """
    check_integer("seed", seed, minimum=0)
    qiskit = import_extra("qiskit.circuit", "mitigation")
    if not circuits:
        raise InputError("circuits must hold at least one circuit, got none")
    for circuit in circuits:
        _check_circuit(circuit, qiskit)
    widths = sorted({circuit.num_clbits for circuit in circuits})
    if len(widths) > 1:
        raise InputError(f"circuits must have equally many classical bits, got {widths[0]} and {widths[-1]}")
    generator = np.random.default_rng(seed)
    flips = np.zeros((len(circuits), widths[0]), dtype=np.uint8)
    versions = []
    for circuit, flipped in zip(circuits, flips, strict=True):
        draws = generator.integers(0, 2, size=widths[0])
        version = circuit.copy_empty_like()
        for position, instruction in enumerate(circuit.data):
            if instruction.operation.name == "measure":
                _check_final(circuit, position)
                bit = circuit.find_bit(instruction.clbits[0]).index
                if draws[bit]:
                    version.x(instruction.qubits[0])
                    flipped[bit] = 1
            version.append(instruction)
        versions.append(version)
    return versions, flips


def merge_twirled(
    counts: Sequence[object],
    flips: NDArray[np.integer[Any]] | Sequence[Sequence[int]] | None = None,
    *,
    num_bits: int | None = None,
    bit_order: BitOrder | None = None,
) -> dict[Hashable, int]:
    """Returns the counts of twirled circuits added up, with measurement flips undone.

    Args:
        counts: The counts of each circuit, in any form that `quell.mitigation.read_counts` reads.
        flips: What `twirl_measurements` returned, shape (num_circuits, num_bits), column i for classical bit i; none
            if not given.
        num_bits: As in `read_counts`.
        bit_order: As in `read_counts`.

    Returns:
        Counts with keys in the format of the first counts, in the order of the bits.

    Raises:
        InputError: If there are no counts, they differ in width, or the flips do not fit them.

    Examples:
        >>> from quell.mitigation.twirling import merge_twirled
        >>> merge_twirled([{"00": 90, "01": 10}, {"10": 80, "11": 20}], flips=[[0, 0], [0, 1]])
        {'00': 170, '01': 30}
    """
    if not counts:
        raise InputError("counts must hold the counts of at least one circuit, got none")
    tables = [read_counts(one, num_bits=num_bits, bit_order=bit_order) for one in counts]
    widths = sorted({table.num_bits for table in tables})
    if len(widths) > 1:
        raise InputError(f"counts must have equally many bits, got {widths[0]} and {widths[-1]}: give num_bits")
    undone = np.zeros((len(tables), widths[0]), dtype=np.uint8) if flips is None else np.asarray(flips)
    if undone.shape != (len(tables), widths[0]) or not np.isin(undone, (0, 1)).all():
        raise InputError(
            f"flips must be zeros and ones of shape {(len(tables), widths[0])}, one row for each circuit, "
            f"got shape {undone.shape}"
        )
    bits = np.concatenate([table.bits ^ row.astype(np.uint8) for table, row in zip(tables, undone, strict=True)])
    weights = np.concatenate([table.weights for table in tables])
    strings, which = np.unique(bits[:, ::-1], axis=0, return_inverse=True)
    sums = np.bincount(which.ravel(), weights=weights)
    make_key = tables[0].make_key
    return {make_key(row): round(total) for row, total in zip(strings[:, ::-1], sums.tolist(), strict=True)}


def _check_circuit(circuit: Any, qiskit: Any) -> None:
    if not isinstance(circuit, qiskit.QuantumCircuit):
        raise InputError(f"circuit must be a qiskit.QuantumCircuit, got a {type(circuit).__name__}")


def _check_final(circuit: Any, position: int) -> None:
    """Refuses a measurement whose qubit or bit is used again, by a condition too."""
    measured = circuit.data[position]
    for later in circuit.data[position + 1 :]:
        uses = {*later.qubits, *later.clbits} & {*measured.qubits, *measured.clbits}
        if uses and later.operation.name not in ("barrier", "delay"):
            raise InputError(
                f"a measurement is followed by {later.operation.name!r} on the same qubit or bit: only measurements "
                "at the end can be twirled"
            )
