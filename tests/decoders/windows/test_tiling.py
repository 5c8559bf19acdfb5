"""Layers and boxes: what covers what, by counting, and the coordinates that are refused."""

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.decoders.windows.tiling import Box, Layers, block_boxes, sliding_boxes
from quell.errors import InputError

SIZES = st.integers(1, 40)
LENGTHS = st.integers(1, 9)
BUFFERS = st.integers(0, 9)


def cells(spans: Sequence[tuple[int, int]]) -> set[tuple[int, ...]]:
    return set(itertools.product(*(range(first, last) for first, last in spans)))


def owners(boxes: list[Box], sizes: Sequence[int]) -> dict[tuple[int, ...], int]:
    """Which box commits each cell; each cell is committed once."""
    found: dict[tuple[int, ...], int] = {}
    for number, box in enumerate(boxes):
        mine = cells(box.commits)
        assert mine
        assert mine <= cells(box.sees)
        assert not mine & found.keys()
        found |= dict.fromkeys(mine, number)
    assert found.keys() == cells([(0, size) for size in sizes])
    assert [box.stage for box in boxes] == sorted(box.stage for box in boxes)
    assert {box.stage for box in boxes} == set(range(boxes[-1].stage + 1))
    return found


@settings(max_examples=200, deadline=None)
@given(SIZES, LENGTHS, BUFFERS)
def test_sliding_windows(size: int, commit: int, buffer: int) -> None:
    boxes = sliding_boxes(size, commit, buffer)
    owners(boxes, [size])
    assert [box.stage for box in boxes] == list(range(len(boxes)))
    for number, box in enumerate(boxes[:-1]):
        assert box.commits == ((number * commit, (number + 1) * commit),)
        assert box.sees == ((number * commit, (number + 1) * commit + buffer),)
        assert box.sees[0][1] < size
    # The last sees no more than the others do, and all that is left.
    assert boxes[-1].sees == boxes[-1].commits
    assert boxes[-1].sees[0][1] == size
    assert boxes[-1].sees[0][1] - boxes[-1].sees[0][0] <= commit + buffer


@settings(max_examples=200, deadline=None)
@given(SIZES, LENGTHS, LENGTHS, BUFFERS)
def test_blocks_in_time(size: int, commit: int, gap: int, buffer: int) -> None:
    boxes = block_boxes([size], [commit], [gap], [buffer])
    owner = owners(boxes, [size])
    # From front to back, cores and gaps take turns.
    stages = [boxes[owner[cell,]].stage for cell in range(size)]
    runs = [(stage, len(list(run))) for stage, run in itertools.groupby(stages)]
    assert [stage for stage, _ in runs] == [number % 2 for number in range(len(runs))]
    for stage, length in runs[:-1]:
        assert length == (commit, gap)[stage]
    stage, length = runs[-1]
    whole = (commit, gap)[stage]
    assert whole <= 2 * length or len(runs) == 1
    assert length < whole + (gap, commit)[stage] / 2 + 1
    for box in boxes:
        (first, last), (low, high) = box.commits[0], box.sees[0]
        if box.stage == 0:
            assert (low, high) == (max(0, first - buffer), min(size, last + buffer))
        else:
            # A gap lies between two cores: it looks at nothing behind them.
            assert first - min(buffer, commit) == low
            assert last <= high <= min(size, last + buffer)
            assert {stages[cell] for cell in range(last, high)} <= {0}


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(1, 9)] * 3), *[st.tuples(*[st.integers(1, 4)] * 3)] * 3)
def test_blocks_in_space_and_time(
    sizes: tuple[int, ...], commit: tuple[int, ...], gap: tuple[int, ...], buffer: tuple[int, ...]
) -> None:
    boxes = block_boxes(sizes, commit, gap, buffer)
    owner = owners(boxes, sizes)
    # Two cells that touch, corners included, and are of different boxes, are of different stages.
    for cell, number in owner.items():
        for step in itertools.product((-1, 0, 1), repeat=3):
            other = owner.get(tuple(np.add(cell, step).tolist()), number)
            assert other == number or boxes[other].stage != boxes[number].stage
    # Along each axis alone they are the blocks of that axis.
    for axis in range(3):
        alone = block_boxes(sizes[axis : axis + 1], commit[axis : axis + 1], gap[axis : axis + 1], [0])
        assert {box.commits[axis] for box in boxes} == {box.commits[0] for box in alone}


def of(text: str, axis: str = "time") -> Layers:
    return Layers.of(stim.DetectorErrorModel(text), axis)


def test_layers_are_the_distinct_times() -> None:
    layers = of("detector(7, 2.5) D0\ndetector(1, -1) D1\ndetector(3, 2.5) D2\ndetector(0, 100) D3")
    np.testing.assert_array_equal(layers.numbers, [[1, 0, 1, 2]])
    assert layers.sizes == (3,)
    np.testing.assert_array_equal(layers.coordinates, [[7, 2.5], [1, -1], [3, 2.5], [0, 100]])


def test_layers_in_space_are_the_distinct_columns_and_rows() -> None:
    layers = of("detector(7, 2, 0) D0\ndetector(1, -1, 0) D1\ndetector(1, 2, 5) D2", "space-time")
    np.testing.assert_array_equal(layers.numbers, [[0, 0, 1], [1, 0, 0], [1, 0, 1]])
    assert layers.sizes == (2, 2, 2)


def test_shifts_of_coordinates_count_and_roundings_do_not() -> None:
    layers = of("repeat 10 {\ndetector(4, 0) D0\ndetector(4, 0.3) D1\nshift_detectors(0, 0.1) 2\n}")
    # 0.3 and three times 0.1 are one time.
    np.testing.assert_array_equal(layers.numbers[0], np.stack([np.arange(10), np.arange(10) + 3], axis=1).ravel())


@pytest.mark.parametrize("axis", ["time", "space-time"])
def test_no_detectors_have_no_layers(axis: str) -> None:
    for text in ("", "error(0.1) L0"):
        layers = of(text, axis)
        assert layers.numbers.shape == (1 if axis == "time" else 3, 0)
        assert set(layers.sizes) == {0}


@pytest.mark.parametrize(
    ("text", "axis", "message"),
    [
        (
            "detector(1) D0\nerror(0.1) D0 D2",
            "time",
            r"2 of 3 detectors have no time \(D1 has the coordinates \[\]\), by which windows are laid: write DETECTOR",
        ),
        (
            "detector(1, 2) D0",
            "space-time",
            r"1 of 1 detectors have no x, y and time \(D0 has the coordinates \[1.0, 2.0\]\)",
        ),
        (
            "detector(1, 2) D0\ndetector(1) D1\ndetector(1, 3) D2",
            "time",
            "D1 has 1 coordinates and others have 2, so which of them is the time is not known: give all detectors as",
        ),
    ],
)
def test_coordinates_that_do_not_say_the_time(text: str, axis: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        of(text, axis)
