"""Which network: one that quell brings, by name, or one from a file of the user's."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.posteriors import Coordinates
from quell.errors import InputError, check_integer, check_known, import_extra

if TYPE_CHECKING:
    from quell.decoders.predecoder.network_file import StoredNetwork
    from quell.decoders.predecoder.network_posteriors import CompiledNetwork

__all__ = ["OTHER_CONFIDENCE", "WEIGHTS", "NetworkSource"]

_FOLDER = Path(__file__).parent / "weights"
# The networks in the wheel; `quell train-predecoder` made them from the configs beside them.
WEIGHTS = ("accurate", "fast")
OTHER_CONFIDENCE = 0.95  # where weights do not say
# Below it reweighting gains little or nothing over plain matching, and nothing over correlated matching:
# benchmarks/predecoder/accuracy.md.
_LEAST_CORRELATED_SHARE = 0.15


class NetworkSource:
    """Posteriors by a trained network. torch is not imported before it is compiled or asked for its identity.

    Args:
        weights: `"fast"` or `"accurate"`, or a path to a safetensors file of `quell train-predecoder`.
        batch_size: Shots that the network takes at a time; None for what suits the device.
        tile: Rounds that it answers for at a time, which bounds the memory that a long memory experiment takes; None
            for all. The rounds around a tile that change its answers, one for each block of the network on either
            side, are worked out with it. No answer depends on the tiles, not by a bit on a CPU in float32; on a GPU,
            whose sums may be added in another order, as far as rounding goes.

    Raises:
        InputError: There are no such weights, or the batch size or the tile is less than one.

    Examples:
        >>> from quell.decoders.predecoder.network_source import NetworkSource
        >>> NetworkSource("fast").settings_id()[:28]
        'network weights sha256=...'
    """

    def __init__(self, weights: str | Path = "fast", *, batch_size: int | None = None, tile: int | None = None) -> None:
        self.weights = weights
        self.batch_size = None if batch_size is None else check_integer("batch_size", batch_size, minimum=1)
        self.tile = None if tile is None else check_integer("tile", tile, minimum=1)
        if not isinstance(weights, Path) and not isinstance(weights, str):
            raise InputError(f"weights must be one of {WEIGHTS} or a path, got {weights!r}")
        if isinstance(weights, str) and "/" not in weights and not weights.endswith(".safetensors"):
            check_known("weights", weights, WEIGHTS)

    @property
    def path(self) -> Path:
        """The file."""
        return _FOLDER / f"{self.weights}.safetensors" if self.weights in WEIGHTS else Path(self.weights)

    def stored(self) -> "StoredNetwork":
        """Returns what the file holds.

        Raises:
            MissingExtraError: torch or safetensors is not installed.
            StorageError: The file cannot be read.
            DataError: It is damaged, or no network of quell's.
        """
        import_extra("torch", "predecoder")
        path = self.path
        changed = path.stat().st_mtime_ns if path.exists() else None
        return _stored(path, changed)

    def settings_id(self) -> str:
        """Returns the SHA-256 of the weights, which stands for all that changes an answer."""
        return f"network weights sha256={self.stored().sha256}"

    def confidence_before(self, inner: str) -> float:
        """How sure corrections must be before a decoder, so that it is not made worse: chosen when they were trained.

        Args:
            inner: `"pymatching"`, `"pymatching-correlated"`, or anything else.
        """
        chosen = self.stored().card.get("confidences", {})
        return float(chosen.get(inner, chosen.get("other", OTHER_CONFIDENCE)))

    def helps(self, graph: EdgeGraph) -> bool:
        """Whether the model is one in which the network finds what matching does not see: correlations of edges."""
        return graph.correlated_share >= _LEAST_CORRELATED_SHARE

    def compile(
        self, graph: EdgeGraph, coordinates: Coordinates, edges: NDArray[np.int64], *, device: str = "cpu"
    ) -> "CompiledNetwork":
        """Prepares for a model, as `PosteriorSource` has it.

        Raises:
            InputError: The model is of no rotated surface code, or there is no such device.
        """
        stored = self.stored()
        from quell.decoders.predecoder.network_posteriors import CompiledNetwork, check_device

        return CompiledNetwork(
            stored.network(self.path),
            graph,
            coordinates,
            edges,
            device=check_device(device),
            batch_size=self.batch_size,
            tile=self.tile,
        )


@functools.lru_cache(maxsize=4)
def _stored(path: Path, changed: int | None) -> "StoredNetwork":  # noqa: ARG001 (a file that changed is read again)
    from quell.decoders.predecoder.network_file import StoredNetwork

    return StoredNetwork.load(path)
