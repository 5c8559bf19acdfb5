"""A detector error model as a graph: edges between detectors, and mechanisms that each flip one or more edges.

Matching decoders see a model as edges, each with the chance that an odd number of mechanisms flips it; correlations
between edges are what they lose. Here both are kept: the edges, and which edges each mechanism flips together.
"""

import collections
import dataclasses
import functools
from collections.abc import Iterator, Sequence

import numpy as np
import stim
from numpy.typing import NDArray

from quell.errors import InputError

__all__ = ["EdgeGraph", "observable_words"]

_BITS = 64  # of a word
Part = tuple[tuple[int, ...], int]  # detectors, sorted, and a mask of observables


@dataclasses.dataclass(frozen=True, eq=False)
class EdgeGraph:
    """The edges and mechanisms of a graphlike, or decomposed, detector error model.

    Attributes:
        num_detectors: D.
        num_observables: O.
        ends: int32 (E, 2): the detectors that an edge flips, the smaller first; -1 in the second place is the boundary.
        observables: uint64 (E,): bit k is set if the edge flips observable k. With more than 64 observables uint64
            (E, ceil(O/64)): bit k % 64 of word k // 64.
        mechanism_probabilities: float64 (M,): of the model's errors, those that flip no detector left out. An error of
            p > 1/2 stands here with 1 - p, as what happens if it does not; see the last two attributes.
        mechanism_edges: int32 (M, K): the edges that each mechanism flips, filled up with -1.
        components: int32 (D,): a number for each connected part of the graph.
        flipped_detectors: uint8 (ceil(D/8),): bit-packed in little-endian order, the detectors that all errors of
            p > 1/2 flip together. The rest of this graph is about events xor-ed with them.
        flipped_observables: Likewise, a mask of observables: bit k of a whole number of any size.
    """

    num_detectors: int
    num_observables: int
    ends: NDArray[np.int32]
    observables: NDArray[np.uint64]
    mechanism_probabilities: NDArray[np.float64]
    mechanism_edges: NDArray[np.int32]
    components: NDArray[np.int32]
    flipped_detectors: NDArray[np.uint8]
    flipped_observables: int

    @classmethod
    def of(cls, dem: stim.DetectorErrorModel) -> "EdgeGraph":
        """Reads a model.

        Args:
            dem: Its errors flip at most two detectors, or are decomposed (`^`) into parts that do. Parts of an error
                that lie in one connected part of the graph are joined where together they are an edge of the model:
                near boundaries Stim splits such an edge into two that end there.

        Raises:
            InputError: An error is not decomposed.

        Examples:
            >>> import stim
            >>> from quell.decoders.edge_graph import EdgeGraph
            >>> graph = EdgeGraph.of(stim.DetectorErrorModel("error(0.1) D0 L0 \\n error(0.2) D0 D1"))
            >>> graph.ends.tolist(), graph.observables.tolist(), graph.probabilities.round(3).tolist()
            ([[0, -1], [0, 1]], [1, 0], [0.1, 0.2])
        """
        errors = [error for error in _errors(dem) if error[1]]
        flipped_detectors = np.zeros(dem.num_detectors, dtype=np.bool_)
        flipped_observables = 0
        for probability, parts in errors:
            if probability > 0.5:
                for detectors, mask in parts:
                    flipped_detectors[list(detectors)] ^= True
                    flipped_observables ^= mask
        errors = [(min(p, 1 - p), parts) for p, parts in errors if p < 1]
        known = {part for _, parts in errors for part in parts}
        components = _components(dem.num_detectors, known)
        numbers: dict[Part, int] = {}
        flipped = [
            [numbers.setdefault(part, len(numbers)) for part in _edges_of(parts, components, known)]
            for _, parts in errors
        ]
        order = sorted(numbers, key=lambda part: (part[0], part[1]))
        rank = {numbers[part]: place for place, part in enumerate(order)}
        width = max([1, *map(len, flipped)])
        edges = [[rank[number] for number in row] + [-1] * (width - len(row)) for row in flipped]
        return cls(
            num_detectors=dem.num_detectors,
            num_observables=dem.num_observables,
            ends=np.array([[*part[0], -1][:2] for part in order], dtype=np.int32).reshape(-1, 2),
            observables=observable_words([part[1] for part in order], dem.num_observables),
            mechanism_probabilities=np.array([error[0] for error in errors], dtype=np.float64),
            mechanism_edges=np.array(edges, dtype=np.int32).reshape(-1, width),
            components=components,
            flipped_detectors=np.packbits(flipped_detectors, bitorder="little"),
            flipped_observables=flipped_observables,
        )

    @property
    def num_edges(self) -> int:
        """E."""
        return len(self.ends)

    @functools.cached_property
    def probabilities(self) -> NDArray[np.float64]:
        """float64 (E,): the chance that an odd number of mechanisms flips the edge, as PyMatching merges them.

        A mechanism that is likelier than not counts as one half.
        """
        return self._odd(self.mechanism_probabilities)

    @functools.cached_property
    def shared_probabilities(self) -> NDArray[np.float64]:
        """float64 (E,): the same for the mechanisms that flip other edges too: how far the edge is correlated."""
        several = (self.mechanism_edges >= 0).sum(axis=1) > 1
        return self._odd(np.where(several, self.mechanism_probabilities, 0.0))

    @functools.cached_property
    def matters(self) -> NDArray[np.bool_]:
        """bool (E,): whether the edge lies in a connected part of the graph that holds an observable."""
        parts = self.components[self.ends[:, 0]]
        holds = self.observables != 0
        return np.isin(parts, parts[holds if holds.ndim == 1 else holds.any(axis=1)])

    @property
    def correlated_share(self) -> float:
        """How much of the probability of the edges that matter comes from mechanisms that flip other edges too."""
        total = float(self.probabilities[self.matters].sum())
        return float(self.shared_probabilities[self.matters].sum()) / total if total else 0.0

    def _odd(self, probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 (E,): the chance of an odd number of flips from mechanisms of these probabilities (M,)."""
        used = self.mechanism_edges >= 0
        rows, _ = np.nonzero(used)
        logs = np.log1p(-2 * np.minimum(probabilities, 0.5 - 1e-12))
        total = np.bincount(self.mechanism_edges[used], weights=logs[rows], minlength=self.num_edges)
        return np.asarray(-np.expm1(total) / 2, dtype=np.float64)


def observable_words(masks: Sequence[int], num_observables: int) -> NDArray[np.uint64]:
    """Returns masks of observables, whole numbers of any size, as `EdgeGraph.observables` has them.

    Returns:
        uint64 (masks,), or (masks, ceil(O/64)) with more than 64 observables: bit k % 64 of word k // 64.

    Examples:
        >>> from quell.decoders.edge_graph import observable_words
        >>> observable_words([0b101, 1], 3).tolist(), observable_words([1 << 64, 3], 65).tolist()
        ([5, 1], [[0, 1], [3, 0]])
    """
    if num_observables <= _BITS:
        return np.array(masks, dtype=np.uint64)
    num_words = -(-num_observables // _BITS)
    content = b"".join(mask.to_bytes(8 * num_words, "little") for mask in masks)
    return np.frombuffer(content, dtype="<u8").astype(np.uint64).reshape(len(masks), num_words)


def _errors(dem: stim.DetectorErrorModel) -> Iterator[tuple[float, list[Part]]]:
    """Yields the probability of each error and its parts, those without detectors joined to the first."""
    flat = dem.flattened()
    for instruction in (flat[number] for number in range(len(flat))):
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        parts: list[Part] = []
        rest = 0
        for group in instruction.target_groups():
            detectors: set[int] = set()
            mask = 0
            for target in group:
                if target.is_relative_detector_id():
                    detectors ^= {target.val}
                else:
                    mask ^= 1 << target.val
            if detectors:
                parts.append((tuple(sorted(detectors)), mask))
            else:
                rest ^= mask
        if parts and rest:
            parts[0] = (parts[0][0], parts[0][1] ^ rest)
        probability = instruction.args_copy()[0]
        if probability > 0:
            yield probability, parts


def _components(num_detectors: int, known: set[Part]) -> NDArray[np.int32]:
    """Numbers the connected parts of the graph of all parts with two detectors."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array([detectors for detectors, _ in known if len(detectors) == 2], dtype=np.int64)
    first, second = pairs.reshape(-1, 2).T
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(num_detectors, num_detectors))
    if not num_detectors:
        return np.zeros(0, dtype=np.int32)
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int32)


def _edges_of(parts: list[Part], components: NDArray[np.int32], known: set[Part]) -> list[Part]:
    """Returns the edges that a mechanism flips: its parts, joined where together they are an edge of the model."""
    for detectors, _ in parts:
        if len(detectors) > 2:
            raise InputError(
                f"an error of the model flips {len(detectors)} detectors ({', '.join(f'D{d}' for d in detectors)}) and "
                f"is not decomposed: make the model with circuit.detector_error_model(decompose_errors=True); a code "
                f"whose errors have no decomposition, such as a colour code's, has no matching graph"
            )
    if len(parts) == 1:
        return parts
    groups: dict[int, list[Part]] = {}
    for part in parts:
        groups.setdefault(int(components[part[0][0]]), []).append(part)
    edges: list[Part] = []
    for group in groups.values():
        joined: set[int] = set()
        mask = 0
        for detectors, observables in group:
            joined ^= set(detectors)
            mask ^= observables
        whole = tuple(sorted(joined)), mask
        edges += [whole] if whole in known else group
    # What is flipped twice is not flipped.
    return [edge for edge, count in collections.Counter(edges).items() if count % 2]
