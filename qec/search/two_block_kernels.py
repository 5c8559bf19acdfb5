"""The inner loops of the search for two-block codes, compiled with numba: their checks, ranks, and light operators.

Rows are packed, bit j of word i being qubit 64 i + j. Light logical operators are looked for in random information
sets: of the operators that commute with the checks, reduced under a random sequence of qubits, the rows and the sums of
two rows are light (Leon 1988; Lee and Brickell 1988).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler
from quell.qec.codes import information_set_kernels
from quell.qec.codes.information_set_kernels import popcount

__all__ = ["block_checks", "light_pair", "logical_dimension", "operators", "rank_of", "upper_bounds"]

Words = NDArray[np.uint64]
Ints = NDArray[np.int64]

_compiled = compiler([Path(__file__), Path(information_set_kernels.__file__)])

_MOST_LOGICALS = 64  # as many as a word has bits


@_compiled
def block_checks(table: Ints, inverses: Ints, a: Ints, b: Ints, x: Words, z: Words) -> None:
    """Writes H_X = [L(a) | R(b)] and H_Z = [R(b)ᵀ | L(a)ᵀ] into x and z, uint64 (g, words) each."""
    order = table.shape[0]
    x[:] = 0
    z[:] = 0
    one = np.uint64(1)
    for g in range(order):
        for element in a:
            qubit = table[element, g]
            x[g, qubit >> 6] |= one << np.uint64(qubit & 63)
            qubit = order + table[inverses[element], g]
            z[g, qubit >> 6] |= one << np.uint64(qubit & 63)
        for element in b:
            qubit = order + table[g, element]
            x[g, qubit >> 6] |= one << np.uint64(qubit & 63)
            qubit = table[g, inverses[element]]
            z[g, qubit >> 6] |= one << np.uint64(qubit & 63)


@_compiled
def _reduce(rows: Words, tags: Words, columns: Ints, pivots: Ints, above: bool) -> int:
    """Reduces in place, trying columns in their sequence; tags are carried along. Returns the rank."""
    count, words = rows.shape
    rank = 0
    one = np.uint64(1)
    for column in columns:
        if rank == count:
            break
        word, shift = column >> 6, np.uint64(column & 63)
        pivot = -1
        for row in range(rank, count):
            if (rows[row, word] >> shift) & one:
                pivot = row
                break
        if pivot < 0:
            continue
        if pivot != rank:
            for w in range(words):
                rows[pivot, w], rows[rank, w] = rows[rank, w], rows[pivot, w]
            tags[pivot], tags[rank] = tags[rank], tags[pivot]
        for row in range(0 if above else rank + 1, count):
            if row != rank and (rows[row, word] >> shift) & one:
                for w in range(words):
                    rows[row, w] ^= rows[rank, w]
                tags[row] ^= tags[rank]
        pivots[rank] = column
        rank += 1
    return rank


@_compiled
def rank_of(rows: Words, n: int) -> int:
    """The rank; the rows are reduced in place."""
    tags = np.zeros(rows.shape[0], np.uint64)
    return _reduce(rows, tags, np.arange(n), np.empty(n, np.int64), False)


@_compiled
def logical_dimension(table: Ints, inverses: Ints, a: Ints, b: Ints) -> int:
    """The number of logical qubits of the code of a and b."""
    order = table.shape[0]
    words = (2 * order + 63) >> 6
    x = np.empty((order, words), np.uint64)
    z = np.empty((order, words), np.uint64)
    block_checks(table, inverses, a, b, x, z)
    dimension: int = 2 * order - rank_of(x, 2 * order) - rank_of(z, 2 * order)
    return dimension


@_compiled
def _kernel(rows: Words, n: int) -> Words:
    """A basis of what is orthogonal to all rows; they are reduced in place."""
    pivots = np.empty(n, np.int64)
    rank = _reduce(rows, np.zeros(rows.shape[0], np.uint64), np.arange(n), pivots, True)
    basis = np.zeros((n - rank, rows.shape[1]), np.uint64)
    is_pivot = np.zeros(n, np.bool_)
    is_pivot[pivots[:rank]] = True
    one = np.uint64(1)
    found = 0
    for column in range(n):
        if is_pivot[column]:
            continue
        basis[found, column >> 6] |= one << np.uint64(column & 63)
        for row in range(rank):
            if (rows[row, column >> 6] >> np.uint64(column & 63)) & one:
                pivot = pivots[row]
                basis[found, pivot >> 6] |= one << np.uint64(pivot & 63)
        found += 1
    return basis


@_compiled
def operators(own: Words, others: Words, n: int) -> tuple[Words, Words]:
    """The operators of one type that commute with the checks of the other, and which logicals each is.

    Args:
        own: uint64 (r, words): the checks of the operators' type.
        others: uint64 (s, words): the checks they must commute with.
        n: Qubits.

    Returns:
        A basis of the operators, uint64 (m, words), and for each a word, bit i telling whether it anticommutes with
        logical i of the other type: zero for products of checks. Of more than 64 logicals, the first 64 are told.
    """
    basis = _kernel(others.copy(), n)
    other_basis = _kernel(own.copy(), n)
    # Logicals of the other type: what is independent of its checks. Their pairing with `basis` has full rank, so it is
    # enough to choose those of other_basis whose pairings are independent.
    count = basis.shape[0]
    tags = np.zeros(count, np.uint64)
    width = (count + 63) >> 6
    chosen = np.zeros((_MOST_LOGICALS, width), np.uint64)
    leads = np.zeros(_MOST_LOGICALS, np.int64)
    found = 0
    one = np.uint64(1)
    pairing = np.zeros(width, np.uint64)
    rest = np.zeros(width, np.uint64)
    for index in range(other_basis.shape[0]):
        if found == _MOST_LOGICALS:
            break
        pairing[:] = 0
        for row in range(count):
            shared = np.uint64(0)
            for w in range(basis.shape[1]):
                shared ^= basis[row, w] & other_basis[index, w]
            if popcount(shared) & 1:
                pairing[row >> 6] |= one << np.uint64(row & 63)
        rest[:] = pairing
        for each in range(found):
            if (rest[leads[each] >> 6] >> np.uint64(leads[each] & 63)) & one:
                rest ^= chosen[each]
        lead = -1
        for row in range(count):
            if (rest[row >> 6] >> np.uint64(row & 63)) & one:
                lead = row
                break
        if lead < 0:
            continue
        chosen[found] = rest
        leads[found] = lead
        for row in range(count):
            if (pairing[row >> 6] >> np.uint64(row & 63)) & one:
                tags[row] |= one << np.uint64(found)
        found += 1
    return basis, tags


@_compiled
def light_pair(basis: Words, tags: Words, n: int, trials: int, stop_at: int, rng: np.random.Generator) -> int:
    """The least weight of a logical operator met in so many random information sets, or the first at or below stop_at.

    Args:
        basis: As `operators` returns it.
        tags: Likewise.
        n: Qubits.
        trials: Information sets.
        stop_at: Nothing lighter is of interest.
        rng: Of the sequences.
    """
    rows = basis.copy()
    words_tags = tags.copy()
    count, words = rows.shape
    pivots = np.empty(n, np.int64)
    best = np.int64(n + 1)
    zero = np.uint64(0)
    for _ in range(trials):
        _reduce(rows, words_tags, rng.permutation(n), pivots, True)
        for first in range(count):
            weight = np.int64(0)
            for w in range(words):
                weight += popcount(rows[first, w])
            if words_tags[first] != zero and weight < best:
                best = weight
            for second in range(first):
                if words_tags[first] == words_tags[second]:
                    continue
                weight = np.int64(0)
                for w in range(words):
                    weight += popcount(rows[first, w] ^ rows[second, w])
                if weight < best:
                    best = weight
        if best <= stop_at:
            break
    return int(best)


@_compiled
def upper_bounds(
    table: Ints,
    inverses: Ints,
    a: Ints,
    b: Ints,
    both: bool,
    trials: int,
    stop_at: Ints,
    rng: np.random.Generator,
    found: Ints,
    bounds: Ints,
) -> None:
    """For many codes of one group: the number of logical qubits, and an upper bound on the distance.

    Args:
        table: int64 (g, g).
        inverses: int64 (g,).
        a: int64 (codes, |a|).
        b: int64 (codes, |b|).
        both: Whether both types of operators are looked at; over abelian groups their distances agree.
        trials: Information sets for each type.
        stop_at: int64 (2 g + 1,): for each k, the bound at or below which a code is not of interest.
        rng: Of the information sets.
        found: int64 (codes,): where k is written; known already where it is not negative.
        bounds: int64 (codes,): where the bounds are written, 0 where k is 0.
    """
    order = table.shape[0]
    n = 2 * order
    words = (n + 63) >> 6
    x = np.empty((order, words), np.uint64)
    z = np.empty((order, words), np.uint64)
    for code in range(a.shape[0]):
        block_checks(table, inverses, a[code], b[code], x, z)
        if found[code] < 0:
            found[code] = n - rank_of(x.copy(), n) - rank_of(z.copy(), n)
        bounds[code] = 0
        if found[code] == 0:
            continue
        limit = stop_at[found[code]]
        basis, tags = operators(x, z, n)
        bounds[code] = light_pair(basis, tags, n, trials, limit, rng)
        if both and bounds[code] > limit:
            basis, tags = operators(z, x, n)
            bounds[code] = min(bounds[code], light_pair(basis, tags, n, trials, limit, rng))
