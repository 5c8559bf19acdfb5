"""`PreDecoded`: the pre-decoder around any other decoder, as one `sinter.Decoder`."""

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph, observable_words
from quell.decoders.posterior_matching import PosteriorMatching
from quell.decoders.posteriors import check_bit_packed, check_confidence
from quell.decoders.predecoder.predecoder import (
    PreDecoder,
    Source,
    confidence_before,
    observable_bytes,
    source_of,
    steps_aside,
)
from quell.decoders.settings import decoder_settings
from quell.errors import InputError, check_known

if TYPE_CHECKING:
    import pymatching

__all__ = ["HANDOVERS", "CompiledPreDecoded", "Inner", "PreDecoded", "check_inner", "compiled_inner"]

HANDOVERS = ("auto", "residual", "reweight")
_MATCHINGS = ("pymatching", "pymatching-correlated")
_SHOTS_AT_A_TIME = 2048

Inner: TypeAlias = "str | sinter.Decoder | pymatching.Matching"


def _is_matching(value: object) -> TypeGuard["pymatching.Matching"]:
    """Whether it is a `pymatching.Matching`; PyMatching, which brings scipy, is not imported to find out."""
    library = sys.modules.get("pymatching")
    return library is not None and isinstance(value, library.Matching)


def check_inner(inner: object) -> None:
    """Raises `InputError` unless it is a decoder by name, a `sinter.Decoder` or a `pymatching.Matching`."""
    if isinstance(inner, str):
        check_known("decoder", inner, sinter.BUILT_IN_DECODERS)
    elif not isinstance(inner, sinter.Decoder) and not _is_matching(inner):
        raise InputError(
            f"inner must be the name of a decoder, a sinter.Decoder or a pymatching.Matching, got {inner!r}"
        )


