"""The faults of a circuit in the order in which post-selection can notice them, ready to be drawn sparsely.

Independent mechanisms with probabilities p1, p2, … are laid out on a line by the probability that none up to there
fires: 1, 1-p1, (1-p1)(1-p2), … A walk down that line, each level being the one before times a uniform random number,
comes to rest in the interval of the first mechanism that fires; from the end of that interval it goes on to the next.
That is exact, and costs a step for each fault that happens, not for each that could. (The logarithm of the level is a
Poisson process, and a mechanism fires if a point hits its interval.)
"""

import dataclasses
import math
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.post_selection.stages import post_selection_stages
from quell.errors import CircuitError, TooLargeError

__all__ = ["FaultTable"]

_BITS = 64
_GUIDES_PER_FAULT = 4
_MANTISSA_BITS = 52
_MOST_FAULTS = 600.0  # exp(-600) is still a number of full precision

Symptom = frozenset[int]  # detectors as they are, observable o as -1 - o


@dataclasses.dataclass(frozen=True, eq=False)
class FaultTable:
    """Mechanisms on a line, those that stage 1 can notice first.

    Symptoms are bits in words of 64, little-endian: first the D detectors, then from a new word on the observables.

    Attributes:
        silence: float64 (M + 1,): falling from 1, the probability that none of the first m mechanisms fires.
        symptoms: uint64 (M, W): what each of the M mechanisms flips.
        words: int64 (M, 2): the first word of each that is not 0, and the one after the last.
        guide: int32 (G,): for the levels that share their leading bits, the first mechanism they can lie in.
        guide_shift: By how many bits a level is shifted to find its place in the guide.
        guide_start: What is subtracted then.
        stage_silence: float64 (S,): of `silence`, where the last mechanism ends that stage s + 1 or an earlier one
            can notice.
        stage_masks: uint64 (S, W): the detectors of each stage.
        stage_words: int64 (S, 2): like `words`.
        always: uint64 (W,): what is flipped in every shot, by mechanisms that are likelier than not and then count
            where they do not happen.
        stages: int32 (D,): the stage of each detector, 0 for those that are decoded.
        num_observables: How many observables there are.
    """

    silence: NDArray[np.float64]
    symptoms: NDArray[np.uint64]
    words: NDArray[np.int64]
    guide: NDArray[np.int32]
    guide_shift: int
    guide_start: int
    stage_silence: NDArray[np.float64]
    stage_masks: NDArray[np.uint64]
    stage_words: NDArray[np.int64]
    always: NDArray[np.uint64]
    stages: NDArray[np.int32]
    num_observables: int

    @property
    def num_detectors(self) -> int:
        """D."""
        return len(self.stages)

    @property
    def num_decoded(self) -> int:
        """How many detectors are decoded."""
        return int((self.stages == 0).sum())

    @property
    def observable_word(self) -> int:
        """The first word that holds observables."""
        return _words_for(len(self.stages))

    @property
    def num_stages(self) -> int:
        """S: the last stage of the circuit."""
        return len(self.stage_silence)

    def for_kernel(self) -> tuple[Any, ...]:
        """Returns what `draw_shots` wants to know, in its order."""
        return (
            self.silence,
            self.symptoms,
            self.words,
            self.guide,
            self.guide_shift,
            self.guide_start,
            self.stage_silence,
            self.stage_masks,
            self.stage_words,
            self.always,
        )

    @classmethod
    def of(cls, circuit: stim.Circuit, stages: NDArray[np.int32] | None = None) -> "FaultTable":
        """Reads the faults of a circuit.

        Args:
            circuit: With noise, and detectors that are deterministic without.
            stages: int32 (D,): the stage of each detector, 0 for those that are decoded; None for what the detectors'
                coordinates say.

        Raises:
            CircuitError: No detector is post-selected; the circuit has T gates, or a channel that is no product of
                independent errors; or it has no detector error model at all.
            TooLargeError: A shot holds several hundred faults.

        Examples:
            >>> import stim
            >>> from quell.decoders.post_selection.fault_table import FaultTable
            >>> circuit = stim.Circuit('''
            ...     X_ERROR(0.1) 0
            ...     M 0
            ...     DETECTOR(0, 0, 0, 1) rec[-1]
            ... ''')
            >>> FaultTable.of(circuit).silence
            array([1. , 0.9])
        """
        if stages is None:
            stages = post_selection_stages(circuit)
        if not stages.any():
            raise CircuitError(
                "the circuit has no post-selected detector: give those that reject a shot four coordinates, "
                "(x, y, t, stage) with stages from 1, or sample it with sinter's own decoders"
            )
        _check_gates(circuit)
        merged, always_flipped = _mechanisms(_exact_model(circuit))
        last = int(stages.max())
        observable_bit = _words_for(len(stages)) * _BITS
        num_words = _words_for(len(stages)) + _words_for(circuit.num_observables)

        def bits(symptom: Symptom) -> list[int]:
            return [target if target >= 0 else observable_bit - 1 - target for target in symptom]

        def noticed(symptom: Symptom) -> int:
            return min((int(stages[target]) for target in symptom if target >= 0 and stages[target]), default=last + 1)

        order = sorted(merged, key=lambda symptom: (noticed(symptom), sorted(symptom)))
        logs = np.array([math.log1p(-merged[symptom]) for symptom in order], dtype=np.float64)
        if -logs.sum() > _MOST_FAULTS:
            raise TooLargeError(
                f"a shot holds {-logs.sum():,.0f} faults on average, and drawing them one by one is made for at most "
                f"{_MOST_FAULTS:.0f}: lower the noise, or sample with sinter's own decoders and a post-selection mask"
            )
        silence = np.exp(np.concatenate([[0.0], np.cumsum(logs)]))
        firsts = np.array([noticed(symptom) for symptom in order], dtype=np.int64)
        symptoms = _packed([bits(symptom) for symptom in order], num_words)
        masks = _packed([np.flatnonzero(stages == stage).tolist() for stage in range(1, last + 1)], num_words)
        guide, shift, start = _guide(silence)
        return cls(
            silence=silence,
            symptoms=symptoms,
            words=_used_words(symptoms),
            guide=guide,
            guide_shift=shift,
            guide_start=start,
            stage_silence=silence[np.searchsorted(firsts, np.arange(1, last + 1), side="right")],
            stage_masks=masks,
            stage_words=_used_words(masks),
            always=_packed([bits(always_flipped)], num_words)[0],
            stages=stages,
            num_observables=circuit.num_observables,
        )


