"""How often the intervals of rare-event runs hold a truth that is known exactly, over many seeds.

python benchmarks/rare_events/intervals.py [REPETITIONS]
"""

import concurrent.futures
import math
import os
import sys
import time
from pathlib import Path

import stim

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table
from tests.qec.rare_events.truths import HERE, exact_rate, job_of, majority_failure, repetition, surface

from quell import circuits
from quell.qec import binomial_interval, rare_error_rates

OURS = circuits.rotated_surface_memory(3, 2, "Z", circuits.NoiseModel.uniform_depolarizing(1e-3))
# Of each: its name, the circuit, the decoder, the truth if it has a closed form, the method and the target.
CASES: list[tuple[str, stim.Circuit, str, float | None, str, float]] = [
    ("repetition 3, p = 0.004, 20 rounds", repetition([0.004] * 3, 20), "pymatching", majority_failure(3, 0.004, 20),
     "strata", 0.1),
    ("repetition 5, p = 0.01, 8 rounds", repetition([0.01] * 5, 8), "pymatching", majority_failure(5, 0.01, 8),
     "strata", 0.1),
    ("surface 3, 2 rounds, p = 0.002", surface(3, 0.002, 2), "pymatching", None, "strata", 0.03),
    ("ours 3, 2 rounds, p = 0.001", OURS, "pymatching-correlated", None, "strata", 0.03),
    ("repetition 5, p = 0.01, 8 rounds", repetition([0.01] * 5, 8), "pymatching", majority_failure(5, 0.01, 8),
     "splitting", 0.2),
    ("repetition 9, p = 0.001", repetition([1e-3] * 9), "pymatching", majority_failure(9, 1e-3), "splitting", 0.2),
    ("surface 3, 2 rounds, p = 0.0001", surface(3, 1e-4, 2), "pymatching", None, "splitting", 0.2),
]  # fmt: skip


def run(index: int, seed: int, truth: float) -> tuple[int, float, float, float]:
    """Whether the truth was in the interval, below or above it (0, -1, 1); log of the error; half width; seconds."""
    _, circuit, decoder, _, method, target = CASES[index]
    start = time.process_time()
    (result,) = rare_error_rates(circuit, decoder, method=method, seed=seed, target_relative_error=target, **HERE)
    rate = result.error_rate
    missed = -1 if truth < rate.low else 1 if truth > rate.high else 0
    return missed, math.log(rate.value / truth), result.relative_error(), time.process_time() - start


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rows = []
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for index, (name, circuit, decoder, known, method, target) in enumerate(CASES):
            job = job_of(circuit, decoder)
            truth = exact_rate(job.model, job.decoder) if known is None else known
            found = list(pool.map(run, *zip(*[(index, seed, truth) for seed in range(repetitions)], strict=True)))
            missed = [each[0] for each in found]
            low, high = (float(end) for end in binomial_interval(missed.count(0), repetitions))
            bias = sum(each[1] for each in found) / repetitions
            spread = math.sqrt(sum((each[1] - bias) ** 2 for each in found) / (repetitions - 1))
            rows.append(
                (
                    name,
                    decoder,
                    f"{truth:.3e}",
                    f"{method}, {target:g}",
                    f"{missed.count(0) / repetitions:.1%} ({low:.1%} to {high:.1%})",
                    f"{missed.count(-1)} / {missed.count(1)}",
                    f"{bias:+.2%} ± {1.96 * spread / math.sqrt(repetitions):.2%}",
                    f"{sum(each[2] for each in found) / repetitions:.3f}",
                    f"{sum(each[3] for each in found) / repetitions:.2f}",
                )
            )
            print(rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Intervals of rare-event runs: how often they hold the truth",
        f"python benchmarks/rare_events/intervals.py {repetitions}",
        ["code", "decoder", "truth", "method, target", "held (95 % interval)", "truth below / above", "mean error",
         "half width", "CPU s"],
        rows,
        notes=f"Each row: {repetitions} runs, each with a seed of its own, with intervals that should hold the truth "
        "in 95 % of them. Truths: a majority vote in every round for the repetition codes, which are measured without "
        "error; a sum over all 2^17 outcomes, each decoded, for the others.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
