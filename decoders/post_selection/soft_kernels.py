"""The loops over shots of the soft output, compiled with numba: to weigh both parities, and to combine the graphs."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from quell.decoders.post_selection.alternating_walks import any_weights, lightest_pairs
from quell.decoders.post_selection.parity_matching import MAX_EVENTS, Floats, Ints
from quell.decoders.post_selection.shortcuts import Again, Board, add_shortcuts, make_board, take_path
from quell.decoders.post_selection.soft_compiled import compiled

__all__ = ["Tables", "combine_graphs", "weigh_shots", "weigh_shots_again"]


class Tables(NamedTuple):
    """Distances in each of G labelled graphs."""

    graph: Ints  # (D,): the graph of each detector, or -1
    vertex: Ints  # (D,): its vertex there
    distances: Floats  # those of all graphs, each (V, V, 2), one after another
    start: NDArray[np.int64]  # (G,): where those of each graph start
    size: NDArray[np.int64]  # (G,): V
    boundary: Ints  # (G,): the vertex that is the boundary, or -1
    odd_cycle: Floats  # (G,): weight of the shortest closed walk of odd parity


@compiled
def _sort_events(tables: Tables, row: NDArray[np.uint8], found: Ints, sizes: NDArray[np.int64]) -> None:
    """Writes the vertices of a shot's events, by graph."""
    sizes[:] = 0
    for place in range(len(row)):
        byte = row[place]
        if byte == 0:
            continue
        for bit in range(8):
            if (byte >> bit) & 1:
                detector = 8 * place + bit
                graph = tables.graph[detector]
                if graph >= 0:
                    found[graph, sizes[graph]] = tables.vertex[detector]
                    sizes[graph] += 1


@compiled
def _of_graph(tables: Tables, values: Any, graph: int) -> Any:
    """The part of a graph of an array that is laid out as its distances, as (V, V, 2)."""
    size, start = tables.size[graph], tables.start[graph]
    return values[start : start + 2 * size * size].reshape((size, size, 2))


@compiled
def weigh_shots(tables: Tables, events: NDArray[np.uint8], weights: Floats) -> None:
    """Finds the lightest corrections of either parity in each graph for each shot.

    Args:
        tables: Of the graphs.
        events: uint8 (shots, ceil(D/8)): bit-packed in little-endian order.
        weights: float64 (shots, G, 2): where they are written, in nats.
    """
    num_graphs = len(tables.boundary)
    table = np.empty((1 << MAX_EVENTS, 2))
    found = np.empty((num_graphs, len(tables.graph) + 1), dtype=np.int32)
    sizes = np.zeros(num_graphs, dtype=np.int64)
    for shot in range(len(events)):
        _sort_events(tables, events[shot], found, sizes)
        for graph in range(num_graphs):
            weights[shot, graph, 0], weights[shot, graph, 1] = any_weights(
                _of_graph(tables, tables.distances, graph),
                tables.boundary[graph],
                tables.odd_cycle[graph],
                found[graph],
                sizes[graph],
                table,
            )


@compiled
def weigh_shots_again(tables: Tables, again: Again, events: NDArray[np.uint8], weights: Floats) -> None:
    """Finds the same, with the weights in each graph that the lightest corrections of the others suggest.

    Args:
        tables: Of the graphs.
        again: Of their edges.
        events: uint8 (shots, ceil(D/8)): bit-packed in little-endian order.
        weights: float64 (shots, G, 2): where they are written, in nats.
    """
    num_graphs = len(tables.boundary)
    table = np.empty((1 << MAX_EVENTS, 2))
    found = np.empty((num_graphs, len(tables.graph) + 1), dtype=np.int32)
    sizes = np.zeros(num_graphs, dtype=np.int64)
    flipped = np.empty(len(again.labels), dtype=np.int32)
    board = make_board(max(1, tables.size.max()) if num_graphs else 1)
    for shot in range(len(events)):
        _sort_events(tables, events[shot], found, sizes)
        count = 0
        for graph in range(num_graphs):
            distances = _of_graph(tables, tables.distances, graph)
            last_edge = _of_graph(tables, again.last_edge, graph)
            picked, mates = lightest_pairs(distances, tables.boundary[graph], found[graph, : sizes[graph]])
            for i in range(len(mates)):
                if mates[i] > i:
                    a, b = picked[i], picked[mates[i]]
                    parity = int(distances[a, b, 1] < distances[a, b, 0])
                    count = take_path(again, last_edge, a, b, parity, flipped, count)
        for graph in range(num_graphs):
            weights[shot, graph, 0], weights[shot, graph, 1] = _weigh_again(
                tables, again, graph, found[graph, : sizes[graph]], board, flipped, count, table
            )


@compiled
def _weigh_again(
    tables: Tables, again: Again, graph: int, events: Ints, board: Board, flipped: Ints, count: int, table: Floats
) -> tuple[float, float]:
    """Returns the weights of either parity in a graph, with shortcuts for the partners of the flipped edges."""
    distances = _of_graph(tables, again.distances, graph)
    boundary, odd_cycle = tables.boundary[graph], again.odd_cycle[graph]
    size = len(events)
    first = size + int(boundary >= 0)
    if first > len(board.vertex):
        return any_weights(distances, boundary, odd_cycle, events, size, table)
    for i in range(first):
        vertex = events[i] if i < size else boundary
        board.vertex[i] = vertex
        board.node[vertex] = i
    num_nodes = add_shortcuts(again, graph, distances, board, first, flipped, count)
    for i in range(num_nodes):
        board.node[board.vertex[i]] = -1
        odd_cycle = min(odd_cycle, board.crossing[i, i])
    between = np.empty((first, first, 2))
    between[:, :, 0] = board.straight[:first, :first]
    between[:, :, 1] = board.crossing[:first, :first]
    return any_weights(between, size if boundary >= 0 else -1, odd_cycle, np.arange(size).astype(np.int32), size, table)


@compiled
def combine_graphs(weights: Floats, undetected: float, predictions: NDArray[np.uint8], gaps: Floats) -> None:
    """Combines what the graphs say of each shot.

    Args:
        weights: float64 (shots, G, 2): of the lightest corrections of either parity, in nats.
        undetected: Log-odds that no error that no detector sees has flipped the observable.
        predictions: uint8 (shots,): where the likelier class is written.
        gaps: float64 (shots,): where its odds against the other one are written, in dB.
    """
    to_decibels = 10 / np.log(10)
    for shot in range(len(weights)):
        right, wrong = -np.logaddexp(0.0, -undetected), -np.logaddexp(0.0, undetected)
        flipped = False
        for graph in range(weights.shape[1]):
            even, odd = weights[shot, graph, 0], weights[shot, graph, 1]
            flipped ^= odd < even
            margin = 0.0 if even == odd else abs(odd - even)  # inf - inf would not be a number
            sure, unsure = -np.logaddexp(0.0, -margin), -np.logaddexp(0.0, margin)
            right, wrong = np.logaddexp(right + sure, wrong + unsure), np.logaddexp(right + unsure, wrong + sure)
        predictions[shot] = flipped
        gaps[shot] = max(right - wrong, 0.0) * to_decibels
