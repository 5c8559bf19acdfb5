"""Linear algebra over GF(2) on bit-packed matrices: rank, row reduction, kernels, products, equations and membership.

A row of n bits is ceil(n/64) words, bit j of word i being column 64 i + j. Whatever is handed in or out is a plain 0-1
matrix; packing is inside. Rows are combined by tables of the 256 sums of eight rows at a time, the method of the four
Russians (Arlazarov, Dinic, Kronrod and Faradzhev 1970; Albrecht, Bard and Hart, arXiv:0811.1714).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError

__all__ = ["as_bits", "in_row_space", "inverse", "kernel", "multiply", "rank", "row_reduce", "solve"]

_BITS = 64
_ROWS_AT_A_TIME = 256  # so that what is combined stays in the processor's cache


def as_bits(name: str, matrix: ArrayLike, columns: int | None = None) -> NDArray[np.uint8]:
    """Returns a matrix of zeros and ones as uint8 (rows, columns), a copy.

    Args:
        name: What the matrix is, for messages.
        matrix: Rows of 0 and 1, as numbers or booleans, or a sparse matrix of scipy. No rows at all need `columns`.
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
    found = _as_array(name, matrix)
    if found.shape == (0,) and columns is not None:
        return np.zeros((0, columns), dtype=np.uint8)
    if found.ndim != 2:
        raise InputError(f"{name} must be a matrix, got {found.ndim} dimensions: write a single row as [[...]]")
    if columns is not None and found.shape[1] != columns:
        raise InputError(f"{name} must have {columns} columns, got {found.shape[1]}")
    if found.dtype.kind in "bu" and found.max(initial=0) <= 1:
        return found.astype(np.uint8)
    wrong = np.argwhere((found != 0) & (found != 1))
    if len(wrong):
        row, column = wrong[0]
        raise InputError(f"{name} must hold 0 and 1 only, got {found[row, column]} in row {row}, column {column}")
    return found.astype(np.uint8)


def _as_array(name: str, matrix: ArrayLike) -> NDArray[Any]:
    given: Any = matrix.toarray() if hasattr(matrix, "toarray") else matrix
    if isinstance(given, Sequence) and not isinstance(given, str):
        lengths = [_length(row) for row in given]
        if lengths != lengths[:1] * len(lengths):
            odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
            entries = ["a number" if lengths[row] is None else f"{lengths[row]} entries" for row in (0, odd)]
            raise InputError(f"{name} is ragged: row 0 has {entries[0]} and row {odd} has {entries[1]}")
    try:
        return np.asarray(given)
    except ValueError as error:
        raise InputError(f"{name} must be a matrix of 0 and 1: {error}") from None


def _length(row: Any) -> int | None:
    try:
        return len(row)
    except TypeError:
        return None


def row_reduce(matrix: ArrayLike) -> tuple[NDArray[np.uint8], list[int]]:
    """Returns the reduced row echelon form without zero rows, uint8 (rank, n), and the column of each row's pivot.

    Examples:
        >>> from quell.qec.codes.gf2 import row_reduce
        >>> row_reduce([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
        (array([[1, 0, 1],
               [0, 1, 1]], dtype=uint8), [0, 1])
    """
    bits = as_bits("matrix", matrix)
    packed = _pack(bits)
    pivots = _eliminate(packed, bits.shape[1])
    return _unpack(packed[: len(pivots)], bits.shape[1]), pivots


def rank(matrix: ArrayLike) -> int:
    """Returns the rank.

    Examples:
        >>> from quell.qec.codes.gf2 import rank
        >>> rank([[1, 1, 0], [1, 0, 1], [0, 1, 1]])
        2
    """
    bits = as_bits("matrix", matrix)
    # Of the two forms the one with fewer rows is reduced sooner.
    bits = bits.T if len(bits) > bits.shape[1] else bits
    return len(_eliminate(_pack(bits), bits.shape[1], above=False))


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
    return np.asarray(~(rest ^ multiply(rest[:, pivots], reduced)).any(axis=1))


