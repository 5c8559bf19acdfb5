"""Sampling of post-selected circuits with true T gates, exactly, at the speed of Pauli frames.

The usual proxy, with S in place of T, is optimistic: it catches errors that T lets pass (Wan and Zapirain,
arXiv:2609.18922). `true_t_paths` says what makes this possible without simulating a state.
"""

import collections
import time
from dataclasses import dataclass

import numpy as np
import sinter
import stim

from quell.decoders.post_selection.count_keys import count_stages
from quell.decoders.post_selection.stages import post_selection_stages
from quell.decoders.post_selection.true_t_frames import TrueTFrames
from quell.decoders.post_selection.true_t_symft import sample_with_symft
from quell.errors import CircuitError, InputError, check_integer, check_known

__all__ = ["TRUE_T_SIMULATORS", "TrueTCounts", "TrueTSampler", "sample_true_t"]

TRUE_T_SIMULATORS: tuple[str, ...] = ("frames", "symft")

_BATCH = 1 << 18
_BATCH_SECONDS = 0.5
_FIRST_BATCH = 1 << 12


@dataclass(frozen=True)
class TrueTCounts:
    """What became of sampled attempts.

    Attributes:
        shots: Attempts.
        kept: Attempts alive after stage 1, 2, ...; the last number is what is kept.
        errors: Kept attempts with a flipped observable.
    """

    shots: int
    kept: tuple[int, ...]
    errors: int

    @property
    def discards(self) -> int:
        """Attempts that post-selection rejects."""
        return self.shots - self.kept[-1]


def sample_true_t(
    circuit: stim.Circuit, shots: int, *, seed: int | None = None, simulator: str = "frames"
) -> TrueTCounts:
    """Samples a post-selected circuit with true T gates.

    Args:
        circuit: Clifford gates, Pauli noise, and S or S_DAG tagged `[T]`, which stand for T and T_DAG, such that no
            detector is random without noise. All detectors have a stage as fourth coordinate and are post-selected.
        shots: Attempts.
        seed: Of the random numbers; None takes fresh ones.
        simulator: `"frames"`, which needs nothing else; or `"symft"`, a near-Clifford simulator that takes no part
            of the same reasoning and is slower, for comparison: `pip install 'quell[true-t]'`.

    Raises:
        InputError: An argument is outside its limits, or a detector is not post-selected. Those of an expanded circuit
            would have to be decoded, and the correction applied before the last T: that is not done here.
        CircuitError: The circuit has no T gate, or is not of the kind that cultivation makes.
        MissingExtraError: The near-Clifford simulator is not installed.

    Examples:
        >>> from quell.circuits import NoiseModel, cultivation
        >>> from quell.decoders import sample_true_t
        >>> circuit = cultivation(3, noise=NoiseModel.uniform_depolarizing(0.001), gate="T")
        >>> counts = sample_true_t(circuit, 100_000, seed=1)
        >>> 0.50 < counts.kept[-1] / counts.shots < 0.53, len(counts.kept)
        (True, 6)
    """
    shots = check_integer("shots", shots, minimum=1)
    check_known("simulator", simulator, TRUE_T_SIMULATORS)
    _check_stages(circuit)
    if simulator == "symft":
        kept, errors = sample_with_symft(circuit, shots, seed)
        return TrueTCounts(shots, tuple(kept), errors)
    frames = TrueTFrames(circuit)
    rng = np.random.default_rng(seed)
    total, errors = np.zeros(frames.num_stages, np.int64), 0
    for begin in range(0, shots, _BATCH):
        batch = frames.sample(min(_BATCH, shots - begin), rng)
        total += batch.kept
        errors += batch.num_wrong
    return TrueTCounts(shots, tuple(total.tolist()), errors)


class TrueTSampler(sinter.Sampler):
    """Samples tasks whose circuits have true T gates, for `quell.sweep` and `sinter.collect`.

    It counts as `StagedSampler` does: shots that post-selection rejects are discards, kept ones with a wrong observable
    are errors, and `kept_1`, `kept_2`, … in the custom counts are alive after each stage. All detectors must be
    post-selected: see `sample_true_t`.

    Args:
        seed: Of each task alike, for tests; None takes fresh random numbers, as several workers need.

    Examples:
        >>> import sinter
        >>> from quell.circuits import NoiseModel, cultivation
        >>> from quell.decoders import TrueTSampler
        >>> task = sinter.Task(circuit=cultivation(3, noise=NoiseModel.uniform_depolarizing(0.002), gate="T"))
        >>> counted = TrueTSampler().compiled_sampler_for_task(task).sample(1000)
        >>> counted.shots, counted.shots - counted.discards == counted.custom_counts["kept_6"]
        (1000, True)
    """

    def __init__(self, *, seed: int | None = None) -> None:
        self.seed = seed

    def settings_id(self) -> str:
        """What changes the distribution of counts: nothing."""
        return "true T"

    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:
        """Returns a sampler of the task's circuit; raises what `sample_true_t` raises.

        A mask of the task's may reject on any detectors, since all of them are post-selected anyway, but not on
        observables.
        """
        if task.circuit is None:
            raise InputError("a task for true T needs its circuit, and has only a detector error model")
        if task.postselected_observables_mask is not None and np.any(task.postselected_observables_mask):
            raise InputError("the task rejects on observables, which TrueTSampler does not: leave out that mask")
        _check_stages(task.circuit)
        return _CompiledTrueT(TrueTFrames(task.circuit), np.random.default_rng(self.seed))


class _CompiledTrueT(sinter.CompiledSampler):
    def __init__(self, frames: TrueTFrames, rng: np.random.Generator) -> None:
        self.frames = frames
        self.rng = rng
        self.batch = _FIRST_BATCH

    def handles_throttling(self) -> bool:
        """True: a call takes as many shots as take about half a second, of those that are asked for."""
        return True

    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:
        """Samples at most that many shots."""
        start = time.monotonic()
        shots = max(1, min(suggested_shots, self.batch))
        batch = self.frames.sample(shots, self.rng)
        counts: collections.Counter[str] = collections.Counter()
        count_stages(counts, batch.kept)
        seconds = time.monotonic() - start
        if shots == self.batch and seconds < _BATCH_SECONDS:
            self.batch = min(2 * self.batch, _BATCH)
        return sinter.AnonTaskStats(
            shots=shots,
            errors=batch.num_wrong,
            discards=shots - int(batch.kept[-1]),
            seconds=seconds,
            custom_counts=counts,
        )


def _check_stages(circuit: stim.Circuit) -> None:
    stages = post_selection_stages(circuit)
    if not (stages > 0).any():
        raise CircuitError("no detector is post-selected: give those that are their stage, from 1, as 4th coordinate")
    if decoded := int((stages == 0).sum()):
        raise InputError(
            f"{decoded} of {circuit.num_detectors} detectors have no stage and would have to be decoded, which is not "
            f"done with true T: leave out expand_to, or take gate='S', whose logical error rates are optimistic, and "
            f"StagedSampler"
        )
