"""The table that every estimator works on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.mitigation import read_counts

wide_counts = st.dictionaries(st.text("01", min_size=70, max_size=70), st.integers(1, 50), min_size=1, max_size=20)


@given(wide_counts)
def test_rows_are_sorted_by_their_bits_with_bit_0_first(counts: dict[str, int]) -> None:
    table = read_counts(counts)
    rows = table.bits.tolist()
    assert rows == sorted(rows)
    assert ["".join(map(str, row[::-1])) for row in rows] == list(table.keys)
    assert [counts[key] for key in table.keys] == table.weights.tolist()
    assert table.probabilities.sum() == pytest.approx(1)
    assert table.by_weight.tolist() == sorted(range(len(rows)), key=lambda row: (-table.weights[row], row))


@given(wide_counts, st.data())
def test_strings_are_found_where_they_are(counts: dict[str, int], data: st.DataObject) -> None:
    table = read_counts(counts)
    row = data.draw(st.integers(0, table.num_strings - 1))
    flipped = table.bits[row].copy()
    flipped[data.draw(st.integers(0, 69))] ^= 1
    expected = -1 if table.make_key(flipped) not in counts else table.keys.index(table.make_key(flipped))
    assert table.find(np.array([flipped, table.bits[row]])).tolist() == [expected, row]


def test_other_weights_leave_out_what_was_not_drawn() -> None:
    table = read_counts({"00": 2, "01": 3, "10": 5, "11": 0})
    drawn = table.with_weights(np.array([4.0, 0.0, 6.0]))
    assert drawn.bits.tolist() == [[0, 0], [1, 0]]
    assert dict(zip(drawn.keys, drawn.weights.tolist(), strict=True)) == {"00": 4, "01": 6}
    assert drawn.unseen_keys == ()
    assert (drawn.shots, table.shots) == (10, 10)
    assert drawn.find(np.array([[1, 0]], dtype=np.uint8)).tolist() == [1]
    assert drawn.make_key(drawn.bits[1]) == "01"
