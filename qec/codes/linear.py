"""Classical linear codes by their parity-check matrices, the seeds of hypergraph products among them."""

import dataclasses
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError
from quell.qec.codes.frozen import ReadOnly
from quell.qec.codes.gf2 import as_bits, kernel, rank

__all__ = ["LinearCode"]

Bits = NDArray[np.uint8]


@dataclasses.dataclass(frozen=True, init=False, repr=False, eq=False)
class LinearCode(ReadOnly):
    """The words that every row of a matrix is orthogonal to. It cannot be changed after it was made.

    Two codes are equal only if they are the same object.

    Attributes:
        checks: uint8 (R, n): the parity checks; rows may depend on each other, and be zero.
        name: What the code is called, or "".

    Args:
        checks: A matrix of 0 and 1, or anything numpy makes one of, or a sparse matrix of scipy; a matrix of no rows
            and n columns leaves all words of n bits.
        name: Of the code.

    Raises:
        InputError: The matrix is ragged, without columns, or not of 0 and 1.

    Examples:
        >>> from quell.qec.codes import LinearCode
        >>> hamming = LinearCode([[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]])
        >>> hamming.parameters, hamming.row_weights.tolist(), hamming.column_weights.tolist()
        ((7, 4), [4, 4, 4], [1, 1, 2, 1, 2, 2, 3])
        >>> hamming.transposed.parameters
        (3, 0)
    """

    checks: Bits
    name: str

    def __init__(self, checks: ArrayLike, *, name: str = "") -> None:
        matrix = as_bits("checks", checks)
        if matrix.shape[1] == 0:
            raise InputError("checks has no columns: a code needs at least one bit")
        self._hold({"checks": matrix, "name": name})

    @property
    def n(self) -> int:
        """The number of bits of a word."""
        return int(self.checks.shape[1])

    @property
    def k(self) -> int:
        """The number of bits that a word can carry, n - rank; 0 if only the word of zeros is left."""
        return self.n - self.rank

    @property
    def parameters(self) -> tuple[int, int]:
        """(n, k); the distance is `quell.qec.codes.distance`'s to find."""
        return self.n, self.k

    @cached_property
    def rank(self) -> int:
        """How many checks are independent."""
        return rank(self.checks)

    @cached_property
    def generator(self) -> Bits:
        """A basis of the words, uint8 (k, n), read-only."""
        basis = kernel(self.checks)
        basis.setflags(write=False)
        return basis

    @property
    def transposed(self) -> "LinearCode":
        """The code whose checks are the columns of this one's matrix; hypergraph products need its k and distance."""
        if len(self.checks) == 0:
            raise InputError("a code without checks has no transposed code: it would have no bits")
        return LinearCode(self.checks.T, name=f"{self.name} transposed" if self.name else "")

    @property
    def row_weights(self) -> NDArray[np.int64]:
        """How many bits each check takes in, int64 (R,)."""
        return np.asarray(self.checks.sum(axis=1, dtype=np.int64))

    @property
    def column_weights(self) -> NDArray[np.int64]:
        """How many checks each bit is in, int64 (n,)."""
        return np.asarray(self.checks.sum(axis=0, dtype=np.int64))

    def __repr__(self) -> str:
        """The name, and [n, k]."""
        name = f"{self.name}: " if self.name else ""
        return f"<{name}[{self.n}, {self.k}] linear code, {len(self.checks)} checks>"
