"""Posteriors: for every shot, the odds that each edge of the matching graph was flipped, given all of its events.

The pre-decoder's network is one source of them, belief propagation another. What is done with them, to weigh a matching
or to commit what is sure, does not depend on where they come from. Log-odds travel as int16 in units of 1/256 nat.
"""

import numbers
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.errors import InputError

__all__ = [
    "LOG_ODDS_UNIT",
    "CompiledPosteriors",
    "Coordinates",
    "PosteriorSource",
    "check_bit_packed",
    "check_confidence",
]

LOG_ODDS_UNIT = 1 / 256  # nat

Coordinates: TypeAlias = Mapping[int, Sequence[float]]


class CompiledPosteriors(Protocol):
    """A source of posteriors that is ready for one model."""

    def log_odds(self, events: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Returns log(q / (1 - q)) of each edge, int16 (shots, edges) in units of `LOG_ODDS_UNIT`.

        Args:
            events: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian order.
        """


class PosteriorSource(Protocol):
    """Settings of a source of posteriors; can be pickled."""

    def settings_id(self) -> str:
        """Returns every setting that changes an answer, in a line."""

    def compile(
        self, graph: EdgeGraph, coordinates: Coordinates, edges: NDArray[np.int64], *, device: str = "cpu"
    ) -> CompiledPosteriors:
        """Prepares for a model.

        Args:
            graph: The model's edges.
            coordinates: Of its detectors, by number.
            edges: Which edges' odds are wanted, and in which order.
            device: `"cpu"`, `"cuda"` or `"cuda:1"`.
        """


def check_confidence(confidence: object) -> float:
    """Returns a confidence in [0.5, 1], or raises `InputError`."""
    if isinstance(confidence, numbers.Real) and not isinstance(confidence, bool) and 0.5 <= float(confidence) <= 1:
        return float(confidence)
    raise InputError(
        f"confidence must be between 0.5 (commit every correction) and 1 (commit none), got {confidence!r}"
    )


def check_bit_packed(name: str, events: object, num_bits: int) -> NDArray[np.uint8]:
    """Returns `events`, bit-packed rows of `num_bits` bits, or raises `InputError`.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.posteriors import check_bit_packed
        >>> check_bit_packed("dets", np.zeros((5, 3), dtype=np.uint8), 24).shape
        (5, 3)
        >>> check_bit_packed("dets", np.zeros((5, 24), dtype=np.bool_), 24)
        Traceback (most recent call last):
        quell.errors.InputError: dets must be bit-packed: uint8 of shape (shots, 3) for 24 bits, got bool of shape
        (5, 24); pack them with np.packbits(dets, axis=1, bitorder="little")
    """
    width = -(-num_bits // 8)
    if isinstance(events, np.ndarray) and events.dtype == np.uint8 and events.shape[1:] == (width,):
        return events
    got = f"{events.dtype} of shape {events.shape}" if isinstance(events, np.ndarray) else type(events).__name__
    hint = ""
    if isinstance(events, np.ndarray) and events.shape[1:] == (num_bits,):
        hint = f'; pack them with np.packbits({name}, axis=1, bitorder="little")'
    raise InputError(f"{name} must be bit-packed: uint8 of shape (shots, {width}) for {num_bits} bits, got {got}{hint}")
