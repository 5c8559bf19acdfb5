"""The inner loops of distances of classical codes, compiled with numba: all codewords, or all sums of a few rows.

Rows are bit-packed, as `information_set_kernels.pack` makes them. Both loops go on where they stopped.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler
from quell.qec.codes import information_set_kernels
from quell.qec.codes.information_set_kernels import popcount

__all__ = ["all_sums", "begin_sums", "sums_of"]

Longs = NDArray[np.int64]
Words = NDArray[np.uint64]

_compiled = compiler([Path(__file__), Path(information_set_kernels.__file__)])


@_compiled
def all_sums(rows: Words, begin: int, end: int, current: Words, best: Words, weight: int) -> int:
    """Goes through sums of rows in the sequence of the Gray code and returns the least weight.

    Args:
        rows: uint64 (k, words).
        begin: The first of the sums, counted from 1 to 2^k - 1.
        end: One after the last.
        current: uint64 (words,): the sum before `begin`, zero for the first; changed.
        best: uint64 (words,): a lightest vector so far, replaced by a lighter one.
        weight: Its weight.
    """
    words = rows.shape[1]
    for count in range(begin, end):
        row = 0
        while not count >> row & 1:
            row += 1
        size = np.int64(0)
        for word in range(words):
            current[word] ^= rows[row, word]
            size += popcount(current[word])
        if size < weight:
            weight = int(size)
            best[:] = current
    return weight


@_compiled
def begin_sums(rows: Words, chosen: Longs, sums: Words) -> None:
    """Writes the first rows as the first choice of `sums_of`."""
    for place in range(len(chosen)):
        chosen[place] = place
        sums[place + 1] = sums[place] ^ rows[place]


@_compiled
def sums_of(rows: Words, chosen: Longs, sums: Words, budget: int, best: Words, weight: int) -> tuple[int, bool]:
    """Goes through the sums of a given number of rows; returns the least weight, and whether that was all of them.

    Args:
        rows: uint64 (k, words).
        chosen: int64 (number,): where to begin, from `begin_sums`; changed into where to go on.
        sums: uint64 (number + 1, words): sums of the first so many chosen rows; changed.
        budget: About how many sums to look at.
        best: uint64 (words,): a lightest vector so far, replaced by a lighter one.
        weight: Its weight.
    """
    count, words = rows.shape
    last = len(chosen) - 1
    while budget > 0:
        # The last row goes through all that come after the one before it.
        for row in range(chosen[last], count):
            size = np.int64(0)
            for word in range(words):
                size += popcount(sums[last, word] ^ rows[row, word])
            if size < weight:
                weight = int(size)
                for word in range(words):
                    best[word] = sums[last, word] ^ rows[row, word]
        budget -= count - chosen[last]
        place = last - 1
        while place >= 0 and chosen[place] == count - 1 - last + place:
            place -= 1
        if place < 0:
            return weight, True
        chosen[place] += 1
        for after in range(place, last + 1):
            if after > place:
                chosen[after] = chosen[after - 1] + 1
            if after < last:
                for word in range(words):
                    sums[after + 1, word] = sums[after, word] ^ rows[chosen[after], word]
    return weight, False
