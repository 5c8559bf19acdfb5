"""Matching with weights of each shot's own: the posteriors of its edges, in place of a model's prior probabilities.

The weight of an edge is -log(q / (1 - q)), q being the probability that it was flipped, given all events of the shot.
A pymatching.Matching takes about 2 us an edge to build; here a shot costs little more than what its posteriors leave
open. Edges with q > 1/2 are taken for flipped, which leaves a matching problem of non-negative weights, as PyMatching
does it with negative ones (Higgott & Gidney, arXiv:2303.15933). Paths are searched for from each event that is then
open, over the edges that are likely enough, and the events that have to do with each other are matched exactly.
"""

import dataclasses
import math
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.posteriors import LOG_ODDS_UNIT, check_bit_packed, check_confidence
from quell.errors import InputError, check_integer, check_probability, import_extra

__all__ = ["MatchingCounts", "PosteriorMatching"]

_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclasses.dataclass(frozen=True)
class MatchingCounts:
    """What was met since a `PosteriorMatching` was made, both calls together.

    Attributes:
        shots: Shots.
        open_events: Events that the edges with q > 1/2 leave, and those that they make.
        settled: Detectors that all searches have settled; about what the searches cost.
        single_events: Groups of one open event, which goes to the boundary.
        pairs: Groups of two.
        small_groups: Groups of three or four.
        large_groups: Groups of more.
        largest_group: Events in the largest one.
        fallbacks: Shots that the likely edges did not explain, so that they were matched with all edges.
        unmatched_events: Events that no edges of the graph explain; they are left as they are.
    """

    shots: int = 0
    open_events: int = 0
    settled: int = 0
    single_events: int = 0
    pairs: int = 0
    small_groups: int = 0
    large_groups: int = 0
    largest_group: int = 0
    fallbacks: int = 0
    unmatched_events: int = 0


class PosteriorMatching:
    """Minimum-weight matching with the weights that posteriors give to the edges of each shot.

    Within the edges of at least `min_probability` the matching is exact, but for events with more than `num_neighbors`
    others nearer than the boundary. A shot that cannot be matched so is matched with all edges and without that limit.
    Events of detectors without edges among `edges` are ignored.

    Args:
        graph: The model's edges.
        edges: int64 (K,): the edges that the columns of log-odds stand for, by their number in the graph.
        min_probability: Less likely edges are left out.
        num_neighbors: At how many other open events the search from one of them stops.

    Raises:
        InputError: An argument is outside its limits.
        MissingExtraError: numba is not installed.

    Examples:
        A chain of two detectors between two boundaries; an event at the first one.

        >>> import numpy as np, stim
        >>> from quell.decoders.edge_graph import EdgeGraph
        >>> from quell.decoders.posterior_matching import PosteriorMatching
        >>> graph = EdgeGraph.of(stim.DetectorErrorModel("error(.1) D0 L0 \\n error(.1) D0 D1 \\n error(.1) D1"))
        >>> matching = PosteriorMatching(graph, np.arange(3))
        >>> events = np.array([[0b01], [0b01]], dtype=np.uint8)
        >>> log_odds = np.array([[-500, -1000, -1000], [-900, -300, -300]], dtype=np.int16)
        >>> matching.match(log_odds, events).tolist()
        [1, 0]
        >>> residual, masks = matching.commit(log_odds, events, confidence=0.9)
        >>> residual.tolist(), masks.tolist()
        ([[0], [1]], [1, 0])
        >>> matching.counts.open_events
        4
    """

    def __init__(
        self, graph: EdgeGraph, edges: NDArray[np.int64], *, min_probability: float = 1e-3, num_neighbors: int = 12
    ) -> None:
        _kernels()
        self._num_detectors = graph.num_detectors
        self._lists = _edge_lists(graph, edges)
        least = check_probability("min_probability", min_probability, maximum=0.5)
        self._threshold = _log_odds(least)
        self._num_neighbors = check_integer("num_neighbors", num_neighbors, minimum=1)
        self._counts = np.zeros(len(dataclasses.fields(MatchingCounts)), dtype=np.int64)

    @property
    def counts(self) -> MatchingCounts:
        """What was met up to now."""
        return MatchingCounts(*self._counts.tolist())

    def match(self, log_odds: NDArray[np.int16], events: NDArray[np.uint8]) -> NDArray[np.uint64]:
        """Matches all events.

        Args:
            log_odds: int16 (shots, K): log(q / (1 - q)) of each edge in units of `LOG_ODDS_UNIT`, 1/256 nat.
            events: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian order.

        Returns:
            uint64 (shots,): bit k is set if the matching flips observable k. With more than 64 observables uint64
            (shots, ceil(O/64)): bit k % 64 of word k // 64.

        Raises:
            InputError: An array has another shape or type.
        """
        log_odds = self._checked(log_odds, events)
        kernels = _kernels()
        lists = kernels.EdgeLists(*self._lists)
        match = kernels.match_shots if lists.words.shape[1] == 1 else kernels.match_shots_by_edges
        found: NDArray[np.uint64] = match(lists, log_odds, _plain(events), self._limits(0), self._counts)
        return found

    def commit(
        self, log_odds: NDArray[np.int16], events: NDArray[np.uint8], *, confidence: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint64]]:
        """Matches all events, and commits those clusters of corrections that are sure.

        Corrections that share a detector form a cluster. It is as sure as its least sure part: an edge taken for its
        q > 1/2 by that q; the path from an open event by 1 / (1 + exp(-m)), where the whole matching would weigh m nats
        more if the event exchanged its partner with one other event, or met the boundary along a path that flips other
        observables. Exchanges that involve more events, or edges that are left out, are not looked at. A
        shot in which no edge reaches `min_probability` is left as it is.

        Args:
            log_odds: As for `match`.
            events: As for `match`.
            confidence: From 0.5, which commits everything, to 1, which commits nothing.

        Returns:
            residual: uint8 (shots, ceil(D/8)): with e the committed edges, `events` ⊕ H e.
            masks: uint64 (shots,), or (shots, ceil(O/64)), as from `match`: L e.

        Raises:
            InputError: An array has another shape or type, or the confidence is outside its limits.
        """
        log_odds = self._checked(log_odds, events)
        confidence = check_confidence(confidence)
        residual = np.array(events, order="C")
        num_words = self._lists[-1].shape[1]
        masks = np.zeros((len(events), num_words), dtype=np.uint64)
        if confidence < 1:
            kernels = _kernels()
            masks = kernels.commit_shots(
                kernels.EdgeLists(*self._lists),
                log_odds,
                _plain(events),
                self._limits(_log_odds(confidence)),
                residual,
                self._counts,
            )
        return residual, masks if num_words > 1 else masks[:, 0]

    def _limits(self, slack: int) -> Any:
        """The kernels' `Limits`; one width of integers spares numba a second version of each function."""
        limits = (self._threshold, min(self._num_neighbors, 1 << 31), slack)
        return _kernels().Limits(*map(int, limits))

    def _checked(self, log_odds: object, events: object) -> NDArray[np.int16]:
        """Returns the log-odds, rows one after another, or raises `InputError`."""
        check_bit_packed("events", events, self._num_detectors)
        shape = len(np.asarray(events)), len(self._lists[-1])
        if isinstance(log_odds, np.ndarray) and log_odds.dtype == np.int16 and log_odds.shape == shape:
            return _plain(log_odds)
        got = (
            f"{log_odds.dtype} of shape {log_odds.shape}"
            if isinstance(log_odds, np.ndarray)
            else type(log_odds).__name__
        )
        raise InputError(
            f"log_odds must be int16 of shape {shape}, a row for each shot and a column for each edge, in units of "
            f"1/{round(1 / LOG_ODDS_UNIT)} nat, got {got}"
        )


