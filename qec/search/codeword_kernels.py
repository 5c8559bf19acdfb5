"""Light codewords of a small classical code, counted exactly, compiled with numba.

A check matrix of up to 64 columns is one 64-bit word a row. Light codewords are counted in one of three ways, whichever
is least work: all codewords in Gray order; those connected through checks, grown column by column; or sums of few rows,
since a codeword of weight below d has weight at most (d - 1) // m on one of m disjoint information sets (Brouwer and
Zimmermann).
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import quell.qec.codes.information_set_kernels as information_set_kernels
from quell.compiled_kernels import compiler
from quell.qec.codes.information_set_kernels import popcount

__all__ = ["ALL_AT_ONCE", "SOURCES", "count_light", "generators_of", "lowest", "walk_clusters"]

ALL_AT_ONCE = 9  # up to 2^9 codewords are gone through without information sets
_MAX_SETS = 8

# Whoever calls what is here is compiled anew when one of these changes.
SOURCES = (Path(__file__), Path(information_set_kernels.__file__))
compiled = compiler(SOURCES)

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]


@compiled
def lowest(word: np.uint64) -> int:
    """The place of the lowest bit that is set; signed, and to numba a number as any other."""
    return popcount((word & (~word + np.uint64(1))) - np.uint64(1))  # type: ignore[return-value]  # numba has one kind


@compiled
def eliminate(rows: Words, allowed: np.uint64, pivots: Words) -> int:
    """Reduces rows in place with pivots among the allowed columns; returns the rank there. `pivots[i]` is row i's."""
    rank = 0
    num_rows = len(rows)
    for _ in range(num_rows):
        # The next row that has anything left among the allowed columns.
        found = -1
        for row in range(rank, num_rows):
            if rows[row] & allowed:
                found = row
                break
        if found < 0:
            break
        pivot_row = rows[found]
        rows[found] = rows[rank]
        rows[rank] = pivot_row
        left = pivot_row & allowed
        bit = left & (~left + np.uint64(1))
        for row in range(num_rows):
            if row != rank and rows[row] & bit:
                rows[row] ^= pivot_row
        pivots[rank] = bit
        rank += 1
    return rank


@compiled
def generators_of(rows: Words, num_columns: int, work: Words, pivots: Words, generators: Words) -> int:
    """Writes a systematic generator matrix; returns its number of rows, which is the dimension of the code."""
    work[: len(rows)] = rows
    every = ~np.uint64(0) if num_columns == 64 else (np.uint64(1) << np.uint64(num_columns)) - np.uint64(1)
    rank = eliminate(work[: len(rows)], every, pivots)
    free = every
    for row in range(rank):
        free ^= pivots[row]
    k = 0
    while free:
        bit = free & (~free + np.uint64(1))
        free ^= bit
        word = bit
        for row in range(rank):
            if work[row] & bit:
                word |= pivots[row]
        generators[k] = word
        k += 1
    return k


@compiled
def tally(word: np.uint64, below: int, counts: Counts, lightest: Words) -> None:
    """Counts a codeword if it is light, and keeps the lightest."""
    weight = popcount(word)
    if weight < below:
        counts[weight] += 1
        if weight < popcount(lightest[0]):
            lightest[0] = word


@compiled
def sums_of_few(
    generators: Words, k: int, most: int, below: int, sets: Words, this: int, counts: Counts, lightest: Words
) -> None:
    """Goes through all sums of up to `most` rows and counts those that no earlier information set has found."""
    chosen = np.zeros(most + 1, dtype=np.int64)
    partial = np.zeros(most + 1, dtype=np.uint64)
    depth = 0
    chosen[0] = -1
    while depth >= 0:
        chosen[depth] += 1
        if chosen[depth] >= k:
            depth -= 1
            continue
        before = partial[depth - 1] if depth > 0 else np.uint64(0)
        word = before ^ generators[chosen[depth]]
        new = True
        for other in range(this):
            if popcount(word & sets[other]) <= most:
                new = False
                break
        if new:
            tally(word, below, counts, lightest)
        if depth + 1 < most:
            partial[depth] = word
            chosen[depth + 1] = chosen[depth]
            depth += 1


