"""Searches along the edges that a shot's posteriors leave likely, compiled with numba.

Lengths are whole numbers in units of `LOG_ODDS_UNIT`. An edge between two open events is useful only if it is shorter
than both their ways to the boundary. If b is the longer of the two ways, the event to which it belongs finds the other
one within 2b; so no search goes further than twice its own way.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quell.decoders.matching_blossom import Ints
from quell.decoders.matching_compiled import compiled

__all__ = [
    "FAR",
    "Bytes",
    "EdgeLists",
    "Found",
    "Limits",
    "Masks",
    "Odds",
    "Room",
    "Whole",
    "make_room",
    "search",
]

Bytes: TypeAlias = NDArray[np.uint8]
Masks: TypeAlias = NDArray[np.uint64]
Odds: TypeAlias = NDArray[np.int16]
Whole: TypeAlias = int | np.int64

FAR = 1 << 40  # longer than any path


class EdgeLists(NamedTuple):
    """The static graph: arcs of detector v are those from first[v] to first[v + 1]."""

    first: NDArray[np.int32]  # (D + 1,)
    there: NDArray[np.int32]  # (arcs,): the detector at the other end, -1 for the boundary
    column: NDArray[np.int32]  # (arcs,): of the log-odds
    ends: NDArray[np.int32]  # (columns, 2)
    observables: Masks  # (columns,): the mask of observables; with more than 64 of them, a key that stands for it
    words: Masks  # (columns, W): the mask of observables in W words of 64


class Limits(NamedTuple):
    """What bounds a search."""

    threshold: Whole  # edges with smaller log-odds are left out
    num_neighbors: Whole  # at how many other open events it stops
    slack: Whole  # how much further than twice the way to the boundary it goes


class Room(NamedTuple):
    """Working memory, by detector unless said otherwise. What a search writes is known by its stamp."""

    events: Bytes  # (ceil(D/8),): events that are open, bit-packed
    number: NDArray[np.int32]  # number of the open event, or -1
    stamp: Ints  # (3,): of the present search; of the present weights; how many detectors all searches have settled
    seen: Ints  # stamp of the last search that has reached the detector
    distance: Ints
    mask: Masks  # observables on the path
    via: NDArray[np.int32]  # column of the path's last edge
    before: NDArray[np.int32]  # the detector before it
    heap: Ints  # (arcs + 1,): distance * 2^32 + detector
    near: Ints  # (D, 2): what a search has found: open event, distance
    near_mask: Masks
    fresh: Ints  # stamp of the weights for which the detector's arcs were last looked through
    num_likely: Ints  # number of its arcs that are likely enough
    likely: NDArray[np.int32]  # (arcs,): those arcs, from first[v] on
    length: Ints  # (arcs,): and their lengths


class Found(NamedTuple):
    """What a search has found; the other open events are in `Room.near`."""

    num_near: int
    boundary: int  # distance, or FAR
    boundary_mask: np.uint64  # observables on the way there
    second: int  # distance to the boundary along a path that flips other observables, or FAR
    exit_detector: int  # the last detector on the way to the boundary
    exit_column: int  # and the last edge


@compiled
def make_room(graph: EdgeLists) -> Room:
    """Returns working memory for searches."""
    num_detectors = len(graph.first) - 1
    return Room(
        np.zeros((num_detectors + 7) // 8, dtype=np.uint8),
        np.full(num_detectors, -1, dtype=np.int32),
        np.zeros(3, dtype=np.int64),
        np.zeros(num_detectors, dtype=np.int64),
        np.zeros(num_detectors, dtype=np.int64),
        np.zeros(num_detectors, dtype=np.uint64),
        np.zeros(num_detectors, dtype=np.int32),
        np.zeros(num_detectors, dtype=np.int32),
        np.zeros(len(graph.there) + 1, dtype=np.int64),
        np.zeros((num_detectors, 2), dtype=np.int64),
        np.zeros(num_detectors, dtype=np.uint64),
        np.zeros(num_detectors, dtype=np.int64),
        np.zeros(num_detectors, dtype=np.int64),
        np.zeros(len(graph.there), dtype=np.int32),
        np.zeros(len(graph.there), dtype=np.int64),
    )


@compiled
def search(graph: EdgeLists, room: Room, row: Odds, source: Whole, target: Whole, limits: Limits) -> Found:
    """Finds shortest paths from one open event to the boundary and to others.

    Args:
        graph: Its edges.
        room: Working memory; the detectors of open events are numbered.
        row: int16 (columns,): log-odds.
        source: Detector of the open event.
        target: The detector at which the search ends, or -1.
        limits: Where else it ends.
    """
    number, seen, distance, mask, heap = room.number, room.seen, room.distance, room.mask, room.heap
    room.stamp[0] += 1
    stamp = room.stamp[0]
    seen[source], distance[source], mask[source], room.before[source] = stamp, 0, 0, -1
    heap[0] = source
    size = 1
    found, boundary, second, exit_detector, exit_column = 0, FAR, FAR, -1, -1
    boundary_mask = np.uint64(0)
    reach = 2 * FAR
    while size:
        key = heap[0]
        size -= 1
        _sift_down(heap, size)
        here = key & 0xFFFFFFFF
        so_far = key >> 32
        if so_far >= reach:
            break
        if so_far > distance[here]:
            continue
        room.stamp[2] += 1
        if number[here] >= 0 and here != source:
            room.near[found, 0], room.near[found, 1] = number[here], so_far
            room.near_mask[found] = mask[here]
            found += 1
            if found == limits.num_neighbors:
                break
        if here == target:
            break
        if room.fresh[here] != room.stamp[1]:
            _find_likely(graph, room, row, here, limits.threshold)
        start = graph.first[here]
        for place in range(start, start + room.num_likely[here]):
            arc = room.likely[place]
            length = so_far + room.length[place]
            there = graph.there[arc]
            if there < 0:
                column = graph.column[arc]
                flips = mask[here] ^ graph.observables[column]
                if length < boundary:
                    if flips != boundary_mask:
                        second = boundary
                    boundary, boundary_mask, exit_detector, exit_column = length, flips, here, column
                    reach = min(reach, 2 * boundary + limits.slack)
                elif flips != boundary_mask and length < second:
                    second = length
            elif length < reach and (seen[there] != stamp or length < distance[there]):
                column = graph.column[arc]
                seen[there], distance[there] = stamp, length
                mask[there] = mask[here] ^ graph.observables[column]
                room.via[there], room.before[there] = column, here
                _push(heap, size, (length << 32) | there)
                size += 1
    return Found(found, boundary, boundary_mask, second, exit_detector, exit_column)


@compiled
def _find_likely(graph: EdgeLists, room: Room, row: Odds, here: int, threshold: Whole) -> None:
    """Lists the arcs of a detector that are likely enough, for all searches with these weights."""
    room.fresh[here] = room.stamp[1]
    start = graph.first[here]
    size = 0
    for arc in range(start, graph.first[here + 1]):
        odds = np.int64(row[graph.column[arc]])
        room.likely[start + size] = arc
        room.length[start + size] = abs(odds)
        size += int(odds >= threshold)
    room.num_likely[here] = size


@compiled
def _push(heap: Ints, size: int, key: int) -> None:
    place = size
    while place:
        above = (place - 1) >> 1
        if heap[above] <= key:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = key


@compiled
def _sift_down(heap: Ints, size: int) -> None:
    """Puts the last of size + 1 keys in the place of the first."""
    key = heap[size]
    place = 0
    while True:
        below = 2 * place + 1
        if below >= size:
            break
        if below + 1 < size and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= key:
            break
        heap[place] = heap[below]
        place = below
    heap[place] = key
