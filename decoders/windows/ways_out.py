"""Ways out of closed windows: the shortest path from each detector to a boundary, over the graph of the whole model.

A path to the boundary is a correction of one event, whatever was committed on its way. A connected part of the graph
without boundary has one detector for all paths to end at; as its events are even in number, and all else keeps them so,
an even number of ways out is taken in all, and what they flip there cancels.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quell.decoders.windows.parts import Parts

__all__ = ["WaysOut"]


@dataclasses.dataclass(frozen=True, eq=False)
class WaysOut:
    """The shortest ways.

    Attributes:
        weights: float64 (D,): sums of log((1 - p) / p) of the edges.
        flips: bool (D, O): the observables that the path flips.
    """

    weights: NDArray[np.float64]
    flips: NDArray[np.bool_]

    @classmethod
    def of(cls, parts: Parts) -> "WaysOut":
        """Finds them.

        Args:
            parts: Each with one detector or two.

        Examples:
            >>> import stim
            >>> from quell.decoders.windows.parts import read_parts
            >>> from quell.decoders.windows.ways_out import WaysOut
            >>> dem = stim.DetectorErrorModel("error(.1) D0 L0 \\n error(.1) D0 D1 \\n error(.01) D1")
            >>> ways = WaysOut.of(read_parts(dem))
            >>> ways.weights.round(1).tolist(), ways.flips.tolist()
            ([2.2, 4.4], [[True], [True]])
        """
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import connected_components, dijkstra

        boundary = parts.num_detectors
        first, second, weights, effects = _edges(parts)
        nodes = boundary + 1
        shape = (nodes, nodes)
        graph = csr_array(
            (np.concatenate([weights] * 2), (np.concatenate([first, second]), np.concatenate([second, first]))),
            shape=shape,
        )
        labels = connected_components(graph, directed=False)[1]
        # Of each connected part one node: the boundary, or the first detector.
        sources = np.unique(np.concatenate([[labels[boundary]], labels]), return_index=True)[1] - 1
        sources[sources < 0] = boundary
        distances, before, _ = dijkstra(graph, directed=False, indices=sources, return_predecessors=True, min_only=True)
        table = np.zeros((len(parts.observables), parts.num_observables), dtype=np.bool_)
        for number, observables in enumerate(parts.observables):
            table[number, list(observables)] = True
        keys = first * nodes + second
        flips = np.zeros((nodes, parts.num_observables), dtype=np.bool_)
        for node in np.argsort(distances, kind="stable"):
            previous = int(before[node])
            if previous >= 0:
                edge = np.searchsorted(keys, min(int(node), previous) * nodes + max(int(node), previous))
                flips[node] = flips[previous] ^ table[effects[edge]]
        return cls(distances[:boundary], flips[:boundary])


def _edges(parts: Parts) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Edges in order of their ends, the smaller first, the boundary last; weights, and effects of the likeliest."""
    sizes = np.diff(parts.part_starts)
    first = parts.detectors[parts.part_starts[:-1]]
    second = np.where(sizes == 2, parts.detectors[parts.part_starts[1:] - 1], parts.num_detectors)
    of_part = np.repeat(parts.probabilities, np.diff(parts.error_starts))
    nodes, num_effects = parts.num_detectors + 1, len(parts.observables)
    keys, place = np.unique((first * nodes + second) * num_effects + parts.effects, return_inverse=True)
    kinds = np.stack([keys // num_effects // nodes, keys // num_effects % nodes, keys % num_effects])
    logs = np.log1p(-2 * np.minimum(of_part, 0.5 - 1e-9))
    probabilities = -np.expm1(np.bincount(place.reshape(-1), weights=logs)) / 2
    order = np.lexsort((-probabilities, kinds[1], kinds[0]))
    a, b, effects = kinds[:, order]
    likeliest = np.append(True, (np.diff(a) != 0) | (np.diff(b) != 0))[: len(a)]
    weights = np.maximum(np.log((1 - probabilities) / probabilities)[order], 1e-6)
    return a[likeliest], b[likeliest], weights[likeliest], effects[likeliest]
