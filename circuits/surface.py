"""Memory experiments of the rotated and the unrotated surface code, as noiseless Stim circuits or with noise
on them.

Every round measures all checks with one ancilla each and four layers of CX gates (Fowler, Mariantoni,
Martinis and Cleland, arXiv:1208.0928). Detectors, coordinates and the logical observable follow
`stim.Circuit.generated`.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import stim

from quell.circuits.memory_parts import MAX_MEASUREMENTS, check_memory, repeated
from quell.circuits.noise import NoiseModel
from quell.circuits.surface_lattice import (
    ORIENTATIONS,
    ROTATED_ORDERS,
    UNROTATED_ORDERS,
    Check,
    Lattice,
    rotated,
    unrotated,
)
from quell.errors import TooLargeError, check_integer, check_known

__all__ = ["GATE_SETS", "rotated_surface_memory", "unrotated_surface_memory"]

GATE_SETS: tuple[str, ...] = ("native", "stim")

_MAX_QUBITS = 1_000_000
# Measured while building distance 151; noise adds what its placement keeps of every gate.
_BYTES_PER_QUBIT = 1200
_BYTES_PER_NOISY_QUBIT = 9000
_NOISY_QUBITS_PER_SECOND = 5000
_MAX_PRINTED = 10**30


def rotated_surface_memory(
    distance: int,
    rounds: int,
    basis: str = "Z",
    noise: NoiseModel | None = None,
    *,
    gate_set: str = "native",
    order: str = "stim",
    orientation: str = "stim",
) -> stim.Circuit:
    """Returns a memory experiment of the rotated surface code.

    The code has distance² data qubits at odd coordinates and distance² - 1 ancillas at even ones. The circuit
    has (distance² - 1) · rounds detectors with coordinates (x, y, t), those of the final data measurement at
    t = rounds, and observable 0, the logical of `basis`. From the third round on it holds a REPEAT block.

    Args:
        distance: The code distance, odd and at least 3.
        rounds: How often every check is measured, at least 1.
        basis: `"X"` or `"Z"`: the basis in which data is prepared and read, and the logical that is kept.
        noise: Put on the finished circuit; None leaves it noiseless.
        gate_set: `"native"` prepares and reads ancillas in the basis of their check (R, RX, M, MX) in layers
            of their own. `"stim"` is laid out as `stim.Circuit.generated` does it: H round the ancillas of X
            checks, and MR.
        order: One of `ROTATED_ORDERS`, the sequence in which a check meets its data qubits. `"stim"` and its
            mirror images keep the full circuit distance in both bases. `"hooks_along_logical"` is wrong on
            purpose: hook errors run along the logical, and the circuit distance falls to (distance + 1) / 2,
            given at least (distance - 1) / 2 rounds.
        orientation: One of `ORIENTATIONS`. `"stim"`: X checks on the boundaries y = 0 and y = 2 distance, X
            logical a column, Z logical a row. `"exchanged"`: X and Z checks change places. Gate orders turn
            with it.

    Raises:
        InputError: An argument is outside its limits.
        TooLargeError: The code has more than a million qubits, or rounds times qubits exceed 10^15.

    Examples:
        >>> from quell.circuits import NoiseModel, rotated_surface_memory
        >>> circuit = rotated_surface_memory(5, 5, "X", NoiseModel.si1000(0.001))
        >>> circuit.num_qubits, circuit.num_detectors, len(circuit.shortest_graphlike_error())
        (64, 120, 5)
    """
    distance = check_integer("distance", distance, minimum=3, odd=True)
    check_known("order", order, ROTATED_ORDERS)
    return _memory(distance, rounds, basis, noise, gate_set, order, orientation, rotated, 2 * distance**2 - 1)


def unrotated_surface_memory(
    distance: int,
    rounds: int,
    basis: str = "Z",
    noise: NoiseModel | None = None,
    *,
    gate_set: str = "native",
    order: str = "stim",
    orientation: str = "stim",
) -> stim.Circuit:
    """Returns a memory experiment of the unrotated (planar) surface code.

    The code fills a grid of 2 distance - 1 sites a side: distance² + (distance - 1)² data qubits where x + y
    is even, and 2 distance (distance - 1) ancillas. Even distances are as good as odd ones here, so both are
    allowed.

    Args:
        distance: The code distance, at least 2.
        rounds: As for `rotated_surface_memory`, and so are `basis`, `noise` and `gate_set`.
        basis: The basis that is prepared, kept and read.
        noise: Put on the finished circuit.
        gate_set: `"native"` or `"stim"`.
        order: One of `UNROTATED_ORDERS`. No order is wrong here: the code is a hypergraph product, and of
            those every order of gates keeps the distance (Manes and Claes, arXiv:2308.15520).
        orientation: `"stim"`: X checks at odd x and even y, X logical a column. `"exchanged"`: X and Z change
            places.

    Raises:
        InputError: An argument is outside its limits.
        TooLargeError: The code has more than a million qubits, or rounds times qubits exceed 10^15.

    Examples:
        >>> from quell.circuits import NoiseModel, unrotated_surface_memory
        >>> circuit = unrotated_surface_memory(3, 2, "Z", NoiseModel.uniform_depolarizing(0.001))
        >>> circuit.num_qubits, circuit.num_detectors, len(circuit.shortest_graphlike_error())
        (25, 24, 3)
    """
    distance = check_integer("distance", distance, minimum=2)
    check_known("order", order, UNROTATED_ORDERS)
    return _memory(distance, rounds, basis, noise, gate_set, order, orientation, unrotated, (2 * distance - 1) ** 2)


def _memory(
    distance: int,
    rounds: int,
    basis: str,
    noise: NoiseModel | None,
    gate_set: str,
    order: str,
    orientation: str,
    build: Callable[[int, str, str], Lattice],
    num_qubits: int,
) -> stim.Circuit:
    rounds, basis = check_memory(rounds, basis, noise)
    check_known("gate set", gate_set, GATE_SETS)
    check_known("orientation", orientation, ORIENTATIONS)
    if num_qubits > _MAX_QUBITS:
        gib = num_qubits * (_BYTES_PER_QUBIT if noise is None else _BYTES_PER_NOISY_QUBIT) // 2**30
        what = "for the circuit alone"
        if noise is not None:
            what = f"and {_count(num_qubits // _NOISY_QUBITS_PER_SECOND)} seconds for the circuit and its noise alone"
        raise TooLargeError(
            f"distance {_count(distance, '')} needs {_count(num_qubits)} qubits and about {_count(gib)} GiB {what}; "
            f"the limit is {_MAX_QUBITS:,} qubits: lower distance"
        )
    if rounds * num_qubits > MAX_MEASUREMENTS:
        raise TooLargeError(
            f"{_count(rounds)} rounds of {num_qubits:,} qubits need about {_count(rounds * num_qubits // 2)} "
            f"detectors; the limit is {MAX_MEASUREMENTS // 2:,}: lower rounds or distance"
        )
    circuit = _Writer(build(distance, order, orientation), basis, gate_set).write(rounds)
    return circuit if noise is None else noise.apply(circuit)


def _count(number: int, separator: str = ",") -> str:
    """A number in digits, or by its size where Python would refuse to print all of them."""
    return f"{number:{separator}}" if number < _MAX_PRINTED else f"10^{int(number.bit_length() * math.log10(2))}"


class _Writer:
    """Writes a lattice's memory circuit as text, which Stim takes in far faster than single instructions."""

    def __init__(self, lattice: Lattice, basis: str, gate_set: str) -> None:
        self.lattice = lattice
        self.basis = basis
        self.native = gate_set == "native"
        self.x_ancillas = [check.ancilla for check in lattice.checks if check.kind == "X"]
        self.z_ancillas = [check.ancilla for check in lattice.checks if check.kind == "Z"]
        self.ancillas = [check.ancilla for check in lattice.checks]
        measured = [*self.x_ancillas, *self.z_ancillas] if self.native else self.ancillas
        # Where a measurement lies, counted back from the end of its layer's block of records.
        self.ancilla_record = {q: i - len(measured) for i, q in enumerate(measured)}
        self.data_record = {q: i - len(lattice.data) for i, q in enumerate(lattice.data)}

    def write(self, rounds: int) -> stim.Circuit:
        lines = [f"QUBIT_COORDS({x}, {y}) {qubit}" for qubit, (x, y) in self.lattice.sites.items()]
        lines.append(_line("R" if self.basis == "Z" else "RX", self.lattice.data))
        lines += self.preparation()
        lines += self.checks()
        lines += self.first_detectors()
        body = ["TICK", *self.preparation()] if self.native else []
        body += [*self.checks(), *self.later_detectors()]
        lines += [*repeated(body, rounds - 1), *self.readout()]
        return stim.Circuit("\n".join(lines))

    def preparation(self) -> list[str]:
        if self.native:
            return [_line("RX", self.x_ancillas), _line("R", self.z_ancillas)]
        return [_line("R", self.ancillas)]

    def checks(self) -> list[str]:
        """Gates and measurements of one round, each layer opened by a TICK."""
        hadamards = [] if self.native else ["TICK", _line("H", self.x_ancillas)]
        lines = list(hadamards)
        for layer in range(4):
            lines += ["TICK", _line("CX", self.pairs(layer))]
        lines += [*hadamards, "TICK"]
        if self.native:
            return [*lines, _line("MX", self.x_ancillas), _line("M", self.z_ancillas)]
        return [*lines, _line("MR", self.ancillas)]

    def pairs(self, layer: int) -> Iterator[int]:
        for ancilla, kind, data in self.lattice.checks:
            qubit = data[layer]
            if qubit is not None:
                yield from (ancilla, qubit) if kind == "X" else (qubit, ancilla)

    def detector(self, check: Check, t: int, records: Iterable[int]) -> str:
        x, y = self.lattice.sites[check.ancilla]
        return _line(f"DETECTOR({x}, {y}, {t})", (f"rec[{record}]" for record in records))

    def first_detectors(self) -> list[str]:
        checks = [check for check in self.lattice.checks if check.kind == self.basis]
        return [self.detector(check, 0, [self.ancilla_record[check.ancilla]]) for check in checks]

    def later_detectors(self) -> list[str]:
        lines = ["SHIFT_COORDS(0, 0, 1)"]
        for check in self.lattice.checks:
            now = self.ancilla_record[check.ancilla]
            lines.append(self.detector(check, 0, [now, now - len(self.ancillas)]))
        return lines

    def readout(self) -> list[str]:
        lines = ["TICK"] if self.native else []
        lines.append(_line("M" if self.basis == "Z" else "MX", self.lattice.data))
        for check in self.lattice.checks:
            if check.kind == self.basis:
                records = [self.data_record[qubit] for qubit in check.data if qubit is not None]
                records.append(self.ancilla_record[check.ancilla] - len(self.lattice.data))
                lines.append(self.detector(check, 1, sorted(records, reverse=True)))
        logical = [f"rec[{self.data_record[qubit]}]" for qubit in self.lattice.logicals[self.basis]]
        return [*lines, _line("OBSERVABLE_INCLUDE(0)", logical)]


def _line(name: str, targets: Iterable[int | str]) -> str:
    return f"{name} {' '.join(map(str, targets))}"
