"""How much mitigated numbers owe to the luck of the shots: intervals from a bootstrap over shots."""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer
from quell.mitigation.result import Interval
from quell.mitigation.table import CountTable

if TYPE_CHECKING:
    from quell.mitigation.estimator import Mitigator

__all__ = ["Bootstrap", "bootstrap"]


@dataclass(frozen=True)
class Bootstrap:
    """Percentile intervals of everything that a mitigation reports.

    Attributes:
        probabilities: For each key, the interval of its probability; it holds the reported one.
        flip_rate: Of the mean flip rate; None where the method has none or was told.
        background: Of the share of the shots in the background; None where the method has none.
        confidence: The share of the draws that each interval covers.
        num_resamples: How often the shots were drawn.
    """

    probabilities: dict[Hashable, Interval]
    flip_rate: Interval | None
    background: Interval | None
    confidence: float
    num_resamples: int


def bootstrap(
    table: CountTable,
    estimator: "Mitigator",
    probabilities: Mapping[Hashable, float],
    *,
    num_resamples: int,
    confidence: float,
    seed: int,
    progress: bool = False,
) -> Bootstrap:
    """Returns percentile intervals from `num_resamples` draws of the shots with replacement.

    Args:
        table: The counts that were measured.
        estimator: Makes the estimate from each draw. It is not changed.
        probabilities: The estimate from all shots; an interval is widened to hold it where resampling is one-sided.
        num_resamples: How often to draw, at least 20.
        confidence: The share of draws that an interval covers.
        seed: Of the draws.
        progress: Whether to show a bar on standard error.

    Raises:
        InputError: If `num_resamples` is below 20 or `confidence` is not between 0 and 1.
    """
    from tqdm import tqdm

    from quell.mitigation.estimator import labelled

    check_integer("num_resamples", num_resamples, minimum=20)
    check_integer("seed", seed, minimum=0)
    if isinstance(confidence, str) or not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, got {confidence!r}")
    if num_resamples * (1 - confidence) < 1 - 1e-9:
        least = math.ceil(1 / (1 - confidence) - 1e-9)
        raise InputError(f"num_resamples must be >= {least} for a confidence of {confidence}, got {num_resamples}")
    generator = np.random.default_rng(seed)
    keys = list(probabilities)
    draws = np.zeros((num_resamples, len(keys)), dtype=np.float32)
    numbers = np.full((num_resamples, 2), np.nan)
    for index in tqdm(range(num_resamples), desc="resampling", unit="draw", disable=not progress, leave=False):
        weights = generator.multinomial(table.shots, table.probabilities).astype(np.float64)
        resampled = table.with_weights(weights)
        estimated = estimator.estimate(resampled)
        found = labelled(resampled, estimated)
        draws[index] = [found.get(key, 0.0) for key in keys]
        report = estimated.report
        numbers[index] = [np.nan if value is None else value for value in (report.flip_rate, report.background)]
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(draws, tails, axis=0)
    intervals = {
        key: Interval(min(float(a), probabilities[key]), max(float(b), probabilities[key]))
        for key, a, b in zip(keys, low, high, strict=True)
    }
    flip_rate, background = (_interval(column, tails) for column in numbers.T)
    return Bootstrap(intervals, flip_rate, background, confidence, num_resamples)


def _interval(values: NDArray[np.float64], tails: list[float]) -> Interval | None:
    known = values[~np.isnan(values)]
    # What never varies was told to the method, not found by it.
    if not len(known) or known.min() == known.max():
        return None
    low, high = np.quantile(known, tails)
    return Interval(float(low), float(high))
