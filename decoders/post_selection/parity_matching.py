"""Lightest corrections of either parity for a set of events, compiled with numba.

A set of edges that explains the events T (a T-join) consists of paths between pairs of T and of closed walks. With
d(a, b, s) the shortest path of parity s, the lightest one of each parity is a sum over pairs with parities chosen, or
that plus the shortest closed walk of odd parity. The pairings are gone through exactly, by dynamic programming over
subsets, the lowest event that is left always paired next.
"""

import numpy as np
from numpy.typing import NDArray

from quell.decoders.post_selection.soft_compiled import compiled

__all__ = ["MAX_EVENTS", "Floats", "Ints", "parity_weights"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]

MAX_EVENTS = 12  # that depend on each other; beyond, going through all pairings takes longer than 50 us
_CLUSTER_FROM = 5  # fewer are cheaper to pair than to part
_SAME = 1e-9  # nats: sums of the same weights in another order differ by less


@compiled
def _pair_off(distances: Floats, events: Ints, size: int, table: Floats) -> tuple[float, float]:
    """Returns the least weights of even and odd parity of a pairing of the events, an even number of them."""
    if size == 0:
        return 0.0, np.inf
    if size == 2:
        return distances[events[0], events[1], 0], distances[events[0], events[1], 1]
    full = (1 << size) - 1
    for subset in range(full + 1):
        table[subset, 0] = np.inf
        table[subset, 1] = np.inf
    table[full, 0] = 0.0
    for subset in range(full, 0, -1):
        even, odd = table[subset, 0], table[subset, 1]
        if even == np.inf and odd == np.inf:
            continue
        first = 0
        while not (subset >> first) & 1:
            first += 1
        for second in range(first + 1, size):
            if (subset >> second) & 1:
                left = subset & ~((1 << first) | (1 << second))
                straight = distances[events[first], events[second], 0]
                crossing = distances[events[first], events[second], 1]
                table[left, 0] = min(table[left, 0], even + straight, odd + crossing)
                table[left, 1] = min(table[left, 1], odd + straight, even + crossing)
    return table[0, 0], table[0, 1]


@compiled
def _find_clusters(distances: Floats, boundary: int, events: Ints, size: int, cluster: Ints) -> None:
    """Numbers the clusters of events: two of different clusters are never better paired than led to the boundary."""
    for i in range(size):
        cluster[i] = i
    for i in range(size):
        for j in range(i):
            if cluster[i] == cluster[j]:
                continue
            a, b = events[i], events[j]
            a0, a1 = distances[a, boundary, 0], distances[a, boundary, 1]
            b0, b1 = distances[b, boundary, 0], distances[b, boundary, 1]
            if distances[a, b, 0] < min(a0 + b0, a1 + b1) - _SAME or distances[a, b, 1] < min(a0 + b1, a1 + b0) - _SAME:
                old, new = cluster[i], cluster[j]
                for k in range(i + 1):
                    if cluster[k] == old:
                        cluster[k] = new


@compiled
def parity_weights(
    distances: Floats, boundary: int, odd_cycle: float, events: Ints, size: int, table: Floats
) -> tuple[float, float, int]:
    """Returns the weights of the lightest corrections of even and odd parity, and how many events hang together.

    Args:
        distances: float64 (V, V, 2).
        boundary: The vertex that is the boundary, or -1.
        odd_cycle: Weight of the shortest closed walk of odd parity, or inf.
        events: int32: vertices, those of the events first.
        size: How many events there are.
        table: float64 (2^MAX_EVENTS, 2): working memory.

    Returns:
        The two weights, inf where no correction has that parity, and the number of events of the largest set that had
        to be paired at once. If that is more than `MAX_EVENTS` the weights mean nothing.
    """
    picked = np.empty(size + 1, dtype=np.int32)
    if boundary < 0 or size < _CLUSTER_FROM:
        picked[:size] = events[:size]
        count = size
        if size & 1:
            if boundary < 0:
                return np.inf, np.inf, size
            picked[size] = boundary
            count += 1
        if count > MAX_EVENTS:
            return np.inf, np.inf, count
        even, odd = _pair_off(distances, picked, count, table)
        return min(even, odd + odd_cycle), min(odd, even + odd_cycle), count
    cluster = np.empty(size, dtype=np.int32)
    _find_clusters(distances, boundary, events, size, cluster)
    even, odd, largest = 0.0, odd_cycle, 0
    for number in range(size):
        count = 0
        for i in range(size):
            if cluster[i] == number:
                picked[count] = events[i]
                count += 1
        if count & 1:
            picked[count] = boundary
            count += 1
        largest = max(largest, count)
        if count == 0 or largest > MAX_EVENTS:
            continue
        straight, crossing = _pair_off(distances, picked, count, table)
        even, odd = min(even + straight, odd + crossing), min(odd + straight, even + crossing)
    return even, odd, largest
