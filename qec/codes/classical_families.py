"""Families of classical codes, as seeds of hypergraph products and as codes to check others with."""

from collections.abc import Sequence

import numpy as np

from quell.errors import InputError, check_integer
from quell.qec.codes.families import check_size
from quell.qec.codes.linear import LinearCode

__all__ = ["hamming_code", "quasi_cyclic_code", "repetition_code", "ring_code"]

Block = int | Sequence[int] | None


def repetition_code(n: int) -> LinearCode:
    """Returns the [n, 1, n] code of equal bits: check i compares bits i and i + 1, n - 1 checks.

    Examples:
        >>> from quell.qec.codes import repetition_code
        >>> repetition_code(3).checks
        array([[1, 1, 0],
               [0, 1, 1]], dtype=uint8)
    """
    n = check_integer("n", n, minimum=2)
    check_size("the code", n)
    return LinearCode(np.eye(n - 1, n, dtype=np.uint8) | np.eye(n - 1, n, 1, dtype=np.uint8), name=f"repetition {n}")


def ring_code(n: int) -> LinearCode:
    """Returns the [n, 1, n] code of equal bits with one check more, between the last bit and the first.

    Its hypergraph product with itself is the toric code, [[2n², 2, n]].

    Examples:
        >>> from quell.qec.codes import hypergraph_product, ring_code
        >>> ring_code(5).parameters, hypergraph_product(ring_code(5)).parameters
        ((5, 1), (50, 2))
    """
    n = check_integer("n", n, minimum=2)
    return quasi_cyclic_code([[(0, 1)]], n, name=f"ring {n}")


def hamming_code(r: int) -> LinearCode:
    """Returns the [2^r - 1, 2^r - 1 - r, 3] code: column j of its checks is j + 1 in binary, the lowest bit on top.

    Examples:
        >>> from quell.qec.codes import hamming_code
        >>> hamming_code(3).checks
        array([[1, 0, 1, 0, 1, 0, 1],
               [0, 1, 1, 0, 0, 1, 1],
               [0, 0, 0, 1, 1, 1, 1]], dtype=uint8)
    """
    r = check_integer("r", r, minimum=2)
    check_size("the code", 2 ** min(r, 99) - 1)
    columns = np.arange(1, 2**r)
    return LinearCode(columns >> np.arange(r)[:, None] & 1, name=f"Hamming {2**r - 1}")


def quasi_cyclic_code(shifts: Sequence[Sequence[Block]], size: int, *, name: str = "") -> LinearCode:
    """Returns the code whose checks are a table of circulants.

    Args:
        shifts: A row of blocks for each `size` checks. A block is a shift s, for the circulant whose row i has its one
            in column i + s modulo `size`; several shifts, for the sum of their circulants; or None, or -1 as in the
            tables of standards, for zeros.
        size: Rows and columns of a block, at least 1.
        name: Of the code.

    Raises:
        InputError: The table is empty or ragged, or a block has a shift below -1, or two that are equal modulo `size`,
            and so cancel.
        TooLargeError: There would be more than 20,000 bits or checks.

    Examples:
        The code of Tanner, Sridhara and Fuja, [155, 64, 20]:

        >>> from quell.qec.codes import quasi_cyclic_code
        >>> quasi_cyclic_code([[1, 2, 4, 8, 16], [5, 10, 20, 9, 18], [25, 19, 7, 14, 28]], 31).parameters
        (155, 64)
    """
    size = check_integer("size", size, minimum=1)
    table = _table(shifts)
    rows, columns = len(table), len(table[0])
    check_size("the code or its transposed code", size * max(rows, columns))
    checks = np.zeros((rows, size, columns, size), dtype=np.uint8)
    every = np.arange(size)
    for i, row in enumerate(table):
        for j, block in enumerate(row):
            for shift in _shifts_of(block, f"block {j} of row {i}"):
                place = (every + shift) % size
                if checks[i, 0, j, place[0]]:
                    raise InputError(
                        f"block {j} of row {i} has two shifts that are {shift % size} modulo {size}, and cancel: "
                        "leave both out"
                    )
                checks[i, every, j, place] = 1
    return LinearCode(checks.reshape(rows * size, columns * size), name=name)


def _table(shifts: Sequence[Sequence[Block]]) -> list[list[Block]]:
    try:
        table = [list(row) for row in shifts]
    except TypeError:
        raise InputError(f"shifts must be rows of blocks, such as [[0, 1], [2, (0, 3)]], got {shifts!r:.80}") from None
    if not table or not table[0]:
        raise InputError("shifts is empty: a code needs at least one block, such as [[(0, 1)]]")
    for number, row in enumerate(table):
        if len(row) != len(table[0]):
            raise InputError(f"shifts is ragged: row 0 has {len(table[0])} blocks and row {number} has {len(row)}")
    return table


def _shifts_of(block: Block, what: str) -> list[int]:
    if block is None or block == -1:
        return []
    given = block if isinstance(block, (Sequence, np.ndarray)) else [block]
    return [check_integer(f"a shift of {what}", shift, minimum=0) for shift in given]
