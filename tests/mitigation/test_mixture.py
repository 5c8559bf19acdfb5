"""The mixture as an estimator: what it finds, what it reports, and the intervals."""

import numpy as np
import pytest
from sklearn.base import clone

from quell.errors import InputError
from quell.mitigation import BitFlipMixture, Hammer, hellinger_fidelity

from .simulate import random_answers, simulated, tallied, written

UNEQUAL = (0.55, 0.25, 0.15, 0.05)


@pytest.mark.parametrize(("number", "p"), [(1, 0.05), (1, 0.2), (1, 0.4), (4, 0.1), (4, 0.2), (4, 0.3), (8, 0.2)])
def test_equal_answers_are_found(number: int, p: float) -> None:
    counts, ideal = simulated(11, (1 / number,) * number, p)
    mitigated = BitFlipMixture(independent=True).mitigate(counts)
    assert hellinger_fidelity(ideal, mitigated) > 0.99
    assert BitFlipMixture().mitigate(counts).report.num_clusters == number


def test_what_is_found_stands_in_attributes() -> None:
    counts, ideal = simulated(12, (0.7, 0.3), 0.1)
    mixture = BitFlipMixture()
    report = mixture.mitigate(counts).report
    assert mixture.n_clusters_ == report.num_clusters == 2
    assert written(mixture.centers_) == [center.key for center in report.centers] == list(ideal)
    # 8,192 shots of ten bits: the mean rate is known to 0.001, so 0.006 are more than five standard deviations.
    assert mixture.p_ == pytest.approx(0.1, abs=0.006)
    assert mixture.flip_rates_0_to_1_.shape == mixture.flip_rates_1_to_0_.shape == (10,)
    assert mixture.center_weights_.sum() == pytest.approx(1)


def test_rates_are_indexed_by_bit_and_direction() -> None:
    generator = np.random.default_rng(13)
    answers = random_answers(generator, 2, 6, separation=6)
    shots = answers[generator.integers(0, 2, 20000)]
    shots[:, 2] &= generator.random(20000) >= 0.12
    shots ^= (generator.random(shots.shape) < 0.01).astype(np.uint8)
    mixture = BitFlipMixture(independent=True)
    mixture.mitigate(tallied(shots))
    assert mixture.flip_rates_1_to_0_[2] == pytest.approx(0.13, abs=0.02)
    assert np.delete(mixture.flip_rates_1_to_0_, 2).max() < 0.02
    assert mixture.flip_rates_0_to_1_.max() < 0.02


def test_weights_lie_in_their_intervals_and_sharpening_takes_them_out() -> None:
    counts, ideal = simulated(14, UNEQUAL, 0.05, separation=3)
    intervals = BitFlipMixture(independent=True).mitigate(counts).intervals(100, confidence=0.99)
    assert all(intervals[key].low <= weight <= intervals[key].high for key, weight in ideal.items())
    sharpened = Hammer().mitigate(counts).intervals(100, confidence=0.99)
    assert not any(sharpened[key].low <= weight <= sharpened[key].high for key, weight in ideal.items())


def test_intervals_cover_the_truth() -> None:
    held = []
    for seed in range(14):
        counts, ideal = simulated(100 + seed, (0.7, 0.3), 0.1, num_bits=6, shots=2000, separation=4)
        mitigated = BitFlipMixture(independent=True).mitigate(counts)
        low, high = mitigated.intervals(40, seed=seed)[next(iter(ideal))]
        held.append(low <= 0.7 <= high)
    # If intervals hold the truth in 92 % of the runs, fewer than 6 of 14 hold it once in 5 million times.
    assert sum(held) >= 6


def test_shots_that_may_be_the_ideals_own_widen_the_intervals_to_both_cases() -> None:
    counts, ideal = simulated(20, (0.5, 0.5), 0.01, num_bits=5, shots=4000, separation=5)
    mitigated = BitFlipMixture().mitigate(counts)
    intervals = mitigated.intervals(100, confidence=0.98)
    assert any("the intervals span both" in note for note in mitigated.report.notes)
    for key in ideal:
        assert intervals[key].low < mitigated.raw[key] + 0.01
        assert intervals[key].low <= 0.5 <= intervals[key].high


def test_an_answer_that_no_shot_gave_is_added_in_the_callers_format() -> None:
    counts, ideal = simulated(16, (1.0,), 0.2, num_bits=80, shots=400)
    key = next(iter(ideal))
    spaced = {f"{text[:30]} {text[30:]}": number for text, number in counts.items() if text != key}
    mitigated = BitFlipMixture(independent=True).mitigate(spaced)
    assert mitigated[f"{key[:30]} {key[30:]}"] == pytest.approx(1)
    assert not mitigated.report.centers[0].observed
    assert set(spaced) < set(mitigated)


@pytest.mark.parametrize(
    ("counts", "reason"),
    [
        ({"0": 900, "1": 100}, "single bit"),
        ({"00": 9, "11": 3}, "12 shots"),
        ({"000": 1059, "010": 1014, "100": 1017, "110": 1006}, "broad"),
        ({"00": 1628, "01": 439, "10": 1640, "11": 389}, "belong to no answer"),
    ],
)
def test_counts_that_tell_nothing_are_left_alone(counts: dict[str, int], reason: str) -> None:
    mitigated = BitFlipMixture().mitigate(counts)
    assert reason in mitigated.report.reason
    assert not mitigated.report.changed
    assert dict(mitigated) == mitigated.raw


def test_a_noisy_readout_bit_makes_no_answers() -> None:
    generator = np.random.default_rng(17)
    shots = np.repeat(generator.integers(0, 2, (20000, 1)), 4, axis=1).astype(np.uint8)
    shots ^= (generator.random((20000, 4)) < [0.15, 0.01, 0.01, 0.05]).astype(np.uint8)
    mixture = BitFlipMixture()
    mixture.mitigate(tallied(shots))
    assert sorted(written(mixture.centers_)) == ["0000", "1111"]
    # 20,000 shots: six standard deviations are 0.015.
    assert mixture.flip_rates_0_to_1_[0] == pytest.approx(0.15, abs=0.02)


def test_one_answer_comes_with_a_warning() -> None:
    counts, _ = simulated(18, (1.0,), 0.1)
    assert any("product state" in note for note in BitFlipMixture().mitigate(counts).report.notes)


def test_very_many_strings_are_thinned_and_settled_on_all() -> None:
    counts, ideal = simulated(19, (0.6, 0.4), 0.12, num_bits=40, shots=12000)
    assert len(counts) > 8192
    mitigated = BitFlipMixture().mitigate(counts)
    # 12,000 shots: five standard deviations of a share are 0.022.
    assert [mitigated[key] for key in ideal] == pytest.approx([0.6, 0.4], abs=0.025)


def test_scikit_learn_can_clone_it() -> None:
    copy = clone(BitFlipMixture(7, independent=True))
    assert copy.get_params() == {"independent": True, "max_clusters": 7}


@pytest.mark.parametrize("value", [0, -1, 2.5, "many"])
def test_max_clusters_must_be_a_positive_integer(value: object) -> None:
    with pytest.raises(InputError, match="max_clusters must be an integer >= 1"):
        BitFlipMixture(value).mitigate({"00": 90, "11": 10})
