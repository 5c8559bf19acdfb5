"""What the corrections of one graph say of another: edges that become likely, as shortcuts among its events.

An error of both bases flips an edge in either graph. Where a correction holds the one, the other is likely, as in
two-pass correlated matching (Fowler, arXiv:1310.0863; PyMatching's `enable_correlations`). A shot has few such edges;
so distances are taken from tables, and brought up to date among the events and the ends of those edges.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quell.decoders.post_selection.parity_matching import Floats, Ints
from quell.decoders.post_selection.soft_compiled import compiled

__all__ = ["Again", "Board", "add_shortcuts", "make_board", "take_path"]

# Of a graph, in a shot; shortcuts beyond are passed over.
_MOST_NODES = 512  # events and ends of shortcuts
_MOST_SHORTCUTS = 1024


class Again(NamedTuple):
    """What is known of E edges and their partners in other graphs, for a second look at a shot."""

    distances: Floats  # given that no edge of another graph is flipped; laid out as in Tables
    odd_cycle: Floats  # (G,): the same of closed walks of odd parity
    last_edge: Ints  # the last edge on the path to which each distance of Tables belongs, or -1; laid out likewise
    graph: Ints  # (E,): the graph of each edge
    ends: Ints  # (E, 2): its vertices there
    labels: NDArray[np.uint8]  # (E,)
    first: Ints  # (E + 1,): where its partners start
    partner: Ints  # edges of other graphs
    weight: Floats  # of the partner where the edge is flipped, in nats


class Board(NamedTuple):
    """Distances among a few nodes of a graph."""

    node: Ints  # (V,): the node of each vertex, or -1
    vertex: Ints  # (N,): the vertex of each node
    straight: Floats  # (N, N): of even parity
    crossing: Floats  # (N, N): of odd parity
    chosen: Ints  # working memory: shortcuts
    rows: Floats  # (4, N): working memory


@compiled
def make_board(num_vertices: int) -> Board:
    """Returns a board for graphs of up to that many vertices."""
    size = min(num_vertices, _MOST_NODES)
    return Board(
        np.full(num_vertices, -1, dtype=np.int32),
        np.empty(size, dtype=np.int32),
        np.empty((size, size)),
        np.empty((size, size)),
        np.empty(_MOST_SHORTCUTS, dtype=np.int32),
        np.empty((4, size)),
    )


@compiled
def take_path(again: Again, last_edge: Ints, source: int, goal: int, parity: int, flipped: Ints, count: int) -> int:
    """Writes the edges on a shortest path into `flipped` from place `count` on, and returns where they end.

    Args:
        again: The edges.
        last_edge: int32 (V, V, 2): of the graph.
        source: Where the path starts.
        goal: Where it ends.
        parity: How often it flips the observable, modulo two.
        flipped: Where the edges are written; as many as fit.
        count: From which place on.
    """
    while goal != source or parity:
        edge = last_edge[source, goal, parity]
        if edge < 0 or count == len(flipped):
            break
        flipped[count] = edge
        count += 1
        goal = again.ends[edge, 0] if again.ends[edge, 1] == goal else again.ends[edge, 1]
        parity ^= again.labels[edge]
    return count


@compiled
def add_shortcuts(
    again: Again, graph: int, distances: Floats, board: Board, num_nodes: int, flipped: Ints, count: int
) -> int:
    """Brings the distances on the board up to date, and returns how many nodes there are then.

    Args:
        again: The edges and their partners.
        graph: Whose distances they are.
        distances: float64 (V, V, 2): those without shortcuts.
        board: On which the first nodes stand, without distances.
        num_nodes: How many they are.
        flipped: int32: edges of corrections in all graphs.
        count: How many they are.
    """
    size = 0
    for place in range(count):
        edge = flipped[place]
        if again.graph[edge] == graph:
            continue
        for number in range(again.first[edge], again.first[edge + 1]):
            a, b = again.ends[again.partner[number]]
            new = int(board.node[a] < 0) + int(board.node[b] < 0)
            if again.graph[again.partner[number]] != graph or size == len(board.chosen):
                continue
            if num_nodes + new > len(board.vertex):
                continue
            for vertex in (a, b):
                if board.node[vertex] < 0:
                    board.node[vertex] = num_nodes
                    board.vertex[num_nodes] = vertex
                    num_nodes += 1
            board.chosen[size] = number
            size += 1
    for i in range(num_nodes):
        for j in range(num_nodes):
            board.straight[i, j] = distances[board.vertex[i], board.vertex[j], 0]
            board.crossing[i, j] = distances[board.vertex[i], board.vertex[j], 1]
    for number in board.chosen[:size]:
        edge = again.partner[number]
        a, b = board.node[again.ends[edge, 0]], board.node[again.ends[edge, 1]]
        _insert(board, num_nodes, a, b, again.labels[edge], again.weight[number])
    return num_nodes


@compiled
def _insert(board: Board, size: int, a: int, b: int, label: int, length: float) -> None:
    """Puts one more edge between two nodes into the distances of all."""
    if length >= (board.crossing[a, b] if label else board.straight[a, b]):
        return
    a_straight, a_crossing, b_straight, b_crossing = board.rows[0], board.rows[1], board.rows[2], board.rows[3]
    for i in range(size):
        a_straight[i], a_crossing[i] = board.straight[a, i], board.crossing[a, i]
        b_straight[i], b_crossing[i] = board.straight[b, i], board.crossing[b, i]
    for i in range(size):
        # from i to the far end of the edge, by way of a and of b
        even_a, odd_a = a_straight[i] + length, a_crossing[i] + length
        even_b, odd_b = b_straight[i] + length, b_crossing[i] + length
        if label:
            even_a, odd_a = odd_a, even_a
            even_b, odd_b = odd_b, even_b
        if even_a >= b_straight[i] and odd_a >= b_crossing[i] and even_b >= a_straight[i] and odd_b >= a_crossing[i]:
            continue  # it shortens no way from i to its ends, and so none at all
        straight, crossing = board.straight[i], board.crossing[i]
        for j in range(size):
            even = _least(even_a + b_straight[j], odd_a + b_crossing[j], even_b + a_straight[j], odd_b + a_crossing[j])
            odd = _least(even_a + b_crossing[j], odd_a + b_straight[j], even_b + a_crossing[j], odd_b + a_straight[j])
            straight[j] = even if even < straight[j] else straight[j]
            crossing[j] = odd if odd < crossing[j] else crossing[j]


@compiled
def _least(a: float, b: float, c: float, d: float) -> float:
    """The least of four; Python's min also looks for numbers that are none."""
    first = a if a < b else b
    second = c if c < d else d
    return first if first < second else second
