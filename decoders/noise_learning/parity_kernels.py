"""Counting of parities over bit-packed shots, compiled with numba."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler
from quell.qec.codes import information_set_kernels
from quell.qec.codes.information_set_kernels import popcount

__all__ = ["count_odd"]

_compiled = compiler([Path(__file__), Path(information_set_kernels.__file__)])


@_compiled
def count_odd(columns: NDArray[np.uint64], sets: NDArray[np.int32], odd: NDArray[np.float64]) -> None:
    """Adds to `odd` in how many shots each set of detectors has an odd number of events.

    Args:
        columns: uint64 (D, words): the events of each detector, a bit a shot.
        sets: int32 (A, K), filled up with -1; none is empty.
        odd: float64 (A,).
    """
    words = columns.shape[1]
    sums = np.empty(words, np.uint64)
    for number in range(len(sets)):
        first = columns[sets[number, 0]]
        for word in range(words):
            sums[word] = first[word]
        for place in range(1, sets.shape[1]):
            detector = sets[number, place]
            if detector < 0:
                break
            column = columns[detector]
            for word in range(words):
                sums[word] ^= column[word]
        total = np.int64(0)
        for word in range(words):
            total += popcount(sums[word])
        odd[number] += total
