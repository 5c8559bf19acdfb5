"""Translation classes against circuits with the same noise everywhere, and a plain search for translations."""

import collections
import itertools
from collections.abc import Callable, Hashable, Iterable
from fractions import Fraction

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory, rp2_memory, unrotated_surface_memory
from quell.decoders.noise_learning.structure import FaultStructure
from quell.decoders.noise_learning.translation import translation_classes
from quell.errors import InputError

UNIFORM = NoiseModel.uniform_depolarizing(0.004)
SI1000 = NoiseModel.si1000(0.004)

Classes = NDArray[np.int64]


def repetition(rounds: int = 8) -> stim.Circuit:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=6,
        rounds=rounds,
        after_clifford_depolarization=0.003,
        before_measure_flip_probability=0.002,
        before_round_data_depolarization=0.001,
        after_reset_flip_probability=0.004,
    )


def partition(labels: Iterable[Hashable], of: Iterable[Hashable]) -> set[frozenset[Hashable]]:
    """What has one label, together."""
    groups: dict[Hashable, set[Hashable]] = collections.defaultdict(set)
    for label, member in zip(labels, of, strict=True):
        groups[label].add(member)
    return {frozenset(group) for group in groups.values()}


def fault_sets(structure: FaultStructure) -> list[frozenset[int]]:
    return [frozenset(d for d in row if d >= 0) for row in structure.detectors.tolist()]


def searched_classes(structure: FaultStructure) -> list[list[Hashable]]:
    """For each level a label for each fault, from exact coordinates relative to a corner of each fault."""
    places = {d: tuple(map(Fraction, xyz)) for d, xyz in structure.coordinates.items()}
    faults = fault_sets(structure)

    def seen_from(origin: tuple[Fraction, ...], fault: frozenset[int]) -> frozenset[tuple[Fraction, ...]]:
        return frozenset(tuple(a - b for a, b in zip(places[d], origin, strict=True)) for d in fault)

    around: dict[int, collections.Counter[Hashable]] = collections.defaultdict(collections.Counter)
    for fault in faults:
        for d in fault:
            around[d][seen_from(places[d], fault)] += 1
    looks = {d: frozenset(counter.items()) for d, counter in around.items()}

    def label(fault: frozenset[int], in_space: bool, surroundings: bool) -> Hashable:
        least = min(places[d][::-1] for d in fault)[::-1]
        origin = least if in_space else tuple([Fraction(0)] * (len(least) - 1)) + least[-1:]
        return frozenset(
            (tuple(a - b for a, b in zip(places[d], origin, strict=True)), looks[d] if surroundings else None)
            for d in fault
        )

    return [[label(fault, *level) for fault in faults] for level in ((False, True), (True, True), (True, False))]


@pytest.mark.parametrize(
    "circuit",
    [
        *(rotated_surface_memory(3, 8, "X", noise) for noise in (UNIFORM, SI1000)),
        *(rotated_surface_memory(7, 5, "Z", noise) for noise in (UNIFORM, SI1000)),
        *(unrotated_surface_memory(3, 8, "X", noise) for noise in (UNIFORM, SI1000)),
        *(rp2_memory(3, 8, "Z", noise) for noise in (UNIFORM, SI1000)),
        repetition(),
    ],
    ids=[
        *(f"{name} {noise}" for name in ("rotated", "wide rotated", "unrotated", "RP2") for noise in ("uniform", "SI")),
        "repetition",
    ],
)
def test_one_class_has_one_rate_under_noise_that_is_everywhere_the_same(circuit: stim.Circuit) -> None:
    structure = FaultStructure.of(circuit)
    classes = translation_classes(structure)
    for level in (0, 1):
        largest = np.zeros(structure.num_faults)
        np.maximum.at(largest, classes[:, level], structure.nominal)
        assert structure.nominal == pytest.approx(largest[classes[:, level]], rel=1e-9)
    # There is something to compare.
    assert classes[:, 1].max() + 1 < 0.9 * structure.num_faults


@pytest.mark.parametrize(
    "circuit_of",
    [
        repetition,
        lambda rounds: rotated_surface_memory(3, rounds, "X", UNIFORM),
        lambda rounds: rp2_memory(3, rounds, "X", SI1000),
    ],
    ids=["repetition", "rotated", "RP2"],
)
def test_more_rounds_have_no_more_classes(circuit_of: Callable[[int], stim.Circuit]) -> None:
    fewer, more = (FaultStructure.of(circuit_of(rounds)) for rounds in (9, 11))
    assert more.num_faults > fewer.num_faults
    assert translation_classes(more).max(axis=0).tolist() == translation_classes(fewer).max(axis=0).tolist()


