"""From detector coordinates to a grid that a convolution can walk, and from edges to places on it.

In the rotated surface code the detectors of a round are the squares of a chessboard, X checks on one colour and Z
checks on the other, and every edge of the matching graph is one of a few *classes*: its kind of check and the step from
its earlier end to its later one. A network that knows the classes of one gate order knows them all: reflections and the
exchange of the two axes turn the others into it.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.errors import InputError

__all__ = ["NUM_CLASSES", "Lattice"]

Step = tuple[int, int, int]  # rounds, rows, columns

# The steps of the first kind of check, in Stim's gate order; those of the second kind are the same with rows and
# columns exchanged. Class 0 is the edge to the boundary.
_STEPS: tuple[Step, ...] = ((0, 1, -1), (0, 1, 1), (1, -1, -1), (1, 0, 0), (1, 0, -2), (1, 1, -1))
NUM_CLASSES = 1 + len(_STEPS)

_LARGEST = 2**31  # of a coordinate
_MOST_SITES = 16  # for each detector; a memory has four at most

_SUPPORTED = (
    "the pre-decoder reads memories of the rotated surface code, as "
    "stim.Circuit.generated('surface_code:rotated_memory_x') and quell.circuits.rotated_surface_memory make them"
)


@dataclasses.dataclass(frozen=True, eq=False)
class Lattice:
    """Where the detectors and edges of a rotated surface code's memory lie.

    Attributes:
        shape: (T, H, W): rounds, rows and columns of the grid.
        sites: int64 (D,): the place of each detector on the grid, flat; no two share one.
        kinds: int64 (D,): 0 or 1, the kind of check.
        places: int64 (E,): the place of each edge among the T x H x W x `NUM_CLASSES` outputs, flat; -1 for the less
            likely of two edges between the same detectors.
    """

    shape: tuple[int, int, int]
    sites: NDArray[np.int64]
    kinds: NDArray[np.int64]
    places: NDArray[np.int64]

    @classmethod
    def of(cls, graph: EdgeGraph, coordinates: Mapping[int, Sequence[float]]) -> "Lattice":
        """Finds the lattice.

        Args:
            graph: The edges.
            coordinates: Of every detector, as `dem.get_detector_coordinates()` gives them: x, y, round.

        Raises:
            InputError: It is not the lattice of a rotated surface code; the message says what was missing.

        Examples:
            >>> import stim
            >>> from quell.decoders.edge_graph import EdgeGraph
            >>> from quell.decoders.predecoder.lattice import Lattice
            >>> circuit = stim.Circuit.generated("surface_code:rotated_memory_x", distance=3, rounds=4,
            ...                                  after_clifford_depolarization=0.01)
            >>> dem = circuit.detector_error_model(decompose_errors=True)
            >>> Lattice.of(EdgeGraph.of(dem), dem.get_detector_coordinates()).shape
            (5, 4, 4)
        """
        cells, shape = _cells(graph.num_detectors, coordinates)
        best: tuple[int, Lattice] | None = None
        for transposed, rows_turned, columns_turned, exchanged in itertools.product((False, True), repeat=4):
            turned = _turned(cells, shape[1], transposed, rows_turned, columns_turned)
            kinds = (turned[:, 1] + turned[:, 2] + exchanged) % 2
            classes = _classes(graph, turned, kinds)
            unknown = int((classes < 0).sum())
            if best is None or unknown < best[0]:
                best = unknown, _placed(cls, graph, shape, turned, kinds, classes)
            if unknown == 0:
                break
        assert best is not None
        if best[0]:
            raise InputError(
                f"{best[0]} of {graph.num_edges} edges of the model join detectors that are no neighbours in a rotated "
                f"surface code under any of its gate orders: {_SUPPORTED}"
            )
        return best[1]


def _cells(num_detectors: int, coordinates: Mapping[int, Sequence[float]]) -> tuple[NDArray[np.int64], Step]:
    """int64 (D, 3): round, row and column of each detector; and the size of the grid."""
    if num_detectors == 0:
        raise InputError(f"the model has no detectors: {_SUPPORTED}")
    missing = [d for d in range(num_detectors) if len(coordinates.get(d, ())) < 3]
    if missing:
        have = list(coordinates.get(missing[0], ()))
        raise InputError(
            f"{len(missing)} of {num_detectors} detectors have no three coordinates x, y, round (D{missing[0]} has "
            f"{have}), by which the lattice is found: write DETECTOR(x, y, round) in the circuit; {_SUPPORTED}"
        )
    values = np.array([list(coordinates[d])[:3] for d in range(num_detectors)], dtype=np.float64)
    cells = np.stack([values[:, 2], values[:, 1] / 2, values[:, 0] / 2], axis=1)
    whole = np.rint(cells)
    off = np.flatnonzero((np.abs(cells - whole).max(axis=1) > 1e-6) | (np.abs(cells).max(axis=1) > _LARGEST))
    if len(off):
        x, y, t = values[off[0]]
        raise InputError(
            f"{len(off)} of {num_detectors} detectors are not at even x, even y and a whole round (D{off[0]} is at "
            f"x={x:g}, y={y:g}, round {t:g}): {_SUPPORTED}"
        )
    found = whole.astype(np.int64)
    found -= found.min(axis=0)
    if len(np.unique(found, axis=0)) != num_detectors:
        raise InputError(
            f"some detectors share their coordinates, and so no place on a grid is theirs alone: {_SUPPORTED}"
        )
    rounds, height, width = (int(size) for size in found.max(axis=0) + 1)
    if abs(height - width) == 2:
        # One kind of check alone, as in a memory of one round, leaves out the first and last rows, or columns.
        found[:, 1 if height < width else 2] += 1
    elif height != width:
        raise InputError(
            f"the detectors fill {height} rows and {width} columns, and should fill a square: {_SUPPORTED}; blocks in "
            f"space are no such codes, so put the pre-decoder around them: "
            f"PreDecoded(Windowed(...), handover='residual')"
        )
    size = max(height, width)
    if rounds * size * size > _MOST_SITES * num_detectors:
        raise InputError(
            f"{num_detectors} detectors lie on a grid of {rounds} rounds, {size} rows and {size} columns, which is all "
            f"but empty: {_SUPPORTED}"
        )
    return found, (rounds, size, size)


def _turned(
    cells: NDArray[np.int64], size: int, transposed: bool, rows_turned: bool, columns_turned: bool
) -> NDArray[np.int64]:
    turned = cells[:, [0, 2, 1]] if transposed else cells.copy()
    for axis, reflect in ((1, rows_turned), (2, columns_turned)):
        if reflect:
            turned[:, axis] = size - 1 - turned[:, axis]
    return turned


def _ordered_ends(graph: EdgeGraph, cells: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The earlier and the later end of each edge, by round, row and column; the same twice at the boundary."""
    extent = cells.max(axis=0) + 1
    rank = (cells[:, 0] * extent[1] + cells[:, 1]) * extent[2] + cells[:, 2]
    first = graph.ends[:, 0].astype(np.int64)
    second = np.where(graph.ends[:, 1] < 0, first, graph.ends[:, 1]).astype(np.int64)
    swapped = rank[first] > rank[second]
    return np.where(swapped, second, first), np.where(swapped, first, second)


