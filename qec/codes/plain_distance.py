"""Lightest logical operators without compiled loops: by going through all, and as shortest cycles.

Where no qubit is in more than two checks of a type, as in every code on a surface, the lightest logical operator is the
shortest cycle of the checks' graph that is not contractible, which is a shortest path in its double cover.
"""

import collections
import time

import numpy as np
from numpy.typing import NDArray

__all__ = ["lightest_product", "shortest_cycle"]

Bits = NDArray[np.uint8]

_CHUNK = 1 << 12


def lightest_product(stabilizers: Bits, logicals: Bits) -> Bits:
    """Returns a lightest operator, uint8 (n,), by going through every product of logicals with stabilizers.

    Args:
        stabilizers: uint8 (S, n), independent.
        logicals: uint8 (k, n).

    Examples:
        >>> import numpy as np
        >>> from quell.qec.codes.plain_distance import lightest_product
        >>> lightest_product(np.array([[1, 1, 1, 0]], np.uint8), np.array([[1, 1, 1, 1]], np.uint8))
        array([0, 0, 0, 1], dtype=uint8)
    """
    best: Bits | None = None
    split = min(len(stabilizers), 12)
    inner = _span(stabilizers[:split])
    outer = _span(stabilizers[split:])
    for logical in _span(logicals)[1:]:
        for start in range(0, len(outer), max(1, _CHUNK >> split)):
            rows = outer[start : start + max(1, _CHUNK >> split)] ^ logical
            every = rows[:, None, :] ^ inner[None]
            weights = every.sum(axis=2)
            place = np.unravel_index(weights.argmin(), weights.shape)
            if best is None or weights[place] < best.sum():
                best = every[place]
    assert best is not None
    return best


def _span(rows: Bits) -> Bits:
    """Every sum of rows, the empty one first."""
    sums = np.zeros((1, rows.shape[1]), dtype=np.uint8)
    for row in rows:
        sums = np.concatenate([sums, sums ^ row])
    return sums


def shortest_cycle(checks: Bits, duals: Bits, deadline: float | None = None) -> tuple[Bits | None, bool]:
    """Finds a lightest operator where no qubit is in more than two checks.

    It is the shortest closed walk along qubits, from check to check, that anticommutes with one of the dual logicals.

    Args:
        checks: uint8 (R, n): what the operator commutes with, two at most to a column.
        duals: uint8 (k, n): logicals of the checks' type.
        deadline: When to stop, as `time.monotonic` tells the time.

    Returns:
        The lightest operator that was found, uint8 (n,), or None; and whether it is known that none is lighter.

    Examples:
        >>> import numpy as np
        >>> from quell.qec.codes.plain_distance import shortest_cycle
        >>> shortest_cycle(np.array([[1, 1, 0], [0, 1, 1]]), np.array([[1, 0, 0]]))
        (array([1, 1, 1], dtype=uint8), True)
    """
    boundary = len(checks)
    ends = []
    for column in checks.T:
        at = np.flatnonzero(column).tolist()
        ends.append([*at, boundary, boundary][:2])
    neighbours: list[list[tuple[int, int]]] = [[] for _ in range(boundary + 1)]
    for qubit, (first, second) in enumerate(ends):
        neighbours[first].append((second, qubit))
        neighbours[second].append((first, qubit))
    best: list[int] | None = None
    # Every such walk uses a qubit of the dual: it is enough to start at the ends of those.
    starts = ((dual, start) for dual in duals for start in sorted({ends[qubit][0] for qubit in np.flatnonzero(dual)}))
    finished = True
    for dual, start in starts:
        if deadline is not None and time.monotonic() >= deadline:
            finished = False
            break
        best = _shortest_walk(neighbours, dual, start, None if best is None else len(best)) or best
    if best is None:
        return None, False
    witness = np.zeros(checks.shape[1], dtype=np.uint8)
    np.add.at(witness, best, 1)
    return witness % 2, finished


def _shortest_walk(
    neighbours: list[list[tuple[int, int]]], dual: Bits, start: int, below: int | None
) -> list[int] | None:
    """The qubits of the shortest closed walk from `start` that crosses the dual an odd number of times, if it is
    shorter than `below`: a path from one sheet of the double cover to the other."""
    came: dict[tuple[int, int], tuple[tuple[int, int], int]] = {}
    steps = {(start, 0): 0}
    queue = collections.deque([(start, 0)])
    while queue:
        here = queue.popleft()
        if below is not None and steps[here] + 1 >= below:
            return None
        for check, qubit in neighbours[here[0]]:
            there = (check, here[1] ^ int(dual[qubit]))
            if there not in steps:
                steps[there] = steps[here] + 1
                came[there] = (here, qubit)
                queue.append(there)
                if there == (start, 1):
                    walk = []
                    while there != (start, 0):
                        there, qubit = came[there]
                        walk.append(qubit)
                    return walk
    return None
