"""Mitigated counts: a mapping with whole shots on demand, and JSON."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.errors import InputError
from quell.mitigation import Center, MitigatedCounts, Raw, Report

weights = st.lists(st.floats(0, 1e6), min_size=1, max_size=30).filter(lambda values: math.fsum(values) > 0)


def mitigated_to(probabilities: dict[str, float]) -> MitigatedCounts:
    """Mitigated counts with the given result."""
    made = Raw().mitigate({"0": 3, "1": 1})
    report = Report("by-hand", True, "as told", 1, 2, 4, centers=(Center((0, 1), 0.5, observed=False),))
    return MitigatedCounts(probabilities, {}, report, table=made._table, estimator=Raw())


@given(weights, st.integers(1, 10**7))
def test_whole_shots_sum_exactly_and_are_off_by_less_than_one(values: list[float], shots: int) -> None:
    total = math.fsum(values)
    probabilities = {f"{i:05b}": value / total for i, value in enumerate(values)}
    counts = mitigated_to(probabilities).counts(shots)
    assert sum(counts.values()) == shots
    assert all(isinstance(count, int) and count > 0 for count in counts.values())
    for key, probability in probabilities.items():
        assert abs(counts.get(key, 0) - probability * shots) < 1 + 1e-6


def test_shots_left_over_go_to_the_largest_remainders() -> None:
    mitigated = mitigated_to({"a": 0.5, "b": 0.29, "c": 0.21})
    # Floors of 5, 2.9 and 2.1 leave one shot over.
    assert mitigated.counts(10) == {"a": 5, "b": 3, "c": 2}
    assert sum(mitigated.counts().values()) == 4
    with pytest.raises(InputError, match="shots must be an integer >= 1, got 0"):
        mitigated.counts(0)


@given(st.dictionaries(st.text("01", min_size=4, max_size=4), st.integers(1, 1000), min_size=1))
def test_raw_counts_come_back_exactly(counts: dict[str, int]) -> None:
    mitigated = Raw().mitigate(counts)
    assert mitigated.counts() == counts
    assert mitigated.shots == sum(counts.values())
    assert set(mitigated) == set(counts)
    assert len(mitigated) == len(counts)


def test_it_looks_like_its_largest_probabilities() -> None:
    assert repr(mitigated_to({"a": 0.25, "b": 0.75})) == "MitigatedCounts({'b': 0.7500, 'a': 0.2500}, method='by-hand')"
    many = mitigated_to({f"{i}": (i + 1) / 21 for i in range(6)})
    assert "and 2 more" in repr(many)


def test_json_holds_everything() -> None:
    value = json.loads(json.dumps(mitigated_to({"a": 0.25, "b": 0.75}).to_dict(), allow_nan=False))
    assert value["probabilities"] == {"a": 0.25, "b": 0.75}
    assert value["raw"] == {"a": 0.0, "b": 0.0}
    assert value["report"]["method"] == "by-hand"
    assert value["report"]["centers"] == [{"key": "(0, 1)", "probability": 0.5, "observed": False}]
    assert value["report"]["num_clusters"] == 1
