"""Flip rates in all their forms, and the flips they stand for against products over the bits."""

import itertools
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation import BitFlipMixture, CountTable, QCluster, read_counts
from quell.mitigation.flip_rates import FlipKernel, FlipRateEstimator, resolve_flip_rate, why_no_flips
from quell.mitigation.hamming import pack_words

TABLE = read_counts({"000": 870, "001": 60, "010": 40, "100": 30})


class Tells:
    """An estimator that returns what it was made with."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def flip_rate(self, table: CountTable) -> Any:
        assert table is TABLE
        return self.answer


@pytest.mark.parametrize("value", [0.1, np.float64(0.1), np.array(0.1), Tells(0.1), Tells(np.full(3, 0.1))])
def test_one_number_holds_for_all_bits(value: Any) -> None:
    rates = resolve_flip_rate("flip_rate", value, TABLE)
    assert rates.dtype == np.float64
    assert rates.tolist() == [0.1, 0.1, 0.1]


@pytest.mark.parametrize("value", [[0, 0.1, 0.2], (0, 0.1, 0.2), np.array([0, 0.1, 0.2]), Tells([0, 0.1, 0.2])])
def test_numbers_by_bit_stay_in_their_order(value: Any) -> None:
    assert resolve_flip_rate("flip_rate", value, TABLE).tolist() == [0.0, 0.1, 0.2]


def test_the_array_given_is_not_the_array_used() -> None:
    mine = np.array([0.1, 0.2, 0.3])
    resolve_flip_rate("flip_rate", mine, TABLE)[0] = 0.4
    assert mine[0] == 0.1


def test_without_a_rate_the_counts_are_asked() -> None:
    counts = {"0000": 600, "1000": 60, "0100": 60, "0010": 60, "0001": 60}
    table = read_counts(counts)
    expected = BitFlipMixture().flip_rate(table)
    assert resolve_flip_rate("flip_rate", None, table).tolist() == [expected] * 4
    assert 0 < expected < 0.5


@pytest.mark.parametrize("bad", [0.5, 0.7, -0.1, float("nan"), float("inf"), 1])
def test_a_rate_outside_its_limits_is_named(bad: float) -> None:
    with pytest.raises(InputError, match=rf"flip_rate must be a probability below 0.5, got {float(bad)}: a bit that"):
        resolve_flip_rate("flip_rate", bad, TABLE)
    with pytest.raises(InputError, match=rf"got {float(bad)} for bit 1"):
        resolve_flip_rate("flip_rate", [0.1, bad, 0.1], TABLE)
    with pytest.raises(
        InputError, match=rf"flip_rate, as Tells estimated it, must be a probability .*got {float(bad)}"
    ):
        resolve_flip_rate("flip_rate", Tells(bad), TABLE)


@pytest.mark.parametrize(
    "bad", ["0.1", True, None, {0: 0.1}, ["a", "b", "c"], [0.1, [0.2]], [True] * 3, 0.1j, object()]
)
def test_what_is_no_number_is_refused(bad: Any) -> None:
    if bad is not None:
        with pytest.raises(
            InputError, match=r"flip_rate must be a number in \[0, 0.5\), one such number for each bit, or"
        ):
            resolve_flip_rate("flip_rate", bad, TABLE)
    with pytest.raises(InputError, match="flip_rate, as Tells estimated it, must be a number"):
        resolve_flip_rate("flip_rate", Tells(bad), TABLE)


@pytest.mark.parametrize(
    ("bad", "shown"), [([0.1], "1 rates"), ([0.1] * 4, "4 rates"), ([[0.1] * 3], r"shape \(1, 3\)")]
)
def test_another_length_is_named(bad: Any, shown: str) -> None:
    with pytest.raises(InputError, match=rf"one rate for each of the 3 bits, bit 0 first, got .*{shown}"):
        resolve_flip_rate("flip_rate", bad, TABLE)


def test_a_class_in_place_of_its_instance_is_told_apart() -> None:
    with pytest.raises(InputError, match="got the class Tells: pass an instance of it"):
        resolve_flip_rate("flip_rate", cast(Any, Tells), TABLE)


def test_what_estimates_is_recognised() -> None:
    assert isinstance(Tells(0.1), FlipRateEstimator)
    assert isinstance(BitFlipMixture(), FlipRateEstimator)
    assert not isinstance(QCluster(), FlipRateEstimator)


def test_the_reason_says_who_said_zero() -> None:
    assert why_no_flips(0.0) == "a flip rate of 0 leaves nothing to correct"
    assert "the counts themselves tell no flip rate" in why_no_flips(None)


rates_of_four = st.lists(st.floats(0.001, 0.499), min_size=4, max_size=4) | st.floats(0.001, 0.499).map(
    lambda p: [p] * 4
)


@given(rates_of_four)
def test_the_kernel_is_the_product_over_the_bits(rates: list[float]) -> None:
    bits = np.array(list(itertools.product([0, 1], repeat=4)), dtype=np.uint8)
    kernel = FlipKernel(np.array(rates))

    def product(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
        return float(np.prod([p if x != y else 1 - p for x, y, p in zip(a, b, rates, strict=True)]))

    found = np.exp(kernel.log_likelihood(pack_words(bits), bits, bits[::3]))
    assert found == pytest.approx(np.array([[product(a, b) for b in bits[::3]] for a in bits]), rel=1e-9)
    # a probability of each string given one centre
    assert found.sum(axis=0) == pytest.approx(np.ones(6))
    assert kernel.mean_flips == pytest.approx(sum(rates))
    assert kernel.deviation**2 == pytest.approx(sum(p * (1 - p) for p in rates))


def test_the_kernel_is_finite_at_a_rate_of_zero_and_for_many_bits() -> None:
    bits = np.array([[0] * 700, [1] * 700], dtype=np.uint8)
    for rates in (np.zeros(700), np.linspace(0, 0.49, 700)):
        found = FlipKernel(rates).log_likelihood(pack_words(bits), bits, bits, np.float32)
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert (found.argmax(axis=1) == [0, 1]).all()
