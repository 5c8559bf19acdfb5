"""In which order the gates of a CSS code's checks run: layers of (check, qubit) pairs for any code, and their proof.

Checks of one type never disturb each other; an X and a Z check do unless the number of their common qubits that the X
check meets first is even. Gates of X checks before all of Z checks make it so, in as many layers as the largest degree
of either Tanner graph, which is what a bipartite graph needs (König, 1916). Codes of two blocks of qubits, hypergraph
products and bivariate bicycle codes among them, can do with about half: see `css_interleaving`.
"""

import operator
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from quell.circuits.css_interleaving import interleaved_phases
from quell.circuits.edge_coloring import color_edges
from quell.errors import InputError, check_known
from quell.qec.codes import CSSCode

__all__ = ["SCHEDULE_KINDS", "Gate", "check_name", "check_schedule", "css_schedule"]

Gate: TypeAlias = tuple[int, int]

SCHEDULE_KINDS: tuple[str, ...] = ("auto", "interleaved", "separate")


def css_schedule(code: CSSCode, kind: str = "auto") -> list[list[Gate]]:
    """Returns layers of gates that measure all checks of a code at once.

    A gate is a pair (check, qubit). X checks are numbered 0, 1, … as the rows of `x_checks`, and Z checks go on from
    there: row j of `z_checks` is check len(x_checks) + j. Within a layer no check and no qubit occurs twice. Every gate
    stands in the earliest layer that the gates before it on its check and its qubit leave. Orders are made for few
    layers, not for hook errors: see `css_memory`.

    Args:
        code: Any CSS code.
        kind: `"separate"`: on every qubit, gates of X checks come before those of Z checks; at most as many layers as
            the largest weight or degree of X checks and that of Z checks together. `"interleaved"`: X and Z checks at
            the same time, three phases deep; seven layers for bivariate bicycle codes of weight 6, where Bravyi et al.
            (arXiv:2308.07915) found as many, four for planar surface codes, and no gain for codes without two blocks
            of qubits. `"auto"`: the one with fewer layers, and if both have as many, `"separate"`.

    Raises:
        InputError: There is no such kind.

    Examples:
        >>> from quell.circuits.css_schedule import css_schedule
        >>> from quell.qec.codes import CSSCode
        >>> css_schedule(CSSCode([[1, 1, 1, 1]], [[1, 1, 0, 0], [0, 0, 1, 1]]))
        [[(0, 0), (2, 3)], [(0, 1), (1, 0), (2, 2)], [(0, 3), (1, 1)], [(0, 2)]]
    """
    check_known("kind of schedule", kind, SCHEDULE_KINDS)
    if not isinstance(code, CSSCode):
        raise InputError(f"code must be a CSSCode, got {code!r:.80}")
    found = []
    if kind != "interleaved":
        found.append(_in_layers([gates_of(code, "X"), gates_of(code, "Z")]))
    if kind != "separate":
        found += [_in_layers(interleaved_phases(code, exchanged=exchanged)) for exchanged in (False, True)]
    return min(found, key=len)


def gates_of(code: CSSCode, basis: str) -> list[Gate]:
    """The gates of all X or of all Z checks, in the order of checks and qubits."""
    checks, first = (code.x_checks, 0) if basis == "X" else (code.z_checks, len(code.x_checks))
    return [(first + check, qubit) for check, qubit in np.argwhere(checks).tolist()]


def _in_layers(phases: Iterable[list[Gate]]) -> list[list[Gate]]:
    """Orders the gates of each phase by a colouring, and lets every gate run as early as that order allows."""
    check_free: dict[int, int] = {}
    qubit_free: dict[int, int] = {}
    layers: list[list[Gate]] = []
    for gates in phases:
        colors = color_edges(gates)
        for _, (check, qubit) in sorted(zip(colors, gates, strict=True)):
            layer = max(check_free.get(check, 0), qubit_free.get(qubit, 0))
            check_free[check] = qubit_free[qubit] = layer + 1
            if layer == len(layers):
                layers.append([])
            layers[layer].append((check, qubit))
    return [sorted(layer) for layer in layers]


