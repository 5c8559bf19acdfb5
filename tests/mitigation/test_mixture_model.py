"""The mixture of bit flips against products written out, its Fisher information, and what it was simulated from."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.mitigation import read_counts
from quell.mitigation.mixture_model import (
    BitFlipModel,
    component_log_likelihoods,
    fit,
    share_out,
    string_log_likelihoods,
)

from .simulate import drawn, flipped, random_answers, simulated, tallied

Array = NDArray[np.float64]


def all_strings(num_bits: int) -> NDArray[np.uint8]:
    return np.array(list(itertools.product((0, 1), repeat=num_bits)), dtype=np.uint8)


def random_model(seed: int, num_bits: int, number: int) -> BitFlipModel:
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.ones(number + 1))
    return BitFlipModel(
        random_answers(generator, number, num_bits),
        shares[:-1],
        float(shares[-1]),
        generator.uniform(0.01, 0.4, num_bits),
        generator.uniform(0.01, 0.4, num_bits),
        generator.uniform(0.45, 0.55, num_bits),
    )


def by_hand(string: NDArray[np.uint8], model: BitFlipModel) -> list[float]:
    """The joint probability of a string and each component, background last, bit by bit."""
    joint = []
    for center, share in zip(model.centers.tolist(), model.shares.tolist(), strict=True):
        for bit, wanted in enumerate(center):
            rate = model.rates_1_to_0[bit] if wanted else model.rates_0_to_1[bit]
            share *= 1 - rate if string[bit] == wanted else rate
        joint.append(share)
    ones = model.background_ones
    return [*joint, model.background * math.prod(o if b else 1 - o for b, o in zip(string, ones, strict=True))]


@given(st.integers(0, 1000), st.integers(1, 7), st.integers(1, 3))
def test_components_are_products_over_bits(seed: int, num_bits: int, number: int) -> None:
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, (5, num_bits)).astype(float)
    ones = generator.uniform(0.001, 0.999, (number, num_bits))
    expected = [
        [math.log(math.prod(o if b else 1 - o for b, o in zip(x, one, strict=True))) for one in ones] for x in bits
    ]
    assert component_log_likelihoods(bits, ones) == pytest.approx(np.array(expected), rel=1e-9, abs=1e-9)


def test_a_component_without_doubt_is_still_finite() -> None:
    certain = component_log_likelihoods(np.array([[0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert certain[0, 0] == pytest.approx(0, abs=1e-9)
    assert -1e3 < certain[0, 1] < -50


@given(st.integers(0, 1000), st.integers(2, 6))
def test_owners_are_what_bayes_rule_says(seed: int, num_bits: int) -> None:
    model = random_model(seed, num_bits, min(3, num_bits))
    strings = all_strings(num_bits)
    owners, likelihoods = share_out(strings.astype(float), model)
    joint = np.array([by_hand(string, model) for string in strings])
    assert owners.sum(axis=1) == pytest.approx(np.ones(len(strings)), abs=1e-12)
    assert owners == pytest.approx(joint / joint.sum(axis=1, keepdims=True), rel=1e-9, abs=1e-12)
    assert likelihoods == pytest.approx(np.log(joint.sum(axis=1)), rel=1e-9)


@pytest.mark.parametrize("number", [0, 1, 3])
def test_all_strings_together_have_probability_one(number: int) -> None:
    model = random_model(5, 6, number)
    total = np.exp(string_log_likelihoods(all_strings(6).astype(float), model)).sum()
    assert total == pytest.approx(1, abs=1e-12)


def test_long_strings_underflow_nowhere() -> None:
    generator = np.random.default_rng(3)
    model = random_model(3, 2000, 2)
    owners, likelihoods = share_out(generator.integers(0, 2, (4, 2000)).astype(float), model)
    assert np.isfinite(likelihoods).all()
    assert (likelihoods < -800).all()
    assert owners.sum(axis=1) == pytest.approx(np.ones(4))


@pytest.mark.parametrize(
    ("seed", "weights", "p"), [(0, (1.0,), 0.05), (1, (0.5, 0.3, 0.2), 0.15), (2, (0.25,) * 4, 0.3)]
)
def test_no_step_loses_likelihood(seed: int, weights: tuple[float, ...], p: float) -> None:
    table = read_counts(simulated(seed, weights, p, num_bits=7, shots=20_000, background=0.1)[0])
    model = random_model(seed + 100, 7, 4)
    seen = []
    for _ in range(40):
        model = fit(table.float_bits, table.weights, model, max_steps=1)
        seen.append(model.log_likelihood)
    # A rate drawn towards the mean by 30 of thousands of shots may cost far less than one nat, the limits nothing.
    assert min(np.diff(seen)) > -0.5
    assert seen[-1] > seen[0] + 100


def test_the_likelihood_is_that_of_the_shots() -> None:
    table = read_counts(simulated(4, (0.6, 0.4), 0.1, num_bits=4, shots=500)[0])
    model = fit(table.float_bits, table.weights, random_model(4, 4, 2), max_steps=30)
    expected = sum(w * math.log(sum(by_hand(row, model))) for row, w in zip(table.bits, table.weights, strict=True))
    assert model.log_likelihood == pytest.approx(expected, rel=1e-12)


def probabilities(theta: Array, centers: NDArray[np.uint8]) -> Array:
    """P of every string; theta holds both directions' rates, the background's biases, and the answers' shares."""
    num_bits = centers.shape[1]
    up, down, ones = theta[: 3 * num_bits].reshape(3, num_bits)
    shares = theta[3 * num_bits :]
    model = BitFlipModel(centers, shares, 1 - float(shares.sum()), up, down, ones)
    return np.array([sum(by_hand(string, model)) for string in all_strings(num_bits)])


