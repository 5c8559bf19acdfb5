"""Intervals from a bootstrap over shots, against the distribution of the draws in closed form."""

import numpy as np
import pytest
from scipy.stats import binom

from quell.errors import InputError
from quell.mitigation import Raw

COUNTS = {"000": 600, "001": 300, "010": 95, "011": 5, "111": 0}


def test_ends_are_quantiles_of_the_binomial_distribution() -> None:
    # The share of 4,000 draws below a true quantile is off by five standard errors once in 1.7 million times, for each
    # of eight ends: 5e-6 for all; at 5.5 the test fails falsely once in 3 million.
    num_resamples, tail = 4000, 0.05
    intervals = Raw().mitigate(COUNTS).intervals(num_resamples, confidence=1 - 2 * tail, seed=7)
    margin = 5.5 * np.sqrt(tail * (1 - tail) / num_resamples)
    for key, count in COUNTS.items():
        drawn = binom(1000, count / 1000)
        low, high = (round(1000 * end) for end in intervals[key])
        # A whole number is the quantile if the probability of less is not above it and that of no more not below.
        assert drawn.cdf(low - 1) <= tail + margin
        assert drawn.cdf(low) >= tail - margin
        assert drawn.cdf(high - 1) <= 1 - tail + margin
        assert drawn.cdf(high) >= 1 - tail - margin


def test_intervals_hold_the_estimate_and_depend_on_the_seed_alone() -> None:
    mitigated = Raw().mitigate(COUNTS)
    intervals = mitigated.intervals(50, seed=3)
    assert set(intervals) == set(mitigated)
    assert all(low <= mitigated[key] <= high for key, (low, high) in intervals.items())
    assert intervals["111"] == (0.0, 0.0)
    assert Raw().mitigate(dict(reversed(COUNTS.items()))).intervals(50, seed=3) == intervals
    assert mitigated.intervals(50, seed=4) != intervals


def test_intervals_narrow_with_the_square_root_of_the_shots() -> None:
    widths = []
    for factor in (1, 100):
        counts = {key: factor * count for key, count in COUNTS.items()}
        low, high = Raw().mitigate(counts).intervals(2000, seed=1)["001"]
        widths.append(high - low)
    # Each width has a relative standard error of under 3 %, so the ratio strays by 22 % once in a million times.
    assert widths[0] / widths[1] == pytest.approx(10, rel=0.22)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_resamples": 19}, "num_resamples must be an integer >= 20, got 19"),
        ({"confidence": 1.0}, "confidence must be between 0 and 1"),
        ({"confidence": 0.0}, "confidence must be between 0 and 1"),
        ({"confidence": float("nan")}, "confidence must be between 0 and 1"),
    ],
)
def test_options_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Raw().mitigate(COUNTS).intervals(**options)
