"""The problem that the search for low-weight hypergraph products comes down to: one small sparse classical code.

The product of a classical code with itself, given by a check matrix H of n columns and n - k independent rows, is a
quantum code [[n² + (n - k)², k², d]] whose check weights are at most a row of H and a column of H together, and whose
degrees are at most the heavier of the two (Tillich and Zémor, arXiv:0903.0566). So the best quantum code of this kind
is the shortest H with the wanted k and distance within the bounds (He and Liu, arXiv:2502.14372).
"""

import functools
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from types import ModuleType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError, TooLargeError, check_integer, import_extra
from quell.qec.codes.gf2 import as_bits

__all__ = [
    "Evaluation",
    "SeedProblem",
    "evaluate",
    "least_length",
    "pack_rows",
    "random_rows",
    "seed_bounds",
    "unpack_rows",
]

MAX_LENGTH = 64
PRICE_RATIO = 1.5
EXCESS_PRICE = 5.0
_DEEPEST = 16  # distance up to which prices are tried; beyond, the ratio hardly falls
_MOST_ONES = 8
_START_TRIES = 50


@dataclass(frozen=True)
class SeedProblem:
    """A classical code that is wanted: its length, dimension and distance, and how heavy rows and columns may be.

    Args:
        n: Columns of the check matrix, at most 64.
        k: The dimension; the matrix has n - k rows.
        distance: At least this.
        max_row: The most ones in a row.
        max_column: The most ones in a column.

    Raises:
        InputError: A number is outside its limits, or no such code can exist; the message says which bound forbids it.
        TooLargeError: n is above 64.

    Examples:
        >>> from quell.qec.search import SeedProblem
        >>> SeedProblem(30, 7, 12).num_checks
        23
        >>> SeedProblem(30, 20, 3)
        Traceback (most recent call last):
        quell.errors.InputError: no check matrix with rows of at most 3 has n = 30, k = 20 and distance 3: n must be ...
    """

    n: int
    k: int
    distance: int
    max_row: int = 3
    max_column: int = 3

    def __post_init__(self) -> None:
        """Checks all numbers, and that nothing known forbids the code."""
        check_integer("n", self.n, minimum=2)
        least, reason = least_length(self.k, self.distance, self.max_row, self.max_column)
        if self.n > MAX_LENGTH:
            raise TooLargeError(f"n must be <= {MAX_LENGTH}, one machine word, got {self.n}: lower k or distance")
        if self.n < least:
            raise InputError(
                f"no check matrix with rows of at most {self.max_row} has n = {self.n}, k = {self.k} and distance "
                f"{self.distance}: n must be at least {least}, as {reason}"
            )

    @property
    def num_checks(self) -> int:
        """How many rows the check matrix has."""
        return self.n - self.k

    @property
    def prices(self) -> NDArray[np.float64]:
        """What a codeword of each weight below the distance costs, float64 (distance,)."""
        weights = np.arange(self.distance)
        return np.where(weights > 0, PRICE_RATIO ** (self.distance - 1.0 - weights), 0.0)

    @property
    def quantum_parameters(self) -> tuple[int, int, int]:
        """(n, k, distance) of the hypergraph product of such a code with itself."""
        return self.n**2 + self.num_checks**2, self.k**2, self.distance


@dataclass(frozen=True)
class Evaluation:
    """What one look at a check matrix tells.

    Attributes:
        cost: 0 where the target is reached: a price for each connected codeword lighter than the distance, 1.5 times
            higher for each step in weight, and 5 for each dimension too many.
        distance: Exact if below the distance that is wanted, which it is otherwise: no more is looked for.
        k: The dimension of the code, n minus the rank.
        lightest: uint64: a lightest codeword as a mask of columns, or 0 if none is lighter than what is wanted.
        counts: int64 (distance,): how many light codewords were counted of each weight; of the lightest ones all.
    """

    cost: float
    distance: int
    k: int
    lightest: int
    counts: NDArray[np.int64]


def evaluate(problem: SeedProblem, rows: NDArray[np.uint64]) -> Evaluation:
    """Counts the light codewords of a check matrix: one evaluation of a search's budget.

    Args:
        problem: What is wanted.
        rows: uint64 (n - k,): bit j of row i is the entry in column j.

    Raises:
        MissingExtraError: numba is not installed.

    Examples:
        >>> import numpy as np
        >>> from quell.qec.search import SeedProblem, evaluate, pack_rows
        >>> rows = pack_rows([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
        >>> found = evaluate(SeedProblem(4, 1, 4), rows)
        >>> found.cost, found.distance, found.k
        (0.0, 4, 1)
    """
    kernels = seed_kernels()
    counts = np.zeros(problem.distance, dtype=np.int64)
    lightest = np.zeros(1, dtype=np.uint64)
    k = int(kernels.count_light(rows, problem.n, problem.distance, counts, lightest))
    light = np.flatnonzero(counts)
    return Evaluation(
        cost=float(problem.prices @ counts + EXCESS_PRICE * (k - problem.k)),
        distance=int(light[0]) if len(light) else problem.distance,
        k=k,
        lightest=int(lightest[0]) if len(light) else 0,
        counts=counts,
    )


