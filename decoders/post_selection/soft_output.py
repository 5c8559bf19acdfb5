"""Matching with a soft output: how much better the best logical class explains a shot than the other one.

Where the observable sits on boundary edges, the usual complementary gap takes two matchings, with the observable as one
more detector (Gidney, Shutty and Jones, arXiv:2409.17595). On the cycles of a projective plane it has no such place:
there Chen et al. (arXiv:2503.18657) use a patched PyMatching. Here the lightest correction of either parity is found
directly, from distances in the double cover of each matching graph, whatever the observable crosses.
"""

import math
from types import ModuleType
from typing import Any

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.post_selection.double_cover import LabelledGraph, labelled_graphs
from quell.decoders.post_selection.partners import partner_lists, without_partners
from quell.decoders.post_selection.pruned import PrunedModel
from quell.decoders.posteriors import check_bit_packed
from quell.errors import InputError, import_extra

__all__ = ["CompiledSoftOutput", "SoftOutputDecoder"]


class SoftOutputDecoder(sinter.Decoder):
    """Decodes the shots that a post-selection kept, and says how sure it is.

    Args:
        correlated: Whether each graph is weighed a second time with what the corrections of the other ones say of its
            edges, since many errors flip edges in both. If not, predictions are those of PyMatching on `pruned_model`,
            but for ties. At p = 2e-3, MSC-3 expanded to distance 7, cuts that keep the same shots leave up to ten times
            fewer errors with than without (benchmarks/cultivation/soft_output); without is several times as fast.

    Examples:
        >>> import numpy as np
        >>> from quell.circuits import NoiseModel, cultivation
        >>> from quell.decoders.post_selection.soft_output import SoftOutputDecoder
        >>> circuit = cultivation(3, 7, NoiseModel.uniform_depolarizing(1e-3))
        >>> decoder = SoftOutputDecoder(correlated=False).compile(circuit)
        >>> predictions, gaps = decoder.decode_with_gaps(np.zeros((1, 32), dtype=np.uint8))
        >>> predictions.tolist(), gaps.round().tolist()
        ([[0]], [53.0])
    """

    def __init__(self, *, correlated: bool = True) -> None:
        self.correlated = bool(correlated)

    def __repr__(self) -> str:
        return f"SoftOutputDecoder(correlated={self.correlated})"

    def settings_id(self) -> str:
        """Returns every setting that changes a prediction, in a line."""
        return f"correlated={self.correlated}"

    def compile(self, circuit: stim.Circuit) -> "CompiledSoftOutput":
        """Prepares for a circuit with one observable; detectors with four coordinates are post-selected.

        Raises:
            InputError: The circuit has no observable or several, more than 1 % of its model's errors cannot be split
                into parts of at most two detectors of one basis, or an edge is likelier than one half.
            TooLargeError: A matching graph has more than 8,000 vertices.
            MissingExtraError: numba is not installed.
        """
        return CompiledSoftOutput(PrunedModel.of(circuit), correlated=self.correlated)

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> "CompiledSoftOutput":
        """Prepares for a model, as `compile` does for a circuit."""
        return CompiledSoftOutput(PrunedModel.of(dem), correlated=self.correlated)


