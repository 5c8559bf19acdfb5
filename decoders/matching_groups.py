"""From a shot's open events to a matching of them, compiled with numba.

Edges more likely flipped than not are taken for flipped; what that does not explain, and what it makes, are the open
events. Useful pairs of them form groups, each of which is matched exactly.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quell.decoders.matching_blossom import Ints, perfect_matching
from quell.decoders.matching_compiled import compiled
from quell.decoders.matching_search import FAR, Bytes, EdgeLists, Limits, Masks, Odds, Room, Whole, search

__all__ = ["Shot", "exchange_margins", "preselected", "root_of", "solve"]

# Places in the array of counts, in the order of `MatchingCounts`.
_SHOTS, _OPEN, _SETTLED, _SINGLES, _PAIRS, _SMALL, _LARGE, _LARGEST, _FALLBACKS, _UNMATCHED = range(10)
_SMALL_LIMIT = 4


class Shot(NamedTuple):
    """A shot's open events (n of them), the pairs of them that were found, and which were matched."""

    detector: Ints  # (n,)
    boundary: Ints  # (n,): distance to the boundary, FAR if none was reached
    boundary_mask: Masks
    second: Ints  # (n,): distance to the boundary along a path that flips other observables, FAR if none was reached
    first: Ints  # (n + 1,): the pairs that event i has found are those from first[i] to first[i + 1]
    pairs: Ints  # (pairs, 3): finder, found, distance
    pair_mask: Masks  # (pairs,)
    partner: Ints  # (n,): the pair that the event is matched by; -1 the boundary, -2 nothing
    limits: Limits  # of the searches that were made


@compiled
def preselected(row: Odds) -> NDArray[np.int32]:
    """Returns the columns of the edges that are more likely flipped than not."""
    found = np.empty(len(row), dtype=np.int32)
    size = 0
    for column in range(len(row)):
        found[size] = column
        size += row[column] > 0
    return found[:size]


@compiled
def solve(
    graph: EdgeLists,
    room: Room,
    row: Odds,
    events: Bytes,
    flipped: NDArray[np.int32],
    limits: Limits,
    counts: Ints,
) -> Shot:
    """Matches what the flipped edges leave open; among all edges if it cannot be done among the likely ones.

    Args:
        graph: Its edges.
        room: Working memory.
        row: int16 (columns,): log-odds.
        events: uint8 (ceil(D/8),): all events, bit-packed.
        flipped: int32: columns of the edges that are taken for flipped.
        limits: Of the searches.
        counts: int64: of `MatchingCounts`, to which is added.
    """
    detectors = _open_events(graph, room, events, flipped)
    for i in range(len(detectors)):
        room.number[detectors[i]] = i
    settled = room.stamp[2]
    shot = _match_open(graph, room, row, detectors, limits, counts)
    counts[_SHOTS] += 1
    counts[_OPEN] += len(detectors)
    if _num_unmatched(shot):
        counts[_FALLBACKS] += 1
        all_edges = Limits(np.int64(-32768), np.int64(len(room.number)), limits.slack)
        shot = _match_open(graph, room, row, detectors, all_edges, counts)
        counts[_UNMATCHED] += _num_unmatched(shot)
    counts[_SETTLED] += room.stamp[2] - settled
    for i in range(len(detectors)):
        room.number[detectors[i]] = -1
    return shot


@compiled
def _num_unmatched(shot: Shot) -> int:
    number = 0
    for i in range(len(shot.partner)):
        number += shot.partner[i] == -2
    return number


@compiled
def _open_events(graph: EdgeLists, room: Room, events: Bytes, flipped: NDArray[np.int32]) -> Ints:
    """Returns the detectors whose events the flipped edges do not explain, of those that have edges."""
    room.events[:] = events
    for column in flipped:
        for detector in graph.ends[column]:
            if detector >= 0:
                room.events[detector >> 3] ^= np.uint8(1 << (detector & 7))
    found = np.empty(len(room.number), dtype=np.int64)
    size = 0
    for place in range(len(room.events)):
        if room.events[place]:
            for detector in range(8 * place, min(8 * place + 8, len(room.number))):
                is_open = (room.events[place] >> (detector & 7)) & 1
                if is_open and graph.first[detector] < graph.first[detector + 1]:
                    found[size] = detector
                    size += 1
    return found[:size]


@compiled
def _match_open(graph: EdgeLists, room: Room, row: Odds, detectors: Ints, limits: Limits, counts: Ints) -> Shot:
    """Searches from every open event, and matches each group of events that useful pairs link."""
    room.stamp[1] += 1
    n = len(detectors)
    boundary = np.empty(n, dtype=np.int64)
    boundary_mask = np.empty(n, dtype=np.uint64)
    second = np.empty(n, dtype=np.int64)
    first = np.zeros(n + 1, dtype=np.int64)
    pairs = np.empty((4 * n + 8, 3), dtype=np.int64)
    pair_mask = np.empty(4 * n + 8, dtype=np.uint64)
    size = 0
    for i in range(n):
        found = search(graph, room, row, detectors[i], np.int64(-1), limits)
        boundary[i], boundary_mask[i], second[i] = found.boundary, found.boundary_mask, found.second
        if size + found.num_near > len(pairs):
            more_pairs = np.empty((2 * (size + found.num_near), 3), dtype=np.int64)
            more_mask = np.empty(2 * (size + found.num_near), dtype=np.uint64)
            more_pairs[:size] = pairs[:size]
            more_mask[:size] = pair_mask[:size]
            pairs, pair_mask = more_pairs, more_mask
        for k in range(found.num_near):
            pairs[size, 0], pairs[size, 1], pairs[size, 2] = i, room.near[k, 0], room.near[k, 1]
            pair_mask[size] = room.near_mask[k]
            size += 1
        first[i + 1] = size
    partner = np.full(n, -2, dtype=np.int64)
    shot = Shot(detectors, boundary, boundary_mask, second, first, pairs[:size], pair_mask, partner, limits)
    _match_groups(shot, counts)
    return shot