def _classes(graph: EdgeGraph, cells: NDArray[np.int64], kinds: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 (E,): the class of each edge, -1 where there is none."""
    first, second = _ordered_ends(graph, cells)
    steps = cells[second] - cells[first]
    classes = np.full(graph.num_edges, -1, dtype=np.int64)
    classes[graph.ends[:, 1] < 0] = 0
    for number, (rounds, rows, columns) in enumerate(_STEPS, start=1):
        for kind, step in ((0, (rounds, rows, columns)), (1, (rounds, columns, rows))):
            if step[0] == 0 and (step[1], step[2]) < (0, 0):
                step = (0, -step[1], -step[2])
            classes[(steps == step).all(axis=1) & (kinds[first] == kind) & (kinds[second] == kind)] = number
    return classes


def _placed(
    cls: Any,
    graph: EdgeGraph,
    shape: Step,
    cells: NDArray[np.int64],
    kinds: NDArray[np.int64],
    classes: NDArray[np.int64],
) -> Lattice:
    _, height, width = shape
    sites = (cells[:, 0] * height + cells[:, 1]) * width + cells[:, 2]
    first, _ = _ordered_ends(graph, cells)
    places = np.where(classes < 0, -1, sites[first] * NUM_CLASSES + classes)
    # Of edges between the same detectors that differ in their observables, the network speaks of the likeliest.
    order = np.lexsort((-graph.probabilities, places))
    again = order[1:][places[order[1:]] == places[order[:-1]]]
    places[again] = -1
    found: Lattice = cls(shape, sites, kinds, places)
    return found
