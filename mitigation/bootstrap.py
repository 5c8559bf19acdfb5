"""How much mitigated probabilities owe to the luck of the shots: intervals from a bootstrap over shots."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import InputError, check_integer
from quell.mitigation.result import Interval
from quell.mitigation.table import CountTable

if TYPE_CHECKING:
    from quell.mitigation.estimator import Mitigator

__all__ = ["bootstrap_intervals"]


def bootstrap_intervals(
    table: CountTable,
    estimator: "Mitigator",
    probabilities: Mapping[Hashable, float],
    *,
    num_resamples: int,
    confidence: float,
    seed: int,
) -> dict[Hashable, Interval]:
    """Returns percentile intervals of `probabilities` from `num_resamples` draws of the shots with replacement.

    Args:
        table: The counts that were measured.
        estimator: Makes the estimate from each draw. It is not changed.
        probabilities: The estimate from all shots; an interval is widened to hold it where resampling is one-sided.
        num_resamples: How often to draw, at least 20.
        confidence: The share of draws that an interval covers.
        seed: Of the draws.

    Raises:
        InputError: If `num_resamples` is below 20 or `confidence` is not between 0 and 1.
    """
    from quell.mitigation.estimator import labelled

    check_integer("num_resamples", num_resamples, minimum=20)
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, got {confidence!r}")
    generator = np.random.default_rng(seed)
    keys = list(probabilities)
    draws = np.zeros((num_resamples, len(keys)), dtype=np.float32)
    for draw in draws:
        weights = generator.multinomial(table.shots, table.probabilities).astype(np.float64)
        resampled = table.with_weights(weights)
        found = labelled(resampled, estimator.estimate(resampled))
        draw[:] = [found.get(key, 0.0) for key in keys]
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    return {
        key: Interval(min(float(a), probabilities[key]), max(float(b), probabilities[key]))
        for key, a, b in zip(keys, low, high, strict=True)
    }
