"""Q-BEEP against its updates written out with loops over a dictionary."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.errors import InputError, TooLargeError
from quell.mitigation import QBeep, hellinger_fidelity, read_counts
from quell.mitigation import q_beep as module


def by_loops(
    counts: dict[str, int], rate: float, *, num_iterations: int, min_weight: float, per_string: bool
) -> dict[str, float]:
    num_bits, total = len(next(iter(counts))), sum(counts.values())

    def weight(x: str, y: str) -> float:
        d = sum(a != b for a, b in zip(x, y, strict=True))
        poisson = math.exp(-rate) * rate**d / math.factorial(d)
        if d and poisson < min_weight:
            return 0.0
        return poisson / math.comb(num_bits, d) if per_string else poisson

    now = {key: count / total for key, count in counts.items()}
    for iteration in range(1, num_iterations + 1):
        moved = dict.fromkeys(now, 0.0)
        for origin in now:
            reach = {key: weight(origin, key) * now[key] for key in now}
            for key, share in reach.items():
                moved[key] += now[origin] * share / sum(reach.values())
        now = {key: now[key] + (moved[key] - now[key]) / iteration for key in now}
    return now


some_counts = st.integers(2, 6).flatmap(
    lambda num_bits: st.dictionaries(
        st.integers(0, 2**num_bits - 1).map(lambda value: f"{value:0{num_bits}b}"),
        st.integers(1, 50),
        min_size=2,
        max_size=12,
    )
)


@given(some_counts, st.floats(0.01, 2), st.integers(1, 6), st.sampled_from([0.0, 0.05, 0.3]), st.booleans())
def test_the_updates(
    counts: dict[str, int], rate: float, num_iterations: int, min_weight: float, per_string: bool
) -> None:
    expected = by_loops(counts, rate, num_iterations=num_iterations, min_weight=min_weight, per_string=per_string)
    assert math.fsum(expected.values()) == pytest.approx(1)
    estimator = QBeep(expected_flips=rate, num_iterations=num_iterations, min_weight=min_weight, per_string=per_string)
    assert dict(estimator.mitigate(counts)) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_expected_flips_are_the_sum_of_the_rates() -> None:
    counts = {"000": 850, "001": 50, "010": 52, "100": 48}
    by_rates, by_number = QBeep([0.1, 0.2, 0.3]), QBeep(expected_flips=0.6)
    assert dict(by_rates.mitigate(counts)) == pytest.approx(dict(by_number.mitigate(counts)))
    assert by_rates.expected_flips_ == pytest.approx(0.6)
    assert by_rates.p_ == pytest.approx(0.2)
    again = by_rates.resumed(by_rates.estimate(read_counts(counts)))
    assert again.get_params()["expected_flips"] == pytest.approx(0.6)


def test_it_improves_a_single_answer() -> None:
    counts = {"0" * 8: 6630} | {f"{1 << bit:08b}": 349 // 2 for bit in range(8)} | {"11000000": 18, "00000011": 20}
    mitigated = QBeep(0.025).mitigate(counts)
    truth = {"0" * 8: 1.0}
    assert hellinger_fidelity(mitigated, truth) > hellinger_fidelity(counts, truth) + 0.1


@pytest.mark.parametrize(
    ("estimator", "counts", "reason"),
    [
        (QBeep(0.0), {"00": 3, "01": 1}, "a flip rate of 0"),
        (QBeep(expected_flips=0), {"00": 3, "01": 1}, "a flip rate of 0"),
        (QBeep(0.1), {"00": 3}, "all shots gave the same string"),
    ],
)
def test_it_says_why_it_leaves_counts_alone(estimator: QBeep, counts: dict[str, int], reason: str) -> None:
    mitigated = estimator.mitigate(counts)
    assert dict(mitigated) == mitigated.raw
    assert not mitigated.report.changed
    assert reason in mitigated.report.reason


def test_settings_are_checked() -> None:
    counts = {"00": 3, "01": 1}
    with pytest.raises(InputError, match="flip_rate and expected_flips say the same thing: give one of them"):
        QBeep(0.1, expected_flips=0.2).mitigate(counts)
    for bad in (-0.1, 2.1, float("nan"), True, "1"):
        with pytest.raises(InputError, match="expected_flips must be a number from 0 to the 2 bits of a string, got"):
            QBeep(expected_flips=bad).mitigate(counts)
    with pytest.raises(InputError, match="num_iterations must be an integer >= 1"):
        QBeep(0.1, num_iterations=0).mitigate(counts)
    with pytest.raises(InputError, match="min_weight must be a probability"):
        QBeep(0.1, min_weight=2).mitigate(counts)


def test_graphs_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"000": 3, "001": 1, "010": 1, "111": 1}
    monkeypatch.setattr(module, "_MAX_EDGES", 3)
    with pytest.raises(TooLargeError, match=r"graph of 4 distinct strings has more than .* edges: raise min_weight"):
        QBeep(0.1).mitigate(counts)
    monkeypatch.setattr(module, "_MAX_PAIRS", 15)
    with pytest.raises(TooLargeError, match=r"4 distinct strings make 1.6e\+01 pairs, the limit is 2e\+01"):
        QBeep(0.1).mitigate(counts)
