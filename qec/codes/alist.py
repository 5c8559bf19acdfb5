"""Check matrices as text in MacKay's alist format (https://www.inference.org.uk/mackay/codes/alist.html).

Four lines say the numbers of columns and of rows, the greatest weights of each, the weight of each column, and that of
each row. A line for each column then lists its ones by row, and a line for each row its ones by column, counted from 1.
Lists shorter than the longest are filled up with zeros, or left short; both are read, zeros are written.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import DataError, TooLargeError
from quell.qec.codes.gf2 import as_bits

__all__ = ["LARGEST_MATRIX", "parse_alist", "to_alist"]

Bits = NDArray[np.uint8]
Line = tuple[int, list[int]]  # its number, from 1, and what it holds

LARGEST_MATRIX = 20_000 * 20_000


def to_alist(matrix: ArrayLike) -> str:
    """Returns the text.

    Examples:
        >>> from quell.qec.codes.alist import to_alist
        >>> print(to_alist([[1, 1, 0], [0, 1, 1]]), end="")
        3 2
        2 2
        1 2 1
        2 2
        1 0
        1 2
        2 0
        1 2
        2 3
    """
    bits = as_bits("matrix", matrix)
    sides = [(bits.T, bits.sum(axis=0, dtype=np.int64)), (bits, bits.sum(axis=1, dtype=np.int64))]
    most = [int(weights.max(initial=0)) for _, weights in sides]
    lines: list[list[int]] = [[bits.shape[1], len(bits)], most, *(weights.tolist() for _, weights in sides)]
    for (side, _), width in zip(sides, most, strict=True):
        for line in side:
            ones = (np.flatnonzero(line) + 1).tolist()
            lines.append(ones + [0] * (width - len(ones)))
    return "".join(" ".join(map(str, line)) + "\n" for line in lines)


def parse_alist(text: str, where: str = "the text") -> Bits:
    """Returns the matrix, uint8 (rows, columns).

    Args:
        text: In the format.
        where: The file, for messages.

    Raises:
        DataError: The text is empty or cut off, or one part contradicts another; the message names the line.
        TooLargeError: The matrix would have more than 4·10^8 entries.

    Examples:
        >>> from quell.qec.codes.alist import parse_alist, to_alist
        >>> parse_alist(to_alist([[1, 1, 0], [0, 1, 1]]))
        array([[1, 1, 0],
               [0, 1, 1]], dtype=uint8)
        >>> parse_alist("3 2", "code.alist")
        Traceback (most recent call last):
        quell.errors.DataError: code.alist ends early: expected the greatest weights of columns and rows
    """
    lines = _lines(text, where)
    number, (columns, rows) = _header(lines, where, "the numbers of columns and rows", 2)
    if columns == 0:
        raise DataError(f"{where}, line {number}: there must be at least one column, got 0")
    if columns * rows > LARGEST_MATRIX:
        raise TooLargeError(
            f"{where}, line {number}: {rows} rows and {columns} columns are {rows * columns:.1e} entries, "
            f"the limit is {LARGEST_MATRIX:.0e}"
        )
    number, most = _header(lines, where, "the greatest weights of columns and rows", 2)
    weights = []
    for kind, count, greatest in (("column", columns, most[0]), ("row", rows, most[1])):
        number, found = _header(lines, where, f"the weight of each of {count} {kind}s", count)
        if max(found, default=0) > greatest:
            raise DataError(f"{where}, line {number}: a {kind} has the weight {max(found)}, the greatest is {greatest}")
        weights.append(found)
    by_column = _ones(lines, where, "column", weights[0], rows)
    by_row = _ones(lines, where, "row", weights[1], columns)
    for number, found in lines:
        if any(found):
            raise DataError(f"{where}, line {number}: nothing may follow the last row's ones")
    if not np.array_equal(by_column.T, by_row):
        row, column = np.argwhere(by_row != by_column.T)[0]
        with_it, without = ("column", "row") if by_column[column, row] else ("row", "column")
        raise DataError(
            f"{where}: row {row + 1} and column {column + 1} meet in a one in the list of the {with_it}, "
            f"but not in that of the {without}"
        )
    return by_row


def _lines(text: str, where: str) -> Iterator[Line]:
    if not text.strip():
        raise DataError(f"{where} is empty: expected a matrix in alist format")

    def parsed() -> Iterator[Line]:
        for number, line in enumerate(text.splitlines(), start=1):
            found = []
            for word in line.split():
                if not (word.isascii() and word.isdigit() and len(word) < 12):
                    raise DataError(f"{where}, line {number}: expected whole numbers of 0 or more, got {word!r:.40}")
                found.append(int(word))
            yield number, found

    return parsed()


def _header(lines: Iterator[Line], where: str, what: str, count: int) -> Line:
    if count == 0:
        return 0, []  # its line is blank, or left out
    for number, found in lines:
        if found:
            if len(found) != count:
                raise DataError(f"{where}, line {number}: expected {what}, {count} numbers, got {len(found)}")
            return number, found
    raise DataError(f"{where} ends early: expected {what}")


def _ones(lines: Iterator[Line], where: str, kind: str, weights: list[int], size: int) -> Bits:
    """Reads the lists of one side into a matrix with a row for each. Lists of nothing may be blank lines or none."""
    matrix = np.zeros((len(weights), size), dtype=np.uint8)
    other = "row" if kind == "column" else "column"
    for index, weight in enumerate(weights):
        if weight == 0:
            continue
        number, found = next(((number, found) for number, found in lines if any(found)), (0, []))
        if not number:
            raise DataError(f"{where} ends early: expected the ones of {kind} {index + 1} of {len(weights)}")
        ones = [one for one in found if one]
        if len(ones) != weight:
            raise DataError(f"{where}, line {number}: {kind} {index + 1} must have {weight} ones, got {len(ones)}")
        if max(ones) > size:
            raise DataError(f"{where}, line {number}: {kind} {index + 1} has a one in {other} {max(ones)} of {size}")
        matrix[index, np.array(ones) - 1] = 1
        if int(matrix[index].sum()) != weight:
            raise DataError(f"{where}, line {number}: {kind} {index + 1} names a {other} twice")
    return matrix
