"""The result of a rare-event run: an error rate with its interval, its method, and what that takes for granted."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from quell.qec.analysis.intervals import Estimate

__all__ = ["METHODS", "RareEstimate"]

METHODS = ("splitting", "strata")


@dataclass(frozen=True)
class RareEstimate:
    """A logical error rate that plain sampling may never have reached.

    Attributes:
        strong_id: Of the task with its decoder, as a sweep has it.
        decoder: The decoder's name, with its settings as a sweep writes them.
        json_metadata: Of the task.
        method: `"strata"` or `"splitting"`.
        error_rate: Errors per shot that was kept, with the interval. Where `trusted` is false it is from 0 to 1.
        acceptance: The fraction of shots that is kept; None if none can be discarded.
        shots: Sets of faults that were drawn, or steps of chains.
        seconds: Time of all workers together, starts of processes left out.
        trusted: False where the method's own checks failed: `reason` says which.
        reason: Why there is no interval, or why it is wider than was asked for; empty if there is nothing to say.
        assumes: What the number takes for granted, in words.
        details: More numbers of the method's own, for JSON.

    Examples:
        >>> from quell.qec import Estimate, RareEstimate
        >>> rate = Estimate(2.1e-7, 1.9e-7, 2.3e-7)
        >>> result = RareEstimate("ab12", "pymatching", {"d": 9, "p": 5e-4}, "splitting", rate)
        >>> print(result)
        {"d": 9, "p": 0.0005} pymatching: 2.10e-07 [1.90e-07, 2.30e-07] by splitting
    """

    strong_id: str
    decoder: str
    json_metadata: Any
    method: str
    error_rate: Estimate
    acceptance: Estimate | None = None
    shots: int = 0
    seconds: float = 0.0
    trusted: bool = True
    reason: str = ""
    assumes: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def relative_error(self) -> float:
        """Half the width of the interval over the error rate; infinite if there was no error."""
        if not (self.trusted and self.error_rate.value > 0):
            return math.inf
        return (self.error_rate.high - self.error_rate.low) / 2 / self.error_rate.value

    def to_json(self) -> dict[str, Any]:
        """Returns everything as JSON has it."""
        return {
            "strong_id": self.strong_id,
            "decoder": self.decoder,
            "json_metadata": self.json_metadata,
            "method": self.method,
            "error_rate": self.error_rate.to_json(),
            "acceptance": None if self.acceptance is None else self.acceptance.to_json(),
            "shots": self.shots,
            "seconds": round(self.seconds, 3),
            "trusted": self.trusted,
            "reason": self.reason,
            "assumes": self.assumes,
            "details": self.details,
        }

    def __str__(self) -> str:
        """Returns metadata, decoder, error rate and method in a line, and what there is to say against it."""
        text = f"{json.dumps(self.json_metadata)} {self.decoder}: {self.error_rate} by {self.method}"
        return text if self.trusted else f"{text}; no interval: {self.reason}"
