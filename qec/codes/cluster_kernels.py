"""The inner loop of the search for light logical operators among connected clusters of qubits, compiled with numba.

A cluster grows by one qubit at a time, always on a check that it violates: some qubit of that check has to be in any
operator that contains the cluster and commutes with all checks. Of each check the qubits are tried in turn, and what
was tried is forbidden for the ones after it, so that no set is met twice. `cluster_search` says what else is cut off.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler

__all__ = ["LIMIT", "NODES", "STATE_SIZE", "WEIGHT", "grow", "neighbours", "reset"]

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Words = NDArray[np.uint64]

# Where the numbers of a search stand in its array of state.
_DEPTH, _ORBIT, LIMIT, _TRAIL, _VIOLATED, NODES, WEIGHT, STATE_SIZE = range(8)

_FORBIDDEN = 1 << 20  # taken from a qubit's number of violated checks while it may not be added
_UNIT = 1 << 24  # one qubit, in the sums that bound how many are still needed

_compiled = compiler([Path(__file__)])


@_compiled
def neighbours(matrix: NDArray[np.uint8]) -> tuple[Ints, Ints]:
    """Returns where each row of a matrix has ones, int32 (rows, most), and how many, int32 (rows,).

    Args:
        matrix: uint8 (rows, columns).
    """
    rows, columns = matrix.shape
    sizes = np.zeros(rows, np.int32)
    for row in range(rows):
        for column in range(columns):
            sizes[row] += matrix[row, column]
    most = 1
    for row in range(rows):
        most = max(most, sizes[row])
    places = np.zeros((rows, most), np.int32)
    for row in range(rows):
        size = 0
        for column in range(columns):
            if matrix[row, column]:
                places[row, size] = column
                size += 1
    return places, sizes


@_compiled
def reset(state: Longs, covers: Ints, trail: Ints) -> None:
    """Allows all qubits again and goes back to the first orbit; the cluster must be empty."""
    for place in range(state[_TRAIL]):
        covers[trail[place]] += _FORBIDDEN
    state[_TRAIL] = 0
    state[_ORBIT] = 0


@_compiled
def _toggle(
    qubit: int,
    state: Longs,
    covers: Ints,
    violated: Ints,
    places: Ints,
    checks: Ints,
    degrees: Ints,
    qubits: Ints,
    sizes: Ints,
) -> None:
    """Flips the checks of a qubit, in the list of those that are violated and in the qubits' counts of them."""
    count = state[_VIOLATED]
    for index in range(degrees[qubit]):
        check = checks[qubit, index]
        place = places[check]
        if place < 0:
            places[check] = count
            violated[count] = check
            count += 1
            change = 1
        else:
            count -= 1
            last = violated[count]
            violated[place] = last
            places[last] = place
            places[check] = -1
            change = -1
        for other in range(sizes[check]):
            covers[qubits[check, other]] += change
    state[_VIOLATED] = count


@_compiled
def _forbid(qubit: int, state: Longs, covers: Ints, trail: Ints) -> None:
    covers[qubit] -= _FORBIDDEN
    trail[state[_TRAIL]] = qubit
    state[_TRAIL] += 1


@_compiled
def _meet_stabilizers(
    qubit: int,
    state: Longs,
    covers: Ints,
    trail: Ints,
    chosen: NDArray[np.uint8],
    inside: Ints,
    stabilizers: Ints,
    counts: Ints,
    supports: Ints,
    support_sizes: Ints,
) -> bool:
    """Counts a new qubit in the stabilizers it is in, and forbids those with which one would shorten the operator.

    Of two halves of a stabilizer, either of which can stand for the other, only that with the first qubit is wanted.
    Returns whether the cluster can still be a part of what is wanted.
    """
    allowed = True
    for index in range(counts[qubit]):
        stabilizer = stabilizers[qubit, index]
        inside[stabilizer] += 1
        size = support_sizes[stabilizer]
        twice = 2 * inside[stabilizer]
        if twice < size - 2:
            continue
        first = supports[stabilizer, 0]
        if twice > size or (twice == size and not chosen[first]):
            allowed = False
        elif twice >= size - 1 or not chosen[first]:
            for place in range(size):
                other = supports[stabilizer, place]
                if covers[other] >= 0 and (twice >= size - 1 or other != first):
                    _forbid(other, state, covers, trail)
    return allowed


@_compiled
def _choose(
    state: Longs,
    remaining: int,
    most: int,
    covers: Ints,
    violated: Ints,
    degrees: Ints,
    qubits: Ints,
    sizes: Ints,
    candidates: Ints,
) -> int:
    """Writes the qubits to try next, all of one violated check, and returns how many; 0 if no completion exists.

    A qubit that would leave more violated checks than the rest can flip counts as forbidden. If at most m of the
    violated checks can be flipped by one qubit of a check, that check costs 1/m of a qubit at least; the sum over the
    checks is how many qubits are needed.
    """
    count = state[_VIOLATED]
    if count > most * remaining:
        return 0
    slack = most * (remaining - 1) - count
    budget = remaining * _UNIT
    fewest = 1 << 30
    strongest = 0
    best = 0
    for place in range(count):
        check = violated[place]
        free = 0
        largest = 0
        for index in range(sizes[check]):
            qubit = qubits[check, index]
            cover = covers[qubit]
            if cover > 0 and 2 * cover + slack >= degrees[qubit]:
                free += 1
                largest = max(largest, cover)
        if free == 0:
            return 0
        budget -= _UNIT // largest
        if budget < 0:
            return 0
        if free < fewest or (free == fewest and largest > strongest):
            fewest = free
            strongest = largest
            best = check
    found = 0
    for index in range(sizes[best]):
        qubit = qubits[best, index]
        cover = covers[qubit]
        if cover > 0 and 2 * cover + slack >= degrees[qubit]:
            # Sorted by how many violated checks they flip.
            place = found
            while place > 0 and covers[candidates[place - 1]] < cover:
                candidates[place] = candidates[place - 1]
                place -= 1
            candidates[place] = qubit
            found += 1
    return found


