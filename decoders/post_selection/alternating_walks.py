"""Corrections of many events: the lightest pairing, and the lightest exchange along it that changes the parity.

Two pairings of the same events differ by cycles on which their pairs take turns. If one of them is the lightest of all,
the lightest of the other parity differs from it by one such cycle. It is looked for among walks that take turns, of
which one is kept for each event and number of steps; so a heavier cycle may be found, which happens hardly ever.
"""

import numpy as np
from numpy.typing import NDArray

from quell.decoders.matching_blossom import perfect_matching
from quell.decoders.post_selection.parity_matching import MAX_EVENTS, Floats, Ints, parity_weights
from quell.decoders.post_selection.soft_compiled import compiled

__all__ = ["any_weights", "lightest_pairs", "weigh_many"]

_UNITS = 1 << 24  # per nat, for a matching of whole numbers
_FAR = 1e6  # nats: in place of inf


@compiled
def any_weights(
    distances: Floats, boundary: int, odd_cycle: float, events: Ints, size: int, table: Floats
) -> tuple[float, float]:
    """Returns the weights of the lightest corrections of even and odd parity for any number of events.

    Args:
        distances: float64 (V, V, 2).
        boundary: The vertex that is the boundary, or -1.
        odd_cycle: Weight of the shortest closed walk of odd parity, or inf.
        events: int32: vertices, those of the events first.
        size: How many events there are.
        table: float64 (2^MAX_EVENTS, 2): working memory.
    """
    even, odd, largest = parity_weights(distances, boundary, odd_cycle, events, size, table)
    if largest > MAX_EVENTS:
        even, odd = weigh_many(distances, boundary, odd_cycle, events[:size])
    return even, odd


@compiled
def lightest_pairs(distances: Floats, boundary: int, events: Ints) -> tuple[Ints, NDArray[np.int64]]:
    """Returns the events, the boundary after them if they are odd in number, and the mate of each in the lightest
    pairing; no mates if there is none.

    Args:
        distances: float64 (V, V, 2).
        boundary: The vertex that is the boundary, or -1.
        events: int32: vertices.
    """
    size = len(events)
    count = size + size % 2
    picked = np.empty(count, dtype=np.int32)
    picked[:size] = events
    if count > size:
        if boundary < 0:
            return picked, np.empty(0, dtype=np.int64)
        picked[size] = boundary
    if count == 0:
        return picked, np.empty(0, dtype=np.int64)
    if count == 2:
        return picked, np.array([1, 0], dtype=np.int64)
    cost = np.empty((count, count), dtype=np.int64)
    for i in range(count):
        for j in range(count):
            length = min(distances[picked[i], picked[j], 0], distances[picked[i], picked[j], 1], _FAR)
            cost[i, j] = np.int64(np.rint(length * _UNITS))
    return picked, perfect_matching(cost)


@compiled
def weigh_many(distances: Floats, boundary: int, odd_cycle: float, events: Ints) -> tuple[float, float]:
    """Returns the weights of the lightest corrections of even and odd parity that walks find, for any number of events.

    The lighter one is the lightest there is. The other one is the weight of a correction.

    Args:
        distances: float64 (V, V, 2).
        boundary: The vertex that is the boundary, or -1.
        odd_cycle: Weight of the shortest closed walk of odd parity, or inf.
        events: int32: their vertices.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.post_selection.alternating_walks import weigh_many
        >>> apart = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
        >>> distances = np.stack([apart, apart + 2.5], axis=-1)
        >>> weigh_many(distances, -1, 9.0, np.arange(4, dtype=np.int32))
        (2.0, 4.5)
    """
    picked, mates = lightest_pairs(distances, boundary, events)
    if len(mates) < len(picked):
        return np.inf, np.inf
    n = len(mates)
    between = np.empty((n, n, 2))
    parities = np.zeros(n, dtype=np.int64)
    lightest, odd = 0.0, 0
    for i in range(n):
        for j in range(n):
            between[i, j, 0] = min(distances[picked[i], picked[j], 0], _FAR)
            between[i, j, 1] = min(distances[picked[i], picked[j], 1], _FAR)
        parities[i] = int(between[i, mates[i], 1] < between[i, mates[i], 0])
        if mates[i] > i:
            lightest += between[i, mates[i], parities[i]]
            odd ^= parities[i]
    if lightest >= _FAR:
        return np.inf, np.inf
    gain = max(_lightest_exchange(between, mates, parities, odd_cycle), 0.0)
    other = lightest + gain if gain < _FAR / 2 else np.inf
    if odd:
        return other, lightest
    return lightest, other


@compiled
def _lightest_exchange(between: Floats, mates: NDArray[np.int64], parities: NDArray[np.int64], best: float) -> float:
    """Returns the least gain in weight of an alternating cycle of odd parity that is found, if it is less than `best`.

    A cycle can be gone round from such a pair that no part of the way weighs more than all of it; so longer parts are
    not gone on with.

    Args:
        between: float64 (n, n, 2): distances of the events.
        mates: int64 (n,).
        parities: int64 (n,): of the path to the mate.
        best: Where there is no less, this is returned.
    """
    n = len(mates)
    # [step % 2, event, parity]: the lightest walk that has opened the pair of the event, which waits for a new mate
    weight = np.full((2, n, 2), np.inf)
    opened = np.zeros((2, n, 2, n), dtype=np.bool_)
    for start in range(n):
        goal = mates[start]
        weight[:] = np.inf
        weight[0, start, parities[start]] = -between[start, goal, parities[start]]
        opened[0, start, parities[start]] = False
        opened[0, start, parities[start], start] = True
        opened[0, start, parities[start], goal] = True
        here, more = 0, True
        while more:
            there, more = 1 - here, False
            weight[there] = np.inf
            for v in range(n):
                for parity in range(2):
                    so_far = weight[here, v, parity]
                    if so_far == np.inf:
                        continue
                    best = min(best, so_far + between[v, goal, 1 - parity])
                    for u in range(n):
                        nearest = min(between[v, u, 0], between[v, u, 1])
                        if so_far + nearest >= best or opened[here, v, parity, u]:
                            continue
                        w = mates[u]
                        for across in range(2):
                            if so_far + between[v, u, across] >= best:
                                continue
                            new = parity ^ across ^ parities[u]
                            total = so_far + between[v, u, across] - between[u, w, parities[u]]
                            if total < weight[there, w, new]:
                                more = True
                                weight[there, w, new] = total
                                opened[there, w, new] = opened[here, v, parity]
                                opened[there, w, new, u] = True
                                opened[there, w, new, w] = True
            here = there
    return best
