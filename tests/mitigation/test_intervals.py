"""Score intervals against scipy's."""

import numpy as np
import pytest
from scipy.stats import binomtest

from quell.errors import InputError
from quell.mitigation.intervals import share_interval


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_score_intervals_are_scipys(confidence: float) -> None:
    for hits, shots in [(0, 10), (1, 10), (5, 10), (10, 10), (3, 100_000), (99_999, 100_000)]:
        low, high = share_interval(hits / shots, shots, confidence)
        wanted = binomtest(hits, shots).proportion_ci(confidence, method="wilson")
        assert (float(low), float(high)) == pytest.approx((wanted.low, wanted.high), abs=1e-12)
        assert low <= hits / shots <= high


def test_score_intervals_of_an_array() -> None:
    low, high = share_interval(np.array([[0.0, 0.5], [1.0, 0.25]]), 8)
    assert low.shape == high.shape == (2, 2)
    assert low[0, 0] == 0.0
    assert high[1, 0] == 1.0


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0, float("nan")])
def test_confidence_out_of_range(confidence: float) -> None:
    with pytest.raises(InputError, match="confidence must be between 0 and 1"):
        share_interval(0.5, 10, confidence)