class PreDecoded(sinter.Decoder):
    """A pre-decoder and, after it, another decoder.

    There are two ways to hand over. `"reweight"`: each shot's matching graph carries the posteriors as its weights, and
    a minimum-weight matching decides; the more accurate way. `"residual"`: corrections that are sure are committed, and
    the inner decoder gets the events that are left, in the model that it knows. As for `PreDecoder`, noise without
    correlations is left to plain matching, or to the inner decoder.

    Args:
        inner: A name that sinter knows, a `sinter.Decoder`, or a `pymatching.Matching` of the model, which is used
            without correlations whether it has them or not: for correlated matching give its name.
        source: As for `PreDecoder`: whose posteriors.
        handover: `"reweight"`, `"residual"` or `"auto"`: to reweight where the inner decoder is a matching (sinter's
            `"pymatching"` and `"pymatching-correlated"`, and a `pymatching.Matching`), to hand over the residual to
            any other. Correlations between edges are in the posteriors, so that reweighting has no second pass.
        confidence: For the residual, as for `PreDecoder`; None for the one that was chosen, on shots of its own, so
            that this inner decoder is not made worse.
        device: As for `PreDecoder`. It does not count as a setting in a sweep.
        batch_size: As for `PreDecoder`.

    Raises:
        InputError: An argument is outside its limits.

    Examples:
        >>> import sinter, stim
        >>> from quell.decoders import PreDecoded
        >>> circuit = stim.Circuit.generated("surface_code:rotated_memory_z", distance=3, rounds=3,
        ...                                  after_clifford_depolarization=0.01)
        >>> decoder = PreDecoded("pymatching", device="cpu")
        >>> compiled = decoder.compile_decoder_for_dem(dem=circuit.detector_error_model(decompose_errors=True))
        >>> dets = circuit.compile_detector_sampler(seed=1).sample(20, bit_packed=True)
        >>> compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets).shape
        (20, 1)
    """

    def __init__(
        self,
        inner: Inner = "pymatching",
        *,
        source: Source = "fast",
        handover: str = "auto",
        confidence: float | None = None,
        device: str = "auto",
        batch_size: int | None = None,
    ) -> None:
        check_known("handover", handover, HANDOVERS)
        check_inner(inner)
        is_matching = _is_matching(inner) or (isinstance(inner, str) and inner in _MATCHINGS)
        if handover == "reweight" and not is_matching:
            raise InputError(
                f"only a matching can be reweighted, and inner is {inner!r}: pass handover='residual', or one of "
                f"{', '.join(_MATCHINGS)} as inner"
            )
        self.inner = inner
        self.source = source_of(source, batch_size)
        self.handover = handover if handover != "auto" else "reweight" if is_matching else "residual"
        if confidence is not None and self.handover == "reweight":
            raise InputError("confidence is a setting of handover='residual': reweighting commits nothing by itself")
        self.confidence = None if confidence is None else check_confidence(confidence)
        self.device = device

    def __getstate__(self) -> dict[str, Any]:
        """A `pymatching.Matching` travels as its edges."""
        state = self.__dict__.copy()
        if _is_matching(self.inner):
            state["inner"] = _MatchingEdges(self.inner)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self.inner, _MatchingEdges):
            self.inner = self.inner.matching()

    def settings_id(self) -> str:
        """Returns every setting that changes an answer: the weights' SHA-256, the handover, the inner decoder's own."""
        inner = self.inner
        if _is_matching(inner):
            sizes = f"{inner.num_nodes} {inner.num_fault_ids} {sorted(inner.boundary)}"
            inner_id = f"matching {sizes} {sorted(map(repr, inner.edges()))}"
        elif isinstance(inner, str):
            inner_id = inner
        else:
            inner_id = decoder_settings(inner)
        confidence = f" confidence={self._confidence()!r}" if self.handover == "residual" else ""
        return f"{self.source.settings_id()} {self.handover}{confidence} inner={inner_id}"

    def _confidence(self) -> float:
        if self.confidence is not None:
            return self.confidence
        # What is sure enough for a decoder is so for the same decoder in windows.
        name = "pymatching" if _is_matching(self.inner) else getattr(self.inner, "inner", self.inner)
        return confidence_before(self.source, name if isinstance(name, str) else "other")

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> "CompiledPreDecoded":
        """Prepares for a model, as sinter asks.

        Raises:
            InputError: The pre-decoder or the inner decoder cannot be used for this model.
            MissingExtraError: torch, safetensors or numba is not installed.
        """
        if self.handover == "reweight":
            return CompiledPreDecoded(dem, _Reweighted(self, dem))
        pre = PreDecoder(self.source, confidence=self._confidence(), device=self.device).compile(dem)
        return CompiledPreDecoded(dem, _Residual(pre, compiled_inner(self.inner, dem)))


