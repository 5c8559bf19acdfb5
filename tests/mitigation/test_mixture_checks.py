"""Every reason not to believe a mixture, each with its cause simulated; and which answers are another's errors."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.mitigation import BitFlipMixture, CountTable, read_counts
from quell.mitigation.mixture_checks import examine, flips_misfit, undecided_share, without_satellites
from quell.mitigation.mixture_model import BitFlipModel, fit
from quell.mitigation.mixture_search import find_model

from .simulate import drawn, flipped, ghz_chain, porter_thomas, simulated, tallied, written

LEAST = 0.03


def fitted(table: CountTable, answers: Any, p: float = 0.05, **options: Any) -> BitFlipModel:
    """The best model with these answers."""
    answers = np.asarray(answers, dtype=np.uint8)
    rates, ones = np.full(table.num_bits, p), np.full(table.num_bits, 0.5)
    start = BitFlipModel(answers, np.full(len(answers), 0.9 / len(answers)), 0.1, rates, rates, ones)
    return fit(table.float_bits, table.weights, start, max_steps=200, free_answers=False, **options)


def verdict(counts: dict[str, int]) -> tuple[bool, str]:
    """Whether the counts were changed, and the reason."""
    report = BitFlipMixture().mitigate(counts).report
    return report.changed, report.reason


def test_a_good_model_has_no_fault() -> None:
    counts, truth = simulated(1, [0.6, 0.4], 0.1, num_bits=8, shots=4000)
    table = read_counts(counts)
    examination = examine(table, find_model(table, 64, LEAST), 64, LEAST)
    assert (examination.fault, examination.explained) == ("", 1.0)
    # What the true distribution says more than one of independent bits, each at most 6 % away from a half.
    answers = [int(key, 2) for key in truth]
    exact = np.array(
        [
            sum(
                w * 0.1 ** (d := (x ^ a).bit_count()) * 0.9 ** (8 - d) for a, w in zip(answers, (0.6, 0.4), strict=True)
            )
            for x in range(256)
        ]
    )
    bits = (np.arange(256)[:, None] >> np.arange(8)) & 1
    ones = np.clip(exact @ bits, 0.44, 0.56)
    advantage = np.log(exact) - np.where(bits == 1, np.log(ones), np.log(1 - ones)).sum(axis=1)
    gain = float(exact @ advantage)
    spread = math.sqrt(float(exact @ advantage**2) - gain**2)
    # Half the shots decide: five standard errors, and one nat in a hundred shots for what the fit does not know.
    assert examination.gain == pytest.approx(gain, abs=5 * spread / math.sqrt(2000) + 0.01)


def test_a_uniform_distribution_is_a_background() -> None:
    # 256 strings of 16 shots: no answer pays for its name by chance, which costs it five nats and its shares four.
    for seed in range(2):
        changed, reason = verdict(drawn(seed, np.full(256, 1 / 256), 8, 4096))
        assert (changed, reason) == (False, "no string stands out from a background over all strings")


def test_a_random_circuits_output_is_broad() -> None:
    counts = drawn(1, porter_thomas(0, 8), 8, 8192)
    table = read_counts(counts)
    examination = examine(table, find_model(table, 64, LEAST), 64, LEAST)
    assert 0.3 < examination.explained < 0.9
    assert "of what the counts hold, below 90%: the ideal distribution may be broad" in examination.fault
    assert f"explain {examination.explained:.1%} of" in examination.fault


def w_state(num_bits: int, p: float, shots: int, seed: int = 1) -> dict[str, int]:
    answers = np.eye(num_bits, dtype=np.uint8)
    return tallied(flipped(np.random.default_rng(seed), answers, np.full(num_bits, 1 / num_bits), p, shots=shots))


def test_a_w_state_is_not_noise_around_the_zeros() -> None:
    # At 40 shots one answer with flips is the shorter description of ten with few.
    counts = w_state(10, 0.02, 40)
    assert counts.get("0" * 10, 0) < 8
    changed, reason = verdict(counts)
    assert not changed
    assert "wants an answer that was seen far less often than the strings around it" in reason


def test_a_w_state_of_enough_shots_is_its_strings() -> None:
    report = BitFlipMixture().mitigate(w_state(8, 0.02, 4000)).report
    assert report.changed
    assert sorted(center.key for center in report.centers) == sorted(written(np.eye(8, dtype=np.uint8)))


def test_a_frequent_string_that_is_no_answer_speaks_against_the_model() -> None:
    # A third of the shots sit on one string four flips from the only answer of the model.
    table = read_counts({"000000": 300, "001111": 340, "000001": 60, "100000": 60})
    fault = examine(table, fitted(table, np.zeros((1, 6))), 64, LEAST).fault
    assert fault.startswith("the most frequent string is no answer, and far too frequent for noise around the answers")
    assert examine(table, fitted(table, [[0] * 6, [1, 1, 1, 1, 0, 0]]), 64, LEAST).fault == ""


def pairs(num_bits: int, shots: int, share: float) -> dict[str, int]:
    """One string, and every string two flips away from it, with nothing between."""
    rows = [np.zeros(num_bits, dtype=np.uint8)]
    for pair in itertools.combinations(range(num_bits), 2):
        rows.append(np.isin(np.arange(num_bits), pair).astype(np.uint8))
    numbers = [round(share * shots), *([round((1 - share) * shots / (len(rows) - 1))] * (len(rows) - 1))]
    return dict(zip(written(np.array(rows)), numbers, strict=True))


def test_flips_that_come_in_pairs_are_not_independent() -> None:
    table = read_counts(pairs(16, 5000, 0.7))
    model = fitted(table, np.zeros((1, 16)))
    # Of independent flips as many, most come alone; here nothing came alone.
    assert flips_misfit(table, model) > 0.6
    fault = examine(table, model, 64, LEAST).fault
    assert fault.endswith(
        "% of the shots off the answers are not where independent flips would put them: "
        "they may belong to the ideal distribution"
    )


def test_a_misfit_is_a_share_of_the_shots() -> None:
    table = read_counts(pairs(16, 5000, 0.9))
    assert flips_misfit(table, fitted(table, np.zeros((1, 16)))) <= 1


@pytest.mark.parametrize("seed", range(4))
def test_independent_flips_do_not_misfit(seed: int) -> None:
    counts, _ = simulated(seed, [1.0], 0.1, num_bits=6, shots=2000)
    table = read_counts(counts)
    model = fitted(table, [table.bits[table.by_weight[0]]])
    # 940 shots lie off the answer. By chance the total variation of their distances would have to be seven times the
    # standard deviation of a single one of them.
    assert flips_misfit(table, model) < 0.15


def test_too_few_shots_off_the_answers_say_nothing() -> None:
    for off, says_something in ((9, False), (40, True)):
        table = read_counts({"0" * 20: 1000, "0" * 18 + "11": off})
        assert (flips_misfit(table, fitted(table, np.zeros((1, 20)))) > 0.6) == says_something


def test_the_misfit_is_the_total_variation_of_the_distances() -> None:
    table = read_counts({"000": 700, "001": 100, "010": 50, "100": 50, "011": 60, "111": 40})
    rates = np.array([0.1, 0.2, 0.05])
    model = BitFlipModel(np.zeros((1, 3), np.uint8), np.array([1.0]), 0.0, rates, rates, np.full(3, 0.5))
    at_distance = [0.0] * 4
    for flips in itertools.product((0, 1), repeat=3):
        at_distance[sum(flips)] += math.prod(r if f else 1 - r for f, r in zip(flips, rates, strict=True))
    difference = sum(abs(a - b) for a, b in zip(at_distance, (0.7, 0.2, 0.06, 0.04), strict=True)) / 2
    assert flips_misfit(table, model) == pytest.approx(difference / max(0.3, 1 - at_distance[0]), rel=1e-9)


def test_hardly_any_flips_are_no_misfit() -> None:
    counts = {"0000": 10**8, "0001": 30}
    table = read_counts(counts)
    assert flips_misfit(table, find_model(table, 64, LEAST)) <= 1
    assert verdict(counts)[0]


@pytest.mark.parametrize(("background", "believed"), [(0.3, True), (0.7, False)])
def test_a_large_background_over_few_strings_may_be_the_ideals_own(background: float, believed: bool) -> None:
    # With 4,000 shots the share is known to two in a hundred: far on either side of a half.
    changed, reason = verdict(simulated(0, [1.0], 0.05, num_bits=4, shots=4000, background=background)[0])
    assert changed == believed
    assert ("among 16 strings that cannot be told from a broad ideal distribution" in reason) != believed


def test_a_large_background_over_many_strings_is_noise() -> None:
    counts, truth = simulated(0, [1.0], 0.05, num_bits=8, shots=2000, background=0.7)
    mitigated = BitFlipMixture().mitigate(counts)
    assert [center.key for center in mitigated.report.centers] == list(truth)
    assert mitigated.report.background == pytest.approx(0.7, abs=0.1)


@pytest.mark.parametrize(
    ("off", "share"), [(0.0, 0.5), (0.1, 0.5), (0.125, 0.375), (0.15, 0.25), (0.2, 0.0), (0.9, 0.0), (1.0, 0.0)]
)
def test_few_shots_off_the_answers_get_even_odds(off: float, share: float) -> None:
    assert undecided_share(off) == pytest.approx(share)


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_shots_off_the_answers_are_likelier_noise(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= undecided_share(high) <= undecided_share(low) <= 0.5


@pytest.mark.parametrize(("num_bits", "error"), [(5, 0.01), (8, 0.02), (12, 0.01)])
def test_of_a_noisy_ghz_chain_two_answers_stay(num_bits: int, error: float) -> None:
    # A fault on one CX flips all that follows it: 00…0 becomes 00…011…1, a string as frequent as an answer of its own.
    counts = ghz_chain(num_bits, error, shots=8192, seed=3)
    table = read_counts(counts)
    model = find_model(table, 64, 0.0)
    assert model.num_centers > 2
    kept = without_satellites(table, model)
    both = ["0" * num_bits, "1" * num_bits]
    assert sorted(written(kept.centers)) == both
    assert sorted(center.key for center in BitFlipMixture().mitigate(counts).report.centers) == both
    # What a satellite explained is nobody's: the answers keep the shares they had.
    main = [written(model.centers).index(key) for key in written(kept.centers)]
    assert kept.shares.tolist() == model.shares[main].tolist()


def satellite(share: float, p: float, *, beside_both: bool) -> tuple[CountTable, BitFlipModel]:
    """Two answers, a rare string three flips from the first, and whether the same flips are seen beside the second."""
    answers = np.array([[0] * 8, [1] * 8, [1, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 1, 1]], dtype=np.uint8)
    weights = np.array([1.0, 1.0, share, share if beside_both else 0.0])
    shown = flipped(np.random.default_rng(5), answers, weights / weights.sum(), p, shots=8000)
    table = read_counts(tallied(shown))
    return table, fitted(table, answers[: 4 if beside_both else 3], p)


@pytest.mark.parametrize(("share", "beside_both", "number"), [(0.1, True, 2), (0.1, False, 3), (0.6, True, 4)])
def test_a_rare_string_is_an_error_if_the_same_error_is_seen_elsewhere(
    share: float, beside_both: bool, number: int
) -> None:
    table, model = satellite(share, 0.05, beside_both=beside_both)
    assert without_satellites(table, model).num_centers == number


def test_without_noise_nothing_is_an_error() -> None:
    answers: NDArray[np.uint8] = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]], dtype=np.uint8)
    table = read_counts(dict(zip(written(answers), (700, 280, 20), strict=True)))
    model = fitted(table, answers, 1e-4)
    assert without_satellites(table, model).num_centers == 3