def seed_kernels() -> ModuleType:
    """The compiled loops, which need numba."""
    import_extra("numba", "search")
    from quell.qec.search import seed_kernels as kernels

    return kernels


def random_rows(problem: SeedProblem, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Returns a random matrix within the bounds, uint64 (n - k,), packed as by `pack_rows`.

    Raises:
        InputError: None was found.
        MissingExtraError: numba is not installed.

    Examples:
        >>> import numpy as np
        >>> from quell.qec.search import SeedProblem, unpack_rows
        >>> from quell.qec.search.seeds import random_rows
        >>> unpack_rows(random_rows(SeedProblem(10, 3, 3), np.random.default_rng(1)), 10).sum(axis=1).max()
        np.uint64(3)
    """
    kernels = seed_kernels()
    rows = np.zeros(problem.num_checks, dtype=np.uint64)
    images = np.arange(problem.num_checks), np.arange(problem.n)
    for _ in range(_START_TRIES):
        if kernels.fill_rows(rng, rows, problem.n, problem.max_row, problem.max_column, *images):
            return rows
    raise InputError(
        f"found no matrix of {problem.num_checks} rows and {problem.n} columns within the bounds: raise them"
    )


def pack_rows(checks: ArrayLike) -> NDArray[np.uint64]:
    """Returns each row of a check matrix as a word, uint64 (rows,): bit j is column j.

    Raises:
        InputError: No matrix of 0 and 1.
        TooLargeError: It has more than 64 columns.

    Examples:
        >>> from quell.qec.search import pack_rows
        >>> pack_rows([[1, 1, 0], [0, 1, 1]])
        array([3, 6], dtype=uint64)
    """
    bits = as_bits("checks", checks)
    if bits.shape[1] > MAX_LENGTH:
        raise TooLargeError(f"checks must have <= {MAX_LENGTH} columns, one machine word, got {bits.shape[1]}")
    padded = np.zeros((len(bits), MAX_LENGTH), dtype=np.uint8)
    padded[:, : bits.shape[1]] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64).ravel()


def unpack_rows(rows: ArrayLike, n: int) -> NDArray[np.uint8]:
    """Returns the check matrix that `pack_rows` packed, uint8 (rows, n).

    Examples:
        >>> from quell.qec.search import unpack_rows
        >>> unpack_rows([3, 6], 3)
        array([[1, 1, 0],
               [0, 1, 1]], dtype=uint8)
    """
    words = np.ascontiguousarray(rows, dtype="<u8").reshape(-1, 1)
    return np.unpackbits(words.view(np.uint8), axis=1, count=n, bitorder="little")


def seed_bounds(max_weight: int, max_degree: int) -> list[tuple[int, int]]:
    """Returns the bounds on rows and columns of a seed that keep its product within a weight and a degree.

    A check of the product weighs a row and a column of the seed, and a qubit is in as many checks of a type as a row or
    a column has ones. Only the widest bounds are listed, (row, column).

    Raises:
        InputError: The weight is below 3, or the degree below 2: nothing useful is so light.

    Examples:
        >>> from quell.qec.search import seed_bounds
        >>> seed_bounds(6, 3), seed_bounds(7, 4)
        ([(3, 3)], [(3, 4), (4, 3)])
    """
    check_integer("max_weight", max_weight, minimum=2)
    check_integer("max_degree", max_degree, minimum=2)
    pairs = [(row, min(max_weight - row, max_degree)) for row in range(2, min(max_weight - 1, max_degree) + 1)]
    widest = [
        (row, column)
        for row, column in pairs
        if not any((r >= row and c >= column) and (r, c) != (row, column) for r, c in pairs)
    ]
    if not widest:
        raise InputError(
            f"max_weight must be >= 3, got {max_weight}: a check of a hypergraph product weighs a row of the seed, "
            "2 or more, and a column, 1 or more"
        )
    return widest


def least_length(k: int, distance: int, max_row: int, max_column: int) -> tuple[int, str]:
    """Returns a length below which no code with independent checks within the bounds exists, and the reason.

    Known to be necessary: the Griesmer and the Hamming bound of all linear codes; that no column is empty; and a count
    of how far light columns reach, see `trees_bound`.

    Args:
        k: The dimension.
        distance: That is wanted.
        max_row: The most ones in a row.
        max_column: The most ones in a column.

    Raises:
        InputError: A number is outside its limits.

    Examples:
        >>> from quell.qec.search import least_length
        >>> least_length(26, 3, 3, 3)
        (52, 'rows of at most 3 give n <= 2 (n - k) for distance 3')
        >>> least_length(2, 20, 3, 3)
        (30, 'the Griesmer bound asks for it')
    """
    check_integer("k", k, minimum=1)
    check_integer("distance", distance, minimum=1)
    check_integer("max_row", max_row, minimum=2)
    check_integer("max_column", max_column, minimum=1)
    if max_column == 1 and distance >= 3:
        raise InputError(
            f"with one 1 in a column, two columns of a row are a codeword: the distance is at most 2, got {distance}; "
            "raise max_column, or max_weight of a search"
        )
    bounds = [(k + 1, "a code with no check has no distance")]
    bounds.append((sum(-(-distance // 2**i) for i in range(k)), "the Griesmer bound asks for it"))
    bounds.append((_hamming(k, distance), "the Hamming bound asks for it"))
    if distance >= 2:
        bounds.append((_with_ratio(k, Fraction(max_row)), "no column may be empty"))
    if distance >= 3:
        ratio = trees_bound(distance, max_row)
        reason = f"rows of at most {max_row} give n <= {ratio} (n - k) for distance {distance}"
        bounds.append((_with_ratio(k, ratio), reason))
    return max(bounds, key=lambda bound: bound[0])


def trees_bound(distance: int, max_row: int) -> Fraction:
    """Returns a ratio that the length of a code of distance 3 or more cannot be above, n <= ratio · (n - k).

    The bound holds with the number of rows in place of n - k; they are equal for independent rows. Call a row of level
    0 if it has a column of its own, of a single one; it has only one such column. Call another row of level i if i
    columns of two ones join it, and no fewer do, to a row of level 0. Its shortest way down is a set of i + 1 columns
    whose sum is the row's unit vector, and two different ones would add up to a codeword of at most 2 (i + 1) columns:
    for i <= t = (distance - 3) // 2 there is one, whose first column is counted for the row. So n is the number of rows
    of levels 0 to t, plus the columns that are first on no such way. Each of those, if all of its ones are in rows of
    levels i, j, … up to t, is with their ways a codeword that is not zero, of at most 1 + (i + 1) + (j + 1) + …
    columns, which the distance bounds; and a column of two ones that joins a row of level i < t to one of no level up
    to t cannot be.

    Let a_i be a price for each one that a row of level i has left, such that all columns that may be are worth 1 or
    more. With n_i rows of level i, of at most w ones, n is then at most
    (1 + (w - 1) a_0) n_0 + Σ (1 - a_(i-1) + (w - 1) a_i) n_i + w a_rest n_rest. Prices are tried for which all these
    factors are equal, and used only if every column that may be was found to be worth 1.

    Args:
        distance: 3 or more.
        max_row: The most ones in a row, 2 or more.

    Examples:
        >>> from quell.qec.search.seeds import trees_bound
        >>> [str(trees_bound(distance, 3)) for distance in (3, 4, 5, 6, 7, 8)]
        ['2', '9/5', '5/3', '21/13', '11/7', '45/29']
    """
    check_integer("distance", distance, minimum=3)
    check_integer("max_row", max_row, minimum=2)
    return min(filter(None, (_priced(each, max_row) for each in range(3, min(distance, _DEEPEST) + 1))))


@functools.cache
def _priced(distance: int, max_row: int) -> Fraction | None:
    """The ratio by equal factors, or None where some column is worth less than 1."""
    top = (distance - 3) // 2
    # Prices of levels as constant + slope · ratio.
    constant, slope = Fraction(-1, max_row - 1), Fraction(1, max_row - 1)
    for _ in range(top):
        constant, slope = (constant - 1) / (max_row - 1), (slope + 1) / (max_row - 1)
    if distance % 2:
        # Two rows of the top level may be joined, and any rows of the rest.
        ratio = (Fraction(1, 2) - constant) / slope
        rest = Fraction(1, 2)
    else:
        ratio = (1 - constant) / (slope + Fraction(1, max_row))
        rest = ratio / max_row
    if ratio <= 1 or max_row * rest > ratio:
        return None
    prices = [(ratio - 1) / (max_row - 1)]
    for _ in range(top):
        prices.append((ratio - 1 + prices[-1]) / (max_row - 1))
    cheapest = min(*prices, rest)
    if cheapest <= 0 or 1 / cheapest > _MOST_ONES:
        return None
    levels = [*range(top + 1), None]
    for ones in range(2, math.ceil(1 / cheapest)):
        for column in itertools.combinations_with_replacement(levels, ones):
            known = [level for level in column if level is not None]
            if len(known) == ones:
                possible = 1 + sum(level + 1 for level in known) >= distance
            else:
                # A way of one column out of the rest would make its row one of the next level.
                possible = ones > 2 or not known or known[0] == top
            if possible and sum(prices[level] if level is not None else rest for level in column) < 1:
                return None
    return ratio


def _with_ratio(k: int, ratio: Fraction) -> int:
    """The least n with n <= ratio · (n - k)."""
    return math.ceil(k * ratio / (ratio - 1))


def _hamming(k: int, distance: int) -> int:
    """The least n for which balls of radius (distance - 1) / 2 around codewords fit."""
    n = k
    while sum(math.comb(n, i) for i in range((distance - 1) // 2 + 1)) > 2 ** (n - k):
        n += 1
    return n
