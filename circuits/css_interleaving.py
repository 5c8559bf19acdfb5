"""Gates of X and of Z checks at the same time, in three phases that disturb nobody.

Qubits are put into two blocks, left and right. *A* gates join X checks to left and Z checks to right qubits, *B* gates
the rest. Each A gate gets a sign. First run the A gates of X checks with + and of Z checks with -, then all B gates,
then the other A gates. On a left qubit the X check is first if its gate has +, on a right one if the Z check's gate
has +. So if all A gates between an X check and what it shares with a Z check, and between the Z check and that, have
one sign, the X check is first on all of the common qubits or on none, and both numbers are even: this is true of every
code, however the blocks are chosen.

In a code of two blocks, a hypergraph product or a two-block group-algebra code, an X and a Z check have one qubit of
each block in common, or several such pairs; the gates that must have one sign are then the copies of one edge of a
classical code, or of one element of a group, and half of each check's A gates can have +. It is the order N, W, E, S
of the planar surface code, seen from afar.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np

from quell.qec.codes import CSSCode

__all__ = ["interleaved_phases"]

Gate = tuple[int, int]
_SEED = 1916
_ROUNDS = 200  # of the search for signs, in flips for each group


def interleaved_phases(code: CSSCode, *, exchanged: bool = False) -> list[list[Gate]]:
    """Returns three phases of (check, qubit) pairs, Z checks numbered after X checks; within a phase any order will do.

    Args:
        code: Any CSS code.
        exchanged: Left and right change places, and so do A and B gates.

    Examples:
        >>> from quell.circuits.css_interleaving import interleaved_phases
        >>> from quell.qec.codes import CSSCode
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> [len(phase) for phase in interleaved_phases(CSSCode(steane, steane))]
        [9, 12, 3]
    """
    num_x = len(code.x_checks)
    common = _common_qubits(code)
    left = [side != exchanged for side in _blocks(code.n, common.values())]
    gates = np.argwhere(np.concatenate([code.x_checks, code.z_checks])).tolist()
    first: list[Gate] = []
    third: list[Gate] = []
    a_gates = {(check, qubit) for check, qubit in gates if left[qubit] == (check < num_x)}
    groups = _groups(a_gates, common, left)
    signs = _signs(groups)
    for group, plus in zip(groups, signs, strict=True):
        for check, qubit in group:
            (first if plus == (check < num_x) else third).append((check, qubit))
    second = [(check, qubit) for check, qubit in gates if (check, qubit) not in a_gates]
    return [sorted(first), second, sorted(third)]


def _common_qubits(code: CSSCode) -> dict[Gate, list[int]]:
    """For each pair of an X and a Z check that have qubits in common, those qubits."""
    common: dict[Gate, list[int]] = {}
    for qubit in range(code.n):
        for x in np.flatnonzero(code.x_checks[:, qubit]).tolist():
            for z in (np.flatnonzero(code.z_checks[:, qubit]) + len(code.x_checks)).tolist():
                common.setdefault((x, z), []).append(qubit)
    return common


def _blocks(n: int, common: Iterable[list[int]]) -> list[bool]:
    """Which qubits are left: where an X and a Z check have two qubits in common, one of them, as far as that goes."""
    linked: list[list[int]] = [[] for _ in range(n)]
    for qubits in common:
        if len(qubits) == 2:
            first, second = qubits
            linked[first].append(second)
            linked[second].append(first)
    left: list[bool | None] = [None] * n
    for start in range(n):
        if left[start] is not None:
            continue
        left[start] = True
        waiting = deque([start])
        while waiting:
            qubit = waiting.popleft()
            for other in linked[qubit]:
                if left[other] is None:
                    left[other] = not left[qubit]
                    waiting.append(other)
    return [bool(side) for side in left]


def _groups(a_gates: set[Gate], common: dict[Gate, list[int]], left: list[bool]) -> list[list[Gate]]:
    """The A gates, in groups that must have one sign."""
    leader = {gate: gate for gate in a_gates}

    def find(gate: Gate) -> Gate:
        while leader[gate] != gate:
            leader[gate] = gate = leader[leader[gate]]
        return gate

    for (x, z), qubits in common.items():
        touched = [(x, qubit) if left[qubit] else (z, qubit) for qubit in qubits]
        for gate in touched[1:]:
            leader[find(gate)] = find(touched[0])
    groups: dict[Gate, list[Gate]] = {}
    for gate in sorted(a_gates):
        groups.setdefault(find(gate), []).append(gate)
    return list(groups.values())


def _signs(groups: list[list[Gate]]) -> list[bool]:
    """Signs such that few checks and qubits have many more A gates of one sign than of the other.

    Flips one group at a time, of a check or qubit that is out of balance by two or more where there is one; the best
    flip that was not made lately (tabu search).
    """
    # Checks, or qubits, with the same gates are one row.
    counts: dict[tuple[str, int], dict[int, int]] = {}
    for number, group in enumerate(groups):
        for check, qubit in group:
            for node in (("check", check), ("qubit", qubit)):
                row = counts.setdefault(node, {})
                row[number] = row.get(number, 0) + 1
    rows = [dict(row) for row in sorted({tuple(sorted(row.items())) for row in counts.values()})]
    columns: list[list[tuple[int, int]]] = [[] for _ in groups]
    for place, row in enumerate(rows):
        for number, count in row.items():
            columns[number].append((place, count))
    rng = np.random.default_rng(_SEED)
    signs = [1 - 2 * (number % 2) for number in range(len(groups))]
    balance = [sum(signs[number] * count for number, count in row.items()) for row in rows]
    tabu = [0] * len(groups)
    best, best_cost = list(signs), _cost(balance)
    for step in range(1, _ROUNDS * len(groups)):
        crooked = [place for place, value in enumerate(balance) if abs(value) > 1 and _can_improve(rows[place], value)]
        if not crooked:
            break
        row = rows[crooked[rng.integers(len(crooked))]]
        deltas = []
        for number in row:
            if tabu[number] < step:
                change = sum(4 * c * (c - signs[number] * balance[place]) for place, c in columns[number])
                deltas.append((change, float(rng.random()), number))
        if not deltas:
            continue
        _, _, number = min(deltas)
        signs[number] = -signs[number]
        tabu[number] = step + int(rng.integers(1, 6))
        for place, count in columns[number]:
            balance[place] += 2 * signs[number] * count
        cost = _cost(balance)
        if cost < best_cost:
            best, best_cost = list(signs), cost
    return [sign > 0 for sign in best]


def _cost(balance: list[int]) -> tuple[int, int]:
    return max(map(abs, balance), default=0), sum(value * value for value in balance)


def _can_improve(row: dict[int, int], value: int) -> bool:
    """Whether there are groups that could be flipped to bring a row nearer to balance."""
    return min(row.values()) < abs(value)
