"""The faults of a circuit in the order in which post-selection can notice them, ready to be drawn sparsely.

A mechanism that fires with probability p is an interval of length -log(1 - p) on a line: points that fall on the line
at rate 1 hit it with probability p, independently of all others. Walking from point to point costs a step for each
fault that happens, not for each that could.
"""

import dataclasses

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.post_selection.stages import post_selection_stages
from quell.errors import CircuitError

__all__ = ["FaultTable"]

_GUIDES_PER_FAULT = 4
_BITS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class FaultTable:
    """Mechanisms on a line, those that stage 1 can notice first.

    Attributes:
        ends: float64 (M + 1,): where the intervals of the M mechanisms begin and end; 0 first.
        symptoms: uint64 (M, W): what each flips, a bit for a detector in little-endian order, then words for the
            observables from `observable_word` on.
        words: int64 (M, 2): the first and the last word but one of each that is not 0.
        guide: int32 (G,): for G equal parts of the line, the mechanism in which each begins.
        stage_ends: float64 (S,): where the last mechanism ends that stage s + 1 or one before can notice.
        stage_masks: uint64 (S, W): the detectors of each stage.
        always: uint64 (W,): what is flipped in every shot, by mechanisms that are likelier than not and then count
            where they do not happen.
        num_detectors: D.
        num_observables: O.
        num_decoded: How many detectors are decoded.
    """

    ends: NDArray[np.float64]
    symptoms: NDArray[np.uint64]
    words: NDArray[np.int64]
    guide: NDArray[np.int32]
    stage_ends: NDArray[np.float64]
    stage_masks: NDArray[np.uint64]
    always: NDArray[np.uint64]
    num_detectors: int
    num_observables: int
    num_decoded: int

    @property
    def observable_word(self) -> int:
        """The first word that holds observables."""
        return -(-self.num_detectors // _BITS)

    @property
    def num_stages(self) -> int:
        """S: the last stage of the circuit."""
        return len(self.stage_ends)

    @classmethod
    def of(cls, circuit: stim.Circuit) -> "FaultTable":
        """Reads the faults of a circuit.

        Raises:
            CircuitError: The circuit has no post-selected detector, has T gates, or has a channel of which Stim makes
                independent mechanisms only approximately; or a detector is not deterministic.

        Examples:
            >>> import stim
            >>> from quell.decoders.post_selection.fault_table import FaultTable
            >>> circuit = stim.Circuit('''
            ...     X_ERROR(0.1) 0
            ...     M 0
            ...     DETECTOR(0, 0, 0, 1) rec[-1]
            ... ''')
            >>> FaultTable.of(circuit).ends.round(3)
            array([0.   , 0.105])
        """
        stages = post_selection_stages(circuit)
        if not stages.any():
            raise CircuitError(
                "the circuit has no post-selected detector: give those that reject a shot four coordinates, "
                "(x, y, t, stage), or sample it with sinter's own decoders"
            )
        _check_gates(circuit)
        last = int(stages.max())
        merged, always_flipped = _mechanisms(_exact_model(circuit))
        first_word_of_observables = -(-len(stages) // _BITS)
        num_words = first_word_of_observables + -(-circuit.num_observables // _BITS)

        def bit(target: int) -> int:
            return target if target >= 0 else first_word_of_observables * _BITS - target - 1

        def noticed(symptom: frozenset[int]) -> int:
            return min((int(stages[target]) for target in symptom if target >= 0 and stages[target]), default=last + 1)

        order = sorted(merged, key=lambda symptom: (noticed(symptom), sorted(symptom)))
        lengths = np.array([-np.log1p(-merged[symptom]) for symptom in order], dtype=np.float64)
        ends = np.concatenate([[0.0], np.cumsum(lengths)])
        firsts = np.array([noticed(symptom) for symptom in order], dtype=np.int64)
        symptoms = _packed([[bit(target) for target in symptom] for symptom in order], num_words)
        used = symptoms != 0
        words = np.stack([used.argmax(axis=1), num_words - used[:, ::-1].argmax(axis=1)], axis=1)
        masks = [np.flatnonzero(stages == stage).tolist() for stage in range(1, last + 1)]
        parts = _GUIDES_PER_FAULT * max(1, len(order))
        guide = np.searchsorted(ends, np.arange(parts) * (ends[-1] / parts), side="right") - 1
        return cls(
            ends=ends,
            symptoms=symptoms,
            words=words.reshape(-1, 2).astype(np.int64),
            guide=np.minimum(guide, max(0, len(order) - 1)).astype(np.int32),
            stage_ends=ends[np.searchsorted(firsts, np.arange(1, last + 1), side="right")],
            stage_masks=_packed(masks, num_words),
            always=_packed([[bit(target) for target in always_flipped]], num_words)[0],
            num_detectors=circuit.num_detectors,
            num_observables=circuit.num_observables,
            num_decoded=int((stages == 0).sum()),
        )


def _check_gates(circuit: stim.Circuit) -> None:
    """Refuses gates that only look like Clifford ones."""
    for instruction in circuit.flattened():
        if "T" in instruction.tag.split(",") and instruction.name in ("S", "S_DAG"):
            raise CircuitError(
                f"the circuit has T gates, written {instruction.name}[{instruction.tag}], and here faults would pass "
                f"them as if they were S: take TrueTSampler, or build it with gate='S', the optimistic proxy"
            )


def _exact_model(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    try:
        return circuit.detector_error_model()
    except ValueError as error:
        text = str(error)
        if "approximate_disjoint_errors" in text:
            raise CircuitError(
                "the circuit has a channel that is no product of independent errors (PAULI_CHANNEL, ELSE_CORRELATED_"
                "ERROR), and Stim would only approximate it: sample it with sinter's own decoders and a "
                f"post-selection mask, or take depolarising noise. Stim says: {text.splitlines()[0][:160]}"
            ) from error
        first = " ".join(line.strip() for line in text.splitlines()[:4] if line.strip())
        raise CircuitError(f"no detector error model can be computed: {first[:300]}") from error


def _mechanisms(model: stim.DetectorErrorModel) -> tuple[dict[frozenset[int], float], frozenset[int]]:
    """Returns the probability of each symptom (detectors as they are, observable o as -1 - o), and what is flipped in
    every shot because an error that is likelier than not counts as its absence."""
    merged: dict[frozenset[int], float] = {}
    for instruction in model.flattened():
        if instruction.type != "error":
            continue
        symptom: set[int] = set()
        for target in instruction.targets_copy():
            if target.is_relative_detector_id():
                symptom ^= {target.val}
            elif target.is_logical_observable_id():
                symptom ^= {-1 - target.val}
        p, key = instruction.args_copy()[0], frozenset(symptom)
        if key:
            before = merged.get(key, 0.0)
            merged[key] = p + before - 2 * p * before
    always: frozenset[int] = frozenset()
    for key, p in merged.items():
        if p > 0.5:
            merged[key] = 1 - p
            always ^= key
    return {key: p for key, p in merged.items() if p > 0}, always


def _packed(bits: list[list[int]], num_words: int) -> NDArray[np.uint64]:
    packed = np.zeros((len(bits), num_words), dtype=np.uint64)
    for row, targets in enumerate(bits):
        for target in targets:
            packed[row, target // _BITS] |= np.uint64(1 << target % _BITS)
    return packed