def solve(matrix: ArrayLike, targets: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Finds for each target a vector x with matrix @ x = target, as an error is sought that explains a syndrome.

    Args:
        matrix: (rows, n).
        targets: (targets, rows), one a row.

    Returns:
        uint8 (targets, n), one solution a row, zero outside the pivots of the reduced matrix; and bool (targets,),
        whether there is one. Rows without a solution are zero.

    Raises:
        InputError: A matrix is no matrix of 0 and 1, or targets do not have one column for each row of `matrix`.

    Examples:
        >>> from quell.qec.codes.gf2 import solve
        >>> solve([[1, 1, 0], [0, 1, 1], [1, 0, 1]], [[1, 0, 1], [1, 0, 0]])
        (array([[1, 0, 0],
               [0, 0, 0]], dtype=uint8), array([ True, False]))
    """
    bits = as_bits("matrix", matrix)
    wanted = as_bits("targets", targets, len(bits))
    columns = bits.shape[1]
    packed = _pack(np.concatenate([bits, wanted.T], axis=1))
    pivots = _eliminate(packed, columns)
    carried = _unpack(packed, columns + len(wanted))[:, columns:]
    solvable = np.asarray(~carried[len(pivots) :].any(axis=0))
    solutions = np.zeros((len(wanted), columns), dtype=np.uint8)
    solutions[:, pivots] = carried[: len(pivots)].T * solvable[:, None]
    return solutions, solvable


def multiply(first: ArrayLike, second: ArrayLike) -> NDArray[np.uint8]:
    """Returns the product of two matrices, uint8 (rows of the first, columns of the second).

    Raises:
        InputError: The first has not as many columns as the second has rows.

    Examples:
        >>> from quell.qec.codes.gf2 import multiply
        >>> multiply([[1, 1, 0]], [[1, 0], [1, 1], [0, 1]])
        array([[0, 1]], dtype=uint8)
    """
    right = as_bits("second", second)
    left = as_bits("first", first, len(right))
    product = np.zeros((len(left), -(-right.shape[1] // _BITS)), dtype=np.uint64)
    _add_sums(product, np.packbits(left, axis=1, bitorder="little"), _pack(right))
    return _unpack(product, right.shape[1])


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
    packed = _pack(np.concatenate([bits, np.eye(size, dtype=np.uint8)], axis=1))
    pivots = _eliminate(packed, size)
    if len(pivots) < size:
        raise InputError(f"matrix is singular: its rank is {len(pivots)}, below {size}")
    return _unpack(packed, 2 * size)[:, size:]


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


def _eliminate(packed: NDArray[np.uint64], columns: int, above: bool = True) -> list[int]:
    """Reduces in place and returns the pivots' columns, all below `columns`; later columns are carried along.

    Rows beyond the pivots end up zero in those columns. Without `above`, rows above a pivot are left as they are.
    """
    pivots: list[int] = []
    for word in range(-(-columns // _BITS)):
        top = len(pivots)
        if top == len(packed):
            break
        width = min(_BITS, columns - word * _BITS)
        first = 0 if above else top
        rows, bits, sums = _reduce_word(packed[first:, word], top - first, width)
        if not rows:
            continue
        chosen = packed[[first + row for row in rows], word:]
        # To the left of this word there is nothing to add. A pivot's row becomes the sum that stands for it.
        packed[[first + row for row in rows], word:] = 0
        _add_sums(packed[first:, word:], sums.astype("<u8").view(np.uint8).reshape(-1, 8), chosen)
        _swap_to(packed, top, [first + row for row in rows])
        pivots += [word * _BITS + bit for bit in bits]
    return pivots


def _reduce_word(word: NDArray[np.uint64], top: int, width: int) -> tuple[list[int], list[int], NDArray[np.uint64]]:
    """Reduces one word of every row, with pivots from `top` on.

    Returns the rows of the pivots, their bits, and for each row which of the pivots' rows, as they were, are added to
    it: bit j for the j-th.
    """
    values = word.copy()
    sums = np.zeros(len(values), dtype=np.uint64)
    free = np.ones(len(values), dtype=bool)
    free[:top] = False
    rows: list[int] = []
    bits: list[int] = []
    for bit in range(width):
        has = (values >> np.uint64(bit) & np.uint64(1)).astype(bool)
        candidates = has & free
        row = int(candidates.argmax())
        if not candidates[row]:
            continue
        sums[row] ^= np.uint64(1 << len(rows))
        free[row] = has[row] = False
        rows.append(row)
        bits.append(bit)
        np.bitwise_xor(values, values[row], out=values, where=has)
        np.bitwise_xor(sums, sums[row], out=sums, where=has)
    return rows, bits, sums


def _add_sums(target: NDArray[np.uint64], which: NDArray[np.uint8], rows: NDArray[np.uint64]) -> None:
    """Adds to each row of `target` the sum of those `rows` that its bits in `which` choose, eight to a byte."""
    words = rows.shape[1]
    buffer = np.empty((min(_ROWS_AT_A_TIME, len(target)), words), dtype=np.uint64)
    for byte, first in enumerate(range(0, len(rows), 8)):
        table = np.zeros((1, words), dtype=np.uint64)
        for row in rows[first : first + 8]:
            table = np.concatenate([table, table ^ row])
        for start in range(0, len(target), _ROWS_AT_A_TIME):
            part = target[start : start + _ROWS_AT_A_TIME]
            chosen = buffer[: len(part)]
            np.take(table, which[start : start + len(part), byte], axis=0, out=chosen, mode="clip")
            part ^= chosen


def _swap_to(packed: NDArray[np.uint64], top: int, rows: list[int]) -> None:
    """Brings rows to the places from `top` on, in their sequence."""
    places = list(rows)
    for place in range(top, top + len(rows)):
        row = places[place - top]
        if row != place:
            packed[[place, row]] = packed[[row, place]]
            # What stood here has moved to where the row was.
            places = [row if each == place else each for each in places]