class CompiledSoftOutput(sinter.CompiledDecoder):
    """The decoder, ready for one model.

    Events are parted by the graph in which they lie, on a code with two bases one for each. In each graph both
    parities are weighed exactly for up to 12 events that depend on each other; of more, the lighter parity is exact,
    and the other one a correction that is nearly always the lightest (`alternating_walks`).

    Args:
        model: The pruned model.
        correlated: As for `SoftOutputDecoder`.

    Raises:
        InputError: More than 1 % of the model's errors could not be split, or an edge is likelier than one half.
        TooLargeError: A matching graph has more than 8,000 vertices.
        MissingExtraError: numba is not installed.
    """

    def __init__(self, model: PrunedModel, *, correlated: bool = True) -> None:
        model.check_split()
        kernels = _kernels()
        self._num_detectors = len(model.bases)
        self._undetected = _log_odds(model.undetected)
        graphs = labelled_graphs(model)
        self._num_graphs = len(graphs)
        graph_of = np.full(self._num_detectors, -1, dtype=np.int32)
        vertex_of = np.zeros(self._num_detectors, dtype=np.int32)
        for number, graph in enumerate(graphs):
            graph_of[graph.detectors] = number
            vertex_of[graph.detectors] = np.arange(len(graph.detectors))
        sizes = np.array([graph.num_vertices for graph in graphs], dtype=np.int64)
        distances, odd_cycle = _distances(graphs)
        self._tables: Any = kernels.Tables(
            graph=graph_of,
            vertex=vertex_of,
            distances=distances,
            start=np.cumsum(np.append(0, 2 * sizes**2))[:-1],
            size=sizes,
            boundary=np.array([len(g.detectors) if g.has_boundary else -1 for g in graphs], dtype=np.int32),
            odd_cycle=odd_cycle,
        )
        self._again: Any = _again(model, graphs, graph_of) if correlated and len(model.partners) else None
        # The kernels are compiled here, the first time on a machine, and not while somebody measures the decoder.
        self.decode_with_gaps(np.zeros((1, -(-self._num_detectors // 8)), dtype=np.uint8))

    def weights(self, events: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Returns the weights of the lightest corrections of either parity.

        Args:
            events: uint8 (shots, ceil(D/8)): bit-packed in little-endian order. Post-selected detectors, and those that
                no kept error flips, are not looked at.

        Returns:
            float64 (shots, G, 2): in nats, in each of the G graphs that the model consists of; inf where no correction
            has that parity. With `correlated` given the lightest corrections of the other graphs.

        Raises:
            InputError: The events have another shape or type.
        """
        events = np.require(check_bit_packed("events", events, self._num_detectors), requirements=["C", "W", "A"])
        found = np.empty((len(events), self._num_graphs, 2))
        if self._again is None:
            _kernels().weigh_shots(self._tables, events, found)
        else:
            _kernels().weigh_shots_again(self._tables, self._again, events, found)
        return found

    def decode_with_gaps(self, events: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Decodes shots, and returns how sure the predictions are.

        With g the weight by which the parities differ in a graph, that graph counts as wrong with odds of exp(-g), and
        the prediction is wrong if an odd number of graphs is.

        Args:
            events: uint8 (shots, ceil(D/8)): bit-packed in little-endian order, of all detectors.

        Returns:
            predictions: uint8 (shots, 1): bit 0 is the observable.
            gaps: float64 (shots,): 10 log10 of the odds of the predicted class against the other one, in dB; inf where
                the other one is impossible, 0 where no correction explains the events.

        Raises:
            InputError: The events have another shape or type.
        """
        weights = self.weights(events)
        predictions = np.empty((len(weights), 1), dtype=np.uint8)
        gaps = np.empty(len(weights))
        _kernels().combine_graphs(weights, self._undetected, predictions[:, 0], gaps)
        return predictions, gaps

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Decodes shots, as sinter wants it: uint8 (shots, 1) from uint8 (shots, ceil(D/8))."""
        return self.decode_with_gaps(bit_packed_detection_event_data)[0]


def _kernels() -> ModuleType:
    import_extra("numba", "cultivation")
    from quell.decoders.post_selection import soft_kernels

    return soft_kernels


def _distances(graphs: list[LabelledGraph]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the distances of all graphs one after another, and the shortest closed walk of odd parity in each."""
    found = [graph.distances() for graph in graphs]
    odd_cycle = [np.einsum("vvs->vs", distances)[:, 1].min() for distances in found]
    return np.concatenate([np.zeros(0), *(distances.ravel() for distances in found)]), np.array(odd_cycle, dtype=float)


def _again(model: PrunedModel, graphs: list[LabelledGraph], graph_of: NDArray[np.int32]) -> Any:
    """Returns what the kernels need for a second look."""
    from quell.decoders.post_selection.shortcuts import Again

    conditional = without_partners(model)
    distances, odd_cycle = _distances(labelled_graphs(conditional))
    ends = np.empty_like(model.ends)
    for graph in graphs:
        ends[graph.edges] = graph.ends
    first, partner, weight = partner_lists(model, conditional)
    return Again(
        distances=distances,
        odd_cycle=odd_cycle,
        last_edge=np.concatenate([graph.last_edges().ravel() for graph in graphs]),
        graph=graph_of[model.ends[:, 0]],
        ends=ends,
        labels=model.labels,
        first=first,
        partner=partner,
        weight=weight,
    )


def _log_odds(probability: float) -> float:
    """How much likelier it is that something of this probability does not happen, in nats."""
    if probability > 0.5:
        raise InputError(
            f"errors that no detector sees flip the observable with probability {probability:g}, the limit is 0.5: "
            f"there is nothing to decode"
        )
    return math.log1p(-probability) - math.log(probability) if probability > 0 else math.inf
