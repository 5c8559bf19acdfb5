"""HAMMER against its formula, written out with loops over a dictionary."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.errors import TooLargeError
from quell.mitigation import Hammer, read_counts
from quell.mitigation import hammer as module


def by_the_formula(counts: dict[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    p = {key: count / total for key, count in counts.items()}
    num_bits = len(next(iter(p)))

    def apart(x: str, y: str) -> int:
        return sum(a != b for a, b in zip(x, y, strict=True))

    spectrum = dict.fromkeys(range(num_bits + 1), 0.0)
    for x in p:
        for y in p:
            spectrum[apart(x, y)] += p[y]
    scores = {}
    for x in p:
        scores[x] = p[x]
        for y in p:
            if apart(x, y) < num_bits // 2 and p[x] > p[y]:
                scores[x] += p[y] / spectrum[apart(x, y)]
    products = {x: scores[x] * p[x] for x in p}
    return {x: value / sum(products.values()) for x, value in products.items()}


@st.composite
def some_counts(draw: st.DrawFn) -> dict[str, int]:
    num_bits = draw(st.integers(2, 9))
    strings = draw(st.lists(st.integers(0, 2**num_bits - 1), min_size=2, max_size=min(40, 2**num_bits), unique=True))
    # few different counts, so that many are equal
    return {f"{value:0{num_bits}b}": draw(st.integers(1, 6)) for value in strings}


@given(some_counts())
def test_the_formula(counts: dict[str, int]) -> None:
    assert dict(Hammer().mitigate(counts)) == pytest.approx(by_the_formula(counts), rel=1e-9)


@given(some_counts(), st.randoms())
def test_the_order_of_the_keys_is_nothing(counts: dict[str, int], random: "np.random.Generator") -> None:
    keys = list(counts)
    random.shuffle(keys)
    assert dict(Hammer().mitigate({key: counts[key] for key in keys})) == dict(Hammer().mitigate(counts))


def test_it_sharpens_as_published_experience_says() -> None:
    # Exact frequencies of four answers, (.55, .25, .15, .05), under flips of 5 % of ten bits.
    answers = {0b0000000000: 0.55, 0b1111100000: 0.25, 0b0000011111: 0.15, 0b1100110011: 0.05}
    counts = {
        f"{x:010b}": w * 1e9
        for x in range(1024)
        if (w := sum(v * 0.05 ** (d := (x ^ a).bit_count()) * 0.95 ** (10 - d) for a, v in answers.items())) > 1e-7
    }
    mitigated = Hammer().mitigate({key: round(value) for key, value in counts.items()})
    found = [mitigated[f"{answer:010b}"] for answer in answers]
    assert found == pytest.approx([0.74, 0.16, 0.06, 0.007], abs=0.05)
    assert found[3] < 0.01
    assert any("sharpens" in note for note in mitigated.report.notes)


def test_few_bits_are_squared_and_told_so() -> None:
    mitigated = Hammer().mitigate({"000": 30, "001": 10})
    assert dict(mitigated) == pytest.approx({"000": 0.9, "001": 0.1})
    assert any("only squares the probabilities" in note for note in mitigated.report.notes)


def test_a_single_string_is_left_alone() -> None:
    mitigated = Hammer().mitigate({"0000": 5})
    assert dict(mitigated) == mitigated.raw
    assert (mitigated.report.changed, mitigated.report.reason) == (False, "all shots gave the same string")


def test_too_many_pairs_are_refused_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_PAIRS", 8)
    with pytest.raises(TooLargeError, match=r"3 distinct strings make 9.0e\+00 pairs, the limit is 8e\+00; QCluster"):
        Hammer().mitigate({"0000": 1, "0001": 1, "0010": 1})


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    bits = np.unique(generator.integers(0, 2, (300, 70), dtype=np.uint8), axis=0)
    counts = {
        "".join(map(str, row)): int(count) for row, count in zip(bits, generator.integers(1, 9, 300), strict=True)
    }
    whole = Hammer().estimate(read_counts(counts)).probabilities
    monkeypatch.setattr("quell.mitigation.hamming._BLOCK_PAIRS", 1000)
    assert Hammer().estimate(read_counts(counts)).probabilities == pytest.approx(whole, rel=1e-12)
