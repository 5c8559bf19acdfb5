"""Counts of parities against numpy over all shots, in any portions, and the algebra of forgetting."""

import dataclasses
import itertools

import numpy as np
import pytest
import stim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.structure import FaultStructure
from quell.errors import InputError, TooLargeError

SOME = stim.DetectorErrorModel(
    "error(.1) D0\nerror(.1) D0 D3 D70\nerror(.1) D3 D4\nerror(.1) D8 D64 D65 D66\ndetector D71"
)


def packed(events: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.packbits(events, axis=1, bitorder="little")


def members(row: NDArray[np.int32]) -> list[int]:
    return [int(d) for d in row if d >= 0]


def odd_shots(events: NDArray[np.bool_], sets: ParitySets) -> list[int]:
    """By numpy: in how many shots each set has an odd number of events."""
    return [int((events[:, members(row)].sum(axis=1) % 2).sum()) for row in sets.sets]


faults = st.lists(st.sets(st.integers(0, 8), min_size=1, max_size=5), min_size=1, max_size=10)


@given(faults)
def test_sets_are_all_subsets_once(chosen: list[set[int]]) -> None:
    text = "\n".join("error(.1) " + " ".join(f"D{d}" for d in fault) for fault in chosen)
    structure = FaultStructure.of(stim.DetectorErrorModel(text))
    sets = ParitySets.of(structure)
    expected = {
        subset
        for fault in chosen
        for size in range(1, len(fault) + 1)
        for subset in itertools.combinations(sorted(fault), size)
    }
    found = [tuple(members(row)) for row in sets.sets]
    assert len(found) == len(set(found))
    assert set(found) == expected
    for row, numbers in zip(structure.detectors, sets.subsets, strict=True):
        own = members(row)
        for mask, number in enumerate(numbers):
            if mask == 0 or mask >> len(own):
                assert number == -1
            else:
                assert found[number] == tuple(d for k, d in enumerate(own) if mask >> k & 1)


def test_too_many_sets_are_refused() -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0"))
    many = dataclasses.replace(structure, detectors=np.zeros((1 << 16, 12), dtype=np.int32))
    with pytest.raises(TooLargeError, match="65536 faults with up to 12 detectors have up to 268435456 subsets"):
        ParitySets.of(many)


@settings(max_examples=60, deadline=None)  # the first call compiles
@given(st.integers(0, 2**32), st.lists(st.integers(0, 150), min_size=1, max_size=6), st.sampled_from([2, 5, 32]))
def test_counts_are_those_of_numpy_in_any_portions(seed: int, portions: list[int], blocks: int) -> None:
    rng = np.random.default_rng(seed)
    events = rng.random((sum(portions), 72)) < rng.random(72)
    sets = ParitySets.of(FaultStructure.of(SOME))
    counts = ParityCounts(sets, num_blocks=blocks)
    for part in np.split(events, np.cumsum(portions)[:-1]):
        counts.add(packed(part))
    assert counts.odd.sum(axis=0).tolist() == odd_shots(events, sets)
    assert counts.num_shots == counts.effective_shots == counts.squares == len(events)
    assert (counts.odd <= counts.shots[:, None]).all()
    # No block is further ahead than the largest piece that was added at a time, which may be a word.
    assert counts.shots.max() - counts.shots.min() <= max(64, -(-max(portions) // blocks))


def test_many_shots_at_once() -> None:
    events = np.random.default_rng(3).random((300_000, 2)) < [0.3, 0.6]
    sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 D1")))
    counts = ParityCounts(sets)
    counts.add(packed(events))
    assert counts.odd.sum(axis=0).tolist() == odd_shots(events, sets)
    assert counts.shots.sum() == len(events)
    assert (counts.shots > 0).all()
    assert (counts.shots <= 2 * 8192).all()


def test_each_block_counts_shots_of_its_own() -> None:
    events = np.random.default_rng(5).random((32, 2)) < 0.5
    sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 D1")))
    counts = ParityCounts(sets)
    counts.add(packed(events))
    assert counts.shots.tolist() == [1.0] * 32
    parities = [events[:, members(row)].sum(axis=1) % 2 for row in sets.sets]
    assert counts.odd.T.tolist() == [list(row) for row in parities]


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0, 1)), min_size=1, max_size=5), st.integers(0, 2**32))
def test_forgotten_shots_count_less(steps: list[tuple[int, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 D1 D2\nerror(.1) D9")))
    counts = ParityCounts(sets)
    shots = squares = 0.0
    odd = np.zeros(len(sets.sets))
    for number, factor in steps:
        events = rng.random((number, 10)) < 0.4
        counts.add(packed(events))
        odd, shots, squares = odd + odd_shots(events, sets), shots + number, squares + number
        counts.decay(factor)
        odd, shots, squares = factor * odd, factor * shots, factor**2 * squares
    assert counts.odd.sum(axis=0) == pytest.approx(odd)
    assert (counts.num_shots, counts.squares) == pytest.approx((shots, squares))
    # Kish's effective sample size, (sum of weights)^2 / (sum of their squares).
    assert counts.effective_shots == pytest.approx(shots**2 / squares if squares else 0)


def test_forgetting_everything_starts_anew() -> None:
    sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 D1")))
    events = packed(np.random.default_rng(1).random((100, 2)) < 0.5)
    fresh, used = ParityCounts(sets), ParityCounts(sets)
    used.add(events[:60])
    used.decay(0.0)
    assert (used.num_shots, used.effective_shots) == (0.0, 0.0)
    for counts in (fresh, used):
        counts.add(events)
    assert fresh.odd.tolist() == used.odd.tolist()
    assert fresh.effective_shots == used.effective_shots == 100


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (np.zeros((5, 72), dtype=np.bool_), "pack them with np.packbits"),
        (np.zeros((5, 9), dtype=np.bool_), r"uint8 of shape \(shots, 9\) for 72 bits, got bool"),
        (np.zeros((5, 8), dtype=np.uint8), r"got uint8 of shape \(5, 8\)"),
        (np.zeros(9, dtype=np.uint8), r"got uint8 of shape \(9,\)"),
        ([[0] * 9], "got list"),
    ],
)
def test_other_events_are_refused(events: object, message: str) -> None:
    counts = ParityCounts(ParitySets.of(FaultStructure.of(SOME)))
    with pytest.raises(InputError, match=message):
        counts.add(events)  # type: ignore[arg-type]  # that is what is refused
    assert counts.num_shots == 0
