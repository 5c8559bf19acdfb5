"""`PreDecoder`: detection events in, fewer detection events and a Pauli frame out, for any pipeline."""

import warnings
from pathlib import Path
from typing import TypeAlias

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.posterior_matching import PosteriorMatching
from quell.decoders.posteriors import PosteriorSource, check_bit_packed, check_confidence
from quell.decoders.predecoder.network_source import OTHER_CONFIDENCE, NetworkSource
from quell.errors import CircuitError, InputError

__all__ = [
    "CompiledPreDecoder",
    "PreDecoder",
    "Source",
    "confidence_before",
    "decomposed_model",
    "observable_bytes",
    "source_of",
]

Source: TypeAlias = str | Path | PosteriorSource

_SHOTS_AT_A_TIME = 2048


def source_of(source: Source, batch_size: int | None = None) -> PosteriorSource:
    """Returns the source of posteriors that a name, a path or a source stands for.

    Raises:
        InputError: It stands for none.

    Examples:
        >>> from quell.decoders.predecoder.predecoder import source_of
        >>> source_of("fast").weights
        'fast'
    """
    if isinstance(source, (str, Path)):
        return NetworkSource(source, batch_size=batch_size)
    if not callable(getattr(source, "compile", None)) or not callable(getattr(source, "settings_id", None)):
        raise InputError(
            f"source must be the name of weights, a path to a safetensors file, or a source of posteriors such as "
            f"BeliefPropagation(), got {source!r}"
        )
    if batch_size is not None:
        raise InputError("batch_size is a setting of networks: set that of another source where it is made")
    return source


def confidence_before(source: PosteriorSource, inner: str) -> float:
    """How sure corrections must be before a decoder, as the source says, or 0.95 where it does not.

    Args:
        source: Whose posteriors.
        inner: `"pymatching"`, `"pymatching-correlated"`, or anything else.
    """
    chosen = getattr(source, "confidence_before", None)
    return OTHER_CONFIDENCE if chosen is None else float(chosen(inner))


def steps_aside(source: PosteriorSource, graph: EdgeGraph) -> bool:
    """Whether a source of posteriors is better left out for a model; if so, a warning says why."""
    helps = getattr(source, "helps", None)
    if helps is None or helps(graph):
        return False
    if not graph.num_edges:
        return True
    warnings.warn(
        f"the pre-decoder steps aside: {graph.correlated_share:.1%} of the noise on this model's edges is correlated, "
        f"too little for a network to be better than matching; the decoder behind it gets all events",
        stacklevel=3,
    )
    return True


