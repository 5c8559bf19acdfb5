"""Sums of rows of bits, with rows as ints: linear algebra over two elements on the scale of a hundred rows."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["as_ints", "combined", "null_space", "parity"]


def as_ints(bits: npt.NDArray[np.bool_]) -> list[int]:
    """Rows of bits as ints, the first bit the lowest.

    Examples:
        >>> import numpy as np
        >>> as_ints(np.array([[True, False], [True, True]]))
        [1, 3]
    """
    packed = np.packbits(bits, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def combined(rows: Sequence[int], members: int) -> int:
    """The sum of the rows whose bits are set in `members`."""
    total = 0
    while members:
        total ^= rows[(members & -members).bit_length() - 1]
        members &= members - 1
    return total


def null_space(rows: Sequence[int], target: int = 0) -> tuple[int | None, list[int]]:
    """Solves for sets of rows that add up to something.

    Args:
        rows: Any.
        target: What they should add up to.

    Returns:
        One such set, a bit for each row, or None if there is none; and a basis of the sets that add up to nothing,
        each of which has a highest bit of its own: without those rows, the others are independent.

    Examples:
        >>> null_space([0b01, 0b10, 0b11], 0b10)
        (2, [7])
    """
    pivots: dict[int, tuple[int, int]] = {}
    free = []

    def reduced(value: int, members: int) -> tuple[int, int]:
        while value and (found := pivots.get(value.bit_length())):
            value, members = value ^ found[0], members ^ found[1]
        return value, members

    for index, row in enumerate(rows):
        value, members = reduced(row, 1 << index)
        if value:
            pivots[value.bit_length()] = (value, members)
        else:
            free.append(members)
    value, members = reduced(target, 0)
    return (None if value else members), free


def parity(value: int) -> int:
    """Whether an odd number of bits is set."""
    return value.bit_count() & 1
