"""Sampling with the near-Clifford simulator symft, which shares no reasoning with `true_t_frames` and so checks it."""

from types import ModuleType

import numpy as np
import numpy.typing as npt
import stim

from quell.decoders.post_selection.stages import post_selection_stages
from quell.decoders.post_selection.true_t_faults import instructions_of, is_t
from quell.errors import CircuitError, MissingExtraError, import_extra

__all__ = ["sample_with_symft", "to_true_t"]

Bits = npt.NDArray[np.bool_]

_BATCH = 1 << 14
_REFERENCE_SHOTS = 16


def to_true_t(circuit: stim.Circuit) -> str:
    """Returns a circuit as text in which S and S_DAG tagged `[T]` are T and T_DAG, as near-Clifford simulators read it.

    Args:
        circuit: For example `quell.circuits.cultivation(3, gate="T")`.

    Raises:
        CircuitError: The circuit has no such tag.

    Examples:
        >>> import stim
        >>> from quell.decoders.post_selection import to_true_t
        >>> print(to_true_t(stim.Circuit("RX 0 \\n S[T] 0 \\n S_DAG[T,noiseless] 0 \\n MX[noiseless] 0")))
        RX 0
        T 0
        T_DAG 0
        MX 0
    """
    lines, found = [], False
    for instruction in instructions_of(circuit.flattened()):
        plain = stim.CircuitInstruction(instruction.name, instruction.targets_copy(), instruction.gate_args_copy())
        text = str(plain)
        if is_t(instruction):
            found = True
            text = "T" + text.removeprefix("S")
        lines.append(text)
    if not found:
        raise CircuitError("the circuit has no S or S_DAG tagged [T]: make it with cultivation(..., gate='T')")
    return "\n".join(lines)


def sample_with_symft(circuit: stim.Circuit, shots: int, seed: int | None) -> tuple[list[int], int]:
    """Samples measurements; returns the shots alive after each stage, and those of the last with a flipped observable.

    Raises:
        CircuitError: The circuit has no T gate, or something is random in it without noise.
        MissingExtraError: symft is not installed.
    """
    symft = _symft()
    stages = post_selection_stages(circuit)
    # What a detector is without noise depends on the T gates: Stim's own reference would be that of S.
    converter = circuit.without_noise().compile_m2d_converter(skip_reference_sample=True)

    def sample(text: str, number: int, its_seed: int) -> tuple[Bits, Bits]:
        records = np.asarray(symft.Circuit(text).sample(number, seed=its_seed), dtype=np.bool_)
        detectors, observables = converter.convert(measurements=records, separate_observables=True)
        return detectors, observables

    references = sample(to_true_t(circuit.without_noise()), _REFERENCE_SHOTS, 0)
    if any((each != each[0]).any() for each in references):
        raise CircuitError("with true T, a detector or an observable is random even without noise")
    text = to_true_t(circuit)
    seeds = np.random.SeedSequence(seed).generate_state(-(-shots // _BATCH))
    kept, errors = np.zeros(int(stages.max(initial=0)), np.int64), 0
    for index, its_seed in enumerate(seeds):
        number = min(_BATCH, shots - index * _BATCH)
        detectors, observables = sample(text, number, int(its_seed))
        alive = np.ones(number, np.bool_)
        for stage in range(1, len(kept) + 1):
            alive &= ~(detectors ^ references[0][0])[:, stages == stage].any(axis=1)
            kept[stage - 1] += alive.sum()
        errors += int((observables ^ references[1][0])[alive].any(axis=1).sum())
    return kept.tolist(), errors


def _symft() -> ModuleType:
    try:
        return import_extra("symft", "true-t")
    except MissingExtraError as error:
        raise MissingExtraError(
            f"{error}; simulator='frames' needs nothing and is as exact, and gate='S' is the Clifford proxy, whose "
            "logical error rates are optimistic"
        ) from error
