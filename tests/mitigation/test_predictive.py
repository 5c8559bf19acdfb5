"""The yardstick of unseen shots: it conserves shots and is a probability distribution."""

import math

import numpy as np
import pytest

from quell.mitigation.predictive import split, unstructured_log_likelihoods

from .simulate import porter_thomas


def test_every_shot_is_in_one_half() -> None:
    weights = np.array([1000.0, 3.0, 0.0, 1.0, 500.0])
    first, second = split(weights)
    assert np.array_equal(first + second, weights)
    assert (first >= 0).all()
    assert (second >= 0).all()
    # Of 1000 shots, half fall into the first half; 80 are five standard deviations off.
    assert abs(first[0] - 500) < 80
    assert np.array_equal(split(weights)[0], first)


@pytest.mark.parametrize("counts", [[50, 30, 20], [1] * 16, [1000], [3, 0, 1]])
def test_probabilities_of_all_strings_sum_to_one(counts: list[int]) -> None:
    num_bits = 4
    first = np.zeros(2**num_bits)
    first[: len(counts)] = counts
    assert np.exp(unstructured_log_likelihoods(first, num_bits)).sum() == pytest.approx(1)


def test_many_shots_give_the_frequencies() -> None:
    truth = np.array([0.5, 0.25, 0.125, 0.125])
    predicted = np.exp(unstructured_log_likelihoods(1e6 * truth, 2))
    assert predicted == pytest.approx(truth, abs=1e-4)


def test_wide_strings_get_finite_numbers() -> None:
    predicted = unstructured_log_likelihoods(np.array([5.0, 1.0, 0.0]), 127)
    assert np.isfinite(predicted).all()
    # A string among 2^127 that was never seen is far less likely than one that was.
    assert predicted[2] < predicted[1] - 60


def test_the_draw_depends_on_the_seed_alone_and_takes_half() -> None:
    weights = np.random.default_rng(1).integers(0, 50, 2000).astype(float)
    first, second = split(weights, seed=7)
    assert np.array_equal(split(weights, seed=7)[0], first)
    assert not np.array_equal(split(weights, seed=8)[0], first)
    # 49,000 shots: half of them to 550, five standard deviations.
    assert abs(first.sum() - second.sum()) < 2 * 5 * np.sqrt(weights.sum() / 4)
    assert set(np.unique(first % 1)) == {0.0}


def evidence(counts: list[int], num_strings: int, strength: float) -> float:
    """Log-probability of counts in their order under a symmetric Dirichlet prior, one shot after the other."""
    total, logs = 0, 0.0
    for count in counts:
        for already in range(count):
            logs += math.log((already + strength / num_strings) / (total + strength))
            total += 1
    return logs


@pytest.mark.parametrize("counts", [[40, 3, 0, 9, 1, 0, 0, 2], [7, 5, 9, 6, 8, 7, 5, 7], [60, 0, 0, 0, 0, 0, 0, 0]])
def test_the_prior_is_the_one_that_makes_the_shots_likeliest(counts: list[int]) -> None:
    predicted = np.exp(unstructured_log_likelihoods(np.array(counts, dtype=float), 3))
    # Of two strings seen differently often, the ratio of the predictions gives the strength that was taken.
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    ratio = predicted[most] / predicted[least]
    strength = 8 * (counts[most] - ratio * counts[least]) / (ratio - 1)
    assert predicted == pytest.approx((np.array(counts) + strength / 8) / (sum(counts) + strength), rel=1e-9)
    # No strength a quarter larger or smaller is better, unless it is the smallest or largest that is tried.
    for factor in (0.5, 2.0):
        if 0.01 < strength * factor < 1e3 * sum(counts):
            assert evidence(counts, 8, strength) >= evidence(counts, 8, strength * factor)


def test_unseen_shots_are_predicted_nearly_as_well_as_by_the_truth() -> None:
    truth = porter_thomas(2, 6)
    drawn_counts = np.random.default_rng(3).multinomial(40_000, truth).astype(float)
    first, second = split(drawn_counts)
    predicted = unstructured_log_likelihoods(first, 6)
    behind = float(second @ (np.log(truth) - predicted)) / second.sum()
    # 63 free numbers from 20,000 shots lose 63 / 40,000 nats per shot, give or take .0005: five times that is .0025.
    assert behind == pytest.approx(63 / 40_000, abs=0.0025)
    uniform = float(second @ (np.log(truth) + math.log(64))) / second.sum()
    assert uniform > 0.3
