"""Memory experiments of any CSS code, as noiseless Stim circuits or with noise on them.

One ancilla a check, all checks measured in every round, in an order of gates that is found for the code or given. What
the codes of `quell.qec.codes` are worth on a chip is counted with these circuits.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import stim

from quell.circuits.css_schedule import Gate, check_schedule, css_schedule
from quell.circuits.memory_parts import MAX_MEASUREMENTS, check_memory, repeated, shown
from quell.circuits.noise import NoiseModel
from quell.errors import InputError, TooLargeError, check_known
from quell.qec.codes import CSSCode

__all__ = ["DETECTORS", "css_memory"]

DETECTORS: tuple[str, ...] = ("all", "basis")


def css_memory(
    code: CSSCode,
    rounds: int,
    basis: str = "Z",
    noise: NoiseModel | None = None,
    *,
    schedule: str | Sequence[Iterable[Gate]] = "auto",
    detectors: str = "all",
) -> stim.Circuit:
    """Returns a memory experiment of a CSS code.

    Qubits 0 to n - 1 are data, and qubit n + i is the ancilla of check i, X checks before Z checks: n + RX + RZ in all.
    Native gates only (R, RX, CX, M, MX), in layers with a TICK between them. Observable i is logical qubit i, by row i
    of `code.logical_z` or `code.logical_x`. From the third round on the circuit holds a REPEAT block.

    Detectors are the outcomes of the checks of `basis` in the first round, each check against the round before in later
    ones, and the checks of `basis` against the final data measurement: (RX + RZ) · (rounds - 1) + 2 · R of `basis`.
    They have coordinates (x, y, t), t = rounds for the final ones. A data qubit lies where `code.coordinates` says and
    an ancilla at the mean of its check's qubits, which may be anywhere in a code on a torus; where the code has no
    coordinates, data qubit i lies at (i, 0), X check i at (i, 1) and Z check i at (i, 2).

    The order of gates is made for few layers, and not for hooks: a fault of an ancilla spreads to the qubits that come
    after it, and on a code whose logicals are short and straight the circuit distance can fall to about half. On the
    rotated surface code it does, in at least one basis: take `rotated_surface_memory` for that, or pass a `schedule`.
    `circuit.shortest_graphlike_error()` and `quell.qec.codes.circuit_distance` tell what is left.

    Data starts in all 0 or all +, where every check of `basis` is +1. Signs of the code's stabilizers move the code
    space by a Pauli and no error rate, so they play no part here.

    Args:
        code: With at least one logical qubit.
        rounds: How often every check is measured, at least 1.
        basis: `"X"` or `"Z"`: the basis in which data is prepared and read, and the logicals that are kept.
        noise: Put on the finished circuit; None leaves it noiseless.
        schedule: The order of the gates: a kind that `css_schedule` knows, or layers of (check, qubit) pairs,
            numbered as by `css_schedule`; an empty layer is waiting time.
        detectors: `"all"`, or `"basis"` for those of the checks of `basis` only. These see all that can flip the
            observables; the others tell of Y errors, at the price of a model of five to six times as many mechanisms.

    Raises:
        InputError: An argument is outside its limits, or a schedule does not measure the checks.
        TooLargeError: Rounds times checks exceed 10^15.

    Examples:
        >>> from quell.circuits import NoiseModel
        >>> from quell.circuits.css_memory import css_memory
        >>> from quell.qec.codes import CSSCode
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> circuit = css_memory(CSSCode(steane, steane), 3, "X", NoiseModel.uniform_depolarizing(0.001))
        >>> circuit.num_qubits, circuit.num_detectors, circuit.num_observables
        (13, 18, 1)
    """
    if not isinstance(code, CSSCode):
        raise InputError(f"code must be a CSSCode, got {code!r:.80}")
    if code.k == 0:
        raise InputError(f"code must have a logical qubit to keep, got k = 0: {code!r}")
    rounds, basis = check_memory(rounds, basis, noise)
    check_known("choice of detectors", detectors, DETECTORS)
    num_checks = max(1, len(code.x_checks) + len(code.z_checks))
    if rounds * num_checks > MAX_MEASUREMENTS:
        raise TooLargeError(
            f"rounds must be <= {MAX_MEASUREMENTS // num_checks:,} for {num_checks} checks, got {shown(rounds)}: "
            "Stim could not count the detectors; lower rounds"
        )
    layers = css_schedule(code, schedule) if isinstance(schedule, str) else check_schedule(code, schedule)
    circuit = _Writer(code, basis, layers, detectors).write(rounds)
    return circuit if noise is None else noise.apply(circuit)


class _Writer:
    """Writes the memory circuit of a code as text, which Stim takes in far faster than single instructions."""

    def __init__(self, code: CSSCode, basis: str, layers: list[list[Gate]], detectors: str) -> None:
        self.n, self.basis, self.layers = code.n, basis, layers
        self.supports = [np.flatnonzero(row).tolist() for row in (*code.x_checks, *code.z_checks)]
        self.logicals = code.logical_z if basis == "Z" else code.logical_x
        num_x, self.num_checks = len(code.x_checks), len(self.supports)
        self.x_checks, self.z_checks = range(num_x), range(num_x, self.num_checks)
        self.kept = self.z_checks if basis == "Z" else self.x_checks
        self.compared = range(self.num_checks) if detectors == "all" else self.kept
        if code.coordinates is None:
            places = [(i, 0) for i in range(self.n)] + [(i, 1) for i in self.x_checks]
            places += [(i, 2) for i in range(len(self.z_checks))]
        else:
            data = code.coordinates
            means = [data[support].mean(axis=0) if support else np.zeros(2) for support in self.supports]
            places = [(x, y) for x, y in np.array([*data, *means]).tolist()]
        self.places = [", ".join(f"{value:g}" for value in place) for place in places]

    def write(self, rounds: int) -> stim.Circuit:
        lines = [f"QUBIT_COORDS({place}) {qubit}" for qubit, place in enumerate(self.places)]
        lines.append(_line("R" if self.basis == "Z" else "RX", range(self.n)))
        lines += self.round()
        lines += [self.detector(check, [self.record(check)], 0) for check in self.kept]
        body = ["TICK", *self.round(), "SHIFT_COORDS(0, 0, 1)"]
        body += [
            self.detector(check, [self.record(check), self.record(check) - self.num_checks], 0)
            for check in self.compared
        ]
        lines += [*repeated(body, rounds - 1), *self.readout()]
        return stim.Circuit("\n".join(lines))

    def round(self) -> list[str]:
        """Preparations, gates and measurements of one round, with a TICK between layers."""
        lines = [*self.ancillas("RX", "R"), "TICK"]
        for layer in self.layers:
            # The control comes first: the ancilla of an X check, the data of a Z check.
            pairs = [(self.n + check, qubit) if check in self.x_checks else (qubit, self.n + check)
                     for check, qubit in layer]  # fmt: skip
            lines += [_line("CX", (qubit for pair in pairs for qubit in pair)), "TICK"]
        return [*lines, *self.ancillas("MX", "M")]

    def ancillas(self, x_name: str, z_name: str) -> list[str]:
        return [_line(name, (self.n + check for check in checks))
                for name, checks in ((x_name, self.x_checks), (z_name, self.z_checks)) if checks]  # fmt: skip

    def record(self, check: int) -> int:
        """Where a check's outcome lies, counted back from the end of its round."""
        return check - self.num_checks

    def detector(self, check: int, records: Iterable[int], t: int) -> str:
        return f"DETECTOR({self.places[self.n + check]}, {t}) {' '.join(f'rec[{record}]' for record in records)}"

    def readout(self) -> list[str]:
        lines = ["TICK", _line("M" if self.basis == "Z" else "MX", range(self.n))]
        for check in self.kept:
            records = [qubit - self.n for qubit in reversed(self.supports[check])]
            lines.append(self.detector(check, [*records, self.record(check) - self.n], 1))
        for index, logical in enumerate(self.logicals):
            measured = " ".join(f"rec[{qubit - self.n}]" for qubit in np.flatnonzero(logical).tolist())
            lines.append(f"OBSERVABLE_INCLUDE({index}) {measured}")
        return lines


def _line(name: str, qubits: Iterable[int]) -> str:
    return " ".join([name, *map(str, qubits)])
