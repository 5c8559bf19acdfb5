"""Intervals against brute force, scipy and sinter."""

import json
import math

import numpy as np
import pytest
import sinter
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy import stats as scipy_stats

from quell.errors import DataError, InputError
from quell.qec.analysis import (
    Estimate,
    binomial_interval,
    discard_rate,
    error_rate,
    error_rate_per_round,
    normal_quantile,
    per_round_probability,
)


def task(shots: int, errors: int, discards: int = 0, **metadata: object) -> sinter.TaskStats:
    return sinter.TaskStats(
        strong_id="a", decoder="any", json_metadata=metadata, shots=shots, errors=errors, discards=discards
    )


@pytest.mark.parametrize(("hits", "trials"), [(1, 10), (5, 10), (9, 10), (37, 1000), (999, 1000), (3, 10**6)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_the_ends_are_where_the_likelihood_ratio_meets_the_chi_square_quantile(
    hits: int, trials: int, confidence: float
) -> None:
    best = hits / trials
    target = scipy_stats.chi2.ppf(confidence, 1)

    def excess(p: float) -> float:
        ratio = scipy_stats.binom.logpmf(hits, trials, best) - scipy_stats.binom.logpmf(hits, trials, p)
        return float(2 * ratio - target)

    low, high = binomial_interval(hits, trials, confidence)
    assert float(low) == pytest.approx(optimize.brentq(excess, 1e-14, best, xtol=1e-16), rel=1e-6)
    assert float(high) == pytest.approx(optimize.brentq(excess, best, 1 - 1e-14, xtol=1e-16), rel=1e-6)


def test_a_scan_of_the_likelihood_gives_the_same_interval() -> None:
    grid = np.linspace(1e-6, 1 - 1e-6, 1_000_001)
    log_likelihood = 7 * np.log(grid) + 43 * np.log1p(-grid)
    inside = grid[2 * (log_likelihood.max() - log_likelihood) <= normal_quantile(0.9) ** 2]
    low, high = binomial_interval(7, 50, 0.9)
    assert (float(low), float(high)) == pytest.approx((inside[0], inside[-1]), abs=2e-6)


@pytest.mark.parametrize(("hits", "trials"), [(2, 10**8), (37, 1000), (500, 1000)])
def test_sinter_finds_the_same_ends(hits: int, trials: int) -> None:
    factor = math.exp(normal_quantile(0.95) ** 2 / 2)
    fit = sinter.fit_binomial(num_shots=trials, num_hits=hits, max_likelihood_factor=factor)
    low, high = binomial_interval(hits, trials)
    # sinter works on a grid of a hundredth of a hit
    assert float(low) == pytest.approx(fit.low, abs=0.011 / trials)
    assert float(high) == pytest.approx(fit.high, abs=0.011 / trials)


@pytest.mark.parametrize("hits", [10, 10**6, 10**12 // 2, 10**12 - 10])
def test_a_million_million_shots_lose_no_digits(hits: int) -> None:
    trials = 10**12
    low, high = (float(end) for end in binomial_interval(hits, trials))
    rare = min(hits, trials - hits)
    if rare == 10:
        # Poisson limit: 2 (m - 10 - 10 log(m/10)) = z^2
        ends = [
            optimize.brentq(lambda m: 2 * (m - 10 - 10 * math.log(m / 10)) - normal_quantile(0.95) ** 2, *bracket)
            for bracket in ((1.0, 10.0), (10.0, 50.0))
        ]
        reach = [10 - ends[0], ends[1] - 10]
        if hits > rare:
            reach.reverse()
        assert [(hits / trials - low) * trials, (high - hits / trials) * trials] == pytest.approx(reach, rel=1e-3)
    else:
        sigma = math.sqrt(hits * (1 - hits / trials)) / trials
        assert [hits / trials - low, high - hits / trials] == pytest.approx([1.96 * sigma] * 2, rel=2e-3)


def test_without_hits_the_interval_is_the_exact_one_sided_one() -> None:
    low, high = binomial_interval([0, 10], 10)
    # (1 - p)^10 = 0.05
    assert low.tolist() == pytest.approx([0, 0.05**0.1])
    assert high.tolist() == pytest.approx([1 - 0.05**0.1, 1])
    assert float(binomial_interval(0, 10**12)[1]) == pytest.approx(-math.log(0.05) * 1e-12, rel=1e-9)


@given(st.integers(1, 10**9).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.01, 0.9999))
@settings(max_examples=100, deadline=None)
def test_an_interval_holds_its_estimate_and_mirrors(counts: tuple[int, int], confidence: float) -> None:
    hits, trials = counts
    low, high = binomial_interval(hits, trials, confidence)
    mirror_low, mirror_high = binomial_interval(trials - hits, trials, confidence)
    assert 0 <= low <= hits / trials <= high <= 1
    assert (1 - mirror_high, 1 - mirror_low) == pytest.approx((float(low), float(high)), abs=1e-12)


def test_coverage_is_near_what_is_claimed() -> None:
    # Exact sums over the binomial distribution: no randomness, so no false alarms.
    for trials, p in [(1000, 0.01), (1000, 0.3), (10_000, 0.002)]:
        hits = np.arange(trials + 1)
        low, high = binomial_interval(hits, trials)
        covered = scipy_stats.binom.pmf(hits, trials, p)[(low <= p) & (p <= high)].sum()
        assert 0.93 < covered < 0.97


def test_rates_leave_discards_out() -> None:
    rate = error_rate(task(1000, 20, discards=500))
    assert rate.value == 20 / 500
    assert (rate.low, rate.high) == tuple(float(end) for end in binomial_interval(20, 500))
    assert discard_rate(task(1000, 20, discards=500)).value == 0.5


def test_no_kept_shots_say_nothing() -> None:
    for stats in (task(0, 0), task(10, 0, discards=10)):
        rate = error_rate(stats)
        assert math.isnan(rate.value)
        assert (rate.low, rate.high) == (0, 1)
        assert json.loads(json.dumps(rate.to_json(), allow_nan=False))["value"] is None


@pytest.mark.parametrize("rounds", [1, 2, 7, 1000])
@pytest.mark.parametrize("rate", [0, 1e-6, 0.1, 0.4999, 0.5, 0.6, 1])
def test_rounds_are_taken_apart_as_sinter_does(rate: float, rounds: int) -> None:
    assert float(per_round_probability(rate, rounds)) == pytest.approx(
        sinter.shot_error_rate_to_piece_error_rate(rate, pieces=rounds), rel=1e-9
    )


def test_tiny_rates_divide_by_the_rounds() -> None:
    # first order: q = P/r, next order P^2 (1 - 1/r)/r
    assert float(per_round_probability(1e-12, 25)) == pytest.approx(1e-12 / 25, rel=1e-11)


def test_rounds_come_from_the_metadata_or_the_argument() -> None:
    stats = task(10_000, 900, r=3)
    rate = error_rate(stats)
    per_round = error_rate_per_round(stats)
    for end, per_shot in zip(
        (per_round.value, per_round.low, per_round.high), (rate.value, rate.low, rate.high), strict=True
    ):
        assert (1 - (1 - 2 * end) ** 3) / 2 == pytest.approx(per_shot)
    assert error_rate_per_round(task(10_000, 900, rounds=3)) == per_round
    assert error_rate_per_round(task(10_000, 900), 3) == per_round
    high = error_rate_per_round(task(100, 70, r=3))
    assert 0.5 < high.low < high.value < high.high < 1


def test_bad_input_is_refused() -> None:
    with pytest.raises(InputError, match="at most trials"):
        binomial_interval(11, 10)
    with pytest.raises(InputError, match="at most trials"):
        binomial_interval(-1, 10)
    with pytest.raises(InputError, match="confidence"):
        error_rate(task(10, 1), confidence=95)
    with pytest.raises(InputError, match="pass rounds="):
        error_rate_per_round(task(10, 1))
    with pytest.raises(InputError, match="rounds must be > 0, got 0"):
        error_rate_per_round(task(10, 1), 0)
    with pytest.raises(DataError, match="rounds must be a number"):
        error_rate_per_round(task(10, 1, r="many"))


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.012341, 0.011876, 0.012812), "0.01234 [0.01188, 0.01281]"),
        (Estimate(2e-8, 2e-10, 1.2e-7), "2.00e-08 [2.00e-10, 1.20e-07]"),
        (Estimate(0, 0, 3e-6), "0 [0, 3.0e-06]"),
        (Estimate(math.nan, 0, 1), "nan [0.00, 1.00]"),
        (Estimate(math.inf, 12.3, math.inf), "inf [12.3, inf]"),
        (Estimate(9.1, 8.2, 10.4), "9.1 [8.2, 10.4]"),
    ],
)
def test_an_estimate_is_readable(estimate: Estimate, text: str) -> None:
    assert str(estimate) == text
