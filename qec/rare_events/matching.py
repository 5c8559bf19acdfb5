"""What is known of plain matching before anything is decoded.

Which detectors can matter to its answer; which errors it cannot take; and how unlikely a set of faults must be before
it can be decoded wrongly at all, which follows from the minimality of a matching.
"""

import dataclasses
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

_MARGIN = 0.998  # PyMatching rounds its weights to 1 part in 10,000 or so

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

    A set of faults and the correction that matching chooses for it, together, are a logical operator when the shot
    fails. The correction weighs no more than the faults; so faults that weigh less than half of the lightest logical
    operator never fail.

    Attributes:
        weights: float64 (faults,): an upper limit to what each fault adds to the weight of a set.
        needed: Sets whose weights add up to less are corrected.
    """

    weights: NDArray[np.float64]
    needed: float

    @staticmethod
    def of(dem: stim.DetectorErrorModel, faults: FaultModel) -> "MatchingBound | None":
        """Returns the bound for faults of the model; None where PyMatching's graph leaves doubts."""
        matching = pymatching.Matching.from_detector_error_model(dem)
        edges: _Edges = {}
        for first, second, data in matching.edges():
            ends = frozenset(node for node in (first, second) if node is not None)
            edges[ends] = (data["weight"], frozenset(data["fault_ids"]))
        weights = _fault_weights(dem, faults, edges)
        if weights is None:
            return None
        lightest = _lightest_logical(edges, dem.num_detectors, dem.num_observables)
        return None if lightest is None else MatchingBound(weights, lightest / 2 * _MARGIN)


def _fault_weights(dem: stim.DetectorErrorModel, faults: FaultModel, edges: _Edges) -> NDArray[np.float64] | None:
    """The weight of each fault's edges: the heaviest of the mechanisms that were merged into it."""
    keep = {detector for detectors in faults.detectors for detector in detectors}
    number = {key: index for index, key in enumerate(faults.fault_keys())}
    width = faults.detector_bytes
    weights = np.zeros(len(faults))
    for probability, parts in components_of(dem):
        if probability == 0:
            continue
        weight = 0.0
        flips = np.zeros(faults.symptoms.shape[1], np.uint8)
        for part in parts:
            detectors, observables = part
            if detectors and not detectors <= keep:
                continue
            known = _edge_weight(part, edges)
            if known is None:
                return None
            weight += known
            for bit in detectors:
                flips[bit >> 3] ^= 1 << (bit & 7)
            for bit in observables:
                flips[width + (bit >> 3)] ^= 1 << (bit & 7)
        index = number.get(flips.tobytes())
        if index is not None:
            weights[index] = max(weights[index], weight)
    return weights if (weights > 0).all() else None


def _edge_weight(part: Component, edges: _Edges) -> float | None:
    """The weight of the edge; None if the graph has it with other observables, so that nothing is sure."""
    detectors, observables = part
    if not detectors:
        return None if observables else 0.0
    weight, fault_ids = edges.get(detectors, (-1.0, frozenset()))
    return weight if weight >= 0 and fault_ids == observables else None


def _lightest_logical(edges: _Edges, num_detectors: int, num_observables: int) -> float | None:
    """The weight of the lightest cycle, through the boundary or not, that flips an observable.

    In a double cover of the graph, edges that flip the observable lead from one sheet to the other; the cycle is the
    shortest path from a node to itself on the other sheet, and it uses an edge that flips the observable.
    """
    boundary = num_detectors
    size = num_detectors + 1
    best = math.inf
    for observable in range(num_observables):
        rows, columns, values, crossing = [], [], [], set()
        for ends, (weight, fault_ids) in edges.items():
            first, second = [*ends, boundary][:2]
            crosses = observable in fault_ids
            if crosses:
                crossing.add(first)
            for sheet in (0, 1):
                rows.append(first + size * sheet)
                columns.append(second + size * (sheet ^ crosses))
                values.append(max(weight, 1e-12))
        if not crossing:
            continue
        graph = scipy.sparse.csr_array((values, (rows, columns)), shape=(2 * size, 2 * size))
        sources = sorted(crossing)
        lengths = scipy.sparse.csgraph.dijkstra(graph, directed=False, indices=sources)
        best = min(best, float(min(lengths[row, source + size] for row, source in enumerate(sources))))
    return best if math.isfinite(best) else None
