"""Memory experiments of the RP² codes, as noiseless Stim circuits or with noise on them.

Codes and gate order are those of Chen, Chen, Lu and Pan (arXiv:2503.18657): one ancilla a check, five layers of CX.
The code has no boundary, so a chain of errors must close in time as well as in space. In this order a hook error, two
data qubits for one fault, also moves the chain by one round, and what it gains in length it has to pay back.
"""

from collections.abc import Iterable

import stim

from quell.circuits.memory_parts import MAX_MEASUREMENTS, check_memory, repeated, shown
from quell.circuits.noise import NoiseModel
from quell.circuits.rp2_lattice import CodeLattice, PlacedCheck, Site, rp2_lattice
from quell.errors import TooLargeError, check_integer

__all__ = ["rp2_memory"]

_MAX_DISTANCE = 51  # the greatest that the search for five layers was tried on


def rp2_memory(distance: int, rounds: int, basis: str = "Z", noise: NoiseModel | None = None) -> stim.Circuit:
    """Returns a memory experiment of an RP² code.

    The code fills a square of distance² data qubits at whole coordinates centred on (0, 0), with the checks of
    `rp2_code` at half-odd ones, one ancilla each: 2 distance² + 1 qubits in all. Native gates only (R, RX, CX, M, MX),
    in layers with a TICK between them. The circuit has (distance² + 1) · rounds detectors with coordinates (x, y, t),
    those of the final data measurement at t = rounds, and observable 0, the logical of `basis`. From the third round
    on it holds a REPEAT block. Checks of one type multiply to the identity, so that two outcomes of a round follow
    from the others.

    The circuit distance under depolarizing noise is the distance of the code, in both bases: no order of gates can do
    better. It was computed exactly for distances 3 to 13. In a search of all five-layer orders in which checks of one
    type take the same walk in the bulk, only this one and its images under the symmetries of the square and of time
    kept it; with the same walk for X and Z it falls to about two thirds (`benchmarks/rp2/schedules.md`).

    Args:
        distance: The code distance, odd, from 3 to 51.
        rounds: How often every check is measured, at least 1.
        basis: `"X"` or `"Z"`: the basis in which data is prepared and read, and the logical that is kept.
        noise: Put on the finished circuit; None leaves it noiseless.

    Raises:
        InputError: An argument is outside its limits.
        TooLargeError: The distance is above 51, or rounds times checks exceed 10^15.

    Examples:
        >>> from quell.circuits import NoiseModel
        >>> from quell.circuits.rp2_memory import rp2_memory
        >>> circuit = rp2_memory(5, 5, "X", NoiseModel.uniform_depolarizing(0.001))
        >>> circuit.num_qubits, circuit.num_detectors, len(circuit.shortest_graphlike_error())
        (51, 130, 5)
    """
    distance = check_integer("distance", distance, minimum=3, odd=True)
    rounds, basis = check_memory(rounds, basis, noise)
    if distance > _MAX_DISTANCE:
        raise TooLargeError(
            f"distance must be <= {_MAX_DISTANCE} for RP² codes, got {shown(distance)}: gate orders in five layers "
            "were searched up to there; lower distance, or take rotated_surface_memory"
        )
    if rounds * (distance**2 + 1) > MAX_MEASUREMENTS:
        most = MAX_MEASUREMENTS // (distance**2 + 1)
        raise TooLargeError(
            f"rounds must be <= {most:,} at distance {distance}, got {shown(rounds)}: "
            "Stim could not count the detectors; lower rounds or distance"
        )
    circuit = _Writer(rp2_lattice(distance), basis).write(rounds)
    return circuit if noise is None else noise.apply(circuit)


class _Writer:
    """Writes the memory circuit of a code as text, which Stim takes in far faster than single instructions."""

    def __init__(self, lattice: CodeLattice, basis: str) -> None:
        self.lattice = lattice
        self.basis = basis
        measured = [*lattice.ancillas("X"), *lattice.ancillas("Z")]
        self.qubit = {site: i for i, site in enumerate([*lattice.data, *measured])}
        self.num_checks = len(measured)
        # Where a measurement lies, counted back from the end of its layer's block of records.
        self.ancilla_record = {site: i - len(measured) for i, site in enumerate(measured)}
        self.data_record = {site: i - len(lattice.data) for i, site in enumerate(lattice.data)}

    def write(self, rounds: int) -> stim.Circuit:
        lines = [f"QUBIT_COORDS({x}, {y}) {qubit}" for (x, y), qubit in self.qubit.items()]
        lines.append(self.line("R" if self.basis == "Z" else "RX", self.lattice.data))
        lines += self.checks()
        lines += [self.detector(check, [self.ancilla_record[check.site]]) for check in self.checks_of_basis()]
        body = ["TICK", *self.checks(), *self.later_detectors()]
        lines += [*repeated(body, rounds - 1), *self.readout()]
        return stim.Circuit("\n".join(lines))

    def checks(self) -> list[str]:
        """Preparations, gates and measurements of one round, with a TICK between layers."""
        x_sites, z_sites = self.lattice.ancillas("X"), self.lattice.ancillas("Z")
        lines = [self.line("RX", x_sites), self.line("R", z_sites), "TICK"]
        for layer in self.lattice.layers():
            lines += [self.line("CX", (site for pair in layer for site in pair)), "TICK"]
        return [*lines, self.line("MX", x_sites), self.line("M", z_sites)]

    def checks_of_basis(self) -> list[PlacedCheck]:
        return [check for check in self.lattice.checks if check.kind == self.basis]

    def detector(self, check: PlacedCheck, records: Iterable[int], t: int = 0) -> str:
        x, y = check.site
        return f"DETECTOR({x}, {y}, {t}) {' '.join(f'rec[{record}]' for record in records)}"

    def later_detectors(self) -> list[str]:
        lines = ["SHIFT_COORDS(0, 0, 1)"]
        for check in self.lattice.checks:
            now = self.ancilla_record[check.site]
            lines.append(self.detector(check, [now, now - self.num_checks]))
        return lines

    def readout(self) -> list[str]:
        lines = ["TICK", self.line("M" if self.basis == "Z" else "MX", self.lattice.data)]
        for check in self.checks_of_basis():
            records = [self.data_record[site] for site in check.data]
            records.append(self.ancilla_record[check.site] - len(self.lattice.data))
            lines.append(self.detector(check, sorted(records, reverse=True), 1))
        logical = " ".join(f"rec[{self.data_record[site]}]" for site in self.lattice.logicals[self.basis])
        return [*lines, f"OBSERVABLE_INCLUDE(0) {logical}"]

    def line(self, name: str, sites: Iterable[Site]) -> str:
        return f"{name} {' '.join(str(self.qubit[site]) for site in sites)}"
