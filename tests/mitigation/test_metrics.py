"""Distances between distributions, against Qiskit, scipy and closed forms."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from qiskit import quantum_info
from scipy.spatial.distance import cityblock

from quell.errors import InputError
from quell.mitigation import fidelity_ratio, hellinger_fidelity, total_variation

distributions = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 1000), min_size=1)


@given(distributions, distributions)
def test_distances_are_those_of_other_libraries(p: dict[str, int], q: dict[str, int]) -> None:
    assume(sum(p.values()) and sum(q.values()))
    fidelity, distance = hellinger_fidelity(p, q), total_variation(p, q)
    assert fidelity == pytest.approx(quantum_info.hellinger_fidelity(p, q), abs=1e-12)
    shares = [[counts.get(key, 0) / sum(counts.values()) for key in "abcdefgh"] for counts in (p, q)]
    assert distance == pytest.approx(cityblock(*shares) / 2, abs=1e-12)
    assert 0 <= fidelity <= 1
    assert 0 <= distance <= 1
    assert (fidelity, distance) == (hellinger_fidelity(q, p), total_variation(q, p))
    # Fuchs and van de Graaf (1999) for commuting states, whose fidelity is this one.
    assert 1 - math.sqrt(fidelity) <= distance + 1e-12
    assert distance <= math.sqrt(1 - fidelity) + 1e-6


def test_the_same_and_the_disjoint() -> None:
    assert hellinger_fidelity({1: 3, 2: 6}, {2: 2, 1: 1}) == pytest.approx(1)
    assert total_variation({1: 3, 2: 6}, {2: 2, 1: 1}) == pytest.approx(0, abs=1e-15)
    assert hellinger_fidelity({1: 3}, {2: 1}) == 0
    assert total_variation({1: 3}, {2: 1}) == 1


def test_no_term_is_lost_in_a_long_tail() -> None:
    # Half of the weight is on one string, half on 100,000 others; the support is never cut.
    spread = {0: 0.5} | dict.fromkeys(range(1, 100_001), 0.5e-5)
    assert hellinger_fidelity(spread, spread) == pytest.approx(1, abs=1e-12)
    assert total_variation(spread, {0: 1.0}) == pytest.approx(0.5, abs=1e-12)


def test_ratio_by_hand() -> None:
    assert fidelity_ratio(0.99, 0.0) == pytest.approx(100)


@pytest.mark.parametrize("score", [hellinger_fidelity, total_variation])
@pytest.mark.parametrize(
    ("p", "message"),
    [
        ({}, "is empty"),
        ({"a": 0}, "sums to zero"),
        ({"a": -0.1, "b": 1}, "non-negative numbers, got -0.1 for 'a'"),
        ({"a": math.nan}, "got nan for 'a'"),
        ({"a": math.inf}, "got inf for 'a'"),
    ],
)
def test_what_is_no_distribution(score: object, p: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=f"^p .*{message}"):
        score(p, {"a": 1})
    with pytest.raises(InputError, match=f"^q .*{message}"):
        score({"a": 1}, p)
