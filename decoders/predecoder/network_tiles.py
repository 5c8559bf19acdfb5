"""A long memory cut into tiles of rounds, each with as many rounds around it as change its answers.

A network's blocks see one round further each. What a voxel at least that far from a tile's open faces is told is what
the whole volume would tell it; the rounds nearer to them are worked out and left out. All tiles have one shape.
"""

import dataclasses
import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quell.decoders.predecoder.lattice import NUM_CLASSES, Lattice
from quell.decoders.predecoder.network import PosteriorNetwork

__all__ = ["Span", "Tile", "cut_into_tiles", "tile_spans"]


@dataclasses.dataclass(frozen=True)
class Span:
    """The rounds `start` to `stop` - 1, whose answers are wanted, within those from `first` to `last` - 1."""

    start: int
    stop: int
    first: int
    last: int


def tile_spans(num_rounds: int, tile: int | None, halo: int) -> Iterator[Span]:
    """Yields the tiles of a memory, each within `tile` + 2 `halo` rounds, or all there are.

    Args:
        num_rounds: Of the memory.
        tile: Rounds of a tile; None for one tile of all rounds.
        halo: Rounds on each side that change the answers.

    Examples:
        >>> from quell.decoders.predecoder.network_tiles import tile_spans
        >>> [(span.start, span.stop, span.first, span.last) for span in tile_spans(10, 4, 1)]
        [(0, 4, 0, 6), (4, 8, 3, 9), (8, 10, 4, 10)]
    """
    tile = min(tile or num_rounds, num_rounds)
    length = min(num_rounds, tile + 2 * halo)
    for start in range(0, num_rounds, tile):
        first = min(max(0, start - halo), num_rounds - length)
        yield Span(start, min(start + tile, num_rounds), first, first + length)


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """What is run for a tile, of T rounds with those around it.

    Attributes:
        columns: int64 (K,): which of the wanted edges have their answers here.
        places: int64 (K,): where, among the T x H x W x `NUM_CLASSES` outputs.
        bytes: int64 (D,): of the packed events, those that hold the tile's detectors.
        bits: int64 (D,): and the bits of these.
        event_places: int64 (D,): where they go among the T x H x W x 2 inputs.
        static: (1, T, H, W, width): what the network makes of the model.
    """

    columns: Tensor
    places: Tensor
    bytes: Tensor
    bits: Tensor
    event_places: Tensor
    static: Tensor


def cut_into_tiles(
    network: PosteriorNetwork,
    lattice: Lattice,
    features: Tensor,
    places: NDArray[np.int64],
    *,
    tile: int | None,
    device: torch.device,
    precision: torch.dtype,
) -> list[Tile]:
    """Returns the tiles of a model.

    Args:
        network: On the CPU, in float32.
        lattice: Of the model.
        features: Of the model, as `model_features` has them.
        places: int64 (E,): of the wanted edges among all outputs.
        tile: Rounds of a tile; None for one tile.
        device: Where the tiles are to be run.
        precision: In which type.
    """
    num_rounds, sites = lattice.shape[0], math.prod(lattice.shape[1:])
    depth, around = network.config.depth, len(network.around)

    def put(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    found = []
    encoded: dict[tuple[bytes, int], Tensor] = {}  # most tiles of a memory are alike
    spans = tile_spans(num_rounds, tile, depth), tile_spans(num_rounds, tile, depth + around)
    for span, wider in zip(*spans, strict=True):
        seen = features[:, wider.first : wider.last]
        key = seen.numpy().tobytes(), span.first - wider.first
        if key not in encoded:
            begin, end = span.first - wider.first, span.last - wider.first
            encoded[key] = network.encode(seen)[:, begin:end].to(device, precision, copy=True)
        detectors = np.flatnonzero((lattice.sites >= span.first * sites) & (lattice.sites < span.last * sites))
        rounds = places // (sites * NUM_CLASSES)
        columns = np.flatnonzero((rounds >= span.start) & (rounds < span.stop))
        event_places = (lattice.sites[detectors] - span.first * sites) * 2 + lattice.kinds[detectors]
        found.append(
            Tile(
                columns=put(columns),
                places=put(places[columns] - span.first * sites * NUM_CLASSES),
                bytes=put(detectors // 8),
                bits=put(detectors % 8),
                event_places=put(event_places),
                static=encoded[key],
            )
        )
    return found
