"""The grid of the noise-learning benchmarks: circuits under five kinds of noise, and what is learned from their shots.

The learner is always told the same guess, uniform depolarising noise of one percent, wrong in rate and, for most of the
grid, in kind. Only detection events go to it.
"""

import dataclasses
import math
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.noise_learning.learner import NoiseLearner

NOISES = ("uniform", "si1000", "biased", "inhomogeneous", "drifting")
DISTANCES = (3, 5, 7, 9, 11, 13)
RATES = (0.001, 0.002, 0.003, 0.004, 0.005, 0.006)
GUESS = 0.01
BIAS = 10
SPREAD = 3.0  # of inhomogeneous noise: factors from 1/3 to 3
SWING = 2.0  # of drifting noise: factors from 1/2 to 2
PERIOD = 1_000_000  # of the swing, in shots
STEPS = 50  # in which drifting noise is sampled
KINDS = ("preparation", "measurement", "idle", "gate")
_FIRST_PHASE = 0.8  # so that at the end of training no kind is at a turning point, and none at its mean
_PORTION = 20_000  # shots at a time for the learner


@dataclasses.dataclass(frozen=True, order=True)
class Point:
    """A memory of d rounds under one kind of noise."""

    noise: str
    distance: int
    p: float

    def seed(self, what: str) -> int:
        """A seed of its own for each use; further seeds may be counted on from it."""
        return (zlib.crc32(repr((self, what)).encode()) << 24) + 1

    def circuit(self, shots_later: float = 0.0) -> stim.Circuit:
        """The circuit that the fresh shots are from; drifting noise that many shots after the end of training."""
        if self.noise == "si1000":
            return self._memory(NoiseModel.si1000(self.p))
        if self.noise == "biased":
            return self._memory(NoiseModel.biased(self.p, BIAS))
        uniform = self._memory(NoiseModel.uniform_depolarizing(self.p))
        if self.noise == "inhomogeneous":
            return inhomogeneous(uniform, self.seed("places"))
        if self.noise == "drifting":
            return by_kind(uniform, swing(shots_later))
        return uniform

    def guess(self) -> stim.Circuit:
        """What the learner is told."""
        return self._memory(NoiseModel.uniform_depolarizing(GUESS))

    def _memory(self, noise: NoiseModel) -> stim.Circuit:
        # Noise that favours Z errs in a memory of X.
        basis = "X" if self.noise == "biased" else "Z"
        return rotated_surface_memory(self.distance, self.distance, basis, noise)

    def training(self, num_shots: int, repetition: int = 0, steps: int = STEPS) -> Iterator[NDArray[np.uint8]]:
        """Yields detection events, bit-packed, in the order in which they were made."""
        seed = self.seed(f"training {num_shots} {repetition}")
        if self.noise == "drifting":
            step = num_shots // steps
            for number in range(steps):
                circuit = self.circuit((number + 0.5) * step - num_shots)
                yield circuit.compile_detector_sampler(seed=seed + number).sample(step, bit_packed=True)
            return
        sampler = self.circuit().compile_detector_sampler(seed=seed)
        for first in range(0, num_shots, _PORTION):
            yield sampler.sample(min(_PORTION, num_shots - first), bit_packed=True)

    def learner(self, num_shots: int, repetition: int = 0, **options: object) -> NoiseLearner:
        """A learner that has taken up that many shots."""
        memory = num_shots / 2 if self.noise == "drifting" else None
        learner = NoiseLearner(self.guess(), memory=memory, **options)  # type: ignore[arg-type]  # passed on
        for events in self.training(num_shots, repetition):
            learner.update(events, bit_packed=True)
        return learner


def swing(shots_later: float) -> dict[str, float]:
    """By what factor each kind of rate is off its mean, at a time from the end of training."""
    turns = shots_later / PERIOD
    return {
        kind: SWING ** math.sin(2 * math.pi * (turns + number / len(KINDS)) + _FIRST_PHASE)
        for number, kind in enumerate(KINDS)
    }


def inhomogeneous(circuit: stim.Circuit, seed: int) -> stim.Circuit:
    """Multiplies each channel of each place by a factor of its own, log-uniform, the same in all rounds."""
    rng = np.random.default_rng(seed)
    factors: dict[tuple[str, tuple[int, ...]], float] = {}

    def factor(name: str, _kind: str, targets: tuple[int, ...]) -> float:
        if (name, targets) not in factors:
            factors[name, targets] = float(SPREAD ** rng.uniform(-1, 1))
        return factors[name, targets]

    return multiplied(circuit, factor)


def by_kind(circuit: stim.Circuit, factors: dict[str, float]) -> stim.Circuit:
    """Multiplies the rates of each of `KINDS` by a factor."""
    return multiplied(circuit, lambda _name, kind, _targets: factors[kind])


def multiplied(circuit: stim.Circuit, factor: Callable[[str, str, tuple[int, ...]], float]) -> stim.Circuit:
    """Multiplies the rates of each channel by what a function of its name, kind and targets says."""
    found = stim.Circuit()
    steps = list(circuit.flattened())
    for number, step in enumerate(steps):
        if step.name not in ("X_ERROR", "Z_ERROR", "DEPOLARIZE1", "DEPOLARIZE2"):
            found.append(step)
            continue
        kind = {"DEPOLARIZE1": "idle", "DEPOLARIZE2": "gate"}.get(step.name)
        if kind is None:
            kind = "measurement" if steps[number + 1].name in ("M", "MX") else "preparation"
        for group in step.target_groups():
            targets = tuple(target.value for target in group)
            by = factor(step.name, kind, targets)
            found.append(step.name, group, [by * rate for rate in step.gate_args_copy()])
    return found


def grid() -> list[Point]:
    return [Point(noise, distance, p) for distance in DISTANCES for noise in NOISES for p in RATES]