def check_schedule(code: CSSCode, schedule: Sequence[Iterable[Gate]]) -> list[list[Gate]]:
    """Returns a schedule as lists of pairs of ints if it measures the checks of a code, all at once.

    Args:
        code: The code.
        schedule: Layers of (check, qubit), numbered as by `css_schedule`; layers may be empty.

    Raises:
        InputError: Something is no pair of a check and a qubit of the code; a check or a qubit has two gates in one
            layer; a gate is missing, given twice, or not in the code; or the order of gates entangles an X check with
            a Z check.

    Examples:
        >>> from quell.circuits.css_schedule import check_schedule
        >>> from quell.qec.codes import CSSCode
        >>> code = CSSCode([[1, 1]], [[1, 1]])
        >>> check_schedule(code, [[(0, 0), (1, 1)], [(0, 1), (1, 0)]])
        Traceback (most recent call last):
        quell.errors.InputError: X check 0 and Z check 0 meet 2 qubits in common, X first on 1 of them, qubit 0: the
        number must be even, or each spoils the other's outcome; change the order of their gates
    """
    layers = [[_gate(code, pair, time) for pair in _listed(layer, time)] for time, layer in _numbered(schedule)]
    times: dict[Gate, int] = {}
    for time, layer in enumerate(layers):
        users: dict[str, Gate] = {}
        for gate in layer:
            check, qubit = gate
            if gate in times:
                raise InputError(f"{check_name(code, check)} meets qubit {qubit} twice, in layers {times[gate]} and "
                                 f"{time}: leave one out")  # fmt: skip
            for name in (check_name(code, check), f"qubit {qubit}"):
                other = users.setdefault(name, gate)
                if other != gate:
                    gates = " and ".join(f"{check_name(code, c)} with qubit {q}" for c, q in (other, gate))
                    raise InputError(f"layer {time} uses {name} twice: {gates}; put them into different layers")
            times[gate] = time
    wanted = gates_of(code, "X") + gates_of(code, "Z")
    for check, qubit in sorted(times.keys() - set(wanted)):
        raise InputError(f"layer {times[check, qubit]} joins {check_name(code, check)} to qubit {qubit}, which is not "
                         f"in that check")  # fmt: skip
    for check, qubit in wanted:
        if (check, qubit) not in times:
            raise InputError(f"the schedule lacks the gate of {check_name(code, check)} with qubit {qubit}")
    _check_order(code, times)
    return layers


def check_name(code: CSSCode, check: int) -> str:
    """Returns `"X check 3"` or `"Z check 0"` for a check as `css_schedule` numbers them.

    Examples:
        >>> from quell.circuits.css_schedule import check_name
        >>> from quell.qec.codes import CSSCode
        >>> check_name(CSSCode([[1, 1]], [[1, 1]]), 1)
        'Z check 0'
    """
    num_x = len(code.x_checks)
    return f"X check {check}" if check < num_x else f"Z check {check - num_x}"


def _numbered(schedule: object) -> Iterable[tuple[int, object]]:
    if isinstance(schedule, (str, bytes)) or not isinstance(schedule, Iterable):
        raise InputError(f"schedule must be a list of layers of (check, qubit) pairs, got {schedule!r:.80}")
    return enumerate(schedule)


def _listed(layer: object, time: int) -> list[object]:
    if isinstance(layer, (str, bytes)) or not isinstance(layer, Iterable):
        raise InputError(f"layer {time} must be a list of (check, qubit) pairs, got {layer!r:.80}")
    return list(layer)


def _gate(code: CSSCode, pair: object, time: int) -> Gate:
    try:
        check, qubit = map(operator.index, pair)  # type: ignore[call-overload]  # anything may be passed
    except (TypeError, ValueError):
        raise InputError(f"layer {time} must hold (check, qubit) pairs of integers, got {pair!r:.80}") from None
    num_checks = len(code.x_checks) + len(code.z_checks)
    if not 0 <= check < num_checks:
        raise InputError(f"checks must be from 0 to {num_checks - 1}, X before Z, got {check} in layer {time}")
    if not 0 <= qubit < code.n:
        raise InputError(f"qubits must be from 0 to {code.n - 1}, got {qubit} in layer {time}")
    return check, qubit


def _check_order(code: CSSCode, times: dict[Gate, int]) -> None:
    """Raises `InputError` for the first X and Z check where the X check comes first on an odd number of qubits."""
    x_times = np.zeros(code.x_checks.shape, dtype=np.int64)
    z_times = np.zeros(code.z_checks.shape, dtype=np.int64)
    for (check, qubit), time in times.items():
        if check < len(x_times):
            x_times[check, qubit] = time
        else:
            z_times[check - len(x_times), qubit] = time
    for x, (row, met) in enumerate(zip(code.x_checks, x_times, strict=True)):
        qubits = np.flatnonzero(row)
        common = code.z_checks[:, qubits]
        first: NDArray[np.bool_] = (common == 1) & (met[qubits] < z_times[:, qubits])
        for z in np.flatnonzero(first.sum(axis=1) % 2)[:1]:
            which = ", ".join(map(str, qubits[first[z]]))
            raise InputError(
                f"X check {x} and Z check {z} meet {common[z].sum()} qubits in common, X first on {first[z].sum()} of "
                f"them, qubit{'s' if first[z].sum() > 1 else ''} {which}: the number must be even, or each spoils the "
                f"other's outcome; change the order of their gates"
            )