class CompiledPreDecoded(sinter.CompiledDecoder):
    """A `PreDecoded` ready for one model."""

    def __init__(self, dem: stim.DetectorErrorModel, decode: "_Reweighted | _Residual") -> None:
        self._num_detectors = dem.num_detectors
        self._decode = decode

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the predicted observables, uint8 (shots, ceil(O/8)), and the inner decoder's discard byte if any.

        Args:
            bit_packed_detection_event_data: uint8 (shots, ceil(D/8)), in little-endian order.
        """
        events = check_bit_packed(
            "bit_packed_detection_event_data", bit_packed_detection_event_data, self._num_detectors
        )
        parts = [self._decode(events[i : i + _SHOTS_AT_A_TIME]) for i in range(0, len(events), _SHOTS_AT_A_TIME)]
        return np.concatenate(parts) if parts else self._decode(events)


class _Reweighted:
    """A matching whose weights are each shot's posteriors, in the part of the graph that holds the observables."""

    def __init__(self, settings: PreDecoded, dem: stim.DetectorErrorModel) -> None:
        graph = EdgeGraph.of(dem)
        _check_matching(settings.inner, graph.num_detectors, graph.num_observables)
        edges = np.flatnonzero(graph.matters)
        self.num_observables = graph.num_observables
        self.flipped_detectors = graph.flipped_detectors
        self.flipped_observables = observable_words([graph.flipped_observables], graph.num_observables)
        self.posteriors = settings.source.compile(graph, dem.get_detector_coordinates(), edges, device=settings.device)
        self.matching = PosteriorMatching(graph, edges)
        self.instead = compiled_inner(settings.inner, dem) if steps_aside(settings.source, graph) else None

    def __call__(self, events: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self.instead is not None:
            return self.instead.decode_shots_bit_packed(bit_packed_detection_event_data=events)
        events = events ^ self.flipped_detectors
        masks = self.matching.match(self.posteriors.log_odds(events), events) ^ self.flipped_observables
        return observable_bytes(masks, self.num_observables)


class _Residual:
    """The pre-decoder's frame, and what the inner decoder makes of the events that are left."""

    def __init__(self, pre: Any, inner: sinter.CompiledDecoder) -> None:
        self.pre, self.inner = pre, inner

    def __call__(self, events: NDArray[np.uint8]) -> NDArray[np.uint8]:
        residual, frame = self.pre.apply(events)
        predicted = self.inner.decode_shots_bit_packed(bit_packed_detection_event_data=residual)
        width = frame.shape[1]
        if predicted.dtype != np.uint8 or predicted.shape not in ((len(events), width), (len(events), width + 1)):
            raise InputError(
                f"the inner decoder must return uint8 of shape ({len(events)}, {width}), or one byte more a shot for "
                f"discards, got {predicted.dtype} of shape {predicted.shape}"
            )
        predicted = predicted.copy()
        predicted[:, :width] ^= frame
        return predicted


class _CompiledMatching(sinter.CompiledDecoder):
    """A user's `pymatching.Matching` as sinter has decoders."""

    def __init__(self, matching: "pymatching.Matching") -> None:
        self.matching = matching

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        found: NDArray[np.uint8] = self.matching.decode_batch(
            bit_packed_detection_event_data, bit_packed_shots=True, bit_packed_predictions=True
        )
        return found


class _MatchingEdges:
    """A `pymatching.Matching`, which cannot be pickled, as something that can."""

    def __init__(self, matching: "pymatching.Matching") -> None:
        self.edges = matching.edges()
        self.boundary = sorted(matching.boundary)
        # Nodes and observables without edges count too: they make the width of events and of predictions.
        self.num_nodes, self.num_fault_ids = matching.num_nodes, matching.num_fault_ids

    def matching(self) -> "pymatching.Matching":
        import pymatching

        empty = stim.DetectorErrorModel()
        if self.num_nodes:
            empty.append("detector", [], [stim.target_relative_detector_id(self.num_nodes - 1)])
        matching = pymatching.Matching(empty)
        matching.ensure_num_fault_ids(self.num_fault_ids)
        for first, second, attributes in self.edges:
            known = {key: value for key, value in attributes.items() if key in ("fault_ids", "weight")}
            # PyMatching says -1 where it was told no probability.
            if attributes.get("error_probability", -1) >= 0:
                known["error_probability"] = attributes["error_probability"]
            if second is None:
                matching.add_boundary_edge(first, **known)
            else:
                matching.add_edge(first, second, **known)
        if self.boundary:
            matching.set_boundary_nodes(set(self.boundary))
        return matching


def _check_matching(inner: object, num_detectors: int, num_observables: int) -> None:
    # Fewer observables may be meant: those that no edge flips.
    if _is_matching(inner) and (inner.num_detectors != num_detectors or inner.num_fault_ids > num_observables):
        raise InputError(
            f"the pymatching.Matching has {inner.num_detectors} detectors and {inner.num_fault_ids} observables "
            f"(fault_ids), and the model {num_detectors} and {num_observables}: make it with "
            f"pymatching.Matching.from_detector_error_model of the same model"
        )


def compiled_inner(inner: Inner, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
    """Returns an inner decoder ready for a model.

    Raises:
        InputError: It cannot be used for this model.
    """
    _check_matching(inner, dem.num_detectors, dem.num_observables)
    if _is_matching(inner):
        return _CompiledMatching(inner)
    decoder = sinter.BUILT_IN_DECODERS[inner] if isinstance(inner, str) else inner
    try:
        return decoder.compile_decoder_for_dem(dem=dem)
    except NotImplementedError as error:
        raise InputError(
            f"the inner decoder {inner!r} works through files only: it needs the method compile_decoder_for_dem"
        ) from error
