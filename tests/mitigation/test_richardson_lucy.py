"""Richardson–Lucy against the iteration written out, the likelihood it must raise, and truths it must find."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.errors import InputError
from quell.mitigation import RichardsonLucy, hellinger_fidelity, read_counts
from quell.mitigation import richardson_lucy as module


def response(bits: NDArray[np.uint8], rates: list[float]) -> NDArray[np.float64]:
    flipped = bits[:, None] != bits[None]
    return np.where(flipped, np.array(rates), 1 - np.array(rates)).prod(axis=2)


counts_of_four_bits = st.dictionaries(
    st.integers(0, 15).map(lambda value: f"{value:04b}"), st.integers(1, 500), min_size=2
)
four_rates = st.lists(st.floats(0.01, 0.45), min_size=4, max_size=4)


@given(counts_of_four_bits, four_rates, st.integers(1, 20))
def test_the_iteration(counts: dict[str, int], rates: list[float], num_iterations: int) -> None:
    table = read_counts(counts)
    matrix, x = response(table.bits, rates), table.probabilities
    for _ in range(num_iterations):
        x = x * (matrix.T @ (table.probabilities / (matrix @ x)))
        # nothing is scaled: the iteration itself keeps the sum
        assert x.sum() == pytest.approx(1)
    found = RichardsonLucy(rates, num_iterations=num_iterations, tol=0).estimate(table).probabilities
    assert found == pytest.approx(x, abs=2e-5)


@given(counts_of_four_bits, four_rates)
def test_the_likelihood_never_falls(counts: dict[str, int], rates: list[float]) -> None:
    table = read_counts(counts)
    matrix = response(table.bits, rates)
    estimates = [table.probabilities] + [
        RichardsonLucy(rates, num_iterations=k, tol=0).estimate(table).probabilities for k in (1, 2, 4, 8, 16)
    ]
    likelihood = [float(table.probabilities @ np.log(matrix @ x)) for x in estimates]
    assert all(later >= sooner - 1e-5 for sooner, later in itertools.pairwise(likelihood))


def test_exact_frequencies_give_back_the_truth() -> None:
    truth = {"0000": 0.5, "0111": 0.3, "1100": 0.2}
    bits = np.array(list(itertools.product([0, 1], repeat=4)), dtype=np.uint8)
    rates = [0.02, 0.1, 0.05, 0.2]
    exact = response(bits, rates) @ [truth.get("".join(map(str, row[::-1])), 0.0) for row in bits]
    counts = {"".join(map(str, row[::-1])): value * 1e6 for row, value in zip(bits, exact, strict=True)}
    mitigated = RichardsonLucy(rates, num_iterations=5000, tol=0).mitigate({k: round(v) for k, v in counts.items()})
    assert [mitigated[key] for key in truth] == pytest.approx(list(truth.values()), abs=2e-3)


@pytest.mark.parametrize(("p", "published"), [(0.05, 0.979), (0.2, 0.946)])
def test_no_worse_than_the_published_figure_for_one_answer(p: float, published: float) -> None:
    # 8,192 shots of ten bits; over seeds the fidelity scatters by less than 0.01, the mean of five lies 5 σ above
    generator = np.random.default_rng(5)
    found = []
    for _ in range(5):
        flips = (generator.random((8192, 10)) < p).astype(np.uint8)
        rows, numbers = np.unique(flips, axis=0, return_counts=True)
        counts = {"".join(map(str, row)): int(number) for row, number in zip(rows, numbers, strict=True)}
        found.append(hellinger_fidelity(RichardsonLucy(p).mitigate(counts), {"0" * 10: 1.0}))
    assert np.mean(found) >= published


def test_it_stops_when_nothing_moves() -> None:
    estimator = RichardsonLucy(0.001, num_iterations=10_000)
    estimator.mitigate({"00": 998, "01": 1, "10": 1})
    assert 1 < estimator.n_iter_ < 10_000
    assert estimator.p_ == pytest.approx(0.001)


def test_of_many_strings_the_frequent_ones_are_truths(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"00000": 600, "11111": 250} | {f"{1 << bit:05b}": 20 + bit for bit in range(5)} | {"10101": 5}
    whole = RichardsonLucy(0.05).mitigate(counts)
    assert whole.report.notes == ()
    monkeypatch.setattr(module, "_MAX_ENTRIES", 17)
    cut = RichardsonLucy(0.05).mitigate(counts)
    assert cut.report.notes == ("Only the 2 most frequent strings were taken for truths of other strings.",)
    assert math.fsum(cut.values()) == pytest.approx(1)
    assert cut["00000"] == pytest.approx(whole["00000"], abs=0.01)


@pytest.mark.parametrize("p", [0.02, 0.45])
def test_many_bits(p: float) -> None:
    generator = np.random.default_rng(1)
    shots = (generator.random((2000, 300)) < p).astype(np.uint8)
    shots[:40] = 0
    rows, numbers = np.unique(shots, axis=0, return_counts=True)
    counts = {"".join(map(str, row)): int(number) for row, number in zip(rows, numbers, strict=True)}
    mitigated = RichardsonLucy(p, num_iterations=20).mitigate(counts)
    assert math.fsum(mitigated.values()) == pytest.approx(1)
    assert all(math.isfinite(value) for value in mitigated.values())
    assert mitigated["0" * 300] >= mitigated.raw["0" * 300] - 1e-6


@pytest.mark.parametrize(
    ("p", "counts", "reason"),
    [(0.0, {"00": 3, "01": 1}, "a flip rate of 0"), (0.1, {"00": 3}, "all shots gave the same string")],
)
def test_it_says_why_it_leaves_counts_alone(p: float, counts: dict[str, int], reason: str) -> None:
    mitigated = RichardsonLucy(p).mitigate(counts)
    assert dict(mitigated) == mitigated.raw
    assert not mitigated.report.changed
    assert reason in mitigated.report.reason


def test_settings_are_checked() -> None:
    counts = {"00": 3, "01": 1}
    with pytest.raises(InputError, match="num_iterations must be an integer >= 1, got 0"):
        RichardsonLucy(0.1, num_iterations=0).mitigate(counts)
    with pytest.raises(InputError, match="tol must be a probability between 0 and 1, got -1"):
        RichardsonLucy(0.1, tol=-1).mitigate(counts)
    with pytest.raises(InputError, match=r"flip_rate must be a probability below 0\.5, got 0\.6"):
        RichardsonLucy(0.6).mitigate(counts)


def test_resamples_keep_the_flip_rate() -> None:
    table = read_counts({"0000": 600, "1000": 60, "0100": 60, "0010": 60, "0001": 60})
    estimator = RichardsonLucy()
    estimated = estimator.estimate(table)
    again = estimator.resumed(estimated)
    assert estimator.flip_rate is None
    assert again.estimate(table).probabilities == pytest.approx(estimated.probabilities)
    assert again.get_params()["flip_rate"].tolist() == estimated.fitted["flip_rates_"].tolist()