@pytest.mark.parametrize(
    "circuit",
    [repetition(5), rotated_surface_memory(3, 5, "X", UNIFORM), rp2_memory(3, 4, "Z", UNIFORM)],
    ids=["repetition", "rotated", "RP2"],
)
def test_classes_are_those_of_a_plain_search(circuit: stim.Circuit) -> None:
    structure = FaultStructure.of(circuit)
    classes = translation_classes(structure)
    faults = fault_sets(structure)
    for level, labels in enumerate(searched_classes(structure)):
        assert partition(classes[:, level].tolist(), faults) == partition(labels, faults)


def test_classes_are_numbered_and_within_each_other() -> None:
    for circuit in (repetition(), rotated_surface_memory(3, 5, "X", UNIFORM)):
        classes = translation_classes(FaultStructure.of(circuit))
        assert classes.dtype == np.int64
        for level in range(3):
            assert np.unique(classes[:, level]).tolist() == list(range(classes[:, level].max() + 1))
        for narrow, wide in itertools.pairwise(classes.T):
            assert len(np.unique(np.stack([narrow, wide]), axis=1).T) == narrow.max() + 1


def relabelled(
    structure: FaultStructure, order: NDArray[np.int64], move: Callable[[list[float]], list[float]]
) -> stim.DetectorErrorModel:
    """The same faults of detectors with other numbers and places, in another order."""
    rows = [f"error(.01) {' '.join(f'D{order[d]}' for d in fault)}" for fault in fault_sets(structure)]
    rows = [rows[k] for k in np.random.default_rng(3).permutation(len(rows))]
    places = [f"detector({', '.join(map(repr, move(xyz)))}) D{order[d]}" for d, xyz in structure.coordinates.items()]
    return stim.DetectorErrorModel("\n".join([*rows, *places]))


@pytest.mark.parametrize("step", [0.0, 3.25, -17.0, 1 / 3, 0.1])
@pytest.mark.parametrize("circuit", [repetition(5), rotated_surface_memory(3, 4, "X", UNIFORM)], ids=["one", "two"])
def test_numbers_and_origin_do_not_matter(circuit: stim.Circuit, step: float) -> None:
    structure = FaultStructure.of(circuit)
    order = np.random.default_rng(5).permutation(structure.num_detectors)
    other = FaultStructure.of(relabelled(structure, order, lambda xyz: [value + step for value in xyz]))
    here, there = translation_classes(structure), translation_classes(other)
    moved = [frozenset(int(order[d]) for d in fault) for fault in fault_sets(structure)]
    for level in range(3):
        assert partition(here[:, level].tolist(), moved) == partition(there[:, level].tolist(), fault_sets(other))


@pytest.mark.parametrize("unit", [2.0, 1 / 3, 0.1, 3**0.5 / 2, 100.7])
def test_the_unit_of_length_does_not_matter(unit: float) -> None:
    structure = FaultStructure.of(repetition(5))
    order = np.arange(structure.num_detectors)
    other = FaultStructure.of(relabelled(structure, order, lambda xyz: [value * unit for value in xyz]))
    here, there = translation_classes(structure), translation_classes(other)
    for level in range(3):
        assert partition(here[:, level].tolist(), fault_sets(structure)) == partition(
            there[:, level].tolist(), fault_sets(other)
        )


def test_detectors_at_one_place_are_alike() -> None:
    dem = stim.DetectorErrorModel(
        "error(.1) D0\nerror(.1) D1\nerror(.1) D2\ndetector(0, 0) D0\ndetector(0, 0) D1\ndetector(1, 0) D2"
    )
    classes = translation_classes(FaultStructure.of(dem))
    assert classes[0].tolist() == classes[1].tolist()
    assert classes[0, 0] != classes[2, 0]
    assert classes[0, 1:].tolist() == classes[2, 1:].tolist()


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ("", r"D0 has 0.*write DETECTOR\(x, y, t\).*classes=None"),
        ("detector(1, 2) D0", "1 of 2 detectors .*D1 has 0"),
        ("detector(1, 2) D0\ndetector(1, 2, 3) D1", r"1 of 2 detectors .* 3 of the rest \(D0 has 2\)"),
    ],
    ids=["none", "one without", "other numbers"],
)
def test_refused_without_coordinates(places: str, message: str) -> None:
    structure = FaultStructure.of(stim.DetectorErrorModel(f"error(.1) D0 D1\n{places}"))
    with pytest.raises(InputError, match=message):
        translation_classes(structure)
