"""Counts of parities: in how many shots a set of detectors had an odd number of events.

All that the learning of noise needs of the shots are these counts, for every subset of the detectors of every fault.
They add up, so that shots may come in any portions, and be forgotten. They are kept in blocks, from whose scatter the
uncertainty of whatever is made of them follows, without assumptions about the noise.
"""

import dataclasses
import itertools
import math

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.structure import FaultStructure
from quell.decoders.posteriors import check_bit_packed
from quell.errors import TooLargeError, import_extra

__all__ = ["NUM_BLOCKS", "ParityCounts", "ParitySets"]

NUM_BLOCKS = 32
_MOST_SUBSETS = 1 << 27
_SHOTS_AT_A_TIME = 8192
_SHOTS_IN_A_WORD = 64


@dataclasses.dataclass(frozen=True, eq=False)
class ParitySets:
    """The sets of detectors whose parities are counted: all subsets of the detectors of each fault.

    Attributes:
        num_detectors: D.
        sets: int32 (A, K): each once, none empty, filled up with -1.
        subsets: int32 (F, 2^K): the set for each mask over the detectors of a fault, bit k for its k-th; -1 for the
            empty mask, and where it reaches over the fault's size.
    """

    num_detectors: int
    sets: NDArray[np.int32]
    subsets: NDArray[np.int32]

    @classmethod
    def of(cls, structure: FaultStructure) -> "ParitySets":
        """Finds the sets of a structure.

        Raises:
            TooLargeError: They are too many.

        Examples:
            >>> import stim
            >>> from quell.decoders.noise_learning.parity_counts import ParitySets
            >>> from quell.decoders.noise_learning.structure import FaultStructure
            >>> sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1")))
            >>> sets.sets.tolist(), sets.subsets.tolist()
            ([[0, -1], [0, 1], [1, -1]], [[-1, 0, -1, -1], [-1, 0, 2, 1]])
        """
        faults, width = structure.detectors.shape
        if faults << width > _MOST_SUBSETS:
            raise TooLargeError(
                f"{faults} faults with up to {width} detectors have up to {faults << width} subsets, the limit is "
                f"{_MOST_SUBSETS}: leave the errors that flip the most detectors out of the structure"
            )
        rows, places = [], []
        sizes = structure.sizes
        for mask in range(1, 1 << width):
            columns = [k for k in range(width) if mask >> k & 1]
            there = np.flatnonzero(sizes > columns[-1])
            row = np.full((len(there), width), -1, dtype=np.int32)
            row[:, : len(columns)] = structure.detectors[there][:, columns]
            rows.append(row)
            places.append((there, mask))
        sets, numbers = np.unique(np.concatenate(rows), axis=0, return_inverse=True)
        subsets = np.full((faults, 1 << width), -1, dtype=np.int32)
        ends = list(itertools.accumulate((len(row) for row in rows), initial=0))
        for (there, mask), first, last in zip(places, ends[:-1], ends[1:], strict=True):
            subsets[there, mask] = numbers.reshape(-1)[first:last]
        return cls(structure.num_detectors, sets, subsets)


class ParityCounts:
    """Counts of parities, in blocks of shots.

    Args:
        sets: Which.
        num_blocks: B, at least 2.
        with_ages: Whether to keep how long ago shots were, too.

    Attributes:
        odd: float64 (B, A): shots in which a set had an odd number of events.
        shots: float64 (B,): all shots. Forgotten shots count less in both.
        squares: The sum of the squares of what the shots count.
        odd_ages: float64 (B, A): the ages, in shots, of those in which a set had an odd number of events, added up;
            None if ages are not kept.
        ages: float64 (B, 2): those of all shots, and their squares. Forgotten shots count less in both.

    Examples:
        >>> import numpy as np, stim
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1")))
        >>> counts = ParityCounts(sets)
        >>> counts.add(np.array([[0b01], [0b11], [0b01]], dtype=np.uint8))
        >>> counts.odd.sum(axis=0).tolist(), counts.num_shots
        ([3.0, 2.0, 1.0], 3.0)
    """

    def __init__(self, sets: ParitySets, num_blocks: int = NUM_BLOCKS, *, with_ages: bool = False) -> None:
        self.sets = sets
        self.odd = np.zeros((num_blocks, len(sets.sets)), dtype=np.float64)
        self.shots = np.zeros(num_blocks, dtype=np.float64)
        self.squares = 0.0
        self.odd_ages = np.zeros_like(self.odd) if with_ages else None
        self.ages = np.zeros((num_blocks, 2), dtype=np.float64)

    @property
    def num_shots(self) -> float:
        """What all shots count together."""
        return float(self.shots.sum())

    @property
    def effective_shots(self) -> float:
        """How many shots that count fully would be as good."""
        return self.num_shots**2 / self.squares if self.squares else 0.0

    def add(self, events: NDArray[np.uint8]) -> None:
        """Adds shots. Where ages are kept, all of them are as old as the one in their middle.

        Args:
            events: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian order.

        Raises:
            InputError: The events have another shape or type.
            MissingExtraError: numba is not installed.
        """
        check_bit_packed("events", events, self.sets.num_detectors)
        import_extra("numba", "predecoder")
        from quell.decoders.noise_learning.parity_kernels import count_odd

        blocks = len(self.shots)
        # A word of shots costs as much as one shot, so pieces are no smaller once all blocks have some.
        least = _SHOTS_IN_A_WORD if float(self.shots.min()) >= _SHOTS_IN_A_WORD else 1
        piece = max(least, min(_SHOTS_AT_A_TIME, math.ceil(len(events) / blocks)))
        age = len(events) / 2
        for start in range(0, len(events), piece):
            part = events[start : start + piece]
            block = int(np.argmin(self.shots))
            odd = self.odd[block] if self.odd_ages is None else np.zeros_like(self.odd[block])
            count_odd(_columns(part, self.sets.num_detectors), self.sets.sets, odd)
            self.shots[block] += len(part)
            self.squares += len(part)
            if self.odd_ages is not None:
                self.odd[block] += odd
                self.odd_ages[block] += age * odd
                self.ages[block] += len(part) * np.array([age, age**2])

    def decay(self, factor: float, num_shots: int = 0) -> None:
        """Makes all shots so far count less, and older.

        Args:
            factor: From 0 to 1.
            num_shots: How many come after them.
        """
        if self.odd_ages is not None:
            self.odd_ages += num_shots * self.odd
            self.odd_ages *= factor
            self.ages[:, 1] += num_shots * (2 * self.ages[:, 0] + num_shots * self.shots)
            self.ages[:, 0] += num_shots * self.shots
            self.ages *= factor
        self.odd *= factor
        self.shots *= factor
        self.squares *= factor**2

    def copy(self) -> "ParityCounts":
        """Returns counts that may be added to, and leave these as they are."""
        found = ParityCounts(self.sets, len(self.shots), with_ages=self.odd_ages is not None)
        found.odd[:], found.shots[:], found.squares = self.odd, self.shots, self.squares
        found.ages[:] = self.ages
        if found.odd_ages is not None and self.odd_ages is not None:
            found.odd_ages[:] = self.odd_ages
        return found


def _columns(events: NDArray[np.uint8], num_detectors: int) -> NDArray[np.uint64]:
    """The events of each detector, uint64 (D, words), a bit a shot."""
    bits = np.unpackbits(events, axis=1, count=num_detectors, bitorder="little")
    packed = np.packbits(bits.T, axis=1, bitorder="little")
    words = -(-packed.shape[1] // 8)
    padded = np.zeros((num_detectors, 8 * words), dtype=np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64)
