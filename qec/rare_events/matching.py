"""What is known of plain matching before anything is decoded.

Which detectors can matter to its answer; which errors it cannot take; and how unlikely a set of faults must be before
it can be decoded wrongly at all, which follows from the minimality of a matching.
"""

import dataclasses
import heapq
import math

import numpy as np
import pymatching
import scipy.sparse
import scipy.sparse.csgraph
import stim
from numpy.typing import NDArray

from quell.errors import CircuitError
from quell.qec.rare_events.faults import Component, FaultModel, components_of

__all__ = ["MatchingBound", "refuse_hyperedges", "relevant_detectors"]

_MARGIN = 0.998
_LEAST_WEIGHT = 1e-6  # of an error that happens half of the time, and proves nothing
_ROUNDING = 0.004  # of the largest weight: half a step of rounding for each of a hundred edges

_MOST_NODES = 1_000  # for all their distances

_Edges = dict[frozenset[int], tuple[float, frozenset[int]]]


def refuse_hyperedges(dem: stim.DetectorErrorModel) -> None:
    """Raises `CircuitError` if PyMatching would leave an error of the model out of its graph."""
    for probability, parts in components_of(dem):
        for detectors, _ in parts:
            if len(detectors) > 2 and probability > 0:
                names = " ".join(f"D{detector}" for detector in sorted(detectors))
                raise CircuitError(
                    f"pymatching cannot take an error that flips {len(detectors)} detectors ({names}) and is not "
                    f"decomposed into pairs: build the model with decompose_errors=True, or use a decoder for "
                    f"hyperedges"
                )


def relevant_detectors(dem: stim.DetectorErrorModel) -> set[int]:
    """Returns the detectors that can change the answer of plain matching.

    Matching works on each connected component of its graph alone. Where no edge of a component flips an observable,
    the answer is the same whatever happens there.

    Examples:
        >>> import stim
        >>> from quell.qec.rare_events.matching import relevant_detectors
        >>> relevant_detectors(stim.DetectorErrorModel("error(0.1) D0 L0\\nerror(0.1) D0 D1 ^ D2 D3"))
        {0, 1}
    """
    parent = list(range(dem.num_detectors))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    with_observable = set()
    for _, parts in components_of(dem):
        for detectors, observables in parts:
            members = list(detectors)
            for other in members[1:]:
                parent[root(other)] = root(members[0])
            if observables:
                with_observable.update(members)
    roots = {root(node) for node in with_observable}
    return {node for node in range(dem.num_detectors) if root(node) in roots}


