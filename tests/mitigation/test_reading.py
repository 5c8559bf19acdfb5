"""Counts as people have them, against what the library that made them says about them itself."""

import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.primitives import BitArray
from qiskit.result import Counts, ProbDistribution, QuasiDistribution

from quell.errors import DataError, InputError
from quell.mitigation import CountTable, MitigatedCounts, Report
from quell.mitigation.reading import find_counts, read_counts, read_many

counts_of_strings = st.integers(1, 12).flatmap(
    lambda width: st.dictionaries(st.text("01", min_size=width, max_size=width), st.integers(1, 999), min_size=1)
)


def as_dict(table: CountTable) -> dict[object, float]:
    """The counts in a table, with its keys."""
    return dict(zip(table.keys, table.weights.tolist(), strict=True))


def by_number(table: CountTable) -> dict[int, float]:
    """The counts in a table by the number whose bit i is column i."""
    numbers = [sum(int(bit) << i for i, bit in enumerate(row)) for row in table.bits]
    return dict(zip(numbers, table.weights.tolist(), strict=True))


# dicts and what is made of them


@given(counts_of_strings)
def test_a_dict_of_strings_means_what_qiskit_says(counts: dict[str, int]) -> None:
    table = read_counts(counts)
    assert as_dict(table) == counts
    assert by_number(table) == Counts(counts).int_outcomes()
    assert table.bit_order == "little"
    assert table.shots == sum(counts.values())
    mirrored = read_counts({key[::-1]: count for key, count in counts.items()}, bit_order="big")
    assert mirrored.bits.tolist() == table.bits.tolist()


def test_the_order_of_the_keys_changes_nothing() -> None:
    counts = {"0110": 4, "0001": 2, "1110": 9, "0000": 1}
    one, other = read_counts(counts), read_counts(dict(reversed(counts.items())))
    assert one.keys == other.keys
    assert one.bits.tolist() == other.bits.tolist()
    assert one.weights.tolist() == other.weights.tolist()


def test_zero_counts_are_kept_as_unseen_and_give_the_width() -> None:
    table = read_counts({0: 3, 9: 0, 1: 4})
    assert table.unseen_keys == (9,)
    assert table.num_bits == 4
    assert table.num_strings == 2


@pytest.mark.parametrize(
    ("counts", "keys"),
    [
        (Counts({"0x1": 5, "0x6": 2}, memory_slots=4), {"0001", "0110"}),
        (Counts({1: 5, 6: 2}, creg_sizes=[["a", 1], ["b", 3]], memory_slots=4), {"000 1", "011 0"}),
        (Counts({"0x1": 5, "0x6": 2}), {"1", "110"}),
        (Counts({"001": 5, "110": 2}), {"001", "110"}),
        (Counts({"001": 5, "110": 2}, memory_slots=3), {"001", "110"}),
    ],
)
def test_qiskit_counts_keep_their_keys_and_their_width(counts: Counts, keys: set[str]) -> None:
    table = read_counts(counts)
    assert set(table.keys) == keys
    assert by_number(table) == {1: 5, 6: 2}
    assert table.num_bits == (counts.memory_slots or 3)
    # Only where Qiskit itself lost the width has the reader to be told that it was guessed.
    assert bool(table.notes) == (keys == {"1", "110"})


def test_distributions_bring_their_shots_and_their_width() -> None:
    table = read_counts(ProbDistribution({"0001": 0.25, "0010": 0.75}, shots=8))
    assert (table.num_bits, table.notes) == (4, ())
    assert by_number(table) == {1: 2, 2: 6}
    guessed = read_counts(QuasiDistribution({1: 0.25, 2: 0.75}), shots=8)
    assert guessed.num_bits == 2
    assert "largest key, 2" in guessed.notes[0]
    assert read_counts(QuasiDistribution({1: 0.25, 2: 0.75}, shots=8), num_bits=5).num_bits == 5
    with pytest.raises(InputError, match="pass shots="):
        read_counts(QuasiDistribution({1: 0.25, 2: 0.75}))
    with pytest.raises(InputError, match="for 2: make probabilities of quasi-probabilities first"):
        read_counts(QuasiDistribution({1: 1.01, 2: -0.01}, shots=8))


