"""What a learner keeps of its shots: counts of parities, and the last shots, which wait for their portion.

A state never changes: shots that come are taken up beside it, and make a new one. Whatever goes wrong on the way, be it
a file that is cut off or Ctrl-C, the state that was is as it was.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.parity_counts import ParityCounts

__all__ = ["Intake", "TakenShots"]


@dataclasses.dataclass(frozen=True, eq=False)
class TakenShots:
    """The shots so far. Its arrays are not written to.

    Attributes:
        counts: Of the shots in whole portions.
        pending: uint8 (shots, ceil(D/8)): bit-packed, those that wait for their portion.
        fired: uint8 (ceil(D/8),): bit-packed, the detectors that ever fired.
        num_shots: How many were taken up, forgotten ones among them.
        files: Hashes of the files that were taken up.
    """

    counts: ParityCounts
    pending: NDArray[np.uint8]
    fired: NDArray[np.uint8]
    num_shots: int = 0
    files: frozenset[str] = frozenset()

    def fading(self, memory: float | None) -> float:
        """Returns how much what is counted counts once the pending shots are, by a half-life in shots."""
        return _fading(len(self.pending), memory)

    def counted(self, memory: float | None) -> ParityCounts:
        """Returns the counts with the pending shots, which stay pending."""
        if not len(self.pending):
            return self.counts
        counts = self.counts.copy()
        _add(counts, self.pending, memory)
        return counts

    def forgotten(self, keep: float, memory: float | None) -> "TakenShots":
        """Returns the state in which all shots so far count less; with 0, they are as if they had not been."""
        counts = self.counted(memory).copy()
        counts.decay(keep)
        state = dataclasses.replace(self, counts=counts, pending=self.pending[:0])
        return state if keep else dataclasses.replace(state, fired=np.zeros_like(self.fired), files=frozenset())


class Intake:
    """Takes up shots beside a state: in portions of one size, however they come.

    Args:
        state: To go on from.
        portion: How many shots are counted at a time.
        memory: Half-life in shots; None to forget nothing.

    Examples:
        >>> import numpy as np, stim
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> from quell.decoders.noise_learning.taken_shots import Intake, TakenShots
        >>> sets = ParitySets.of(FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1")))
        >>> none = TakenShots(ParityCounts(sets), np.zeros((0, 1), dtype=np.uint8), np.zeros(1, dtype=np.uint8))
        >>> intake = Intake(none, portion=2, memory=None)
        >>> intake.take(np.array([[0b01], [0b11], [0b01]], dtype=np.uint8))
        >>> state = intake.state()
        >>> none.num_shots, state.num_shots, state.counts.num_shots, len(state.pending)
        (0, 3, 2.0, 1)
    """

    def __init__(self, state: TakenShots, portion: int, memory: float | None) -> None:
        self._state, self._portion, self._memory = state, portion, memory
        self._given = state.counts

    def take(self, events: NDArray[np.uint8]) -> None:
        """Adds shots, uint8 (shots, ceil(D/8)), to those that are pending, and counts all whole portions."""
        state, start = self._state, 0
        pending, counts = state.pending, state.counts
        while len(pending) + len(events) - start >= self._portion:
            wanted = self._portion - len(pending)
            pending = np.concatenate([pending, events[start : start + wanted]])
            start += wanted
            counts = counts.copy() if counts is self._given else counts
            _add(counts, pending, self._memory)
            pending = pending[:0]
        self._state = dataclasses.replace(
            state,
            counts=counts,
            pending=np.concatenate([pending, events[start:]]),
            fired=state.fired | np.bitwise_or.reduce(events, axis=0),
            num_shots=state.num_shots + len(events),
        )

    def state(self, files: frozenset[str] = frozenset()) -> TakenShots:
        """Returns the state with what was taken up, and with the hashes of files that it came from."""
        return dataclasses.replace(self._state, files=self._state.files | files)


def _fading(num_shots: int, memory: float | None) -> float:
    """How much shots count after so many others, by a half-life in shots."""
    return 1.0 if memory is None else 0.5 ** (num_shots / memory)


def _add(counts: ParityCounts, events: NDArray[np.uint8], memory: float | None) -> None:
    """Adds shots to counts, which fade first, by a half-life in shots."""
    if memory is not None:
        counts.decay(_fading(len(events), memory), len(events))
    counts.add(events)