@compiled
def count_light(rows: Words, num_columns: int, below: int, counts: Counts, lightest: Words) -> int:
    """Counts the codewords of each weight below `below`, except zero, and returns the dimension of the code.

    `counts` has `below` entries; `lightest[0]` becomes a lightest of them, or all ones if there is none.
    """
    counts[:] = 0
    lightest[0] = ~np.uint64(0)
    work = np.empty(max(len(rows), num_columns), dtype=np.uint64)
    pivots = np.empty(num_columns, dtype=np.uint64)
    generators = np.empty((_MAX_SETS, num_columns), dtype=np.uint64)
    k = generators_of(rows, num_columns, work, pivots, generators[0])
    if k <= ALL_AT_ONCE:
        gray(generators[0], k, below, counts, lightest)
        return k
    if num_columns * 2.0 ** (below - 2) < 2.0**k:
        walk_clusters(rows, num_columns, below, counts, lightest, None)
        return k
    sets = np.zeros(_MAX_SETS, dtype=np.uint64)
    every = ~np.uint64(0) if num_columns == 64 else (np.uint64(1) << np.uint64(num_columns)) - np.uint64(1)
    left = np.uint64(0)
    for row in range(num_columns - k):
        left |= pivots[row]
    sets[0] = every ^ left
    num_sets = 1
    while num_sets < _MAX_SETS and popcount(left) >= k:
        generators[num_sets, :k] = generators[num_sets - 1, :k]
        rank = eliminate(generators[num_sets, :k], left, pivots)
        if rank < k:
            break
        for row in range(k):
            sets[num_sets] |= pivots[row]
        left ^= sets[num_sets]
        num_sets += 1
    best_sets, best_cost = 0, 2.0**k
    for tried in range(1, num_sets + 1):
        cost = tried * sums_up_to(k, (below - 1) // tried)
        if cost < best_cost:
            best_sets, best_cost = tried, cost
    if best_sets == 0:
        gray(generators[0], k, below, counts, lightest)
        return k
    most = (below - 1) // best_sets
    for this in range(best_sets):
        if most > 0:
            sums_of_few(generators[this], k, most, below, sets, this, counts, lightest)
    return k


@compiled
def walk_clusters(
    rows: Words, num_columns: int, below: int, counts: Counts, lightest: Words, kept: Words | None
) -> int:
    """Counts the light codewords that are connected through checks, the lightest among them.

    From each column, those before it forbidden, words grow by a column of a check that is not yet satisfied. If `kept`
    is not None the words are written there, and the walk ends when it is full; returns how many were written.
    """
    columns = np.zeros(num_columns, dtype=np.uint64)
    heaviest = 1
    for row in range(len(rows)):
        word = rows[row]
        while word:
            column = lowest(word)
            word &= word - np.uint64(1)
            columns[column] |= np.uint64(1) << np.uint64(row)
    for column in range(num_columns):
        heaviest = max(heaviest, int(popcount(columns[column])))
    found = 0
    words = np.zeros(below + 1, dtype=np.uint64)
    open_checks = np.zeros(below + 1, dtype=np.uint64)
    options = np.zeros(below + 1, dtype=np.uint64)
    forbidden = np.zeros(below + 1, dtype=np.uint64)
    for start in range(num_columns):
        bit = np.uint64(1) << np.uint64(start)
        if columns[start] == 0:
            tally(bit, below, counts, lightest)
            if kept is not None:
                kept[found] = bit
                found += 1
                if found == len(kept):
                    return found
            continue
        size = 1
        words[1], open_checks[1] = bit, columns[start]
        forbidden[1] = bit | (bit - np.uint64(1))
        options[1] = rows[lowest(columns[start])] & ~forbidden[1] if below > 2 else np.uint64(0)
        while size > 0:
            if options[size] == 0:
                size -= 1
                continue
            column = lowest(options[size])
            bit = np.uint64(1) << np.uint64(column)
            options[size] ^= bit
            forbidden[size] |= bit
            left_open = open_checks[size] ^ columns[column]
            if left_open == 0:
                tally(words[size] | bit, below, counts, lightest)
                if kept is not None:
                    kept[found] = words[size] | bit
                    found += 1
                    if found == len(kept):
                        return found
                continue
            if size + 2 < below and popcount(left_open) <= heaviest * (below - size - 2):
                words[size + 1] = words[size] | bit
                open_checks[size + 1] = left_open
                forbidden[size + 1] = forbidden[size]
                options[size + 1] = rows[lowest(left_open)] & ~forbidden[size]
                size += 1
    return found


@compiled
def sums_up_to(k: int, most: int) -> float:
    """How many sums of one to `most` rows there are."""
    total, term = 0.0, 1.0
    for size in range(1, min(most, k) + 1):
        term *= (k - size + 1) / size
        total += term
    return total


@compiled
def gray(generators: Words, k: int, below: int, counts: Counts, lightest: Words) -> None:
    """Goes through all codewords, each one row away from the one before."""
    word = np.uint64(0)
    for step in range(1, 1 << k):
        word ^= generators[lowest(np.uint64(step))]
        tally(word, below, counts, lightest)
