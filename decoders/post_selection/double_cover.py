"""Shortest paths of either parity in a matching graph whose edges flip the observable or not.

In the double cover every vertex v stands twice, as (v, 0) and (v, 1), and an edge that flips the observable joins the
two sheets. A shortest path from (a, 0) to (b, s) is one from a to b that flips the observable s times, modulo
2; a shortest one from (v, 0) to (v, 1) is the shortest closed walk through v that flips it. This holds wherever the
observable sits: on a boundary, or across the cycles of a projective plane.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quell.decoders.post_selection.pruned import PrunedModel
from quell.errors import InputError, TooLargeError

__all__ = ["LabelledGraph", "labelled_graphs"]

_MAX_VERTICES = 8000  # 1 GB of distances


@dataclasses.dataclass(frozen=True, eq=False)
class LabelledGraph:
    """A connected matching graph whose edges flip the observable or not.

    Attributes:
        detectors: int32 (N,): the detectors that are its vertices, in order. If it has a boundary, that is vertex N.
        has_boundary: Whether it has one.
        ends: int32 (E, 2): the vertices of each edge.
        labels: uint8 (E,): 1 if the edge flips the observable.
        weights: float64 (E,): log((1 - p) / p) of each edge, in nats, at least 0.
        edges: int32 (E,): the numbers of the edges in the model.
    """

    detectors: NDArray[np.int32]
    has_boundary: bool
    ends: NDArray[np.int32]
    labels: NDArray[np.uint8]
    weights: NDArray[np.float64]
    edges: NDArray[np.int32]

    @property
    def num_vertices(self) -> int:
        """V, the boundary included."""
        return len(self.detectors) + int(self.has_boundary)

    def distances(self) -> NDArray[np.float64]:
        """Returns the lengths of shortest paths, float64 (V, V, 2).

        Element (a, b, s) is the weight of the shortest path from a to b that flips the observable s times, modulo two;
        inf if there is none. Paths may lead through the boundary. Element (v, v, 1) is the weight of the shortest
        closed walk through v that flips the observable.

        Raises:
            TooLargeError: The graph has more than 8,000 vertices.

        Examples:
            A triangle whose edges weigh log(9), and of which one flips the observable.

            >>> import stim
            >>> from quell.decoders.post_selection.double_cover import labelled_graphs
            >>> from quell.decoders.post_selection.pruned import PrunedModel
            >>> model = stim.DetectorErrorModel("error(.1) D0 D1 \\n error(.1) D1 D2 \\n error(.1) D0 D2 L0")
            >>> (graph,) = labelled_graphs(PrunedModel.of(model))
            >>> graph.distances()[0].round(2).tolist()
            [[0.0, 6.59], [2.2, 4.39], [4.39, 2.2]]
        """
        return self._paths()[0]

    def last_edges(self) -> NDArray[np.int32]:
        """Returns the last edge of a shortest path, as its number in the model, int32 (V, V, 2).

        Element (a, b, s) is that of a path from a to b of parity s; -1 where there is none, or where it has no edge.
        What comes before it is a shortest path from a to the other end.

        Raises:
            TooLargeError: The graph has more than 8,000 vertices.
        """
        size = self.num_vertices
        before = self._paths()[1].reshape(size, 2, size).transpose(0, 2, 1)
        lightest = np.full((size, size, 2), -1, dtype=np.int32)
        heaviest_first = np.argsort(-self.weights, kind="stable")
        (first, second), label = self.ends[heaviest_first].T, self.labels[heaviest_first]
        lightest[first, second, label] = lightest[second, first, label] = self.edges[heaviest_first]
        vertex, sheet = before % size, np.maximum(before, 0) // size
        _, here, parity = np.ogrid[:size, :size, :2]
        return np.where(before >= 0, lightest[vertex, here, sheet ^ parity], -1).astype(np.int32)

    def _paths(self) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Returns distances, and what stands before the end of each path in the double cover, int32 (V, 2 V)."""
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import dijkstra

        size = self.num_vertices
        if size > _MAX_VERTICES:
            raise TooLargeError(
                f"a matching graph of {size} vertices needs {16 * size**2 / 1e9:.1f} GB of distances, the limit is "
                f"{_MAX_VERTICES} vertices: take fewer rounds or a smaller distance"
            )
        first, second = self.ends.T.astype(np.int64)
        label = self.labels.astype(np.int64)
        rows = np.concatenate((first, first + size))
        columns = np.concatenate((second + label * size, second + (1 - label) * size))
        rows, columns = np.concatenate((rows, columns)), np.concatenate((columns, rows))
        weights = np.tile(self.weights, 4)
        # Of edges alike the lightest counts; a sparse array would add them up.
        order = np.lexsort((weights, columns, rows))
        rows, columns, weights = rows[order], columns[order], weights[order]
        lightest = np.ones(len(rows), dtype=np.bool_)
        lightest[1:] = (np.diff(rows) != 0) | (np.diff(columns) != 0)
        starts = np.searchsorted(rows[lightest], np.arange(2 * size + 1))
        cover = csr_array((weights[lightest], columns[lightest], starts), shape=(2 * size, 2 * size))
        lengths, before = dijkstra(cover, indices=np.arange(size), return_predecessors=True)
        found = lengths.reshape(size, 2, size).transpose(0, 2, 1)
        # Sums in either direction may differ in the last digit.
        symmetric = np.ascontiguousarray(np.minimum(found, found.transpose(1, 0, 2)), dtype=np.float64)
        return symmetric, np.asarray(before, dtype=np.int32)


def labelled_graphs(model: PrunedModel) -> list[LabelledGraph]:
    """Returns the connected graphs that a model consists of: on a code with two bases usually one for each.

    Graphs that meet in nothing but the boundary are parted: what happens in one says nothing about the other.

    Raises:
        InputError: An edge is likelier than one half.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(model.probabilities) and model.probabilities.max() > 0.5:
        worst = int(model.probabilities.argmax())
        raise InputError(
            f"an edge between detectors {model.ends[worst].tolist()} has probability {model.probabilities[worst]:g}, "
            f"the limit is 0.5: lower the noise"
        )
    size = len(model.bases)
    inner = model.ends[:, 1] >= 0
    pairs = model.ends[inner]
    adjacency = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(size, size))
    component = connected_components(adjacency, directed=False)[1] if size else np.zeros(0, dtype=np.int32)
    part_of_edge = component[model.ends[:, 0]]
    graphs = []
    for part in np.unique(part_of_edge):
        edges = part_of_edge == part
        detectors = np.flatnonzero(component == part).astype(np.int32)
        ends = model.ends[edges]
        has_boundary = bool((ends < 0).any())
        graphs.append(
            LabelledGraph(
                detectors=detectors,
                has_boundary=has_boundary,
                ends=np.where(ends < 0, len(detectors), np.searchsorted(detectors, ends)).astype(np.int32),
                labels=model.labels[edges],
                edges=np.flatnonzero(edges).astype(np.int32),
                weights=np.log1p(-model.probabilities[edges]) - np.log(model.probabilities[edges]),
            )
        )
    return graphs
