"""The faults of a detector error model: independent mechanisms, each with its odds and what it flips.

Rare-event methods draw sets of faults, not circuits. Faults that flip the same are one here, and where the decoder
is a plain matching, the detectors that cannot change its answer are left out: with half of the detectors gone, fewer
faults matter, and a decoder is asked shorter questions with the same answers.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from functools import cached_property

import numpy as np
import scipy.sparse
import scipy.sparse.csgraph
import stim
from numpy.typing import NDArray

from quell.errors import CircuitError, InputError

__all__ = ["Component", "FaultModel", "components_of", "log_odds_ratios"]

Component = tuple[frozenset[int], frozenset[int]]
"""A part of a mechanism between two `^`: the detectors and the observables that it flips."""

_last: list[tuple[stim.DetectorErrorModel, list[tuple[float, list[Component]]]]] = []


def components_of(dem: stim.DetectorErrorModel) -> Iterator[tuple[float, list[Component]]]:
    """Yields every mechanism of a model as its probability and its suggested decomposition, loops unrolled.

    Examples:
        >>> import stim
        >>> from quell.qec.rare_events.faults import components_of
        >>> [(p, len(parts)) for p, parts in components_of(stim.DetectorErrorModel("error(0.1) D0 ^ D1 L0"))]
        [(0.1, 2)]
    """
    yield from _parsed(dem)


def _parsed(dem: stim.DetectorErrorModel) -> list[tuple[float, list[Component]]]:
    """The mechanisms; those of the model that was asked for last are kept, since several ask in a row."""
    if _last and _last[0][0] == dem:
        return _last[0][1]
    found = list(_parse(dem))
    _last[:] = [(dem.copy(), found)]
    return found


def _parse(dem: stim.DetectorErrorModel) -> Iterator[tuple[float, list[Component]]]:
    flat = dem.flattened()
    for index in range(len(flat)):
        instruction = flat[index]
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        parts: list[tuple[set[int], set[int]]] = [(set(), set())]
        for target in instruction.targets_copy():
            assert isinstance(target, stim.DemTarget)  # only other instructions have numbers
            if target.is_separator():
                parts.append((set(), set()))
            elif target.is_relative_detector_id():
                parts[-1][0].symmetric_difference_update({target.val})
            else:
                parts[-1][1].symmetric_difference_update({target.val})
        yield instruction.args_copy()[0], [(frozenset(a), frozenset(b)) for a, b in parts]


@dataclasses.dataclass(frozen=True)
class FaultModel:
    """Independent faults, no two of which flip the same.

    Attributes:
        probabilities: float64 (faults,), each in (0, 1/2].
        symptoms: uint8 (faults + 1, detector_bytes + observable_bytes): what a fault flips, bit-packed as sinter has
            it, detectors and then observables. The last row is empty, so that lists of faults can be padded.
        num_detectors: Of the model that the decoder knows, those left out included.
        num_observables: Of the model.
        detectors: For each fault the detectors that it flips, those left out excepted.
    """

    probabilities: NDArray[np.float64]
    symptoms: NDArray[np.uint8]
    num_detectors: int
    num_observables: int
    detectors: tuple[tuple[int, ...], ...]

    @staticmethod
    def from_dem(dem: stim.DetectorErrorModel, keep: Iterable[int] | None = None) -> "FaultModel":
        """Reads the faults of a model.

        Args:
            dem: The model.
            keep: The detectors that matter; all if None. Faults that flip none of them and no observable are left out.

        Raises:
            InputError: A mechanism has a probability above 1/2.
            CircuitError: Nothing in the model can flip an observable.

        Examples:
            >>> import stim
            >>> from quell.qec.rare_events.faults import FaultModel
            >>> dem = stim.DetectorErrorModel("error(0.1) D0 L0\\nerror(0.2) D0 L0\\nerror(0.1) D1")
            >>> FaultModel.from_dem(dem).probabilities.round(2)
            array([0.26, 0.1 ])
        """
        kept = None if keep is None else frozenset(keep)
        merged: dict[tuple[frozenset[int], frozenset[int]], float] = {}
        for probability, parts in components_of(dem):
            if probability > 0.5:
                raise InputError(
                    f"the model has an error of probability {probability:g}, and rare events need all of them <= 1/2: "
                    f"an error that happens more often than not is the rule; define the detectors so that it is none"
                )
            detectors: frozenset[int] = frozenset()
            observables: frozenset[int] = frozenset()
            for part_detectors, part_observables in parts:
                detectors ^= part_detectors
                observables ^= part_observables
            if kept is not None:
                detectors &= kept
            if probability > 0 and (detectors or observables):
                known = merged.get((detectors, observables), 0.0)
                merged[detectors, observables] = known + probability - 2 * known * probability
        if not any(observables for _, observables in merged):
            raise CircuitError("no error of the model flips an observable, so that no shot can fail: check the circuit")
        width = -(-dem.num_detectors // 8)
        symptoms = np.zeros((len(merged) + 1, width + -(-dem.num_observables // 8)), np.uint8)
        for row, (detectors, observables) in enumerate(merged):
            for bit in detectors:
                symptoms[row, bit >> 3] |= 1 << (bit & 7)
            for bit in observables:
                symptoms[row, width + (bit >> 3)] |= 1 << (bit & 7)
        return FaultModel(
            np.array(list(merged.values())),
            symptoms,
            dem.num_detectors,
            dem.num_observables,
            tuple(tuple(sorted(detectors)) for detectors, _ in merged),
        )

    def __len__(self) -> int:
        return len(self.probabilities)

    @property
    def detector_bytes(self) -> int:
        """The width of the part of `symptoms` that is detectors."""
        return -(-self.num_detectors // 8)

    @cached_property
    def odds(self) -> NDArray[np.float64]:
        """For each fault the probability that it happens over the probability that it does not, float64 (faults,)."""
        return self.probabilities / (1 - self.probabilities)

    @cached_property
    def neighbours(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """For each fault those that share a detector with it: those of `i` are `second[first[i] : first[i + 1]]`."""
        at: dict[int, list[int]] = {}
        for fault, detectors in enumerate(self.detectors):
            for detector in detectors:
                at.setdefault(detector, []).append(fault)
        starts = np.zeros(len(self) + 1, np.int64)
        lists: list[list[int]] = []
        for fault, detectors in enumerate(self.detectors):
            near = {other for detector in detectors for other in at[detector]} - {fault}
            lists.append(sorted(near))
            starts[fault + 1] = starts[fault] + len(near)
        return starts, np.array([other for near in lists for other in near], np.int32)

    def num_parts(self) -> int:
        """How many parts of the faults share no detector with each other, and can flip an observable by themselves."""
        starts, others = self.neighbours
        shape = (len(self), len(self))
        graph = scipy.sparse.csr_array((np.ones(len(others), np.int8), others, starts), shape=shape)
        _, part = scipy.sparse.csgraph.connected_components(graph, directed=False)
        flips = self.symptoms[:-1, self.detector_bytes :].any(axis=1)
        return len(np.unique(part[flips]))

    def fault_keys(self) -> list[bytes]:
        """Returns what each fault flips, as a key: two models have the same fault where they have the same key."""
        return [row.tobytes() for row in self.symptoms[:-1]]

    def combine(self, faults: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Returns what sets of faults flip together.

        Args:
            faults: Integers (shots, anything), padded with `len(self)`.

        Returns:
            uint8 (shots, detector_bytes + observable_bytes).
        """
        return self.as_bytes(self.combine_words(faults))

    def combine_words(self, faults: NDArray[np.integer]) -> NDArray[np.uint64]:
        """Does what `combine` does, and returns words of eight bytes: uint64 (shots, words)."""
        flips = np.zeros((len(faults), self.words.shape[1]), np.uint64)
        for column in range(faults.shape[1]):
            flips ^= self.words[faults[:, column]]
        return flips

    def as_bytes(self, words: NDArray[np.uint64]) -> NDArray[np.uint8]:
        """Returns words as `combine` returns them."""
        return words.view(np.uint8)[:, : self.symptoms.shape[1]]

    @cached_property
    def words(self) -> NDArray[np.uint64]:
        """The symptoms in words of eight bytes, with which combining is faster: uint64 (faults + 1, words)."""
        rows, width = self.symptoms.shape
        padded = np.zeros((rows, -(-width // 8) * 8), np.uint8)
        padded[:, :width] = self.symptoms
        return padded.view(np.uint64)


def log_odds_ratios(faults: FaultModel, others: tuple[FaultModel, ...]) -> NDArray[np.float64]:
    """Returns for each of the models, `faults` first, the logarithms of its odds over those of `faults`.

    Returns:
        float64 (models, faults + 1); the last column is zero, so that lists of faults can be padded.

    Raises:
        InputError: A model has other faults.
    """
    ratios = np.zeros((1 + len(others), len(faults) + 1))
    number = {key: index for index, key in enumerate(faults.fault_keys())}
    for row, other in enumerate(others, start=1):
        keys = other.fault_keys()
        if set(keys) != number.keys():
            raise InputError(
                "one run can serve a curve only if all its error models have the same faults, but one has some that "
                "another lacks: give tasks of one code, distance and number of rounds, and of one noise model, or "
                "run each on its own"
            )
        index = [number[key] for key in keys]
        ratios[row, index] = np.log(other.odds) - np.log(faults.odds[index])
    return ratios
