"""Linear algebra over GF(2) on bit-packed matrices: rank, row reduction, kernels and membership.

A row of n bits is ceil(n/64) words, bit j of word i being column 64 i + j. Whatever is handed in or out is a plain 0-1
matrix; packing is inside.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError

__all__ = ["as_bits", "in_row_space", "inverse", "kernel", "rank", "row_reduce"]

_BITS = 64


def as_bits(name: str, matrix: ArrayLike, columns: int | None = None) -> NDArray[np.uint8]:
    """Returns a matrix of zeros and ones as uint8 (rows, columns), a copy.

    Args:
        name: What the matrix is, for messages.
        matrix: Rows of 0 and 1, as numbers or booleans. No rows at all need `columns`.
        columns: How many columns there must be; None takes any number.

    Raises:
        InputError: It is ragged, not two-dimensional, of another width, or holds anything but 0 and 1.

    Examples:
        >>> from quell.qec.codes.gf2 import as_bits
        >>> as_bits("checks", [[1, 0, 1]])
        array([[1, 0, 1]], dtype=uint8)
        >>> as_bits("checks", [[1, 2]])
        Traceback (most recent call last):
        quell.errors.InputError: checks must hold 0 and 1 only, got 2 in row 0, column 1
    """
    if isinstance(matrix, Sequence) and len({len(row) for row in matrix if isinstance(row, Sequence)}) > 1:
        lengths = [len(row) if isinstance(row, Sequence) else 0 for row in matrix]
        odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
        raise InputError(f"{name} is ragged: row 0 has {lengths[0]} entries and row {odd} has {lengths[odd]}")
    found = np.asarray(matrix)
    if found.size == 0 and columns is not None:
        return np.zeros((len(found), columns), dtype=np.uint8)
    if found.ndim != 2:
        raise InputError(f"{name} must be a matrix, got {found.ndim} dimensions: write a single row as [[...]]")
    if columns is not None and found.shape[1] != columns:
        raise InputError(f"{name} must have {columns} columns, got {found.shape[1]}")
    wrong = np.argwhere((found != 0) & (found != 1))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(f"{name} must hold 0 and 1 only, got {found[row, column]} in row {row}, column {column}")
    return found.astype(np.uint8)


def row_reduce(matrix: ArrayLike) -> tuple[NDArray[np.uint8], list[int]]:
    """Returns the reduced row echelon form without zero rows, uint8 (rank, n), and the column of each row's pivot.

    Examples:
        >>> from quell.qec.codes.gf2 import row_reduce
        >>> row_reduce([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
        (array([[1, 0, 1],
               [0, 1, 1]], dtype=uint8), [0, 1])
    """
    bits = as_bits("matrix", matrix)
    packed, pivots = _eliminate(_pack(bits), bits.shape[1])
    return _unpack(packed[: len(pivots)], bits.shape[1]), pivots


def rank(matrix: ArrayLike) -> int:
    """Returns the rank.

    Examples:
        >>> from quell.qec.codes.gf2 import rank
        >>> rank([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
        2
    """
    bits = as_bits("matrix", matrix)
    return len(_eliminate(_pack(bits), bits.shape[1])[1])


def kernel(matrix: ArrayLike) -> NDArray[np.uint8]:
    """Returns a basis of the vectors that every row is orthogonal to, uint8 (n - rank, n).

    Examples:
        >>> from quell.qec.codes.gf2 import kernel
        >>> kernel([[1, 1, 0], [0, 1, 1]])
        array([[1, 1, 1]], dtype=uint8)
    """
    reduced, pivots = row_reduce(matrix)
    columns = reduced.shape[1]
    free = np.setdiff1d(np.arange(columns), pivots)
    basis = np.zeros((len(free), columns), dtype=np.uint8)
    basis[np.arange(len(free)), free] = 1
    basis[:, pivots] = reduced[:, free].T
    return basis


def in_row_space(vectors: ArrayLike, matrix: ArrayLike) -> NDArray[np.bool_]:
    """Tells of each vector whether it is a sum of rows, bool (vectors,).

    Examples:
        >>> from quell.qec.codes.gf2 import in_row_space
        >>> in_row_space([[1, 0, 1], [1, 1, 1]], [[1, 1, 0], [0, 1, 1]])
        array([ True, False])
    """
    bits = as_bits("matrix", matrix)
    rest = as_bits("vectors", vectors, bits.shape[1])
    reduced, pivots = row_reduce(bits)
    # In reduced form each row's share of a vector is the vector's own bit at the row's pivot.
    shares = rest[:, pivots].astype(np.int64)
    return np.asarray(((rest + shares @ reduced) % 2 == 0).all(axis=1))


def inverse(matrix: ArrayLike) -> NDArray[np.uint8]:
    """Returns the inverse of a square matrix.

    Raises:
        InputError: It is singular, or not square.

    Examples:
        >>> from quell.qec.codes.gf2 import inverse
        >>> inverse([[1, 1], [0, 1]])
        array([[1, 1],
               [0, 1]], dtype=uint8)
    """
    bits = as_bits("matrix", matrix)
    size = len(bits)
    if bits.shape != (size, size):
        raise InputError(f"matrix must be square, got {bits.shape[0]} rows and {bits.shape[1]} columns")
    reduced, pivots = row_reduce(np.concatenate([bits, np.eye(size, dtype=np.uint8)], axis=1))
    if pivots[:size] != list(range(size)):
        raise InputError(f"matrix is singular: its rank is {rank(bits)}, below {size}")
    return reduced[:, size:]


def _pack(bits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    words = -(-bits.shape[1] // _BITS)
    packed = np.zeros((len(bits), 8 * words), dtype=np.uint8)
    packed[:, : -(-bits.shape[1] // 8)] = np.packbits(bits, axis=1, bitorder="little")
    return packed.view("<u8").astype(np.uint64)


def _unpack(packed: NDArray[np.uint64], columns: int) -> NDArray[np.uint8]:
    if columns == 0:
        return np.zeros((len(packed), 0), dtype=np.uint8)
    rows = np.ascontiguousarray(packed).astype("<u8").view(np.uint8)
    return np.unpackbits(rows, axis=1, count=columns, bitorder="little")


def _eliminate(packed: NDArray[np.uint64], columns: int) -> tuple[NDArray[np.uint64], list[int]]:
    """Reduces in place; rows beyond the pivots end up zero."""
    pivots: list[int] = []
    for column in range(columns):
        word, bit = column // _BITS, np.uint64(1 << column % _BITS)
        has = (packed[:, word] & bit) != 0
        below = np.flatnonzero(has[len(pivots) :])
        if len(below) == 0:
            continue
        top, found = len(pivots), len(pivots) + int(below[0])
        if found != top:
            packed[[top, found]] = packed[[found, top]]
            has[found] = has[top]
        has[top] = False
        # To the left of the pivot's word there is nothing to add.
        packed[has, word:] ^= packed[top, word:]
        pivots.append(column)
        if len(pivots) == len(packed):
            break
    return packed, pivots
