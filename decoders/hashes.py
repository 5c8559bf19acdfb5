"""Hashes of whole arrays: 64 bits for each element, in sums of which the order does not matter."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["scrambled"]


def scrambled(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scrambles 64 bits, one to one (the finaliser of splitmix64, Steele, Lea & Flood, OOPSLA 2014).

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.hashes import scrambled
        >>> len(np.unique(scrambled(np.arange(1000, dtype=np.uint64)) >> np.uint64(32)))
        1000
    """
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)