def test_rates_and_shares_come_back_within_their_standard_errors() -> None:
    generator = np.random.default_rng(8)
    shots, num_bits = 60_000, 6
    # Each bit is 0 in one answer and 1 in the other, so that both of its rates are told.
    centers = np.array([[0, 0, 1, 0, 1, 1], [1, 1, 0, 1, 0, 0]], dtype=np.uint8)
    up, down = generator.uniform(0.03, 0.12, (2, num_bits))
    theta = np.concatenate([up, down, np.full(num_bits, 0.5), [0.585, 0.315]])
    shown = flipped(generator, centers, [0.65, 0.35], up, down, shots=shots, background=0.1)
    table = read_counts(tallied(shown))
    rates = np.full(num_bits, 0.2)
    start = BitFlipModel(centers, np.array([0.4, 0.4]), 0.2, rates, rates, np.full(num_bits, 0.5))
    found = fit(table.float_bits, table.weights, start, max_steps=1000, tolerance=1e-4)
    assert found.converged
    assert np.array_equal(found.centers, centers)
    fitted = np.concatenate([found.rates_0_to_1, found.rates_1_to_0, found.background_ones, found.shares])

    # The inverse of the Fisher information, by finite differences of the probabilities written out.
    step = 1e-6 * np.eye(len(theta))
    slopes = np.array([(probabilities(theta + s, centers) - probabilities(theta - s, centers)) / 2e-6 for s in step])
    information = shots * (slopes / probabilities(theta, centers)) @ slopes.T
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    # One of twenty numbers is off by 5.5 standard errors once in a million times.
    assert (np.abs(fitted - theta) < 5.5 * error).all()
    # That says something: each number is known to a tenth.
    assert (5.5 * error < 0.25 * theta).all()


def test_shares_keep_their_ratios_when_told_to() -> None:
    table = read_counts(simulated(2, (0.5, 0.3, 0.2), 0.1, num_bits=8, shots=4000)[0])
    answers = table.bits[table.by_weight[:3]]
    rates = np.full(8, 0.05)
    start = BitFlipModel(answers, np.array([0.1, 0.2, 0.6]), 0.1, rates, rates, np.full(8, 0.5))
    kept = fit(table.float_bits, table.weights, start, max_steps=50, free_answers=False, free_shares=False)
    assert kept.shares / kept.shares[0] == pytest.approx([1, 2, 6])
    assert kept.shares.sum() + kept.background == pytest.approx(1)
    assert kept.rates_0_to_1.max() > 0.06
    free = fit(table.float_bits, table.weights, start, max_steps=50, free_answers=False)
    assert free.shares[0] > 2 * free.shares[2]
    assert free.log_likelihood > kept.log_likelihood + 100


def test_an_answer_moves_to_what_its_shots_vote_for() -> None:
    counts, truth = simulated(6, (1.0,), 0.1, num_bits=8, shots=2000)
    (answer,) = truth
    table = read_counts(counts)
    right = np.array([[int(character) for character in answer[::-1]]], dtype=np.uint8)
    wrong = right.copy()
    wrong[0, [1, 4]] ^= 1
    rates = np.full(8, 0.2)
    start = BitFlipModel(wrong, np.array([0.9]), 0.1, rates, rates, np.full(8, 0.5))
    assert np.array_equal(fit(table.float_bits, table.weights, start, max_steps=20).centers, right)
    held = fit(table.float_bits, table.weights, start, max_steps=20, free_answers=False)
    assert np.array_equal(held.centers, wrong)


