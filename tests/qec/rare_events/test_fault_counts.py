"""Numbers of faults and sets of faults against sums over all sets. A chi-square test rejects the truth once in 10^7."""

import itertools
import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.qec.rare_events.fault_counts import (
    AliasTable,
    FaultSampler,
    IndependentSampler,
    fault_number_distribution,
    log_no_fault,
)

FALSE_ALARM = 1e-7
ODDS = {
    "equal": np.full(6, 0.01),
    "far apart": np.array([1.0, 1e-3, 0.2, 0.2, 0.05, 1e-6, 0.5, 0.01]),
    "one rules": np.array([1.0, 1e-4, 2e-4, 3e-4, 1e-4]),
    "single": np.array([0.3]),
}
PROBABILITIES = st.lists(st.sampled_from([1e-12, 1e-4, 0.01, 0.2, 0.5]) | st.floats(1e-6, 0.5), min_size=1, max_size=9)


def check_frequencies(counts: NDArray[np.int64], expected: NDArray[np.float64]) -> None:
    """A chi-square test; outcomes that are expected fewer than 10 times are put together."""
    assert not counts[expected == 0].any()
    order = np.argsort(expected)
    counts, expected = counts[order], expected[order] * counts.sum()
    rare = max(1, int(np.searchsorted(np.cumsum(expected), 10)) + 1)
    seen = np.append(counts[:rare].sum(), counts[rare:])
    wanted = np.append(expected[:rare].sum(), expected[rare:])
    if len(seen) > 1:
        assert scipy.stats.chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue > FALSE_ALARM


@settings(max_examples=60, deadline=None)
@given(PROBABILITIES)
def test_number_of_faults_is_a_sum_over_all_sets(probabilities: list[float]) -> None:
    p = np.array(probabilities)
    expected = np.zeros(len(p) + 1)
    for inside in itertools.product((0, 1), repeat=len(p)):
        expected[sum(inside)] += math.prod(q if there else 1 - q for q, there in zip(p, inside, strict=True))
    np.testing.assert_allclose(fault_number_distribution(p / (1 - p), len(p)), expected, rtol=1e-10)
    np.testing.assert_allclose(fault_number_distribution(p / (1 - p), 1), expected[:2], rtol=1e-10)
    assert log_no_fault(p / (1 - p)) == pytest.approx(math.log(expected[0]))


def test_number_of_faults_is_binomial_for_equal_odds() -> None:
    found = fault_number_distribution(np.full(5_000, 1e-3 / (1 - 1e-3)), 60)
    np.testing.assert_allclose(found, scipy.stats.binom.pmf(np.arange(61), 5_000, 1e-3), rtol=1e-9)
    assert found[60] < 1e-30


def test_more_faults_than_there_are_have_no_probability() -> None:
    assert fault_number_distribution(np.array([1.0, 0.1]), 5)[3:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("weights", ODDS.values(), ids=ODDS)
def test_alias_table(weights: NDArray[np.float64]) -> None:
    drawn = AliasTable(weights).draw((400, 500), np.random.default_rng(1))
    check_frequencies(np.bincount(drawn.ravel(), minlength=len(weights)), weights / weights.sum())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=40))
def test_alias_table_holds_the_weights(weights: list[float]) -> None:
    table = AliasTable(np.array(weights))
    share = np.bincount(np.arange(len(weights)), table.threshold, minlength=len(weights))
    share += np.bincount(table.other, 1 - table.threshold, minlength=len(weights))
    np.testing.assert_allclose(share / len(weights), np.array(weights) / sum(weights), atol=1e-12)


@pytest.mark.parametrize("branch", ["with replacement", "one by one"])
@pytest.mark.parametrize("odds", ODDS.values(), ids=ODDS)
def test_sets_of_exactly_so_many_faults(odds: NDArray[np.float64], branch: str) -> None:
    rng = np.random.default_rng(2)
    sampler = FaultSampler(odds)
    for number in range(len(odds) + 1):
        if branch == "one by one":
            drawn = sampler._draw_one_by_one(number, 20_000, rng)
        elif (accepted := sampler._acceptance(number)) > 1e-3:
            sampler._accepted[number] = max(accepted, 0.05)  # lest it goes one by one
            drawn = sampler.draw(number, 20_000 if accepted > 0.05 else 500, rng)
        else:
            continue
        assert drawn.shape[1] == number
        inside = np.sort(drawn, axis=1)
        assert not (inside[:, 1:] == inside[:, :-1]).any()
        sets = list(itertools.combinations(range(len(odds)), number))
        weights = np.array([math.prod(odds[list(faults)]) for faults in sets])
        place = (1 << drawn.astype(np.int64)).sum(axis=1)
        numbers = np.array([sum(1 << fault for fault in faults) for faults in sets])
        counts = np.bincount(place, minlength=1 << len(odds))[numbers]
        assert counts.sum() == len(drawn)
        check_frequencies(counts, weights / weights.sum())


def test_both_branches_are_taken() -> None:
    sampler = FaultSampler(ODDS["far apart"])
    rates = [sampler._acceptance(number) for number in range(9)]
    assert rates[:2] == pytest.approx([1, 1])
    assert rates[2] == pytest.approx(1 - (ODDS["far apart"] ** 2).sum() / ODDS["far apart"].sum() ** 2)
    assert min(rates) < 0.05
    for number in range(9):
        assert sampler.draw(number, 7, np.random.default_rng(3)).shape == (7, number)


def test_many_faults_of_many() -> None:
    rng = np.random.default_rng(4)
    odds = rng.uniform(1e-4, 1e-2, 3_000)
    sampler = FaultSampler(odds)
    for number in (5, 40, 200):
        drawn = sampler.draw(number, 400, rng)
        inside = np.sort(drawn, axis=1)
        assert not (inside[:, 1:] == inside[:, :-1]).any()
        # The mean of the drawn odds against that of the exact marginals, which are those of independent draws nearly.
        expected = (odds**2).sum() / odds.sum()
        assert odds[drawn].mean() == pytest.approx(expected, rel=6 * 0.6 / math.sqrt(drawn.size) + 0.05)


@pytest.mark.parametrize("odds", [*ODDS.values(), np.array([1e9, 1.0, 1e-9])])
def test_independent_faults(odds: NDArray[np.float64]) -> None:
    shots = 60_000
    drawn = IndependentSampler(odds).draw(shots, np.random.default_rng(5))
    p = odds / (1 + odds)
    outcome = np.where(drawn < len(odds), 1 << drawn.astype(np.int64), 0).sum(axis=1)
    inside = (np.arange(1 << len(odds))[:, None] >> np.arange(len(odds))) & 1 == 1
    expected = np.where(inside, p, 1 - p).prod(axis=1)
    check_frequencies(np.bincount(outcome, minlength=len(expected)), expected)


def test_nothing_happens_to_any_shot() -> None:
    assert IndependentSampler(np.array([1e-12])).draw(5, np.random.default_rng(0)).shape == (5, 0)