def test_mitigated_counts_can_be_read_again() -> None:
    table = read_counts({"00": 3, "01": 1})
    report = Report("raw", False, "as told", 2, 2, 4)
    again = read_counts(MitigatedCounts({"00": 0.75, "01": 0.25}, {}, report, table=table, estimator=None))
    assert as_dict(again) == {"00": 3, "01": 1}
    assert again.notes == ("The counts were mitigated before, with raw.",)


def test_a_table_is_read_as_it_is_unless_it_is_contradicted() -> None:
    table = read_counts({"01": 3})
    assert read_counts(table, num_bits=2, bit_order="little", shots=3) is table
    for option, value in (("num_bits", 3), ("bit_order", "big"), ("shots", 4)):
        with pytest.raises(InputError, match=f"{option} is {value!r}, but the source itself says"):
            read_counts(table, **{option: value})


# probabilities


@given(counts_of_strings)
def test_probabilities_give_the_shots_back(counts: dict[str, int]) -> None:
    shots = sum(counts.values())
    probabilities = {key: count / shots for key, count in counts.items()}
    assert as_dict(read_counts(probabilities, shots=shots)) == counts


def test_probabilities_that_are_no_shares_of_the_shots_are_noted() -> None:
    table = read_counts({"0": 1 / 3, "1": 2 / 3}, shots=100)
    assert as_dict(table) == pytest.approx({"0": 100 / 3, "1": 200 / 3})
    assert table.shots == 100
    assert "no whole numbers out of 100 shots" in table.notes[0]
    assert read_counts({"0": 0.333, "1": 0.666}, shots=1000).shots == 1000


@pytest.mark.parametrize("value", [3, 3.0, np.int32(3), np.float32(3), Fraction(3)])
def test_whole_numbers_of_any_kind_are_counts(value: object) -> None:
    assert as_dict(read_counts({"0": value, "1": value})) == {"0": 3, "1": 3}
    assert as_dict(read_counts({"0": value, "1": value}, shots=6)) == {"0": 3, "1": 3}


def test_one_is_a_shot_unless_it_is_a_probability() -> None:
    assert read_counts({"0": 1}).shots == 1
    assert read_counts({"0": 1}, shots=50).shots == 50
    with pytest.raises(InputError, match="pass shots="):
        read_counts({"0": 1.0})


