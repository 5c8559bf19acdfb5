"""Noise that changes while it is learned: error rates with learned weights over time, by the learner's memory.

    OMP_NUM_THREADS=1 python benchmarks/noise_learning/drift.py

A stream of shots goes to learners with several half-lives. Now and then fresh shots with the noise of that moment are
decoded with what each of them has learned so far, and with the true weights of that moment.
"""

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pymatching
import stim
from error_rates import true_model
from points import GUESS, SPREAD, multiplied

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.decoders.join_decompositions import join_equal_errors
from quell.decoders.noise_learning.learner import NoiseLearner
from quell.decoders.predecoder.confidence import paired_ratio

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table

DISTANCE, P = 5, 0.004
HALF_LIVES = (None, 300_000, 100_000, 30_000, 10_000)
STEP = 5_000  # shots with one noise
CHANGE = 400_000  # when all rates jump
PERIOD = 1_000_000  # of the swing
TIMES = {
    "jump": (400_000, 405_000, 420_000, 450_000, 500_000, 600_000, 800_000),
    "swing": (200_000, 400_000, 600_000, 800_000, 1_000_000),
}
ERRORS = 4000
BATCH = 50_000

Factor = Callable[[str, str, tuple[int, ...]], float]


def memory(p: float) -> stim.Circuit:
    return rotated_surface_memory(DISTANCE, DISTANCE, noise=NoiseModel.uniform_depolarizing(p))


def places(seed: int) -> Factor:
    """A number from -1 to 1 for each channel of each place."""
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[str, tuple[int, ...]], float] = {}

    def of(name: str, _kind: str, targets: tuple[int, ...]) -> float:
        return drawn.setdefault((name, targets), float(rng.uniform(-1, 1)))

    return of


BEFORE, AFTER, PHASES = places(1), places(2), places(3)


def noise_at(scenario: str, shot: float) -> Factor:
    if scenario == "jump":
        drawn = BEFORE if shot < CHANGE else AFTER
        return lambda *where: SPREAD ** drawn(*where)
    return lambda *where: SPREAD ** math.sin(2 * math.pi * shot / PERIOD + math.pi * PHASES(*where))


def decoded(circuit: stim.Circuit, models: list[stim.DetectorErrorModel], seed: int, correlated: bool) -> list[str]:
    """The error rate of the first model, and the ratios of the others."""
    matchings = [pymatching.Matching.from_detector_error_model(m, enable_correlations=correlated) for m in models]
    sampler = circuit.compile_detector_sampler(seed=seed)
    errors, both, shots = np.zeros(len(models), dtype=int), np.zeros(len(models), dtype=int), 0
    while errors[0] < ERRORS:
        events, actual = sampler.sample(BATCH, separate_observables=True, bit_packed=True)
        wrong = [
            (
                m.decode_batch(
                    events, bit_packed_shots=True, bit_packed_predictions=True, enable_correlations=correlated
                )
                != actual
            ).any(axis=1)
            for m in matchings
        ]
        errors += [each.sum() for each in wrong]
        both += [(each & wrong[0]).sum() for each in wrong]
        shots += BATCH
    cells = [f"{errors[0] / shots:.2e}"]
    for number in range(1, len(models)):
        ratio, (low, high) = paired_ratio(int(errors[number]), int(errors[0]), int(both[number]))
        cells.append(f"{ratio:.3f} [{low:.3f}, {high:.3f}]")
    return cells


def main() -> None:
    rows = []
    for scenario, times in TIMES.items():
        learners = [NoiseLearner(memory(GUESS), memory=half_life) for half_life in HALF_LIVES]
        for first in range(0, times[-1], STEP):
            circuit = multiplied(memory(P), noise_at(scenario, first + STEP / 2))
            events = circuit.compile_detector_sampler(seed=1000 + first).sample(STEP, bit_packed=True)
            for learner in learners:
                learner.update(events, bit_packed=True)
            shot = first + STEP
            if shot not in times:
                continue
            # The jump is there with the first shot after it.
            now = multiplied(memory(P), noise_at(scenario, shot))
            models = [join_equal_errors(true_model(now)), *(learner.model() for learner in learners)]
            for correlated in (False, True):
                cells = decoded(now, models, 7 + shot, correlated)
                rows.append((scenario, f"{shot:,}", "correlated" if correlated else "matching", *cells))
                print(*rows[-1], flush=True)
    names = ["all shots" if half_life is None else f"half-life {half_life:,}" for half_life in HALF_LIVES]
    write_table(
        Path(__file__).with_name("drift.md"),
        "Error rates with learned weights over those with true ones, while noise changes",
        "OMP_NUM_THREADS=1 python benchmarks/noise_learning/drift.py",
        ("noise", "shots so far", "decoder", "error rate, true weights", *names),
        rows,
        notes=f"Rotated memory, d = {DISTANCE}, {DISTANCE} rounds, uniform depolarising noise of {P:g}, each channel "
        f"of each place times a factor between 1/3 and 3. `jump`: after {CHANGE:,} shots all factors are drawn anew; "
        f"the row of {CHANGE:,} has nothing of the new noise yet. `swing`: each factor swings, with a phase of its own "
        f"and a period of {PERIOD:,} shots. The structure that is told is uniform noise of {GUESS:.0%}. Ratios are "
        f"those of errors on the same shots, with paired 95 % intervals; {ERRORS:,} errors or more with true weights.",
    )


if __name__ == "__main__":
    main()
