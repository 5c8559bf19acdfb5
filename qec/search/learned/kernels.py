"""Compiled loops of the learned agents: which codewords are light, what moves there are, and steps of many matrices.

An evaluation also knows the light codewords themselves, without looking at another matrix. A move that changes an odd
number of places of a codeword within a row takes that codeword away; which ones a move makes is what has to be learned.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler
from quell.qec.codes.information_set_kernels import popcount
from quell.qec.search.codeword_kernels import ALL_AT_ONCE, count_light, generators_of, lowest, walk_clusters
from quell.qec.search.seed_kernels import SOURCES as SEED_SOURCES
from quell.qec.search.seed_kernels import energy_of, propose

__all__ = ["MAX_TOGGLES", "MAX_WORDS", "describe", "draw_moves", "look", "toggle_edges"]

MAX_WORDS = 256  # light codewords that are kept of a matrix
_TRIES = 8
MAX_TOGGLES = 4  # of a move: two edges that trade ends

compiled = compiler((Path(__file__), *SEED_SOURCES))

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]
Reals = NDArray[np.float64]


@compiled
def list_light(rows: Words, num_columns: int, below: int, words: Words) -> int:
    """Writes up to len(words) codewords lighter than `below`, those that `count_light` counts, and returns how many."""
    work = np.empty(max(len(rows), num_columns), dtype=np.uint64)
    pivots = np.empty(num_columns, dtype=np.uint64)
    generators = np.empty(num_columns, dtype=np.uint64)
    k = generators_of(rows, num_columns, work, pivots, generators)
    if k > ALL_AT_ONCE and num_columns * 2.0 ** (below - 2) < 2.0**k:
        counts, lightest = np.zeros(below, dtype=np.int64), ~np.zeros(1, dtype=np.uint64)
        return walk_clusters(rows, num_columns, below, counts, lightest, words)
    found = 0
    word = np.uint64(0)
    for step in range(1, 1 << k):
        word ^= generators[lowest(np.uint64(step))]
        if popcount(word) < below:
            words[found] = word
            found += 1
            if found == len(words):
                break
    return found


@compiled
def look(
    matrices: Words, num_columns: int, prices: Reals, excess_price: float, costs: Reals, distances: Counts
) -> None:
    """One evaluation of each matrix, uint64 (B, r): writes costs (B,) and distances (B,), the wanted one at most."""
    counts = np.zeros(len(prices), dtype=np.int64)
    lightest = np.zeros(1, dtype=np.uint64)
    for each in range(len(matrices)):
        rows = matrices[each]
        k = count_light(rows, num_columns, len(prices), counts, lightest)
        costs[each] = energy_of(counts, prices, k - (num_columns - len(rows)), excess_price)
        distances[each] = len(prices)
        for weight in range(len(prices) - 1, 0, -1):
            if counts[weight] > 0:
                distances[each] = weight


@compiled
def describe(
    matrices: Words, num_columns: int, prices: Reals, words: Words, found: Counts, bits: NDArray[np.float32],
    shares: NDArray[np.float32],
) -> None:  # fmt: skip
    """Writes what a network sees of each matrix, and the light codewords.

    Args:
        matrices: uint64 (B, r), already evaluated.
        num_columns: n.
        prices: float64 (d,): of a codeword of each weight below d.
        words: uint64 (B, W): becomes the light codewords.
        found: int64 (B,): becomes how many there are.
        bits: float32 (B, r, n): becomes the matrices.
        shares: float32 (B, n): becomes the prices of the light codewords that each column is in.
    """
    bits[:] = 0
    shares[:] = 0
    for each in range(len(matrices)):
        for row in range(matrices.shape[1]):
            left = matrices[each, row]
            while left:
                bits[each, row, lowest(left)] = 1
                left &= left - np.uint64(1)
        found[each] = list_light(matrices[each], num_columns, len(prices), words[each])
        for index in range(found[each]):
            left = words[each, index]
            price = prices[popcount(left)]
            while left:
                shares[each, lowest(left)] += price
                left &= left - np.uint64(1)


@compiled
def toggle_edges(matrices: Words, edges: Counts, num_columns: int) -> None:
    """Adds or removes one edge of each matrix: number row · n + column."""
    for each in range(len(matrices)):
        row, column = edges[each] // num_columns, edges[each] % num_columns
        matrices[each, row] ^= np.uint64(1) << np.uint64(column)


@compiled
def only_renumbers(rows: Words, new: Words, columns: Counts) -> bool:
    """Whether a move of at most two rows or two columns does no more than make these trade places."""
    first, second, changed = -1, -1, 0
    for row in range(len(rows)):
        if rows[row] != new[row]:
            changed += 1
            first, second = (row, second) if first < 0 else (first, row)
    if changed == 2 and rows[first] == new[second] and rows[second] == new[first]:
        return True
    if columns[0] < 0 or columns[1] < 0:
        return False
    one, two = np.uint64(columns[0]), np.uint64(columns[1])
    for row in range(len(rows)):
        if (rows[row] >> one) & np.uint64(1) != (new[row] >> two) & np.uint64(1):
            return False
        if (rows[row] >> two) & np.uint64(1) != (new[row] >> one) & np.uint64(1):
            return False
    return True


@compiled
def write_toggles(rows: Words, new: Words, toggles: Counts, columns: Counts) -> None:
    """Lists what changes, (4, 3), and two columns in which it does; -1 for those that there are not."""
    toggles[:] = 0
    columns[:] = -1
    place = 0
    for row in range(len(rows)):
        left = new[row] ^ rows[row]
        while left:
            column = lowest(left)
            toggles[place, 0], toggles[place, 1] = row, column
            toggles[place, 2] = 1 if (new[row] >> np.uint64(column)) & np.uint64(1) else -1
            if columns[0] < 0:
                columns[0] = column
            elif column != columns[0] and columns[1] < 0:
                columns[1] = column
            place += 1
            left &= left - np.uint64(1)


@compiled
def draw_moves(
    rng: np.random.Generator, rows: Words, num_columns: int, max_row: int, max_column: int, words: Words, found: int,
    prices: Reals, new: Words, toggles: NDArray[np.int64], gains: Reals,
) -> int:  # fmt: skip
    """Draws moves as annealing does, all within the bounds, but hardly any that only renumber rows or columns.

    Args:
        rng: Drawn from.
        rows: uint64 (r,): the matrix.
        num_columns: n.
        max_row: The most ones in a row.
        max_column: The most ones in a column.
        words: uint64 (W,): its light codewords.
        found: How many there are.
        prices: float64 (d,).
        new: uint64 (M, r): becomes the matrices after each move.
        toggles: int64 (M, 4, 3): becomes the rows and columns that change, and 1 for an edge that comes, −1 for one
            that goes; 0 where there are no more.
        gains: float64 (M,): becomes the price of the codewords that each move takes away.

    Returns:
        How many were drawn: M, or less if moves within the bounds are rare.
    """
    row_image, column_image = np.arange(len(rows)), np.arange(num_columns)
    columns = np.zeros(2, dtype=np.int64)
    for move in range(len(new)):
        for _ in range(_TRIES):
            if not propose(rng, rows, new[move], num_columns, max_row, max_column, row_image, column_image):
                return move
            write_toggles(rows, new[move], toggles[move], columns)
            if not only_renumbers(rows, new[move], columns):
                break
        gains[move] = 0.0
        for index in range(found):
            for row in range(len(rows)):
                if popcount((new[move, row] ^ rows[row]) & words[index]) & 1:
                    gains[move] += prices[popcount(words[index])]
                    break
    return len(new)