def decomposed_model(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    """Returns a circuit's model with its errors decomposed, or raises `CircuitError`."""
    try:
        return circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
    except ValueError as error:
        raise CircuitError(f"the circuit has no decomposed detector error model: {error}") from error


class PreDecoder:
    """Corrects what it is sure of, and leaves the rest of the detection events to a decoder of yours.

    Under noise with next to no correlations between edges (strongly biased, or phenomenological) matching has nothing
    to gain from a network: it steps aside, with a warning, and leaves all events.

    Args:
        source: `"fast"` or `"accurate"`, networks that quell brings, the second for GPUs; a path to weights of your
            own; or another source of posteriors, such as `BeliefPropagation()`.
        confidence: How sure it must be, from 0.5 (commit every correction) to 1 (commit none). A cluster of
            corrections is committed as a whole or not at all. None for what was chosen for a matching behind it, 0.7
            with the weights that quell brings; `choose_confidence` finds that of another decoder.
        device: `"auto"`, `"cpu"`, `"cuda"` or `"cuda:1"`.
        batch_size: Shots that a network takes at a time; None for what suits the device. Where memory runs out it is
            halved.

    Raises:
        InputError: An argument is outside its limits.

    Examples:
        >>> import pymatching, stim
        >>> from quell.decoders import PreDecoder
        >>> circuit = stim.Circuit.generated("surface_code:rotated_memory_x", distance=5, rounds=5,
        ...                                  after_clifford_depolarization=0.004)
        >>> matching = pymatching.Matching(circuit.detector_error_model(decompose_errors=True))
        >>> dets, _ = circuit.compile_detector_sampler(seed=1).sample(50, separate_observables=True, bit_packed=True)
        >>> residual, frame = PreDecoder(device="cpu").compile(circuit).apply(dets)
        >>> predicted = frame ^ matching.decode_batch(residual, bit_packed_shots=True, bit_packed_predictions=True)
        >>> residual.shape == dets.shape, predicted.shape
        (True, (50, 1))
    """

    def __init__(
        self,
        source: Source = "fast",
        *,
        confidence: float | None = None,
        device: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        self.source = source_of(source, batch_size)
        self._confidence = None if confidence is None else check_confidence(confidence)
        self.device = device

    @property
    def confidence(self) -> float:
        """How sure it must be; read from the weights' card where it was not given."""
        return confidence_before(self.source, "pymatching") if self._confidence is None else self._confidence

    def settings_id(self) -> str:
        """Returns every setting that changes an answer, the weights' SHA-256 among them."""
        return f"{self.source.settings_id()} confidence={self.confidence!r}"

    def compile(self, model: stim.DetectorErrorModel | stim.Circuit) -> "CompiledPreDecoder":
        """Prepares for a model.

        Args:
            model: A detector error model, its errors decomposed and its detectors with coordinates; or a circuit,
                whose model is made here.

        Raises:
            InputError: The model or circuit cannot be used; the message says what it lacks.
            MissingExtraError: torch, safetensors or numba is not installed.
        """
        if isinstance(model, stim.Circuit):
            model = decomposed_model(model)
        if not isinstance(model, stim.DetectorErrorModel):
            raise InputError(f"a stim.DetectorErrorModel or a stim.Circuit is needed, got {type(model).__name__}")
        return CompiledPreDecoder(self, model)


class CompiledPreDecoder:
    """A pre-decoder ready for one model."""

    def __init__(self, settings: PreDecoder, dem: stim.DetectorErrorModel) -> None:
        graph = EdgeGraph.of(dem)
        edges = np.arange(graph.num_edges)
        self.num_detectors, self.num_observables = graph.num_detectors, graph.num_observables
        self._confidence = settings.confidence
        # Also where it steps aside, so that a model it cannot read is refused whatever its noise.
        self._posteriors = settings.source.compile(graph, dem.get_detector_coordinates(), edges, device=settings.device)
        self._flipped = graph.flipped_detectors
        self._matching = PosteriorMatching(graph, edges)
        self._steps_aside = steps_aside(settings.source, graph)

    def apply(self, dets: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Corrects what it is sure of.

        With e the edges that were corrected, each of them a mechanism of the model or a part of one, the residual is
        `dets` ⊕ H e and the frame is L e, whatever the network says.

        Args:
            dets: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian order as Stim does it.

        Returns:
            residual: uint8 (shots, ceil(D/8)): the events that are left, for a decoder of the same model.
            frame: uint8 (shots, ceil(O/8)): the observables that were flipped; xor it with what that decoder predicts.

        Raises:
            InputError: The events have another shape or type.
        """
        check_bit_packed("dets", dets, self.num_detectors)
        if self._steps_aside:
            return self._nothing(dets)
        residual, frame = self._nothing(dets)
        for start in range(0, len(dets), _SHOTS_AT_A_TIME):
            part = slice(start, start + _SHOTS_AT_A_TIME)
            residual[part], frame[part] = self.commit(self.log_odds(dets[part]), dets[part], self._confidence)
        return residual, frame

    def log_odds(self, dets: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Returns the posteriors of all edges, int16 (shots, E) in units of `LOG_ODDS_UNIT`; events as for `apply`."""
        return self._posteriors.log_odds(dets ^ self._flipped)

    def commit(
        self, log_odds: NDArray[np.int16], dets: NDArray[np.uint8], confidence: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Returns what `apply` does, from posteriors and at a confidence that are given."""
        if self._steps_aside:
            return self._nothing(dets)
        left, masks = self._matching.commit(log_odds, dets ^ self._flipped, confidence=confidence)
        return left ^ self._flipped, observable_bytes(masks, self.num_observables)

    def _nothing(self, dets: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The residual and frame of no corrections."""
        return dets.copy(), np.zeros((len(dets), -(-self.num_observables // 8)), dtype=np.uint8)


def observable_bytes(masks: NDArray[np.uint64], num_observables: int) -> NDArray[np.uint8]:
    """Returns masks of observables as bit-packed rows, uint8 (shots, ceil(O/8)).

    Args:
        masks: uint64 (shots,), or (shots, ceil(O/64)) with more than 64 observables, as `PosteriorMatching` has them.
        num_observables: O.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.predecoder.predecoder import observable_bytes
        >>> observable_bytes(np.array([1, 512], dtype=np.uint64), 10).tolist()
        [[1, 0], [0, 2]]
    """
    words = masks if masks.ndim == 2 else masks[:, None]
    rows = np.ascontiguousarray(words, dtype="<u8").view(np.uint8)
    return np.ascontiguousarray(rows[:, : -(-num_observables // 8)])
