"""The network as a source of posteriors: compiled for a model, run in batches on a CPU or a CUDA device."""

import copy
import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.posteriors import LOG_ODDS_UNIT, Coordinates, check_bit_packed
from quell.decoders.predecoder.labels import model_features
from quell.decoders.predecoder.lattice import Lattice
from quell.decoders.predecoder.network import PosteriorNetwork
from quell.decoders.predecoder.network_tiles import Tile, cut_into_tiles
from quell.errors import InputError

__all__ = ["CompiledNetwork", "check_device", "network_precision"]

# Sites of the grid in a batch, its shots times rounds, rows and columns: what fits the caches, or fills the device.
_CPU_SITES, _CUDA_SITES = 1 << 17, 1 << 20
_LARGEST = 32000  # of a log-odds in int16

Forward: TypeAlias = Callable[[Tensor], Tensor]


def check_device(device: str) -> torch.device:
    """Returns the device that a name stands for; `"auto"` is CUDA where there is some.

    Raises:
        InputError: There is no such device.

    Examples:
        >>> from quell.decoders.predecoder.network_posteriors import check_device
        >>> check_device("cpu")
        device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got {device!r}") from error
    if found.type == "cpu":
        return torch.device("cpu")
    if found.type != "cuda":
        raise InputError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got {device!r}")
    if not torch.cuda.is_available():
        raise InputError(
            f"device {device!r} was asked for, and torch {torch.__version__} sees no CUDA device: pass device='cpu' "
            f"or 'auto', or install a CUDA build of torch"
        )
    count = torch.cuda.device_count()
    if found.index is not None and found.index >= count:
        raise InputError(f"device {device!r} was asked for, and there are {count}: cuda:0 to cuda:{count - 1}")
    return found


def network_precision(device: torch.device) -> torch.dtype:
    """The type that convolutions are fastest in, among those that are exact enough."""
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    supports = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return torch.bfloat16 if supports is not None and supports() else torch.float32


class CompiledNetwork:
    """A network ready for one model.

    Args:
        network: The network.
        graph: The model's edges.
        coordinates: Of the model's detectors.
        edges: Which edges' odds are wanted.
        device: Where to run.
        batch_size: Shots at a time; None for what suits the device.
        tile: Rounds at a time, as for `NetworkSource`; None for all.
    """

    def __init__(
        self,
        network: PosteriorNetwork,
        graph: EdgeGraph,
        coordinates: Coordinates,
        edges: NDArray[np.int64],
        *,
        device: torch.device,
        batch_size: int | None = None,
        tile: int | None = None,
    ) -> None:
        lattice = Lattice.of(graph, coordinates)
        self.device = device
        self.num_detectors = graph.num_detectors
        self.precision = network_precision(device)
        shared = graph.shared_probabilities
        features, prior, _ = model_features(
            lattice,
            torch.from_numpy(graph.probabilities),
            torch.from_numpy(shared),
            *(torch.from_numpy(values) for values in (lattice.sites, lattice.kinds, lattice.places)),
        )
        network = copy.deepcopy(network)  # the caller's stays where it is
        places = lattice.places[edges]
        somewhere = np.maximum(places, 0)
        with torch.inference_mode():
            self._tiles = cut_into_tiles(
                network.to("cpu", torch.float32),
                lattice,
                features,
                somewhere,
                tile=tile,
                device=device,
                precision=self.precision,
            )
        self._network = network.to(device, self.precision)
        self._shape = self._tiles[0].static.shape[1:4]
        sites = _CPU_SITES if device.type == "cpu" else _CUDA_SITES
        self.batch_size = batch_size or max(1, sites // math.prod(self._shape))
        odds = torch.from_numpy(np.log(graph.probabilities / (1 - graph.probabilities))).float()[edges]
        known = torch.from_numpy(places >= 0)
        self._prior = torch.where(known, prior.reshape(-1)[torch.from_numpy(somewhere)], odds).to(device)
        self._known = known.to(device)
        self._all_known = bool(known.all())
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def log_odds(self, events: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Returns log(q / (1 - q)) of each edge, int16 (shots, edges) in units of `LOG_ODDS_UNIT`.

        A device that runs out of memory gets smaller batches from then on.

        Args:
            events: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian order.

        Raises:
            InputError: The events have another shape or type.
        """
        check_bit_packed("events", events, self.num_detectors)
        found = np.empty((len(events), len(self._prior)), dtype=np.int16)
        start = 0
        while start < len(events):
            batch = events[start : start + self.batch_size]
            try:
                # torch warns of arrays that are read-only, though nothing is written.
                own = np.require(batch, requirements=["C_CONTIGUOUS", "WRITEABLE"])
                found[start : start + len(batch)] = self._run(torch.from_numpy(own))
            except RuntimeError as error:
                if self.batch_size == 1 or not _is_out_of_memory(error):
                    raise
                self.batch_size = max(1, min(self.batch_size, len(batch)) // 2)
                self._graphs.clear()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                continue
            start += len(batch)
        return found

    def _run(self, packed: Tensor) -> NDArray[np.int16]:
        with torch.inference_mode():
            if self.device.type == "cuda" and len(self._tiles) == 1:
                return self._run_on_cuda(packed)
            return self._forward(packed.to(self.device)).cpu().numpy()

    def _run_on_cuda(self, packed: Tensor) -> NDArray[np.int16]:
        """Replays a graph that was captured for the next power of two of shots."""
        num_shots = len(packed)
        size = min(self.batch_size, 1 << (num_shots - 1).bit_length())
        if size not in self._graphs:
            self._graphs[size] = self._captured(size, packed.shape[1])
        graph, given, answer = self._graphs[size]
        given[:num_shots].copy_(packed, non_blocking=True)
        graph.replay()
        return answer[:num_shots].cpu().numpy()

    def _captured(self, size: int, width: int) -> tuple[torch.cuda.CUDAGraph, Tensor, Tensor]:
        given = torch.zeros((size, width), dtype=torch.uint8, device=self.device)
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # of torch
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.device(self.device):
            with torch.cuda.stream(stream):
                for _ in range(2):  # what is chosen and allocated at the first runs must not be captured
                    self._forward(given)
            torch.cuda.current_stream(self.device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                answer = self._forward(given)
        return graph, given, answer

    def _forward(self, packed: Tensor) -> Tensor:
        """int16 (shots, edges), from uint8 (shots, ceil(D/8)) on the device."""
        if len(self._tiles) == 1:
            chosen = self._chosen(packed, self._tiles[0])
        else:
            chosen = torch.empty((len(packed), len(self._prior)), device=self.device)
            for tile in self._tiles:
                chosen[:, tile.columns] = self._chosen(packed, tile)
        if not self._all_known:
            chosen = chosen * self._known
        odds: Tensor = (chosen + self._prior) / LOG_ODDS_UNIT
        return odds.round().clamp(-_LARGEST, _LARGEST).to(torch.int16)

    def _chosen(self, packed: Tensor, tile: Tile) -> Tensor:
        """float32 (shots, K): what the network says of a tile's edges."""
        num_shots = len(packed)
        bits = (packed[:, tile.bytes] >> tile.bits) & 1
        flat = torch.zeros((num_shots, math.prod(self._shape) * 2), dtype=self.precision, device=self.device)
        flat[:, tile.event_places] = bits.to(self.precision)
        added = self._network(flat.view(num_shots, *self._shape, 2), tile.static)
        chosen: Tensor = added.reshape(num_shots, -1)[:, tile.places].float()
        return chosen


def _is_out_of_memory(error: RuntimeError) -> bool:
    """Whether a device, or the host, had no room; torch has a type only for the first."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
