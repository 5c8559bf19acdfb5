"""Training data made on the fly: mechanisms are drawn, and with them the events they cause and the edges they flip.

Everything comes from the detector error model, so that sampler, labels and decoder cannot disagree. Which noise is
drawn may differ from batch to batch: the probabilities of mechanisms are scaled together, by their kind, and one by
one.
"""

import dataclasses

import numpy as np
import torch
from torch import Tensor

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.lattice import NUM_CLASSES, Lattice

__all__ = ["Batch", "LatticeSampler", "model_features"]

_LARGEST = 0.4  # of a mechanism's probability, after scaling


@dataclasses.dataclass
class Batch:
    """Shots of one model.

    Attributes:
        features: float32 (1, T, H, W, NUM_FEATURES).
        prior: float32 (1, T, H, W, NUM_CLASSES): log-odds of the edges before any event; 0 where there is no edge.
        exists: bool (1, T, H, W, NUM_CLASSES): whether there is an edge.
        events: float32 (shots, T, H, W, 2).
        labels: float32 (shots, T, H, W, NUM_CLASSES): 1 where the edge was flipped.
    """

    features: Tensor
    prior: Tensor
    exists: Tensor
    events: Tensor
    labels: Tensor


def model_features(
    lattice: Lattice, probabilities: Tensor, shared: Tensor, sites: Tensor, kinds: Tensor, places: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the network is told about a model.

    Args:
        lattice: The lattice.
        probabilities: float (E,): of the edges.
        shared: float (E,): of the edges, by mechanisms that flip other edges too.
        sites: `lattice.sites`, as int64 on the device of the rest.
        kinds: `lattice.kinds`, likewise.
        places: `lattice.places`, likewise.

    Returns:
        features, prior and exists, as in `Batch`.
    """
    shape, device = lattice.shape, probabilities.device
    volume = shape[0] * shape[1] * shape[2]
    presence = torch.zeros(2 * volume, device=device)
    presence[sites * 2 + kinds] = 1
    known = places >= 0
    at = places[known]
    odds = torch.logit(probabilities[known].clamp(1e-12, 0.5)).float()
    prior = torch.zeros(volume * NUM_CLASSES, device=device)
    prior[at] = odds
    exists = torch.zeros(volume * NUM_CLASSES, device=device)
    exists[at] = 1
    share = torch.zeros(volume * NUM_CLASSES, device=device)
    share[at] = (shared[known] / probabilities[known].clamp(min=1e-12)).float().clamp(0, 1)

    def on_grid(values: Tensor) -> Tensor:
        return values.reshape(1, *shape, -1)

    # Odds about those of mechanisms at p = 0.003, so that the numbers are small.
    centred = exists * (prior + 5) / 2
    features = torch.cat([on_grid(presence), on_grid(exists), on_grid(centred), on_grid(share)], dim=-1)
    return features, on_grid(prior), on_grid(exists).bool()


class LatticeSampler:
    """Draws shots of a model, with the noise as it is or scaled.

    Args:
        graph: The model.
        lattice: Its lattice.
        device: Where the shots are made.

    Examples:
        >>> import stim, torch
        >>> from quell.decoders.edge_graph import EdgeGraph
        >>> from quell.decoders.predecoder.labels import LatticeSampler
        >>> from quell.decoders.predecoder.lattice import Lattice
        >>> dem = stim.Circuit.generated("surface_code:rotated_memory_x", distance=3, rounds=2,
        ...     after_clifford_depolarization=0.01).detector_error_model(decompose_errors=True)
        >>> graph = EdgeGraph.of(dem)
        >>> sampler = LatticeSampler(graph, Lattice.of(graph, dem.get_detector_coordinates()), "cpu")
        >>> sampler.sample(100, torch.Generator().manual_seed(1)).events.shape
        torch.Size([100, 3, 4, 4, 2])
    """

    def __init__(self, graph: EdgeGraph, lattice: Lattice, device: str | torch.device) -> None:
        self.lattice = lattice
        volume = int(np.prod(lattice.shape))
        self._sizes = 2 * volume, volume * NUM_CLASSES
        edges = graph.mechanism_edges.astype(np.int64)
        # A mechanism's events: those of its edges, each twice where two edges meet, which the sampler's parity removes.
        ends = np.where(edges[:, :, None] >= 0, graph.ends[edges], -1).reshape(len(edges), -1)
        flat = lattice.sites * 2 + lattice.kinds
        event_places = np.where(ends >= 0, flat[ends], self._sizes[0])
        places = np.where((edges >= 0) & (lattice.places[edges] >= 0), lattice.places[edges], self._sizes[1])
        # Kinds of mechanisms: those whose edges are of the same classes share a factor of the noise.
        classes = np.where(places < self._sizes[1], places % NUM_CLASSES, -1)
        _, kinds = np.unique(np.sort(classes, axis=1), axis=0, return_inverse=True)

        def put(values: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(values)).to(device)

        self._num_edges = graph.num_edges
        self._probabilities = put(graph.mechanism_probabilities.astype(np.float32))
        self._event_places, self._label_places = put(event_places), put(places)
        self._edges = put(np.where(edges >= 0, edges, graph.num_edges))
        self._is_shared = put((edges >= 0).sum(axis=1) > 1)
        self._kinds = put(kinds.reshape(-1).astype(np.int64))
        self._num_kinds = int(kinds.max()) + 1
        self._sites, self._lattice_kinds, self._places = put(lattice.sites), put(lattice.kinds), put(lattice.places)

    def scaled(self, factor: float, by_kind: float, one_by_one: float, generator: torch.Generator) -> Tensor:
        """Returns probabilities (M,): the model's, times `factor` and log-normal factors of the given widths."""
        device = self._probabilities.device
        logs = torch.full_like(self._probabilities, float(np.log(factor)))
        if by_kind:
            logs = logs + by_kind * torch.randn(self._num_kinds, device=device, generator=generator)[self._kinds]
        if one_by_one:
            logs = logs + one_by_one * torch.randn(logs.shape, device=device, generator=generator)
        return (self._probabilities * logs.exp()).clamp(max=_LARGEST)

    def edge_probabilities(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Returns (E,) and (E,): the edges' probabilities, and those by mechanisms that flip other edges too."""
        logs = torch.log1p(-2 * probabilities.double())[:, None].expand(self._edges.shape).reshape(-1)
        both = torch.where(self._is_shared[:, None].expand(self._edges.shape).reshape(-1), logs, torch.zeros_like(logs))
        found = torch.zeros(2, self._num_edges + 1, dtype=torch.float64, device=logs.device)
        found.index_add_(1, self._edges.reshape(-1), torch.stack([logs, both]))
        odd = -torch.expm1(found[:, :-1]) / 2
        return odd[0], odd[1]

    def sample(self, num_shots: int, generator: torch.Generator, probabilities: Tensor | None = None) -> Batch:
        """Draws shots.

        Args:
            num_shots: How many.
            generator: On the sampler's device.
            probabilities: Of the mechanisms, as `scaled` gives them; the model's own if None.
        """
        chances = self._probabilities if probabilities is None else probabilities
        shape = self.lattice.shape
        drawn = torch.rand(num_shots, len(chances), device=chances.device, generator=generator) < chances
        shots, mechanisms = drawn.nonzero(as_tuple=True)
        events = self._parity(num_shots, shots, self._event_places[mechanisms], self._sizes[0])
        labels = self._parity(num_shots, shots, self._label_places[mechanisms], self._sizes[1])
        features, prior, exists = model_features(
            self.lattice, *self.edge_probabilities(chances), self._sites, self._lattice_kinds, self._places
        )
        return Batch(
            features,
            prior,
            exists,
            events.reshape(num_shots, *shape, 2),
            labels.reshape(num_shots, *shape, NUM_CLASSES),
        )

    @staticmethod
    def _parity(num_shots: int, shots: Tensor, places: Tensor, size: int) -> Tensor:
        """float32 (shots, size): whether each place was named an odd number of times; place `size` is nowhere."""
        counts = torch.zeros(num_shots * (size + 1), dtype=torch.int32, device=places.device)
        flat = (shots[:, None] * (size + 1) + places).reshape(-1)
        counts.index_add_(0, flat, torch.ones_like(flat, dtype=torch.int32))
        return (counts.reshape(num_shots, size + 1)[:, :size] & 1).float()
