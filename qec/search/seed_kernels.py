"""Random check matrices, changes of them, and simulated annealing, compiled with numba.

A check matrix of up to 64 columns is one 64-bit word a row; what it costs is counted by `codeword_kernels`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler
from quell.qec.codes.information_set_kernels import popcount
from quell.qec.search.codeword_kernels import SOURCES as CODEWORD_SOURCES
from quell.qec.search.codeword_kernels import count_light, lowest

__all__ = [
    "SOURCES",
    "anneal",
    "count_light",
    "energy_of",
    "fill_rows",
    "propose",
    "random_toggles",
    "sample",
    "within_bounds",
]

_TRIES = 64  # how often a move is drawn before a step is given up

SOURCES = (Path(__file__), *CODEWORD_SOURCES)
compiled = compiler(SOURCES)

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]


@compiled
def energy_of(counts: Counts, prices: NDArray[np.float64], excess: int, excess_price: float) -> float:
    """What a matrix costs: a price for every light codeword, and one for every logical bit too many."""
    total = excess_price * excess
    for weight in range(1, len(counts)):
        total += prices[weight] * counts[weight]
    return total


@compiled
def within_bounds(rows: Words, num_columns: int, max_row: int, max_column: int) -> bool:
    """Whether no row and no column is empty or has too many ones.

    Columns are counted in parallel: three words hold the bits of every column's count, and a fourth those beyond 7,
    which then are counted one by one.
    """
    one, two, four, over = np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0)
    for row in rows:
        weight = popcount(row)
        if weight < 1 or weight > max_row:
            return False
        carry = one & row
        one ^= row
        carry_on = two & carry
        two ^= carry
        over |= four & carry_on
        four ^= carry_on
    every = ~np.uint64(0) if num_columns == 64 else (np.uint64(1) << np.uint64(num_columns)) - np.uint64(1)
    if (one | two | four | over) != every or (over and max_column <= 7):
        return False
    if max_column >= 7:
        for column in range(num_columns):
            if (over >> np.uint64(column)) & np.uint64(1):
                count = 0
                for row in rows:
                    count += int((row >> np.uint64(column)) & np.uint64(1))
                if count > max_column:
                    return False
        return True
    for value in range(max_column + 1, 8):
        match = every
        match &= one if value & 1 else ~one
        match &= two if value & 2 else ~two
        match &= four if value & 4 else ~four
        if match:
            return False
    return True


@compiled
def toggle(rows: Words, row: int, column: int, row_image: Counts, column_image: Counts) -> None:
    """Adds or removes an edge, and all its images under the symmetry."""
    i, j = row, column
    while True:
        rows[i] ^= np.uint64(1) << np.uint64(j)
        i, j = row_image[i], column_image[j]
        if i == row and j == column:
            return


@compiled
def random_one(rng: np.random.Generator, word: np.uint64) -> int:
    """The place of one of the bits that are set, drawn evenly; there must be one."""
    skip = int(rng.random() * popcount(word))
    for _ in range(skip):
        word &= word - np.uint64(1)
    return lowest(word)


@compiled
def random_toggles(
    rng: np.random.Generator, rows: Words, num_columns: int, row_image: Counts, column_image: Counts
) -> None:
    """Makes one random change: an end of an edge is moved, two edges trade ends, or one edge comes or goes."""
    kind = rng.random()
    num_rows = len(rows)
    i = int(rng.random() * num_rows)
    if kind < 0.1:
        toggle(rows, i, int(rng.random() * num_columns), row_image, column_image)
        return
    j = random_one(rng, rows[i])
    if kind < 0.4:
        toggle(rows, i, j, row_image, column_image)
        toggle(rows, i, int(rng.random() * num_columns), row_image, column_image)
    elif kind < 0.5:
        toggle(rows, i, j, row_image, column_image)
        toggle(rows, int(rng.random() * num_rows), j, row_image, column_image)
    else:
        other = int(rng.random() * num_rows)
        end = random_one(rng, rows[other])
        toggle(rows, i, j, row_image, column_image)
        toggle(rows, other, end, row_image, column_image)
        toggle(rows, i, end, row_image, column_image)
        toggle(rows, other, j, row_image, column_image)


@compiled
def propose(
    rng: np.random.Generator,
    rows: Words,
    new: Words,
    num_columns: int,
    max_row: int,
    max_column: int,
    row_image: Counts,
    column_image: Counts,
) -> bool:
    """Writes a changed matrix within the bounds into `new`; False if none was found."""
    for _ in range(_TRIES):
        new[:] = rows
        random_toggles(rng, new, num_columns, row_image, column_image)
        if not within_bounds(new, num_columns, max_row, max_column):
            continue
        for row in range(len(rows)):
            if new[row] != rows[row]:
                return True
    return False


@compiled
def anneal(
    rng: np.random.Generator,
    rows: Words,
    cost: float,
    num_columns: int,
    max_row: int,
    max_column: int,
    row_image: Counts,
    column_image: Counts,
    prices: NDArray[np.float64],
    excess_price: float,
    temperature: float,
    cooling: float,
    evaluations: int,
    best_rows: Words,
    best_cost: float,
    trace: NDArray[np.float64],
) -> tuple[int, float, float, float, int]:
    """Changes a matrix step by step and keeps what costs less, or a little more while it is warm.

    Args:
        rng: Drawn from.
        rows: uint64 (R,): where to start, within the bounds; becomes where it ends.
        cost: Of `rows`.
        num_columns: At most 64.
        max_row: The most ones in a row.
        max_column: The most ones in a column.
        row_image: int64 (R,): the symmetry that every matrix has, as a permutation of rows.
        column_image: int64 (n,): and of columns.
        prices: float64 (d,): of a codeword of each weight below d, the distance that is wanted.
        excess_price: Of each dimension of the code above n - R.
        temperature: Of the first step.
        cooling: By which it is multiplied after every step.
        evaluations: How many new matrices are looked at, at most.
        best_rows: uint64 (R,): the cheapest matrix seen before, and then until now.
        best_cost: Of that; it ends at 0, where the distance is reached.
        trace: float64 (T, 2): becomes the step, from 1, and the cost of the first T improvements.

    Returns:
        How many were looked at, the cost of `rows`, that of `best_rows`, the temperature, and how many improvements
        there were.
    """
    counts = np.zeros(len(prices), dtype=np.int64)
    lightest = np.zeros(1, dtype=np.uint64)
    new = np.empty_like(rows)
    wanted = num_columns - len(rows)
    improvements = 0
    done = 0
    while done < evaluations and best_cost > 0.0:
        if not propose(rng, rows, new, num_columns, max_row, max_column, row_image, column_image):
            break
        k = count_light(new, num_columns, len(prices), counts, lightest)
        new_cost = energy_of(counts, prices, k - wanted, excess_price)
        done += 1
        if new_cost <= cost or rng.random() < np.exp((cost - new_cost) / temperature):
            rows[:] = new
            cost = new_cost
            if cost < best_cost:
                best_cost = cost
                improvements = note_best(rows, cost, done, best_rows, trace, improvements)
        temperature *= cooling
    return done, cost, best_cost, temperature, improvements


@compiled
def note_best(
    rows: Words, cost: float, done: int, best_rows: Words, trace: NDArray[np.float64], improvements: int
) -> int:
    """Keeps the cheapest matrix so far, and when it was met; returns how many improvements there were with it."""
    best_rows[:] = rows
    if improvements < len(trace):
        trace[improvements, 0] = done
        trace[improvements, 1] = cost
    return improvements + 1


@compiled
def add_edge(
    rows: Words,
    row: int,
    column: int,
    row_image: Counts,
    column_image: Counts,
    row_weights: Counts,
    column_weights: Counts,
    max_row: int,
    max_column: int,
) -> bool:
    """Adds an edge and its images, unless it is there or a row or column would get too many ones."""
    if (rows[row] >> np.uint64(column)) & np.uint64(1):
        return False
    fits = True
    toggle(rows, row, column, row_image, column_image)
    i, j = row, column
    while True:
        row_weights[i] += 1
        column_weights[j] += 1
        fits = fits and row_weights[i] <= max_row and column_weights[j] <= max_column
        i, j = row_image[i], column_image[j]
        if i == row and j == column:
            break
    if fits:
        return True
    toggle(rows, row, column, row_image, column_image)
    while True:
        row_weights[i] -= 1
        column_weights[j] -= 1
        i, j = row_image[i], column_image[j]
        if i == row and j == column:
            return False


@compiled
def fill_rows(
    rng: np.random.Generator,
    rows: Words,
    num_columns: int,
    max_row: int,
    max_column: int,
    row_image: Counts,
    column_image: Counts,
) -> bool:
    """Writes a random matrix, with rows nearly as full as they may be; False if it is not within the bounds."""
    num_rows = len(rows)
    rows[:] = 0
    row_weights = np.zeros(num_rows, dtype=np.int64)
    column_weights = np.zeros(num_columns, dtype=np.int64)
    order = np.arange(num_columns)
    for last in range(num_columns - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    # First every column gets a one, and then whoever has room.
    for place in range(num_columns):
        column = int(order[place])
        for _ in range(_TRIES):
            if column_weights[column] > 0:
                break
            row = int(rng.random() * num_rows)
            add_edge(rows, row, column, row_image, column_image, row_weights, column_weights, max_row, max_column)
    for _ in range(4 * max_row * num_rows):
        row, column = int(rng.random() * num_rows), int(rng.random() * num_columns)
        add_edge(rows, row, column, row_image, column_image, row_weights, column_weights, max_row, max_column)
    return within_bounds(rows, num_columns, max_row, max_column)


@compiled
def sample(
    rng: np.random.Generator,
    rows: Words,
    num_columns: int,
    max_row: int,
    max_column: int,
    row_image: Counts,
    column_image: Counts,
    prices: NDArray[np.float64],
    excess_price: float,
    evaluations: int,
    best_rows: Words,
    best_cost: float,
    trace: NDArray[np.float64],
) -> tuple[int, float, float, int]:
    """Looks at random matrices, drawn independently, until one reaches the distance; as `anneal` otherwise.

    Returns:
        How many were looked at, the cost of the last one, in `rows`, that of `best_rows`, and how many improvements
        there were. Fewer than `evaluations` and none of cost 0: no matrix was found within the bounds.
    """
    counts = np.zeros(len(prices), dtype=np.int64)
    lightest = np.zeros(1, dtype=np.uint64)
    wanted = num_columns - len(rows)
    improvements = 0
    done = 0
    cost = best_cost
    while done < evaluations and best_cost > 0.0:
        found = False
        for _ in range(_TRIES):
            found = fill_rows(rng, rows, num_columns, max_row, max_column, row_image, column_image)
            if found:
                break
        if not found:
            break
        k = count_light(rows, num_columns, len(prices), counts, lightest)
        cost = energy_of(counts, prices, k - wanted, excess_price)
        done += 1
        if cost < best_cost:
            best_cost = cost
            improvements = note_best(rows, cost, done, best_rows, trace, improvements)
    return done, cost, best_cost, improvements
