"""Distances between bit strings, 64 bits at a time, in slices that fit into memory.

Nothing here is as large as 2^n, and nothing is as large as the square of the number of strings: whoever needs all
pairs walks over blocks of rows.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["distances", "pack_words", "row_blocks"]

# Pairs of strings that are looked at in one block: few enough for the intermediate arrays to stay in a cache.
_BLOCK_PAIRS = 500_000


def pack_words(bits: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Returns strings packed into 64-bit words, bit i of a string in word i // 64.

    Args:
        bits: uint8 of shape (num_strings, num_bits), zeros and ones.

    Returns:
        uint64 of shape (num_strings, max(1, ceil(num_bits / 64))).

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.hamming import pack_words
        >>> pack_words(np.array([[1, 0, 1]], dtype=np.uint8)).tolist()
        [[5]]
    """
    packed = np.packbits(bits, axis=1, bitorder="little")
    num_words = max(1, -(-bits.shape[1] // 64))
    padded = np.zeros((bits.shape[0], 8 * num_words), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view("<u8").astype(np.uint64, copy=False)


def distances(a: NDArray[np.uint64], b: NDArray[np.uint64]) -> NDArray[np.uint16]:
    """Returns the Hamming distance of every string of `a` to every string of `b`.

    Args:
        a: Packed strings, uint64 of shape (len(a), num_words).
        b: Packed strings, uint64 of shape (len(b), num_words).

    Returns:
        uint16 of shape (len(a), len(b)).

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.hamming import distances, pack_words
        >>> words = pack_words(np.array([[0, 0, 0], [1, 0, 1]], dtype=np.uint8))
        >>> distances(words, words).tolist()
        [[0, 2], [2, 0]]
    """
    total = np.zeros((len(a), len(b)), dtype=np.uint16)
    for word in range(a.shape[1]):
        total += np.bitwise_count(a[:, word, None] ^ b[None, :, word])
    return total


def row_blocks(num_rows: int, num_columns: int) -> Iterator[slice]:
    """Yields slices of the rows of a (num_rows, num_columns) table, each small enough to hold whole.

    Examples:
        >>> from quell.mitigation.hamming import row_blocks
        >>> list(row_blocks(3, 300_000))
        [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None)]
    """
    step = max(1, _BLOCK_PAIRS // max(1, num_columns))
    for start in range(0, num_rows, step):
        yield slice(start, min(start + step, num_rows))