@dataclasses.dataclass(frozen=True)
class MatchingBound:
    """Which sets of faults plain matching surely corrects.

    A set of faults and the correction that matching chooses for it, together, hold a logical operator when the shot
    fails. On that operator the correction weighs no more than the faults, or there would be a lighter one. So the
    faults that lie on it weigh at least half of it, and it weighs at least as much as the lightest logical operator
    through each of them.

    Attributes:
        weights: float64 (faults,): an upper limit to what each fault adds to the weight of a set.
        needed: float64 (faults,): half of the weight of the lightest logical operator through each fault.
    """

    weights: NDArray[np.float64]
    needed: NDArray[np.float64]

    @staticmethod
    def of(dem: stim.DetectorErrorModel, faults: FaultModel) -> "MatchingBound | None":
        """Returns the bound for faults of the model; None where PyMatching's graph leaves doubts."""
        matching = pymatching.Matching.from_detector_error_model(dem)
        edges: _Edges = {}
        for first, second, data in matching.edges():
            ends = frozenset(node for node in (first, second) if node is not None)
            edges[ends] = (data["weight"], frozenset(data["fault_ids"]))
        relevant = relevant_detectors(dem)
        found = _weights_and_edges(dem, faults, edges, relevant)
        if found is None:
            return None
        weights, edges_of = found
        used = {ends: edge for ends, edge in edges.items() if ends <= relevant}
        lightest = _lightest_logicals(used, dem.num_detectors, dem.num_observables)
        through = np.array([min(lightest[ends] for ends in own) for own in edges_of])
        # PyMatching rounds each weight to 1 part in 16,384 of the largest: a path may gain what it should not.
        rounding = _ROUNDING * max(weight for weight, _ in used.values()) + _LEAST_WEIGHT
        return MatchingBound(weights, through / 2 * _MARGIN - rounding)

    def may_fail(self, sets: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Tells which sets are not surely corrected.

        Args:
            sets: Integers (shots, faults in a set).

        Returns:
            bool (shots,).
        """
        needed = self.needed[sets]
        order = np.argsort(needed, axis=1)
        # The faults on a logical operator are some of those that need no more than the heaviest of its lower limits.
        weight = np.cumsum(np.take_along_axis(self.weights[sets], order, axis=1), axis=1)
        return np.asarray((weight >= np.take_along_axis(needed, order, axis=1)).any(axis=1))

    def none_may_fail(self, num_faults: int) -> bool:
        """Whether every set of that many faults is surely corrected."""
        heaviest: list[float] = []
        for fault in np.argsort(self.needed):
            heapq.heappush(heaviest, float(self.weights[fault]))
            if len(heaviest) > num_faults:
                heapq.heappop(heaviest)
            if sum(heaviest) >= self.needed[fault]:
                return False
        return True


def _weights_and_edges(
    dem: stim.DetectorErrorModel, faults: FaultModel, edges: _Edges, keep: set[int]
) -> tuple[NDArray[np.float64], list[set[frozenset[int]]]] | None:
    """Of each fault the weight, the heaviest of the mechanisms that were merged into it, and the edges of them all."""
    number = {key: index for index, key in enumerate(faults.fault_keys())}
    width = faults.detector_bytes
    weights = np.zeros(len(faults))
    edges_of: list[set[frozenset[int]]] = [set() for _ in range(len(faults))]
    for probability, parts in components_of(dem):
        if probability == 0:
            continue
        weight = 0.0
        own = set()
        flips = np.zeros(faults.symptoms.shape[1], np.uint8)
        for detectors, observables in parts:
            if detectors and not detectors <= keep:
                continue
            known = _edge_weight((detectors, observables), edges)
            if known is None:
                return None
            weight += known
            if detectors:
                own.add(detectors)
            for bit in detectors:
                flips[bit >> 3] ^= 1 << (bit & 7)
            for bit in observables:
                flips[width + (bit >> 3)] ^= 1 << (bit & 7)
        index = number.get(flips.tobytes())
        if index is not None:
            weights[index] = max(weights[index], weight)
            edges_of[index] |= own
    return (weights, edges_of) if all(edges_of) else None


def _edge_weight(part: Component, edges: _Edges) -> float | None:
    """The weight of the edge; None if the graph has it with other observables, so that nothing is sure."""
    detectors, observables = part
    if not detectors:
        return None if observables else 0.0
    weight, fault_ids = edges.get(detectors, (-1.0, frozenset()))
    return weight if weight >= 0 and fault_ids == observables else None


def _lightest_logicals(edges: _Edges, num_detectors: int, num_observables: int) -> dict[frozenset[int], float]:
    """For each edge, a lower limit to the weight of every cycle through it that flips an observable.

    The boundary is a node like others. In a double cover of the graph, edges that flip the observable lead from one
    sheet to the other; such a cycle is a path that leaves an edge by one end and comes back to the other end on the
    sheet that the edge does not lead to. In large graphs the limit is the lightest cycle of all, for every edge.
    """
    boundary = num_detectors
    nodes = sorted({node for ends in edges for node in (*ends, boundary)})
    place = {node: index for index, node in enumerate(nodes)}
    size = len(nodes)
    best = dict.fromkeys(edges, math.inf)
    for observable in range(num_observables):
        rows, columns, values = [], [], []
        links = []
        for ends, (weight, fault_ids) in edges.items():
            first, second = (place[node] for node in [*ends, boundary][:2])
            crosses = observable in fault_ids
            links.append((ends, first, second, crosses, weight))
            for sheet in (0, 1):
                rows.append(first + size * sheet)
                columns.append(second + size * (sheet ^ crosses))
                values.append(max(weight, 1e-12))
        graph = scipy.sparse.csr_array((values, (rows, columns)), shape=(2 * size, 2 * size))
        few = size <= _MOST_NODES
        sources = range(size) if few else sorted({first for _, first, _, crosses, _ in links if crosses})
        if not len(sources):
            continue
        lengths = dict(
            zip(sources, scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=list(sources)), strict=True)
        )
        if few:
            for ends, first, second, crosses, weight in links:
                around = float(lengths[first][second + size * (not crosses)])
                best[ends] = min(best[ends], weight + around)
        else:
            # Every cycle that flips the observable uses an edge that does, and so passes one of the sources.
            lightest = float(min(row[source + size] for source, row in lengths.items()))
            best = {ends: min(known, lightest) for ends, known in best.items()}
    return best
