"""Intervals of weighted sums: against the binomial one, by symmetry, and by how often they hold the truth."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.qec.analysis.intervals import Estimate, binomial_interval
from quell.qec.rare_events.intervals import combine_logs, ratio_of_estimates, weighted_rate_interval

STRATA = st.lists(
    st.tuples(st.floats(1e-9, 1), st.integers(0, 40), st.integers(0, 10_000)).map(lambda t: (t[0], t[1], t[1] + t[2])),
    min_size=1,
    max_size=6,
)


def interval(weights: list[float], hits: list[float], shots: list[float]) -> tuple[float, float]:
    return weighted_rate_interval(np.array(weights, float), np.array(hits, float), np.array(shots, float))


@pytest.mark.parametrize(
    ("hits", "shots"), [(0, 10), (0, 10**9), (1, 10), (3, 10**6), (9, 10), (500, 1000), (7, 10**12)]
)
def test_one_stratum_has_the_binomial_interval(hits: int, shots: int) -> None:
    low, high = (float(end) for end in binomial_interval(hits, shots))
    found = interval([0.3], [hits], [shots])
    if hits:
        assert found == pytest.approx((0.3 * low, 0.3 * high), rel=1e-6)
    else:
        assert found == pytest.approx((0, 0.3 * high), rel=1e-6)


def test_all_hits_reach_up_to_the_weight() -> None:
    low, high = interval([0.5, 0.25], [100, 10], [100, 10])
    assert 0.5 < low < 0.75
    assert high == pytest.approx(0.75)


def test_nothing_is_known_of_strata_without_shots() -> None:
    assert interval([0.5, 0.25], [0, 0], [0, 0]) == (0, 0.75)
    without = interval([0.5], [3], [100])
    assert interval([0.5, 0.25], [3, 0], [100, 0]) == pytest.approx((without[0], without[1] + 0.25))
    assert interval([], [], []) == (0, 0)


@pytest.mark.parametrize("shots", [1e3, 1e6, 1e9])
def test_empty_strata_count_by_the_rule_of_three(shots: float) -> None:
    low, high = interval([1.0, 1.0, 1e-3], [0, 0, 0], [shots, shots, shots])
    assert low == 0
    assert high == pytest.approx(3 / shots, rel=0.01)


@settings(max_examples=80, deadline=None)
@given(STRATA, st.floats(1e-30, 1e3))
def test_weights_scale_the_interval(strata: list[tuple[float, int, int]], scale: float) -> None:
    weights, hits, shots = (list(column) for column in zip(*strata, strict=True))
    low, high = interval(weights, hits, shots)
    value = sum(w * k / n for w, k, n in strata if n)
    assert 0 <= low <= value * (1 + 1e-9)
    assert high >= value * (1 - 1e-9)
    assert high <= sum(weights) * (1 + 1e-9)
    scaled = interval([w * scale for w in weights], hits, shots)
    assert scaled == pytest.approx((low * scale, high * scale), rel=1e-6)
    # Two strata that are alike are one of twice the weight with twice the shots.
    split = interval([*weights, weights[0]], [*hits, hits[0]], [*shots, shots[0]])
    first, *rest = strata
    doubled = [tuple(2 * each for each in first), *rest]
    assert interval(*(list(column) for column in zip(*doubled, strict=True))) == pytest.approx(split, rel=1e-5)


def test_the_ends_are_where_the_likelihood_has_fallen_far_enough() -> None:
    weights, hits, shots = np.array([1.0, 0.02, 0.3]), np.array([0, 40, 3]), np.array([1e5, 1e3, 1e4])

    def deviance(rates: np.ndarray) -> float:
        def log_likelihood(r: np.ndarray) -> float:
            return float((scipy.special.xlogy(hits, r) + scipy.special.xlog1py(shots - hits, -r)).sum())

        return 2 * (log_likelihood(hits / shots) - log_likelihood(rates))

    for end in interval(list(weights), list(hits), list(shots)):
        # The best rates that give this sum, found by another program: two are free, in logarithms; the third follows.
        def profile(free: np.ndarray, total: float = end) -> float:
            first, third = math.exp(free[0]), math.exp(free[1])
            second = (total - weights[0] * first - weights[2] * third) / weights[1]
            return deviance(np.array([first, second, third])) if 0 < second < 1 else 1e6

        starts = [(a, b) for a in (-20, -13, -11) for b in (-9, -8, -7.5)]
        best = min(
            scipy.optimize.minimize(profile, start, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}).fun
            for start in starts
        )
        assert best == pytest.approx(scipy.stats.chi2.ppf(0.95, 1), abs=2e-3)


SCENES = {  # weights, rates, shots
    "many hits": ([1e-2, 1e-3, 1e-4], [1e-3, 1e-2, 0.1], [2e4, 1e4, 1e3]),
    "an empty stratum": ([1e-2, 1e-3, 1e-4], [0.0, 1e-2, 0.1], [2e4, 2e3, 500]),
    "one hit or none in the heaviest": ([1e-2, 1e-3], [2e-5, 1e-2], [3e4, 3e3]),
    "few hits": ([1.0, 0.5, 0.1], [1e-5, 1e-4, 1e-3], [2e4, 2e4, 1e4]),
    "rates near one": ([1.0, 1.0], [0.97, 0.5], [100, 30]),
    "many small strata": ([0.1] * 8, [1e-3] * 8, [400] * 8),
}


@pytest.mark.parametrize("scene", SCENES)
def test_intervals_hold_the_truth(scene: str) -> None:
    """In 1,500 simulations; 0.91 is 6 standard deviations below 0.95, and so rejects a true 0.95 once in 10^9."""
    weights, rates, shots = (np.array(column, float) for column in SCENES[scene])
    rng = np.random.default_rng(6)
    truth = float(weights @ rates)
    held = 0
    for _ in range(1_500):
        low, high = weighted_rate_interval(weights, rng.binomial(shots.astype(int), rates).astype(float), shots)
        held += low <= truth <= high
    assert held / 1_500 > 0.91


def test_products_and_ratios() -> None:
    low, high = combine_logs(2.0, (0.3, 0.1), (0.4, 0.0))
    assert (low, high) == pytest.approx((2 * math.exp(-0.5), 2 * math.exp(0.1)))
    assert combine_logs(2.0, (math.inf, 0.0)) == (0.0, 2.0)
    ratio = ratio_of_estimates(Estimate(1e-3, 0.0, 2e-3), Estimate(0.5, 0.4, 0.6))
    assert ratio.value == pytest.approx(2e-3)
    assert ratio.low == 0
    assert ratio.high == pytest.approx(2e-3 * math.exp(math.hypot(math.log(2), math.log(0.5 / 0.4))))
    nothing = ratio_of_estimates(Estimate(0.0, 0.0, 1e-3), Estimate(0.5, 0.4, 0.6))
    assert (nothing.value, nothing.low) == (0, 0)
    assert nothing.high == pytest.approx(2.5e-3)
    assert ratio_of_estimates(Estimate(0.0, 0.0, 1e-3), Estimate(0.0, 0.0, 0.1)).high == 1
