"""How sure a pre-decoder must be before a given decoder, found out on shots of its own."""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.posteriors import check_confidence
from quell.decoders.predecoder.predecoded import Inner, check_inner, compiled_inner
from quell.decoders.predecoder.predecoder import PreDecoder, Source, decomposed_model, source_of
from quell.errors import InputError, check_integer, check_probability

__all__ = ["CONFIDENCES", "ConfidenceChoice", "ConfidenceRow", "choose_confidence", "paired_ratio"]

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
_SIGMAS = 1.96
_NONE_SEEN = 3.7  # the largest mean of a count that is 0 once in forty


@dataclasses.dataclass(frozen=True)
class ConfidenceRow:
    """What a confidence does, over all circuits together.

    Attributes:
        confidence: The confidence.
        shots: Shots.
        errors: Shots that were decoded wrongly with the pre-decoder, and not discarded.
        errors_alone: Shots that the inner decoder alone decoded wrongly.
        errors_both: Shots that both decoded wrongly.
        events_left: The share of detection events that the inner decoder still gets.
        ratio: `errors` over `errors_alone`; 1 where there are none.
        interval: 95 % interval of the ratio, paired.
    """

    confidence: float
    shots: int
    errors: int
    errors_alone: int
    errors_both: int
    events_left: float
    ratio: float
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True)
class ConfidenceChoice:
    """A confidence, and what it was chosen from.

    Attributes:
        confidence: The choice, for `PreDecoded(..., confidence=...)`; 1 where no other is known to be harmless, because
            it is not, or because there were too few errors to tell.
        rows: What each confidence did.
    """

    confidence: float
    rows: tuple[ConfidenceRow, ...]


def choose_confidence(
    inner: Inner,
    circuits: Iterable[stim.Circuit],
    *,
    source: Source = "fast",
    num_shots: int = 20_000,
    seed: int = 1,
    max_events_left: float = 0.15,
    max_ratio: float = 1.05,
    confidences: Sequence[float] = CONFIDENCES,
    device: str = "auto",
) -> ConfidenceChoice:
    """Finds the confidence at which the pre-decoder leaves few events and makes a decoder no worse.

    Of the confidences whose error ratio's upper end is at most `max_ratio`, the highest that leaves at most
    `max_events_left` of the events; where there is none, the one that leaves the fewest.

    Args:
        inner: The decoder, as for `PreDecoded`.
        circuits: Circuits that are like those to be decoded, at strengths of noise where errors are not too rare.
        source: As for `PreDecoder`.
        num_shots: Shots of each circuit. The inner decoder alone should make a thousand errors or so, or intervals are
            too wide to call anything harmless.
        seed: Of the shots; measure what was chosen on other seeds.
        max_events_left: See above.
        max_ratio: See above.
        confidences: To choose among, each between 0.5 and 1.
        device: As for `PreDecoder`.

    A circuit for which the pre-decoder steps aside counts as one in which nothing is committed.

    Raises:
        InputError: An argument is outside its limits, or an inner decoder cannot be used for a circuit.

    Examples:
        >>> import stim
        >>> from quell.decoders import choose_confidence
        >>> circuit = stim.Circuit.generated("surface_code:rotated_memory_z", distance=3, rounds=3,
        ...                                  after_clifford_depolarization=0.01)
        >>> choice = choose_confidence("pymatching", [circuit], num_shots=500, device="cpu")
        >>> len(choice.rows), 0.5 <= choice.confidence <= 1
        (9, True)
    """
    check_integer("num_shots", num_shots, minimum=1)
    check_integer("seed", seed, minimum=0)
    check_probability("max_events_left", max_events_left)
    tried = sorted({check_confidence(confidence) for confidence in confidences})
    posteriors = source_of(source)
    check_inner(inner)
    counts = np.zeros((len(tried), 3), dtype=np.int64)  # errors, errors of both, events left
    alone, events, shots = 0, 0, 0
    for number, circuit in enumerate(circuits):
        if not isinstance(circuit, stim.Circuit):
            raise InputError(f"circuits must be stim.Circuits, got {type(circuit).__name__}; pass a list even for one")
        dem = decomposed_model(circuit)
        # The confidence is given to `commit`; this one only keeps the weights' card closed.
        predecoder = PreDecoder(posteriors, confidence=1.0, device=device).compile(dem)
        decoder = compiled_inner(inner, dem)
        sampler = circuit.compile_detector_sampler(seed=seed + number)
        dets, actual = sampler.sample(num_shots, separate_observables=True, bit_packed=True)
        log_odds = predecoder.log_odds(dets)
        wrong_alone = _wrong(decoder, dets, actual)
        alone += int(wrong_alone.sum())
        events += _num_bits(dets)
        shots += num_shots
        for row, confidence in enumerate(tried):
            left, frame = predecoder.commit(log_odds, dets, confidence)
            wrong_now = _wrong(decoder, left, actual ^ frame)
            counts[row] += wrong_now.sum(), (wrong_now & wrong_alone).sum(), _num_bits(left)
    if not shots:
        raise InputError("circuits must hold at least one circuit, got none")
    rows = tuple(
        ConfidenceRow(
            confidence,
            shots,
            int(errors),
            alone,
            int(both),
            float(left / events) if events else 0.0,
            *paired_ratio(int(errors), alone, int(both)),
        )
        for confidence, (errors, both, left) in zip(tried, counts, strict=True)
    )
    harmless = [row for row in rows if row.interval[1] <= max_ratio and row.events_left < 1]
    fitting = [row for row in harmless if row.events_left <= max_events_left]
    if fitting:
        return ConfidenceChoice(max(row.confidence for row in fitting), rows)
    return ConfidenceChoice(min(harmless, key=lambda row: row.events_left).confidence if harmless else 1.0, rows)


def _wrong(decoder: sinter.CompiledDecoder, dets: NDArray[np.uint8], actual: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which shots a decoder gets wrong; a byte more a shot is for discards, which count as no errors."""
    found = decoder.decode_shots_bit_packed(bit_packed_detection_event_data=dets)
    width = actual.shape[1]
    differs: NDArray[np.bool_] = (found[:, :width] != actual).any(axis=1)
    differs &= ~found[:, width:].any(axis=1)
    return differs


def _num_bits(packed: NDArray[np.uint8]) -> int:
    return int(np.bitwise_count(packed).sum())


def paired_ratio(errors: int, alone: int, both: int) -> tuple[float, tuple[float, float]]:
    """The ratio of two error counts on the same shots and its 95 % interval, on a logarithmic scale."""
    if not alone:
        return 1.0 if not errors else math.inf, (0.0, math.inf)
    if not errors:
        return 0.0, (0.0, _NONE_SEEN / alone)
    ratio = errors / alone
    spread = math.sqrt(max(0.0, 1 / errors + 1 / alone - 2 * both / (errors * alone)))
    return ratio, (ratio * math.exp(-_SIGMAS * spread), ratio * math.exp(_SIGMAS * spread))
