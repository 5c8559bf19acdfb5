"""The inner loops of information-set decoding, compiled with numba: bit-packed elimination and the weights of sums.

A row of n bits is ceil(n/64) words, bit j of word i being column 64 i + j, as in `gf2`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler

__all__ = ["kernel_rows", "lighter", "pack", "popcount", "reduce", "spans"]

Bits = NDArray[np.uint8]
Words = NDArray[np.uint64]

_compiled = compiler([Path(__file__)])


@_compiled
def popcount(word: np.uint64) -> np.int64:
    """Returns how many bits of a word are set."""
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@_compiled
def pack(bits: Bits) -> Words:
    """Returns the rows of a 0-1 matrix as words, uint64 (rows, words)."""
    rows, columns = bits.shape
    packed = np.zeros((rows, (columns + 63) // 64), np.uint64)
    for row in range(rows):
        for column in range(columns):
            if bits[row, column]:
                packed[row, column // 64] |= np.uint64(1) << np.uint64(column % 64)
    return packed


@_compiled
def _eliminate(packed: Words, columns: NDArray[np.int64], pivots: NDArray[np.int64]) -> int:
    """Reduces rows in place with the columns in the sequence given, writes the pivots' columns, returns how many."""
    rows, words = packed.shape
    top = 0
    for column in columns:
        if top == rows:
            break
        word = column // 64
        bit = np.uint64(1) << np.uint64(column % 64)
        found = top
        while found < rows and not packed[found, word] & bit:
            found += 1
        if found == rows:
            continue
        if found != top:
            for place in range(words):
                packed[found, place], packed[top, place] = packed[top, place], packed[found, place]
        for row in range(rows):
            if row != top and packed[row, word] & bit:
                for place in range(words):
                    packed[row, place] ^= packed[top, place]
        pivots[top] = column
        top += 1
    return top


@_compiled
def reduce(rows: Words, columns: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """Returns independent rows in reduced form, and the columns of their pivots: the first possible of those given."""
    packed = rows.copy()
    pivots = np.empty(len(rows), np.int64)
    rank = _eliminate(packed, columns, pivots)
    return packed[:rank], pivots[:rank]


@_compiled
def spans(rows: Bits, vectors: Bits) -> bool:
    """Tells whether all vectors, uint8 (vectors, n), are sums of rows, uint8 (rows, n)."""
    columns = rows.shape[1]
    packed, targets = pack(rows), pack(vectors)
    pivots = np.empty(len(rows), np.int64)
    rank = _eliminate(packed, np.arange(columns), pivots)
    for target in targets:
        for row in range(rank):
            if target[pivots[row] // 64] >> np.uint64(pivots[row] % 64) & np.uint64(1):
                for word in range(len(target)):
                    target[word] ^= packed[row, word]
        if target.any():
            return False
    return True


@_compiled
def kernel_rows(checks: Bits, duals: Bits) -> Words:
    """Returns a basis of what all checks are orthogonal to, each vector followed by its products with the duals.

    Args:
        checks: uint8 (R, n).
        duals: uint8 (k, n).

    Returns:
        uint64 (dimension, words of n + words of k).
    """
    columns = checks.shape[1]
    packed = pack(checks)
    pivots = np.empty(len(checks), np.int64)
    rank = _eliminate(packed, np.arange(columns), pivots)
    is_pivot = np.zeros(columns, np.bool_)
    is_pivot[pivots[:rank]] = True
    words, more = (columns + 63) // 64, (len(duals) + 63) // 64
    basis = np.zeros((columns - rank, words + more), np.uint64)
    masks = pack(duals)
    row = 0
    for free in range(columns):
        if is_pivot[free]:
            continue
        basis[row, free // 64] |= np.uint64(1) << np.uint64(free % 64)
        for check in range(rank):
            if packed[check, free // 64] >> np.uint64(free % 64) & np.uint64(1):
                basis[row, pivots[check] // 64] |= np.uint64(1) << np.uint64(pivots[check] % 64)
        for dual in range(len(duals)):
            common = np.uint64(0)
            for word in range(words):
                common ^= basis[row, word] & masks[dual, word]
            basis[row, words + dual // 64] |= np.uint64(popcount(common) & 1) << np.uint64(dual % 64)
        row += 1
    return basis


@_compiled
def lighter(
    rng: np.random.Generator, basis: Words, columns: int, trials: int, stop_at: int, best: Words, weight: int
) -> int:
    """Looks for a light vector among the rows of reduced bases and the sums of two of them, and returns its weight.

    Args:
        rng: Of random numbers.
        basis: From `kernel_rows`; changed into other bases.
        columns: n.
        trials: How many bases to look at.
        stop_at: A weight that is light enough to end with.
        best: uint64 (words of n,): the lightest vector so far, replaced by a lighter one.
        weight: Its weight.
    """
    rows, width = basis.shape
    words = (columns + 63) // 64
    order = np.arange(columns)
    pivots = np.empty(rows, np.int64)
    for _ in range(trials):
        if weight <= stop_at:
            break
        for place in range(columns - 1, 0, -1):
            other = np.int64(rng.random() * (place + 1))
            order[place], order[other] = order[other], order[place]
        _eliminate(basis, order, pivots)
        for first in range(rows):
            # The vector itself is its sum with nothing.
            for second in range(first, rows):
                size = np.int64(0)
                for word in range(words):
                    other_word = basis[second, word] if second != first else np.uint64(0)
                    size += popcount(basis[first, word] ^ other_word)
                    if size >= weight:
                        break
                if size >= weight:
                    continue
                logical = False
                for word in range(words, width):
                    other_word = basis[second, word] if second != first else np.uint64(0)
                    logical |= basis[first, word] != other_word
                if logical:
                    weight = int(size)
                    for word in range(words):
                        other_word = basis[second, word] if second != first else np.uint64(0)
                        best[word] = basis[first, word] ^ other_word
    return weight
