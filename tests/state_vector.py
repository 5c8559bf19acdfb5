"""A state vector for circuits with few superposed branches: the amplitudes of the bit strings that are there at all.

A basis state is a linear function of k bits, so that CX costs nothing and the vector has 2^k entries, with k far below
the number of qubits in codes. Resets and measurements in X and Z, CX, X, Y, Z, S, T and MPP of X or Z alone.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import stim

PHASES = {"Z": -1, "S": 1j, "S_DAG": -1j, "T": np.exp(0.25j * np.pi), "T_DAG": np.exp(-0.25j * np.pi)}


@dataclasses.dataclass
class Row:
    """What a qubit holds: the parity of the chosen bits, and a constant."""

    mask: int
    constant: int

    def values(self, size: int) -> npt.NDArray[np.int64]:
        return (np.bitwise_count(np.arange(size) & self.mask).astype(np.int64) + self.constant) & 1


# Given the number of a measurement and how likely 1 is, decides on a result.
Decide = Callable[[int, float], int]
Branch = tuple[npt.NDArray[np.complex128], Callable[[Row], None] | None]


class StateVector:
    def __init__(self, decide: Decide) -> None:
        self.amplitudes = np.ones(1, np.complex128)
        self.rows: dict[int, Row] = {}
        self.records: list[int] = []
        self.likely: list[float] = []
        self.decide = decide

    def run(self, circuit: stim.Circuit) -> None:
        for instruction in circuit.flattened():
            assert isinstance(instruction, stim.CircuitInstruction)
            name = instruction.name
            if name in ("S", "S_DAG") and "T" in instruction.tag.split(","):
                name = name.replace("S", "T")
            for group in instruction.target_groups():
                self.apply(name, group)

    def apply(self, name: str, group: list[stim.GateTarget]) -> None:
        if name in ("TICK", "DETECTOR", "OBSERVABLE_INCLUDE", "QUBIT_COORDS", "I"):
            return
        if name == "MPP":
            self.measure_product([t for t in group if not t.is_combiner])
        elif name == "CX":
            self.cx(*group)
        elif name in ("M", "MX"):
            self.measure(group[0].value, name, group[0].is_inverted_result_target)
        elif name in ("R", "RX"):
            self.reset(group[0].value, name)
        elif name in ("X", "Y"):
            # Up to a phase that no other branch has differently.
            if name == "Y":
                self.phase(group[0].value, -1)
            if group[0].value in self.rows:  # what is not there yet is reset first
                self.rows[group[0].value].constant ^= 1
        else:
            self.phase(group[0].value, PHASES[name])

    def reset(self, qubit: int, name: str) -> None:
        assert qubit not in self.rows, "measure before resetting"
        if name == "R":
            self.rows[qubit] = Row(0, 0)
            return
        self.rows[qubit] = Row(len(self.amplitudes), 0)
        self.amplitudes = np.concatenate([self.amplitudes, self.amplitudes]) / np.sqrt(2)

    def cx(self, control: stim.GateTarget, target: stim.GateTarget) -> None:
        row = self.rows[target.value]
        if control.is_measurement_record_target:
            row.constant ^= self.records[control.value]
        else:
            other = self.rows[control.value]
            row.mask, row.constant = row.mask ^ other.mask, row.constant ^ other.constant

    def phase(self, qubit: int, factor: complex) -> None:
        if qubit in self.rows:
            self.amplitudes[self.rows[qubit].values(len(self.amplitudes)) == 1] *= factor

    def measure(self, qubit: int, name: str, inverted: bool) -> None:
        row = self.rows.pop(qubit)
        values = row.values(len(self.amplitudes))
        branches = [self._read_z(row, values, b) if name == "M" else self._read_x(values, b) for b in (0, 1)]
        ones = float(np.linalg.norm(branches[1][0]) ** 2)
        total = ones + float(np.linalg.norm(branches[0][0]) ** 2)
        assert abs(total - 1) < 1e-9
        result = self.decide(len(self.records), 1 - ones if inverted else ones)
        amplitudes, substitute = branches[result ^ inverted]
        self.likely.append(ones if result ^ inverted else 1 - ones)
        self.records.append(result)
        if self.likely[-1] < 1e-9:
            raise ImpossibleError
        self.amplitudes = amplitudes / np.linalg.norm(amplitudes)
        if substitute is not None:
            for each in self.rows.values():
                substitute(each)

    def _read_z(self, row: Row, values: npt.NDArray[np.int64], result: int) -> Branch:
        if row.mask == 0:
            return self.amplitudes * (row.constant == result), None
        pivot = row.mask.bit_length() - 1

        def substitute(each: Row) -> None:
            if each.mask >> pivot & 1:
                each.mask ^= row.mask
                each.constant ^= row.constant ^ result
            each.mask = without_bit(each.mask, pivot)

        kept = np.flatnonzero(values == result)
        amplitudes = np.zeros(len(self.amplitudes) // 2, np.complex128)
        amplitudes[without_bit(kept, pivot)] = self.amplitudes[kept]
        return amplitudes, substitute

    def _read_x(self, values: npt.NDArray[np.int64], result: int) -> Branch:
        amplitudes = self.amplitudes * (1 - 2 * result * values) / np.sqrt(2)
        shift = common_zero([row.mask for row in self.rows.values()], len(amplitudes).bit_length() - 1)
        if shift is None:
            return amplitudes, None
        # Branches that differ by this shift are the same one without the qubit.
        pivot = shift.bit_length() - 1
        kept = np.flatnonzero(~np.arange(len(amplitudes)) >> pivot & 1)
        merged = np.zeros(len(kept), np.complex128)
        merged[without_bit(kept, pivot)] = amplitudes[kept] + amplitudes[kept ^ shift]

        def substitute(each: Row) -> None:
            each.mask = without_bit(each.mask, pivot)

        return merged, substitute

    def measure_product(self, paulis: list[stim.GateTarget]) -> None:
        kinds = {target.pauli_type for target in paulis}
        assert len(kinds) == 1, "X or Z alone"
        ancilla = stim.GateTarget(max(self.rows) + 1)
        self.reset(ancilla.value, "RX" if kinds == {"X"} else "R")
        for target in paulis:
            pair = (ancilla, stim.GateTarget(target.value))
            self.cx(*(pair if kinds == {"X"} else pair[::-1]))
        self.measure(ancilla.value, "MX" if kinds == {"X"} else "M", False)

    def expectation(self, operator: stim.PauliString) -> float:
        """That of a Hermitian product of Paulis."""
        size = len(self.amplitudes)
        moved = self.amplitudes.copy()
        flips = {qubit: operator[qubit] in (1, 2) for qubit in self.rows}
        for qubit in self.rows:
            if operator[qubit] in (2, 3):
                moved *= 1 - 2 * self.rows[qubit].values(size)
            if operator[qubit] == 2:
                moved = moved * 1j
        (shift,) = [s for s in range(size) if all(s_parity(row.mask & s) == flips[q] for q, row in self.rows.items())]
        return float((operator.sign * np.vdot(self.amplitudes[np.arange(size) ^ shift], moved)).real)


class ImpossibleError(Exception):
    """A result was asked for that cannot be."""


def s_parity(value: int) -> bool:
    return value.bit_count() % 2 == 1


def without_bit(value, bit):  # type: ignore[no-untyped-def]
    """Ints, or arrays of them, with one bit taken out."""
    low = (1 << bit) - 1
    return (value & low) | (value >> 1 & ~low)


def common_zero(masks: list[int], num_bits: int) -> int | None:
    """A shift other than 0 of which every mask has an even part, or None."""
    pivots: dict[int, int] = {}
    for mask in masks:
        for pivot, other in pivots.items():
            if mask >> pivot & 1:
                mask ^= other
        if mask:
            new = mask.bit_length() - 1
            pivots = {p: o ^ mask if o >> new & 1 else o for p, o in pivots.items()}
            pivots[new] = mask
    free = [bit for bit in range(num_bits) if bit not in pivots]
    if not free:
        return None
    return (1 << free[0]) | sum(1 << pivot for pivot, other in pivots.items() if other >> free[0] & 1)
