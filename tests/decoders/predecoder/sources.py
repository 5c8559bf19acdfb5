"""Sources of posteriors that are made up, and linear algebra over GF(2), for the tests of the pre-decoder."""

from collections.abc import Callable, Mapping

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.posteriors import CompiledPosteriors, Coordinates
from quell.decoders.predecoder.network_source import NetworkSource

__all__ = [
    "Column",
    "MadeUp",
    "RandomOdds",
    "Replayed",
    "Undeterred",
    "WorkedOut",
    "binary_rank",
    "constant",
    "mechanism_columns",
    "packed",
    "unpacked",
]

Column = tuple[int, int]  # the ends of an edge, -1 for the boundary
Rule = Callable[[EdgeGraph, NDArray[np.int64], NDArray[np.uint8]], NDArray[np.int16]]


def packed(bits: NDArray[np.generic]) -> NDArray[np.uint8]:
    return np.packbits(bits.astype(np.uint8), axis=1, bitorder="little")


def unpacked(rows: NDArray[np.uint8], num_bits: int) -> NDArray[np.uint8]:
    return np.unpackbits(rows, axis=1, count=num_bits, bitorder="little")


def columns_of(graph: EdgeGraph, edges: NDArray[np.int64]) -> list[Column]:
    return [(a, b) for a, b in graph.ends[edges].tolist()]


class _Compiled:
    def __init__(self, source: "MadeUp", graph: EdgeGraph, edges: NDArray[np.int64]) -> None:
        self.source, self.graph, self.edges = source, graph, edges

    def log_odds(self, events: NDArray[np.uint8]) -> NDArray[np.int16]:
        return self.source.rule(self.graph, self.edges, events)


class Undeterred(NetworkSource):
    """The network, also for models on which it would rather step aside."""

    def helps(self, graph: EdgeGraph) -> bool:
        del graph
        return True


class MadeUp:
    """A source whose log-odds are told by `rule`."""

    name = "made up"

    def rule(self, graph: EdgeGraph, edges: NDArray[np.int64], events: NDArray[np.uint8]) -> NDArray[np.int16]:
        raise NotImplementedError

    def settings_id(self) -> str:
        return self.name

    def compile(
        self, graph: EdgeGraph, coordinates: Coordinates, edges: NDArray[np.int64], *, device: str = "cpu"
    ) -> CompiledPosteriors:
        del coordinates, device
        return _Compiled(self, graph, edges)


class WorkedOut(MadeUp):
    """Log-odds by a function."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule  # type: ignore[method-assign]


def constant(value: int) -> WorkedOut:
    return WorkedOut(lambda _, edges, events: np.full((len(events), len(edges)), value, dtype=np.int16))


class RandomOdds(MadeUp):
    """Odds that have nothing to do with the shot, of every size, ties and extremes among them.

    They follow from the events, so that the same shots get the same odds however they are divided into batches.
    """

    def __init__(self, seed: int = 1, sharpness: float = 1500.0) -> None:
        self.seed, self.sharpness = seed, sharpness

    def rule(self, graph: EdgeGraph, edges: NDArray[np.int64], events: NDArray[np.uint8]) -> NDArray[np.int16]:
        del graph
        rows = []
        for shot in events:
            rng = np.random.default_rng([self.seed, *shot.tolist()])
            odds = rng.normal(-self.sharpness, self.sharpness, len(edges)).round()
            odds = np.where(rng.random(len(edges)) < 0.1, rng.choice([-32000, 0, 1, 32000], len(edges)), odds)
            rows.append(odds)
        return np.array(rows).reshape(len(events), len(edges)).astype(np.int16)


class Replayed(MadeUp):
    """Log-odds that were found elsewhere, by the ends of the edges; edges that were not met are never flipped."""

    def __init__(self, odds: Mapping[Column, NDArray[np.int16]]) -> None:
        self.odds = odds

    @classmethod
    def of(cls, log_odds: NDArray[np.int16], graph: EdgeGraph) -> "Replayed":
        return cls(dict(zip(columns_of(graph, np.arange(graph.num_edges)), log_odds.T, strict=True)))

    def rule(self, graph: EdgeGraph, edges: NDArray[np.int64], events: NDArray[np.uint8]) -> NDArray[np.int16]:
        never = np.full(len(events), -32000, dtype=np.int16)
        found = [self.odds.get(column, never) for column in columns_of(graph, edges)]
        return np.stack(found, axis=1)


def mechanism_columns(dem: stim.DetectorErrorModel) -> NDArray[np.uint8]:
    """uint8 (D + O, M): what each error of a model flips, detectors above observables."""
    rows = []
    for instruction in dem.flattened():
        if instruction.type != "error":
            continue
        row = np.zeros(dem.num_detectors + dem.num_observables, dtype=np.uint8)
        for target in instruction.targets_copy():
            if target.is_relative_detector_id():
                row[target.val] ^= 1
            elif target.is_logical_observable_id():
                row[dem.num_detectors + target.val] ^= 1
        rows.append(row)
    return np.array(rows, dtype=np.uint8).T


def binary_rank(columns: NDArray[np.uint8]) -> int:
    """The rank over GF(2), by elimination."""
    numbers = [int("".join(map(str, column)), 2) for column in columns.T.tolist()]
    basis: dict[int, int] = {}  # by the highest bit
    for number in numbers:
        while number and (top := number.bit_length()) in basis:
            number ^= basis[top]
        if number:
            basis[number.bit_length()] = number
    return len(basis)