@compiled
def root_of(above: Ints, place: Whole) -> Whole:
    """Returns the root above a place in a forest of disjoint sets, and halves the way to it."""
    while above[place] != place:
        above[place] = above[above[place]]
        place = above[place]
    return place


@compiled
def _match_groups(shot: Shot, counts: Ints) -> None:
    """Matches the open events, group by group; writes `shot.partner`."""
    n = len(shot.detector)
    group = np.arange(n)
    for i, j, length in shot.pairs:
        if length < shot.boundary[i] + shot.boundary[j]:
            group[root_of(group, i)] = root_of(group, j)
    ends = np.zeros(n + 1, dtype=np.int64)
    for i in range(n):
        ends[root_of(group, i) + 1] += 1
    for i in range(n):
        ends[i + 1] += ends[i]
    members = np.empty(n, dtype=np.int64)
    place = np.empty(n, dtype=np.int64)
    filled = ends[:-1].copy()
    for i in range(n):
        root = root_of(group, i)
        place[i] = filled[root] - ends[root]
        members[filled[root]] = i
        filled[root] += 1
    for root in range(n):
        size = ends[root + 1] - ends[root]
        if not size:
            continue
        own = members[ends[root] : ends[root + 1]]
        counts[_LARGEST] = max(counts[_LARGEST], size)
        if size == 1:
            counts[_SINGLES] += 1
            shot.partner[own[0]] = -1 if shot.boundary[own[0]] < FAR else -2
        elif size == 2:
            counts[_PAIRS] += 1
            _, pair = _between(shot, own[0], own[1])
            shot.partner[own[0]], shot.partner[own[1]] = pair, pair
        else:
            counts[_SMALL if size <= _SMALL_LIMIT else _LARGE] += 1
            _match_group(shot, own, place, group, root)


@compiled
def _between(shot: Shot, i: int, j: int) -> tuple[int, int]:
    """Returns the distance of two open events and the number of their pair, or FAR and -1 if none was found."""
    least, pair = FAR, -1
    for a, b in ((i, j), (j, i)):
        for k in range(shot.first[a], shot.first[a + 1]):
            if shot.pairs[k, 1] == b and shot.pairs[k, 2] < least:
                least, pair = shot.pairs[k, 2], k
    return least, pair


@compiled
def _match_group(shot: Shot, own: Ints, place: Ints, group: Ints, root: int) -> None:
    """Matches three events or more.

    Two events may both go to the boundary in place of each other, and where their number is odd, one goes there alone.
    """
    n = len(own)
    even = n + n % 2
    cost = np.zeros((even, even), dtype=np.int64)
    which = np.full((even, even), -1, dtype=np.int64)
    for a in range(n):
        for b in range(n):
            cost[a, b] = shot.boundary[own[a]] + shot.boundary[own[b]]
        if even > n:
            cost[a, n] = cost[n, a] = shot.boundary[own[a]]
    for a in range(n):
        for k in range(shot.first[own[a]], shot.first[own[a] + 1]):
            other = shot.pairs[k, 1]
            if root_of(group, other) == root:
                b = place[other]
                if shot.pairs[k, 2] < cost[a, b]:
                    cost[a, b] = cost[b, a] = shot.pairs[k, 2]
                    which[a, b] = which[b, a] = k
    mate = perfect_matching(cost)
    for a in range(n):
        pair = which[a, mate[a]]
        if pair == -1 and shot.boundary[own[a]] >= FAR:
            pair = -2
        shot.partner[own[a]] = pair


@compiled
def exchange_margins(shot: Shot) -> Ints:
    """Returns by how much the matching would be longer if an event exchanged its partner with another, int64 (n,)."""
    n = len(shot.detector)
    margins = np.full(n, FAR)
    for i in range(n):
        if shot.partner[i] == -1:
            margins[i] = shot.second[i] - shot.boundary[i]
    for i, j, length in shot.pairs:
        if shot.partner[i] == -2 or shot.partner[j] == -2:
            continue
        a, now_a = _matched(shot, i)
        if a == j:
            margin = shot.boundary[i] + shot.boundary[j] - now_a
            b = i
        else:
            b, now_b = _matched(shot, j)
            if a >= 0 and b >= 0:
                rest = min(shot.boundary[a] + shot.boundary[b], _between(shot, a, b)[0])
            else:
                rest = (shot.boundary[a] if a >= 0 else 0) + (shot.boundary[b] if b >= 0 else 0)
            margin = length + rest - now_a - now_b
        for event in (i, j, a, b):
            if event >= 0:
                margins[event] = max(0, min(margins[event], margin))
    return margins


@compiled
def _matched(shot: Shot, i: int) -> tuple[int, int]:
    """Returns the event that an event is matched with, -1 for the boundary, and the distance."""
    pair = shot.partner[i]
    if pair < 0:
        return -1, shot.boundary[i]
    a, b, length = shot.pairs[pair]
    return (b if a == i else a), length