@pytest.mark.parametrize(
    ("counts", "options", "message"),
    [
        ({}, {}, "empty"),
        ({"0": 0, "1": 0}, {}, "all counts are zero"),
        ({"0": 3, "1": -1}, {}, "not negative, got -1 for '1'"),
        ({"0": 3, "1": float("nan")}, {}, "finite and not negative, got nan for '1'"),
        ({"0": 3, "1": float("inf")}, {}, "finite and not negative, got inf for '1'"),
        ({"0": 3, "1": 10**400}, {}, "too large"),
        ({"0": 3, "1": True}, {}, "must be numbers, got True, a bool, for '1'"),
        ({"0": 3, "1": np.True_}, {}, "must be numbers"),
        ({"0": 3, "1": "4"}, {}, "must be numbers, got '4', a str, for '1'"),
        ({"0": 3, "1": None}, {}, "must be numbers, got None"),
        ({"0": 3, "1": 1j}, {}, "must be numbers"),
        ({"0": 2.5, "1": 4}, {}, "whole numbers of shots, or probabilities that sum to one, got 2.5 for '0' and a sum"),
        ({"0": 0.5, "1": 0.4}, {"shots": 10}, "sum of 0.9"),
        ({"0": 0.5, "1": 0.5}, {}, "they sum to one: pass shots="),
        ({"0": 5, "1": 5}, {"shots": 11}, "shots is 11, but the counts sum to 10"),
        ({"0": 5}, {"shots": 0}, "shots must be an integer >= 1, got 0"),
        ({"0": 5}, {"num_bits": 0}, "num_bits must be an integer >= 1, got 0"),
        ({"0": 5}, {"num_bits": 2.0}, "num_bits must be an integer"),
        ({"0": 5}, {"bit_order": "middle"}, "unknown bit_order 'middle'"),
        ({"01": 5, "0": 4}, {}, "equal lengths"),
        ({"0x1": 5, "0x01": 4}, {}, "mean the same bits"),
        ({"01": 5, 1: 4}, {}, "one kind"),
    ],
)
def test_counts_that_cannot_be_read(counts: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_counts(counts, **options)


# lists


def test_a_list_of_bit_strings_is_the_list_of_shots() -> None:
    array = BitArray.from_samples(["01", "10", "01"])
    assert as_dict(read_counts(array.get_bitstrings())) == {"01": 2, "10": 1}
    assert read_counts(["0x1", "0x1"], num_bits=3).num_bits == 3


def test_lists_are_read_item_by_item() -> None:
    tables = read_many([{"0": 3, "1": 1}, Counts({"00": 7}), BitArray.from_samples(["101"])])
    assert [table.num_bits for table in tables] == [1, 2, 3]
    assert [found.name for found in find_counts({"a": {"0": 1}, "b": {"counts": {"1": 2}, "id": "inner"}})] == [
        "a",
        "b",
    ]
    with pytest.raises(InputError, match=r"counts 1 of 2: counts must be finite and not negative"):
        read_many([{"0": 3}, {"0": -3}])
    with pytest.raises(InputError, match=r"a dict holds 2 sets of counts \(a, b\)"):
        read_counts({"a": {"0": 1}, "b": {"0": 1}})
    with pytest.raises(InputError, match=r"counts 1 \(b\) of 2"):
        read_many({"a": {"0": 1}, "b": {"2": 1}})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "the list is empty"),
        ([1, 2], "a list of numbers"),
        ([[0, 1], [1, 1]], "a list of numbers"),
        (3, "cannot read counts from a int: pass a dict"),
        (None, "cannot read counts from a NoneType"),
        ([None], "cannot read counts from a NoneType"),
    ],
)
def test_sources_that_are_unknown(source: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_counts(source)


# records and sizes


def test_a_record_says_what_is_known_of_its_counts() -> None:
    table = read_counts({"counts": {"0x1": 4}, "num_bits": 3, "bit_order": "big", "shots": 9})
    assert (table.num_bits, table.bit_order, table.shots) == (3, "big", 4)
    assert read_counts({"probabilities": {"0": 0.25, "1": 0.75}, "shots": 4}).weights.tolist() == [1, 3]
    for record, message in [
        ({"counts": {}}, "empty"),
        ({"counts": {"0": 1}, "num_bits": "3"}, "num_bits of the counts must be a positive integer, got '3'"),
        ({"counts": {"0": 1}, "shots": True}, "shots of the counts must be a positive integer"),
        ({"counts": {"0": 1}, "bit_order": "up"}, "unknown bit_order 'up'"),
    ]:
        with pytest.raises(InputError, match=message):
            read_counts(record)
    with pytest.raises(InputError, match="num_bits is 4, but the source itself says 3"):
        read_counts({"counts": {"0x1": 4}, "num_bits": 3}, num_bits=4)


def test_errors_of_a_file_name_it(tmp_path: Path) -> None:
    path = tmp_path / "counts.json"
    path.write_text('{"01": 3, "1": 4}')
    with pytest.raises(DataError, match=r"counts\.json: keys must have equal lengths"):
        read_counts(path)
    path.write_text('[{"01": 3}, {"01": -4}]')
    with pytest.raises(DataError, match=r"counts\.json: counts 1 of 2"):
        read_many(str(path))
    with pytest.raises(InputError, match=r"counts\.json holds 2 sets"):
        read_counts(path)


def test_wide_strings_are_read_quickly() -> None:
    generator = np.random.default_rng(4)
    keys = [f"{int.from_bytes(generator.bytes(16), 'big') >> 1:0127b}" for _ in range(100_000)]
    counts = dict.fromkeys(keys, 3)
    begin = time.process_time()
    table = read_counts(counts)
    assert time.process_time() - begin < 1.0
    assert table.bits.shape == (100_000, 127)
    assert table.words.nbytes == 16 * 100_000
