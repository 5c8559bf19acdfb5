"""Exact distances of classical codes from their generators.

All codewords are gone through where there are few, in the sequence of the Gray code. Where there are many, the sums
of few rows of generators that are systematic on disjoint sets of columns (Brouwer and Zimmermann; Betten et al.,
"Error-Correcting Linear Codes", 2006, section 1.8): a codeword that is no sum of t rows or fewer of any of them has
weight t + 1 or more on each of the sets, and these weights add up.
"""

import time

import numpy as np
from numpy.typing import NDArray

from quell.errors import import_extra
from quell.qec.codes.gf2 import multiply

__all__ = ["Codewords", "RowSums", "weight_divisor"]

Bits = NDArray[np.uint8]
Words = NDArray[np.uint64]

_SUMS_AT_A_TIME = 1 << 24  # some hundredths of a second


def weight_divisor(generator: Bits) -> int:
    """Returns 4, 2 or 1: a number that divides the weights of all codewords.

    2 if every row of the generator is even; 4 if every row is a multiple of 4 and all pairs of rows overlap evenly.

    Args:
        generator: uint8 (k, n).

    Examples:
        >>> import numpy as np
        >>> from quell.qec.codes.classical_distance import weight_divisor
        >>> weight_divisor(np.array([[1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1]]))
        4
        >>> weight_divisor(np.array([[1, 1, 0], [0, 1, 1]]))
        2
    """
    weights = generator.sum(axis=1, dtype=np.int64)
    if (weights % 2).any():
        return 1
    return 2 if (weights % 4).any() or multiply(generator, generator.T).any() else 4


class Codewords:
    """All sums of rows that are not sums of the first few alone, gone through until a lightest is known.

    Args:
        rows: uint8 (rows, n), independent: a generator matrix; or stabilizers and then logical operators.
        num_trivial: How many of them, the first ones, do not count without the others.

    Attributes:
        lower: No codeword is lighter; 1 until all were gone through.
        witness: uint8 (n,): the lightest codeword so far, or None.
    """

    def __init__(self, rows: Bits, num_trivial: int = 0) -> None:
        import_extra("numba", "search")
        from quell.qec.codes import classical_kernels
        from quell.qec.codes.information_set_kernels import pack

        self.lower = 1
        self.witness: Bits | None = None
        self._kernels = classical_kernels
        self._columns = rows.shape[1]
        self._rows = pack(np.array(rows, dtype=np.uint8))
        # The code's count goes through the sums of the first rows first, and ends those with the last of them alone.
        self._next = 1 << num_trivial
        self._current, self._best = np.zeros((2, self._rows.shape[1]), np.uint64)
        if num_trivial:
            self._current[:] = self._rows[num_trivial - 1]
        self._weight = self._columns + 1

    def advance(self, below: int, deadline: float | None = None) -> bool:  # noqa: ARG002 (as all searches)
        """Goes on, and returns whether all were gone through before the deadline, in `time.monotonic`'s time."""
        total = 1 << len(self._rows)
        while self._next < total:
            end = min(total, self._next + _SUMS_AT_A_TIME)
            before = self._weight
            self._weight = int(
                self._kernels.all_sums(self._rows, self._next, end, self._current, self._best, self._weight)
            )
            self._next = end
            if self._weight < before:
                self.witness = _unpack(self._best, self._columns)
            if deadline is not None and time.monotonic() >= deadline and end < total:
                return False
        self.lower = self._weight
        return True


class RowSums:
    """Sums of more and more rows of systematic generators, until no lighter codeword can be left.

    Attributes:
        lower: No codeword is lighter.
        witness: uint8 (n,): the lightest codeword so far, or None.
    """

    def __init__(self, generator: Bits) -> None:
        import_extra("numba", "search")
        from quell.qec.codes import classical_kernels, information_set_kernels

        self.witness: Bits | None = None
        self._kernels = classical_kernels
        self._columns = generator.shape[1]
        self._divisor = self.lower = weight_divisor(generator)
        rows = information_set_kernels.pack(np.array(generator, dtype=np.uint8))
        self._sets: list[Words] = []
        self._missing: list[int] = []
        used: NDArray[np.int64] = np.zeros(0, np.int64)
        while len(free := np.setdiff1d(np.arange(self._columns), used)):
            reduced, pivots = information_set_kernels.reduce(rows, np.concatenate([free, used]))
            new = pivots[np.isin(pivots, free)]
            if not len(new):
                break
            used = np.concatenate([used, new])
            self._sets.append(reduced)
            self._missing.append(len(rows) - len(new))
        self._finished = [0] * len(self._sets)
        self._weight = self._columns + 1
        self._best = np.zeros(rows.shape[1], np.uint64)
        self._running: tuple[int, NDArray[np.int64], Words] | None = None

    def advance(self, below: int, deadline: float | None = None) -> bool:
        """Goes through the sums of one more row, of one of the generators, or goes on where it was stopped.

        Args:
            below: Codewords of this weight and above do not matter.
            deadline: When to stop, as `time.monotonic` tells the time.

        Returns:
            Whether it came to the end of those sums.
        """
        number, chosen, sums = self._running = self._running or self._begin(below)
        while True:
            before = self._weight
            self._weight, finished = self._kernels.sums_of(
                self._sets[number], chosen, sums, _SUMS_AT_A_TIME, self._best, self._weight
            )
            if self._weight < before:
                self.witness = _unpack(self._best, self._columns)
            if finished:
                break
            if deadline is not None and time.monotonic() >= deadline:
                return False
        self._running = None
        self._finished[number] = len(chosen)
        least = self._bound(self._finished)
        if len(chosen) == len(self._sets[0]):
            least = self._weight  # those were all codewords
        self.lower = max(self.lower, min(least, self._weight))
        return True

    def _bound(self, finished: list[int]) -> int:
        """The least weight of a codeword that is no sum of so many rows or fewer of each generator."""
        least = sum(max(0, most + 1 - missing) for most, missing in zip(finished, self._missing, strict=True))
        return least + -least % self._divisor

    def _begin(self, below: int) -> tuple[int, NDArray[np.int64], Words]:
        k, goal = len(self._sets[0]), min(below, self._weight)
        enough = next(most for most in range(1, k + 1) if most == k or self._bound([most] * len(self._sets)) >= goal)
        # Generators with too little rank on their columns add nothing to the bound.
        useful = [number for number, missing in enumerate(self._missing) if enough + 1 > missing]
        number = min(useful, key=lambda each: (self._finished[each], each))
        chosen = np.zeros(self._finished[number] + 1, np.int64)
        sums = np.zeros((len(chosen) + 1, self._sets[number].shape[1]), np.uint64)
        self._kernels.begin_sums(self._sets[number], chosen, sums)
        return number, chosen, sums


def _unpack(words: Words, columns: int) -> Bits:
    return np.unpackbits(words.astype("<u8").view(np.uint8), count=columns, bitorder="little")