def test_two_answers_that_become_one_are_one() -> None:
    table = read_counts({"0000": 900, "0001": 50, "0010": 50})
    near = np.array([[0, 0, 0, 0], [0, 0, 0, 1]], dtype=np.uint8)
    rates = np.full(4, 0.3)
    merged = fit(
        table.float_bits,
        table.weights,
        BitFlipModel(near, np.array([0.5, 0.4]), 0.1, rates, rates, np.full(4, 0.5)),
        max_steps=20,
    )
    assert merged.centers.tolist() == [[0, 0, 0, 0]]
    assert merged.shares.sum() + merged.background == pytest.approx(1)


def test_a_direction_that_no_shot_tells_about_has_the_mean_rate() -> None:
    counts = drawn(3, [0.9**4 / 9 ** x.bit_count() for x in range(16)], 4, 5000)
    table = read_counts(counts)
    rates = np.full(4, 0.2)
    start = BitFlipModel(np.zeros((1, 4), dtype=np.uint8), np.array([1.0]), 0.0, rates, rates, np.full(4, 0.5))
    found = fit(table.float_bits, table.weights, start, max_steps=100)
    flips = sum(key.count("1") * number for key, number in counts.items())
    assert found.rates_1_to_0 == pytest.approx(np.full(4, flips / 20_000), rel=1e-3)
    assert found.mean_rate == pytest.approx(flips / 20_000, rel=1e-3)


def test_a_model_without_answers_is_the_bias_of_each_bit_within_limits() -> None:
    table = read_counts({"000": 300, "001": 500, "011": 180, "100": 20})
    nothing = BitFlipModel(np.zeros((0, 3), np.uint8), np.zeros(0), 1.0, np.zeros(3), np.zeros(3), np.full(3, 0.5))
    found = fit(table.float_bits, table.weights, nothing, max_steps=10)
    # 680, 180 and 20 ones of 1,000; a fully mixed qubit is at most 6 % away from a half.
    assert found.background_ones == pytest.approx([0.56, 0.44, 0.44])
    assert (found.background, found.mean_rate, found.num_centers) == (1.0, 0.0, 0)


@pytest.mark.parametrize("p", [0.0, 0.49])
def test_rates_stay_within_what_a_flip_can_be(p: float) -> None:
    shown = flipped(np.random.default_rng(1), np.zeros((1, 6), np.uint8), [1.0], p, shots=3000)
    table = read_counts(tallied(shown))
    rates = np.full(6, 0.2)
    start = BitFlipModel(np.zeros((1, 6), np.uint8), np.array([0.9]), 0.1, rates, rates, np.full(6, 0.5))
    found = fit(table.float_bits, table.weights, start, max_steps=50)
    assert 0 < found.rates_0_to_1.min() <= found.rates_0_to_1.max() <= 0.45


def test_answers_taken_away_leave_their_share_to_the_rest() -> None:
    model = random_model(1, 5, 3)
    fewer = model.only(np.array([True, False, True]))
    assert np.array_equal(fewer.centers, model.centers[[0, 2]])
    assert fewer.shares.sum() + fewer.background == pytest.approx(1)
    assert fewer.shares[0] / fewer.shares[1] == pytest.approx(model.shares[0] / model.shares[2])
    assert fewer.background == model.background


def test_an_answer_added_is_paid_for_by_all() -> None:
    model = random_model(1, 5, 2)
    more = model.plus(1 - model.centers[0], 0.2)
    assert np.array_equal(more.centers[2], 1 - model.centers[0])
    assert [*more.shares, more.background] == pytest.approx([*(0.8 * model.shares), 0.2, 0.8 * model.background])


def test_the_mean_rate_counts_each_direction_as_often_as_the_answers_call_for_it() -> None:
    up, down = np.array([0.1, 0.1, 0.1, 0.1]), np.array([0.3, 0.3, 0.3, 0.3])
    centers = np.array([[0, 0, 0, 0], [1, 1, 0, 0]], dtype=np.uint8)
    model = BitFlipModel(centers, np.array([0.6, 0.2]), 0.2, up, down, np.full(4, 0.5))
    # Three quarters of the shots with .1 throughout, one with .1 and .3 in halves.
    assert model.mean_rate == pytest.approx(0.75 * 0.1 + 0.25 * 0.2)
