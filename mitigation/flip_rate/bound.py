"""A flip-rate model that knows its circuit and device, so that only the counts are missing."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quell.mitigation.flip_rate.features import FEATURE_NAMES, CircuitFeatures
from quell.mitigation.result import Interval
from quell.mitigation.table import CountTable

if TYPE_CHECKING:
    from quell.mitigation.flip_rate.regressor import FlipRateRegressor

__all__ = ["MAXIMUM", "BoundFlipRate", "FlipRatePrediction"]

MAXIMUM = 0.49
"""The largest flip rate that is handed on: at one half, a bit says nothing."""


@dataclass(frozen=True)
class FlipRatePrediction:
    """A flip rate and what there is to say about it.

    Attributes:
        flip_rate: Between 0 and 0.49.
        interval: The interval of `FlipRateRegressor.predict_interval`, cut to the same range.
        confidence: How often the interval should cover.
        unclipped: What the model said before it was cut.
        features: The eight features, by name.
        notes: What a reader should know: clipping, features outside what the model was trained on, calibration gaps.
    """

    flip_rate: float
    interval: Interval
    confidence: float
    unclipped: float
    features: dict[str, float]
    notes: tuple[str, ...]

    @property
    def clipped(self) -> bool:
        """Whether the model's word was outside 0 to 0.49."""
        return self.flip_rate != self.unclipped


class BoundFlipRate:
    """Estimates the flip rate of one circuit on one device from counts. `FlipRateRegressor.bind` makes one."""

    def __init__(self, model: "FlipRateRegressor", circuit: CircuitFeatures) -> None:
        self._model = model
        self.circuit = circuit

    def flip_rate(self, table: CountTable) -> float:
        """Returns the flip rate, clipped to 0 to 0.49; `explain` says whether it was clipped.

        Args:
            table: The counts of the circuit, as `quell.mitigation.read_counts` gives them.

        Raises:
            InputError: If the counts have another number of bits than the circuit measures.
        """
        return self.explain(table).flip_rate

    def explain(self, table: CountTable, confidence: float = 0.9) -> FlipRatePrediction:
        """Returns the flip rate with its interval, the features it rests on, and notes.

        Args:
            table: The counts of the circuit, as `quell.mitigation.read_counts` gives them.
            confidence: Of the interval, between 0 and 1.

        Raises:
            InputError: If the counts have another number of bits than the circuit measures.
        """
        features = self.circuit.with_counts(table)
        found = float(self._model.predict(features[None])[0])
        low, high = np.clip(self._model.predict_interval(features[None], confidence)[0], 0, MAXIMUM).tolist()
        rate = min(max(found, 0.0), MAXIMUM)
        notes = list(self.circuit.notes)
        if rate != found:
            notes.append(f"the predicted flip rate {found:.4f} is clipped to {rate:g}")
        facts = self._model.facts_
        for name, value, least, most in zip(FEATURE_NAMES, features, facts["lowest"], facts["highest"], strict=True):
            if not least <= value <= most:
                notes.append(
                    f"{name} is {value:.4g}, and the model was trained on {least:.4g} to {most:.4g}: "
                    "the prediction and its interval are extrapolated"
                )
        return FlipRatePrediction(
            flip_rate=rate,
            interval=Interval(min(low, rate), max(high, rate)),
            confidence=confidence,
            unclipped=found,
            features=dict(zip(FEATURE_NAMES, features.tolist(), strict=True)),
            notes=tuple(notes),
        )

    def __repr__(self) -> str:
        return f"BoundFlipRate({self._model!r}, {self.circuit.qubits} qubits, ESP {self.circuit.esp:.3f})"
