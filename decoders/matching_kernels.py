"""The loops over shots of `PosteriorMatching`, compiled with numba: to match all, and to commit what is sure.

Searches carry one word of observables along. Where there are more than 64, the word is only a key by which paths are
told apart; the observables are then read from the edges of the matching.
"""

import numpy as np
from numpy.typing import NDArray

from quell.decoders.matching_blossom import Ints
from quell.decoders.matching_compiled import compiled
from quell.decoders.matching_groups import Shot, exchange_margins, preselected, root_of, solve
from quell.decoders.matching_search import FAR, Bytes, EdgeLists, Limits, Masks, Odds, Room, Whole, make_room, search

__all__ = ["EdgeLists", "Limits", "commit_shots", "match_shots", "match_shots_by_edges"]


@compiled
def match_shots(graph: EdgeLists, log_odds: Odds, events: Bytes, limits: Limits, counts: Ints) -> Masks:
    """Returns the observables, 64 at most, that a minimum-weight matching flips in each shot, uint64 (shots,).

    Args:
        graph: Its edges.
        log_odds: int16 (shots, columns).
        events: uint8 (shots, ceil(D/8)).
        limits: Of the searches.
        counts: int64: of `MatchingCounts`, to which is added.
    """
    room = make_room(graph)
    found = np.zeros(len(events), dtype=np.uint64)
    for number in range(len(events)):
        row = log_odds[number]
        flipped = preselected(row)
        shot = solve(graph, room, row, events[number], flipped, limits, counts)
        mask = np.uint64(0)
        for column in flipped:
            mask ^= graph.observables[column]
        for i in range(len(shot.detector)):
            pair = shot.partner[i]
            if pair == -1:
                mask ^= shot.boundary_mask[i]
            elif pair >= 0 and shot.pairs[pair, 0] == i:
                mask ^= shot.pair_mask[pair]
        found[number] = mask
    return found


@compiled
def match_shots_by_edges(graph: EdgeLists, log_odds: Odds, events: Bytes, limits: Limits, counts: Ints) -> Masks:
    """Returns the observables that a minimum-weight matching flips in each shot, uint64 (shots, W), however many."""
    room = make_room(graph)
    found = np.zeros((len(events), graph.words.shape[1]), dtype=np.uint64)
    taken = np.zeros(len(graph.observables), dtype=np.bool_)
    sure = np.zeros(len(room.number), dtype=np.int64)  # of no use here
    for number in range(len(events)):
        row = log_odds[number]
        flipped = preselected(row)
        shot = solve(graph, room, row, events[number], flipped, limits, counts)
        taken[:] = False
        _take_all(graph, room, row, shot, flipped, np.full(len(shot.detector), FAR), taken, sure)
        for column in np.flatnonzero(taken):
            for word in range(graph.words.shape[1]):
                found[number, word] ^= graph.words[column, word]
    return found


@compiled
def commit_shots(
    graph: EdgeLists, log_odds: Odds, events: Bytes, limits: Limits, residual: Bytes, counts: Ints
) -> Masks:
    """Commits the clusters of a matching that are sure; returns the observables that they flip, uint64 (shots, W).

    Args:
        graph: Its edges.
        log_odds: int16 (shots, columns).
        events: uint8 (shots, ceil(D/8)).
        limits: Of the searches. The slack is the least log-odds of a cluster that is committed too: alternatives are
            looked for as far as they could make one unsure.
        residual: uint8 (shots, ceil(D/8)): a copy of the events, from which those are taken that are explained.
        counts: int64: of `MatchingCounts`, to which is added.
    """
    room = make_room(graph)
    found = np.zeros((len(events), graph.words.shape[1]), dtype=np.uint64)
    taken = np.zeros(len(graph.observables), dtype=np.bool_)
    sure = np.empty(len(room.number), dtype=np.int64)
    for number in range(len(events)):
        row = log_odds[number]
        if not (row >= limits.threshold).any():
            continue  # nothing is proposed, and nothing is committed
        flipped = preselected(row)
        shot = solve(graph, room, row, events[number], flipped, limits, counts)
        taken[:] = False
        sure[:] = FAR
        _take_all(graph, room, row, shot, flipped, exchange_margins(shot), taken, sure)
        _commit_clusters(graph, row, taken, sure, limits.slack, residual[number], found[number])
    return found


@compiled
def _take_all(
    graph: EdgeLists,
    room: Room,
    row: Odds,
    shot: Shot,
    flipped: NDArray[np.int32],
    margins: Ints,
    taken: NDArray[np.bool_],
    sure: Ints,
) -> None:
    """Writes all edges of a shot's correction into `taken`; the rest is as for `_take_path`."""
    for column in flipped:
        taken[column] = True
    for i in range(len(shot.detector)):
        pair = shot.partner[i]
        if pair == -1 or (pair >= 0 and shot.pairs[pair, 0] == i):
            _take_path(graph, room, row, shot, i, margins[i], taken, sure)


@compiled
def _take_path(
    graph: EdgeLists,
    room: Room,
    row: Odds,
    shot: Shot,
    i: int,
    margin: Whole,
    taken: NDArray[np.bool_],
    sure: Ints,
) -> None:
    """Toggles the edges on the path from an open event to its partner, for which the search is made once more.

    Args:
        graph: Its edges.
        room: Working memory.
        row: int16 (columns,): log-odds.
        shot: The matching.
        i: The open event, which has found its partner or is matched with the boundary.
        margin: How sure the match is.
        taken: bool (columns,): the correction.
        sure: int64 (D,): how sure the least sure path through a detector is.
    """
    pair = shot.partner[i]
    target = np.int64(-1) if pair < 0 else shot.detector[shot.pairs[pair, 1]]
    found = search(graph, room, row, shot.detector[i], target, shot.limits)
    here = target
    if target < 0:
        here = found.exit_detector
        taken[found.exit_column] ^= True
    while here >= 0:
        sure[here] = min(sure[here], margin)
        if room.before[here] >= 0:
            taken[room.via[here]] ^= True
        here = np.int64(room.before[here])


@compiled
def _commit_clusters(
    graph: EdgeLists, row: Odds, taken: NDArray[np.bool_], sure: Ints, certainty: Whole, residual: Bytes, found: Masks
) -> None:
    """Takes the events of those clusters of a correction from `residual` that are sure; adds their observables."""
    columns = np.flatnonzero(taken)
    clusters = np.arange(len(sure))
    for column in columns:
        a, b = graph.ends[column]
        if b >= 0:
            clusters[root_of(clusters, np.int64(a))] = root_of(clusters, np.int64(b))
    least = np.full(len(sure), FAR)
    for column in columns:
        root = root_of(clusters, np.int64(graph.ends[column, 0]))
        if row[column] > 0:
            least[root] = min(least[root], np.int64(row[column]))
        for detector in graph.ends[column]:
            if detector >= 0:
                least[root] = min(least[root], sure[detector])
    for column in columns:
        if least[root_of(clusters, np.int64(graph.ends[column, 0]))] >= certainty:
            for word in range(len(found)):
                found[word] ^= graph.words[column, word]
            for detector in graph.ends[column]:
                if detector >= 0:
                    residual[detector >> 3] ^= np.uint8(1 << (detector & 7))
