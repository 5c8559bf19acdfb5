"""Light codewords of dense codes of high rate, by meeting in the middle: two sums of few columns that are equal.

A codeword of w columns splits into two halves with the same syndrome, so that sums of w / 2 columns are enough. They
are compared as 64-bit numbers, linear images of the syndromes: equal ones agree, and what agrees is looked at
itself.
"""

import itertools
import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["ColumnSums"]

Bits = NDArray[np.uint8]
Words = NDArray[np.uint64]

_MOST_SUMS = 1 << 23  # a second or two, and some hundred megabytes


class ColumnSums:
    """All sums of few columns of a check matrix, until two of them are equal.

    Args:
        checks: uint8 (rows, n).

    Attributes:
        lower: No codeword is lighter.
        witness: uint8 (n,): a lightest codeword, or None until it is found.
        stuck: Whether the next weight would need too many sums.

    Examples:
        >>> from quell.qec.codes import hamming_code
        >>> from quell.qec.codes.column_sums import ColumnSums
        >>> sums = ColumnSums(hamming_code(4).checks)
        >>> while sums.witness is None:
        ...     finished = sums.advance(16)
        >>> sums.lower, int(sums.witness.sum())
        (3, 3)
    """

    def __init__(self, checks: Bits) -> None:
        self.lower = 1
        self.witness: Bits | None = None
        self._checks = checks
        rows, self._columns = checks.shape
        images: Words = np.random.default_rng(0).integers(0, 1 << 64, size=(rows, 1), dtype=np.uint64)
        if rows <= 64:
            images = np.array([1 << row for row in range(rows)], dtype=np.uint64).reshape(-1, 1)
        masked = np.where(checks != 0, images, np.uint64(0))
        self._columns_seen: Words = np.asarray(np.bitwise_xor.reduce(masked, axis=0))
        # Sums of so many columns, in the sequence of their last columns.
        self._sums: list[Words] = [np.zeros(1, dtype=np.uint64)]

    @property
    def stuck(self) -> bool:
        """Whether the next weight would need too many sums."""
        return math.comb(self._columns, (self.lower + 1) // 2) > _MOST_SUMS

    def advance(self, below: int, deadline: float | None = None) -> bool:  # noqa: ARG002 (as all searches)
        """Looks for a codeword of the least weight that is not excluded, and returns True when it has."""
        if self.stuck or self.witness is not None or self.lower >= below:
            return True
        more, fewer = (self.lower + 1) // 2, self.lower // 2
        while len(self._sums) <= more:
            self._sums.append(self._longer(self._sums[-1], len(self._sums)))
        self.witness = self._meet(more, fewer)
        if self.witness is None:
            self.lower += 1
        return True

    def _longer(self, sums: Words, size: int) -> Words:
        """The sums of one column more: those of smaller ones with each last column."""
        parts = [
            sums[: math.comb(last, size - 1)] ^ self._columns_seen[last] for last in range(size - 1, self._columns)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.uint64)

    def _meet(self, more: int, fewer: int) -> Bits | None:
        first, second = self._sums[more], self._sums[fewer]
        if not len(first):
            return None
        order = np.argsort(first, kind="stable")
        ordered = first[order]
        shared = ordered[1:][ordered[1:] == ordered[:-1]] if more == fewer else np.intersect1d(ordered, second)
        for value in np.unique(shared):
            low, high = np.searchsorted(ordered, value), np.searchsorted(ordered, value, side="right")
            ones = order[low:high].tolist()
            others = ones if more == fewer else np.flatnonzero(second == value).tolist()
            for one, other in itertools.product(ones, others):
                word = np.zeros(self._columns, dtype=np.uint8)
                np.add.at(word, [*self._columns_of(one, more), *self._columns_of(other, fewer)], 1)
                word %= 2
                if word.any() and not (self._checks.astype(np.int64) @ word % 2).any():
                    return word
        return None

    def _columns_of(self, place: int, size: int) -> list[int]:
        """The columns of a sum, from its place: the combinatorial number system."""
        columns = []
        for left in range(size, 0, -1):
            column = left - 1
            while math.comb(column + 1, left) <= place:
                column += 1
            columns.append(column)
            place -= math.comb(column, left)
        return columns
