"""Packed strings and their distances, against Python's own integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quell.mitigation.hamming import distances, pack_words, row_blocks

rows = st.integers(1, 140).flatmap(
    lambda width: st.tuples(st.just(width), st.lists(st.integers(0, 2**width - 1), min_size=1, max_size=8))
)


def as_bits(numbers: list[int], width: int) -> np.ndarray:
    return np.array([[number >> i & 1 for i in range(width)] for number in numbers], dtype=np.uint8)


@given(rows)
def test_words_are_the_digits_of_the_number_to_base_2_to_the_64(case: tuple[int, list[int]]) -> None:
    width, numbers = case
    words = pack_words(as_bits(numbers, width))
    assert words.dtype == np.uint64
    assert words.shape == (len(numbers), -(-width // 64))
    assert [sum(int(word) << 64 * i for i, word in enumerate(row)) for row in words] == numbers


@given(rows)
def test_distances_are_the_ones_of_the_exclusive_or(case: tuple[int, list[int]]) -> None:
    width, numbers = case
    words = pack_words(as_bits(numbers, width))
    found = distances(words, words[:3])
    assert found.tolist() == [[(a ^ b).bit_count() for b in numbers[:3]] for a in numbers]


@pytest.mark.parametrize(("num_rows", "num_columns"), [(0, 5), (1, 0), (7, 10**9), (1000, 20_000), (3, 3)])
def test_blocks_cover_every_row_once_and_are_small(num_rows: int, num_columns: int) -> None:
    blocks = list(row_blocks(num_rows, num_columns))
    assert [row for block in blocks for row in range(block.start, block.stop)] == list(range(num_rows))
    assert all((block.stop - block.start) * num_columns <= max(num_columns, 8_000_000) for block in blocks)