def _kernels() -> ModuleType:
    import_extra("numba", "predecoder")
    from quell.decoders import matching_kernels

    return matching_kernels


def _plain(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    """The array in the one memory layout for which the kernels are compiled; a copy only where it has another."""
    return np.require(array, requirements=["C", "W", "A"])


def _log_odds(probability: float) -> int:
    """The least int16 log-odds of at least this probability, or more where none reaches it; in `LOG_ODDS_UNIT`."""
    if probability == 0:
        return -(1 << 15)
    return max(-(1 << 15), math.ceil(math.log(probability / (1 - probability)) / LOG_ODDS_UNIT))


def _edge_lists(graph: EdgeGraph, edges: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """Returns the fields of the kernels' `EdgeLists`: the arcs of each detector one after another."""
    chosen = np.asarray(edges)
    if chosen.ndim != 1 or (chosen.size and not np.issubdtype(chosen.dtype, np.integer)):
        raise InputError(f"edges must be one row of integers, got {chosen.dtype} of shape {chosen.shape}")
    if chosen.size and not (chosen.min() >= 0 and chosen.max() < graph.num_edges):
        raise InputError(f"edges must be numbers from 0 to {graph.num_edges - 1}, got {chosen.min()} to {chosen.max()}")
    ends = np.ascontiguousarray(graph.ends[chosen.astype(np.int64)])
    columns = np.arange(len(chosen))
    here = np.concatenate((ends[:, 0], ends[:, 1]))
    order = np.argsort(here, kind="stable")
    order = order[here[order] >= 0]
    first = np.searchsorted(here[order], np.arange(graph.num_detectors + 1)).astype(np.int32)
    there = np.concatenate((ends[:, 1], ends[:, 0]))[order]
    column = np.concatenate((columns, columns))[order].astype(np.int32)
    observables = np.ascontiguousarray(graph.observables[chosen.astype(np.int64)])
    if observables.ndim == 1:
        return first, there, column, ends, observables, observables[:, None]
    return first, there, column, ends, _keys(observables, graph.num_observables), observables


def _keys(words: NDArray[np.uint64], num_observables: int) -> NDArray[np.uint64]:
    """uint64 (K,): a word for each mask of many observables, so that the word of a sum is the sum of the words.

    They are sums of random words, one for each observable: two masks share theirs with a chance of 2^-64.
    """
    keys = np.random.default_rng(0).integers(1 << 64, size=num_observables, dtype=np.uint64)
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), axis=1, bitorder="little", count=num_observables)
    found = np.zeros(len(words), dtype=np.uint64)
    rows, columns = np.nonzero(bits)
    np.bitwise_xor.at(found, rows, keys[columns])
    return found