@_compiled
def grow(
    budget: int,
    step: int,
    state: Longs,
    order: Ints,
    begins: Ints,
    num_starts: int,
    checks: Ints,
    degrees: Ints,
    qubits: Ints,
    sizes: Ints,
    stabilizers: Ints,
    counts: Ints,
    supports: Ints,
    support_sizes: Ints,
    duals: Words,
    covers: Ints,
    violated: Ints,
    places: Ints,
    inside: Ints,
    chosen: NDArray[np.uint8],
    cluster: Ints,
    flips: Words,
    marks: Ints,
    candidates: Ints,
    ends: Ints,
    nexts: Ints,
    trail: Ints,
    witness: Ints,
) -> bool:
    """Goes on with a search where its state says, and returns whether it came to its end.

    Whenever a logical operator is found, it is written to `witness` with its weight to the state, and the limit on the
    weight drops below it.

    Args:
        budget: How many steps to take, of about a nanosecond, before it returns.
        step: By how much the weights of operators differ at least: 2 if all are even.
        state: int64 (STATE_SIZE,).
        order: int32 (n,): qubits, orbit by orbit.
        begins: int32 (orbits + 1,): where each orbit begins.
        num_starts: How many of the orbits an operator has to meet one of.
        checks: int32 (n, most): of each qubit.
        degrees: int32 (n,).
        qubits: int32 (R, most): of each check.
        sizes: int32 (R,).
        stabilizers: int32 (n, most): of each qubit.
        counts: int32 (n,).
        supports: int32 (S, most): of each stabilizer, the qubit that comes first in `order` first.
        support_sizes: int32 (S,).
        duals: uint64 (n, words): which dual logicals each qubit flips.
        covers: int32 (n,): how many violated checks a qubit is in; far below 0 if it is forbidden.
        violated: int32 (R,): list of violated checks.
        places: int32 (R,): where a check stands in that list, or -1.
        inside: int32 (S,): how many qubits of the cluster are in a stabilizer.
        chosen: uint8 (n,): whether a qubit is in the cluster.
        cluster: int32 (n + 1,): its qubits in turn.
        flips: uint64 (n + 1, words): which dual logicals the first qubits of the cluster flip together.
        marks: int32 (n + 1,): how long the trail was when each qubit was added.
        candidates: int32 (n + 1, most): what is tried beyond each depth.
        ends: int32 (n + 1,): how many those are.
        nexts: int32 (n + 1,): which comes next.
        trail: int32 (n,): qubits that were forbidden, in sequence.
        witness: int32 (n,): where the lightest operator is written.
    """
    most = 1
    for qubit in range(degrees.shape[0]):
        most = max(most, degrees[qubit])
    words, width = duals.shape[1], qubits.shape[1]
    while True:
        depth = state[_DEPTH]
        if budget <= 0:
            return False
        if depth == 0:
            if state[_ORBIT] > 0:
                previous = state[_ORBIT] - 1
                for place in range(begins[previous], begins[previous + 1]):
                    if covers[order[place]] >= 0:
                        _forbid(order[place], state, covers, trail)
            if state[_ORBIT] == num_starts or state[LIMIT] < 1:
                return True
            qubit = order[begins[state[_ORBIT]]]
            state[_ORBIT] += 1
        else:
            if nexts[depth] > 0 and covers[candidates[depth, nexts[depth] - 1]] >= 0:
                _forbid(candidates[depth, nexts[depth] - 1], state, covers, trail)
            while nexts[depth] < ends[depth] and covers[candidates[depth, nexts[depth]]] < 0:
                nexts[depth] += 1
            if nexts[depth] == ends[depth] or depth >= state[LIMIT]:
                qubit = -1
            else:
                qubit = candidates[depth, nexts[depth]]
                nexts[depth] += 1
        if qubit >= 0:
            state[NODES] += 1
            budget -= 16 + width * (degrees[qubit] + state[_VIOLATED])
            marks[depth] = state[_TRAIL]
            _forbid(qubit, state, covers, trail)
            chosen[qubit] = 1
            cluster[depth] = qubit
            for word in range(words):
                flips[depth + 1, word] = flips[depth, word] ^ duals[qubit, word]
            _toggle(qubit, state, covers, violated, places, checks, degrees, qubits, sizes)
            allowed = _meet_stabilizers(
                qubit, state, covers, trail, chosen, inside, stabilizers, counts, supports, support_sizes
            )
            depth += 1
            state[_DEPTH] = depth
            nexts[depth] = 0
            ends[depth] = 0
            if state[_VIOLATED] == 0:
                logical = False
                for word in range(words):
                    logical |= flips[depth, word] != 0
                if logical and depth <= state[LIMIT]:
                    witness[:depth] = cluster[:depth]
                    state[WEIGHT] = depth
                    state[LIMIT] = depth - step
            elif allowed and depth < state[LIMIT]:
                ends[depth] = _choose(
                    state, state[LIMIT] - depth, most, covers, violated, degrees, qubits, sizes, candidates[depth]
                )
        else:
            depth -= 1
            state[_DEPTH] = depth
            qubit = cluster[depth]
            _toggle(qubit, state, covers, violated, places, checks, degrees, qubits, sizes)
            for index in range(counts[qubit]):
                inside[stabilizers[qubit, index]] -= 1
            chosen[qubit] = 0
            for place in range(marks[depth], state[_TRAIL]):
                covers[trail[place]] += _FORBIDDEN
            state[_TRAIL] = marks[depth]
