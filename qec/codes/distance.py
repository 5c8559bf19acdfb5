"""The distance of a code, with a witness and the method that certifies it.

Two exact methods: going through every logical operator, where there are few enough; and, where no qubit is in more than
two checks of a type, as in every code on a surface, the shortest cycle of the checks' graph that is not contractible,
which is a shortest path in its double cover.
"""

import collections
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, TooLargeError, check_known
from quell.qec.codes.css import CSSCode
from quell.qec.codes.gf2 import row_reduce

__all__ = ["CodeDistance", "distance"]

_MAX_DIMENSION = 22
_CHUNK = 1 << 12


@dataclass(frozen=True)
class CodeDistance:
    """The least weight of a logical operator.

    Attributes:
        distance: That weight.
        basis: `"X"` or `"Z"`: what the operator is made of.
        witness: uint8 (n,): one operator of that weight.
        method: `"enumeration"` or `"shortest cycle"`; both are exact.
    """

    distance: int
    basis: str
    witness: NDArray[np.uint8]
    method: str


def distance(code: CSSCode, basis: str | None = None) -> CodeDistance:
    """Returns the distance of a code.

    Args:
        code: With at least one logical qubit.
        basis: `"X"` or `"Z"` for the least weight of logicals made of that; None for the smaller of the two.

    Raises:
        InputError: The code has k = 0.
        TooLargeError: Neither method reaches: a qubit is in three checks or more of a type, and there are more than
            2^22 operators to go through.

    Examples:
        >>> from quell.qec.codes import CSSCode, distance
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> found = distance(CSSCode(steane, steane))
        >>> found.distance, found.method
        (3, 'enumeration')
    """
    if code.k == 0:
        raise InputError(f"{code!r} has no logical qubit, and so no distance")
    if basis is not None:
        check_known("basis", basis, ("X", "Z"))
        return _of_basis(code, basis)
    return min((_of_basis(code, each) for each in "XZ"), key=lambda found: found.distance)


def _of_basis(code: CSSCode, basis: str) -> CodeDistance:
    if basis == "X":
        own, others, logicals, duals = code.x_checks, code.z_checks, code.logical_x, code.logical_z
    else:
        own, others, logicals, duals = code.z_checks, code.x_checks, code.logical_z, code.logical_x
    if (others.sum(axis=0) <= 2).all():
        witness = _shortest_cycle(others, duals)
        return CodeDistance(int(witness.sum()), basis, witness, "shortest cycle")
    stabilizers, _ = row_reduce(own)
    if len(stabilizers) + code.k > _MAX_DIMENSION:
        raise TooLargeError(
            f"{code!r} has 2^{len(stabilizers) + code.k} operators of {basis} to go through, the limit is "
            f"2^{_MAX_DIMENSION}, and a qubit in {others.sum(axis=0).max()} checks, where the shortest cycle needs at "
            f"most 2: no exact method here reaches it"
        )
    witness = _lightest(stabilizers, logicals)
    return CodeDistance(int(witness.sum()), basis, witness, "enumeration")


def _lightest(stabilizers: NDArray[np.uint8], logicals: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Goes through every product of logicals with stabilizers."""
    best: NDArray[np.uint8] | None = None
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


def _span(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every sum of rows, the empty one first."""
    sums = np.zeros((1, rows.shape[1]), dtype=np.uint8)
    for row in rows:
        sums = np.concatenate([sums, sums ^ row])
    return sums


def _shortest_cycle(checks: NDArray[np.uint8], duals: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The shortest closed walk along qubits, from check to check, that anticommutes with one of the dual logicals."""
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
    for dual in duals:
        # Every such walk uses a qubit of the dual: it is enough to start at the ends of those.
        for start in sorted({ends[qubit][0] for qubit in np.flatnonzero(dual)}):
            walk = _shortest_walk(neighbours, dual, start, None if best is None else len(best))
            if walk is not None:
                best = walk
    assert best is not None
    witness = np.zeros(checks.shape[1], dtype=np.uint8)
    np.add.at(witness, best, 1)
    return witness % 2


def _shortest_walk(
    neighbours: list[list[tuple[int, int]]], dual: NDArray[np.uint8], start: int, below: int | None
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