def _check_gates(circuit: stim.Circuit) -> None:
    """Refuses gates that only look like Clifford ones."""
    flat = circuit.flattened()
    for index in range(len(flat)):
        instruction = flat[index]
        if instruction.name in ("S", "S_DAG") and "T" in instruction.tag.split(","):
            raise CircuitError(
                f"the circuit has T gates, written {instruction.name}[{instruction.tag}], and faults do not go through "
                f"these as through S: sample it with TrueTSampler, or build it with gate='S', an optimistic proxy"
            )


def _exact_model(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    try:
        return circuit.detector_error_model()
    except ValueError as error:
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if "approximate_disjoint_errors" in text:
            culprit = next((line for line in lines if "[which is" in line), lines[0])
            raise CircuitError(
                f"the circuit has a channel that is no product of independent errors ({culprit[:160]}), so that faults "
                f"cannot be drawn one by one: take another noise model, or sample with sinter's own decoders and a "
                f"post-selection mask"
            ) from error
        raise CircuitError(f"no detector error model can be computed: {' '.join(lines[:4])[:300]}") from error


def _mechanisms(model: stim.DetectorErrorModel) -> tuple[dict[Symptom, float], Symptom]:
    """Returns the probability of each symptom, at most 1/2, and what is flipped in every shot: by errors that are
    likelier than not, and that then count where they do not happen."""
    merged: dict[Symptom, float] = {}
    flat = model.flattened()
    for index in range(len(flat)):
        instruction = flat[index]
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        symptom: set[int] = set()
        for target in instruction.targets_copy():
            if not isinstance(target, stim.DemTarget):
                continue
            if target.is_relative_detector_id():
                symptom ^= {target.val}
            elif target.is_logical_observable_id():
                symptom ^= {-1 - target.val}
        p, key = instruction.args_copy()[0], frozenset(symptom)
        if key:
            before = merged.get(key, 0.0)
            merged[key] = p + before - 2 * p * before
    always: Symptom = frozenset()
    for key, p in merged.items():
        if p > 0.5:
            merged[key] = 1 - p
            always ^= key
    return {key: p for key, p in merged.items() if p > 0}, always


def _guide(silence: NDArray[np.float64]) -> tuple[NDArray[np.int32], int, int]:
    """Returns a table that says for the leading bits of a level, as it lies in memory, where it can lie at the
    highest; how many other bits there are; and the place of the lowest level."""
    num_faults = len(silence) - 1
    octaves = max(1.0, -math.log2(silence[-1]))
    bits = max(0, math.ceil(math.log2(max(1.0, _GUIDES_PER_FAULT * num_faults / octaves))))
    shift = _MANTISSA_BITS - bits
    start, stop = (int(level) for level in np.array([silence[-1], 1.0]).view(np.int64) >> shift)
    cells = np.arange(start, stop + 1, dtype=np.int64)
    highest = ((cells + 1) << shift).view(np.float64)
    # The mechanism m holds the levels above silence[m + 1] up to silence[m]; a level lies below the top of its cell.
    first = np.searchsorted(-silence, -np.nextafter(highest, 0), side="right") - 1
    return np.clip(first, 0, max(0, num_faults - 1)).astype(np.int32), shift, start


def _words_for(bits: int) -> int:
    return -(-bits // _BITS)


def _packed(bits: list[list[int]], num_words: int) -> NDArray[np.uint64]:
    packed = np.zeros((len(bits), num_words), dtype=np.uint64)
    for row, targets in enumerate(bits):
        for target in targets:
            packed[row, target // _BITS] |= np.uint64(1 << target % _BITS)
    return packed


def _used_words(packed: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Returns the first word of each row that is not 0, and the one after the last; (N, 2)."""
    used = np.zeros((len(packed), 2), dtype=np.int64)
    for row, values in enumerate(packed):
        where = np.flatnonzero(values)
        if len(where):
            used[row] = where[0], where[-1] + 1
    return used
