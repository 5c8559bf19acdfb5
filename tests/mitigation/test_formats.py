"""Keys to bits and back, against Python's own reading of numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.errors import InputError, TooLargeError, UnknownNameError
from quell.mitigation.formats import check_bit_order, find_repeated, parse_keys

numbers_and_width = st.integers(1, 140).flatmap(
    lambda width: st.tuples(st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=6, unique=True), st.just(width))
)
orders = st.sampled_from(["little", "big"])


def as_numbers(bits: np.ndarray, bit_order: str) -> list[int]:
    """The number that a bit string spells: bit 0 is its last digit if the order is little, else its first."""
    columns = range(bits.shape[1]) if bit_order == "little" else range(bits.shape[1])[::-1]
    return [sum(int(row[column]) << power for power, column in enumerate(columns)) for row in bits]


@given(numbers_and_width, orders, st.sampled_from(["text", "hex", "bin", "int", "tuple"]))
def test_every_format_means_the_number_it_spells(case: tuple[list[int], int], bit_order: str, kind: str) -> None:
    numbers, width = case
    write = {
        "text": lambda number: f"{number:0{width}b}",
        "hex": hex,
        "bin": bin,
        "int": int,
        "tuple": lambda number: tuple(map(int, f"{number:0{width}b}")),
    }[kind]
    keys = [write(number) for number in numbers]
    parsed = parse_keys(keys, num_bits=width, bit_order=bit_order)
    assert parsed.bits.shape == (len(numbers), width)
    assert parsed.bits.dtype == np.uint8
    assert as_numbers(parsed.bits, bit_order) == numbers
    assert [parsed.make_key(row) for row in parsed.bits] == keys
    assert parsed.notes == ()


@pytest.mark.parametrize(
    ("keys", "bits", "wanted"),
    [
        (["01 1", "11 0"], [0, 0, 1], "10 0"),
        (["01_1", "11_0"], [0, 0, 1], "10_0"),
        (["0x0a", "0x1f"], [1, 0, 0, 0, 0], "0x01"),
        (["0XA", "0XF"], [1, 1, 0, 1], "0XB"),
        (["0xa", "0xf"], [1, 1, 0, 1], "0xb"),
        (["0b001", "0b111"], [0, 1, 0], "0b010"),
        (["0b1", "0b111"], [0, 1, 0], "0b10"),
        ([3, 5], [0, 1, 1], 6),
        ([(0, 1), (True, False)], [1, 1], (1, 1)),
    ],
)
def test_new_keys_look_like_the_callers(keys: list[object], bits: list[int], wanted: object) -> None:
    made = parse_keys(keys).make_key(np.array(bits, dtype=np.uint8))
    assert made == wanted
    assert type(made) is type(wanted)


def test_numbers_without_a_width_have_that_of_the_largest_and_say_so() -> None:
    parsed = parse_keys(["0x1", "0x1f"])
    assert parsed.bits.shape == (2, 5)
    assert "'0x1f'" in parsed.notes[0]
    assert parse_keys([0]).bits.shape == (1, 1)


def test_bit_strings_without_zeros_in_front_are_numbers() -> None:
    parsed = parse_keys(["1", "101"], num_bits=4, padded=False)
    assert parsed.bits.tolist() == [[1, 0, 0, 0], [1, 0, 1, 0]]
    assert parsed.make_key(np.array([0, 1, 0, 0], dtype=np.uint8)) == "10"


@pytest.mark.parametrize(
    ("keys", "options", "message"),
    [
        (["01", "011"], {}, "equal lengths, got '01' and '011'"),
        (["01", "2"], {}, "key '2' has the character '2', which is no bit: turn decimal keys into numbers"),
        (["0a"], {}, "key '0a' has the character 'a'"),
        (["0١"], {}, "has the character '١'"),
        (["01", "0é"], {}, "has the character 'é'"),
        (["01\n"], {}, r"has the character '\\n'"),
        ([""], {}, "key '' has no bits"),
        ([" "], {}, "has no bits"),
        (["0 11", "01 1"], {}, "separated alike, got '0 11' and '01 1'"),
        (["01 1", "01_1"], {}, "separated alike"),
        (["01", 1], {}, "one kind, got '01', a bit string, and 1, an integer"),
        (["01", "0x1"], {}, "one kind"),
        (["0b1", "0x1"], {}, "one kind"),
        ([(0, 1), "01"], {}, "one kind"),
        ([True, False], {}, "got True, a bool"),
        ([1.0], {}, "got 1.0, a float"),
        ([b"01"], {}, "a bytes"),
        ([None], {}, "a NoneType"),
        ([-1], {}, "must not be negative, got -1"),
        (["0xg"], {}, "key '0xg' is not a hexadecimal number"),
        (["0x"], {}, "key '0x' is not a hexadecimal number"),
        (["0x1_0"], {}, "not a hexadecimal number"),
        (["0b12"], {}, "not a binary number"),
        (["0x1", "0x01"], {}, "keys '0x1' and '0x01' mean the same bits"),
        (["0X1", "0x1"], {}, "mean the same bits"),
        ([(0, 1), (0, 1, 1)], {}, "equal lengths"),
        ([(0, 2)], {}, r"key \(0, 2\) has the entry 2"),
        ([("0", "1")], {}, "has the entry '0'"),
        ([()], {}, "has no bits"),
        (["0x1f"], {"num_bits": 4}, "num_bits is 4, but key '0x1f' needs 5 bits"),
        ([16], {"num_bits": 4}, "num_bits is 4, but key 16 needs 5 bits"),
        (["0101"], {"num_bits": 3}, "num_bits is 3, but key '0101' has 4 bits"),
        (["01 01"], {"num_bits": 5}, "num_bits is 5, but key '01 01' has 4 bits"),
        ([(0, 1)], {"num_bits": 3}, "has 2 bits"),
        ([5], {"bit_order": "big"}, "pass num_bits="),
    ],
)
def test_keys_that_cannot_be_read(keys: list[object], options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_keys(keys, **options)


def test_a_typing_error_in_num_bits_does_not_fill_the_memory() -> None:
    with pytest.raises(TooLargeError, match="is num_bits right"):
        parse_keys([1, 2], num_bits=10**10)
    with pytest.raises(TooLargeError):
        parse_keys([1 << 2**32, 1])


def test_messages_do_not_print_pages() -> None:
    with pytest.raises(InputError, match="num_bits is 3, but key a int too long to print needs 20001 bits"):
        parse_keys([1 << 20000], num_bits=3)
    with pytest.raises(InputError) as caught:
        parse_keys(["0" * 10**6, "0" * 10**5])
    assert len(str(caught.value)) < 600


def test_bit_orders_by_name() -> None:
    check_bit_order(None)
    with pytest.raises(UnknownNameError, match="did you mean 'little'"):
        check_bit_order("litle")


@given(st.lists(st.integers(0, 2**70 - 1), min_size=1, max_size=12))
def test_repeated_rows_are_found(numbers: list[int]) -> None:
    bits = np.array([[number >> i & 1 for i in range(70)] for number in numbers], dtype=np.uint8)
    found = find_repeated(bits)
    assert (found is None) == (len(set(numbers)) == len(numbers))
    if found is not None:
        first, second = found
        assert first < second
        assert numbers[first] == numbers[second]
