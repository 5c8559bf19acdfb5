"""Classes of faults that differ by a translation, in time alone or in time and space.

Under noise that is the same everywhere, faults of one class have one rate; under noise that is the same in every round,
those of one class in time. Faults at the edge of a memory have other neighbours than those inside, and often other
rates, so the narrower classes hold faults whose detectors have the same other faults, too; the widest holds all of one
shape.
"""

import numpy as np
from numpy.typing import NDArray

from quell.decoders.hashes import scrambled
from quell.decoders.noise_learning.structure import FaultStructure
from quell.errors import InputError

__all__ = ["translation_classes"]

_GRID = 1024  # coordinates that are nearer than the inverse of this are the same

Hashes = NDArray[np.uint64]


def translation_classes(structure: FaultStructure) -> NDArray[np.int64]:
    """Returns three classes of each fault, int64 (F, 3), each numbered from 0 and within the next one.

    The first is what differs by a translation in time, with equal surroundings; the second, in time and space, with
    equal surroundings; the third, in time and space, whatever is around.

    Args:
        structure: Its detectors have coordinates, of which the last is the time.

    Raises:
        InputError: A detector has no coordinates, or more or fewer than the others.

    Examples:
        Two detectors a round; the last measurement flips one detector, not two.

        >>> import stim
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> from quell.decoders.noise_learning.translation import translation_classes
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=9,
        ...                                  before_measure_flip_probability=0.01)
        >>> classes = translation_classes(FaultStructure.of(circuit))
        >>> len(classes), (classes.max(axis=0) + 1).tolist()
        (21, [9, 7, 3])
    """
    places = _places(structure)
    detectors = structure.detectors
    there = detectors >= 0
    own = places[detectors]  # of what is filled up, any
    around = _surroundings(structure, places)[detectors]
    order = np.lexsort(np.rint(places * _GRID).T)
    rank = np.empty(len(places), dtype=np.int64)
    rank[order] = np.arange(len(places))
    first = np.where(there, rank[detectors], len(places)).argmin(axis=1)
    base = own[np.arange(len(own)), first]
    in_time = _hash(own - np.concatenate([np.zeros_like(base[:, :-1]), base[:, -1:]], axis=1)[:, None])
    in_both = _hash(own - base[:, None])
    keys = [
        _sum(scrambled(in_time + around), there),
        _sum(scrambled(in_both + around), there),
        _sum(scrambled(in_both), there),
    ]
    return np.stack([np.unique(key, return_inverse=True)[1].reshape(-1) for key in keys], axis=1).astype(np.int64)


def _places(structure: FaultStructure) -> NDArray[np.float64]:
    """float64 (D, coordinates): where each detector is."""
    number = structure.num_detectors
    lengths = [len(structure.coordinates.get(d, ())) for d in range(number)]
    longest = max(lengths)
    wrong = [d for d in range(number) if lengths[d] != longest or not longest]
    if wrong:
        raise InputError(
            f"{len(wrong)} of {number} detectors have other numbers of coordinates than the {longest} of the rest "
            f"(D{wrong[0]} has {lengths[wrong[0]]}), so which errors are translations of each other is not known: "
            f"write DETECTOR(x, y, t) in the circuit, give classes of your own, or learn each error by itself with "
            f"classes=None"
        )
    return np.array([structure.coordinates[d] for d in range(number)], dtype=np.float64).reshape(number, longest)


def _surroundings(structure: FaultStructure, places: NDArray[np.float64]) -> Hashes:
    """uint64 (D,): a hash of what the faults of each detector look like from there."""
    detectors = structure.detectors
    there = detectors >= 0
    own = places[detectors]
    found = np.zeros(structure.num_detectors, dtype=np.uint64)
    for column in range(detectors.shape[1]):
        chosen = there[:, column]
        seen = own[chosen] - own[chosen, column][:, None]
        looks = scrambled(_sum(_hash(seen), there[chosen]))
        np.add.at(found, detectors[chosen, column], looks)
    return found


def _hash(places: NDArray[np.float64]) -> Hashes:
    """uint64 (…): of float64 (…, coordinates), on a fine grid: differences, that equal ones are equal."""
    steps = np.rint(places * _GRID).astype(np.int64)
    found = np.zeros(places.shape[:-1], dtype=np.uint64)
    for axis in range(steps.shape[-1]):
        found = scrambled(found + steps[..., axis].astype(np.uint64))
    return found


def _sum(hashes: Hashes, there: NDArray[np.bool_]) -> Hashes:
    """The sums of rows, in which the order does not matter."""
    return np.asarray(np.where(there, hashes, np.uint64(0)).sum(axis=1, dtype=np.uint64), dtype=np.uint64)
