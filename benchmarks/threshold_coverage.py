"""How often the 95 % interval of a threshold fit holds the truth, on counts sampled from known scaling laws.

python benchmarks/threshold_coverage.py [REPETITIONS]
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tables import write_table

from quell.errors import NoThresholdError
from quell.qec import binomial_interval, fit_threshold, sample_scaling_law

CAPACITY = {"threshold": 0.103, "nu": 1.5, "coefficients": (0.16, 0.9, 0.4)}
PHENOMENOLOGICAL = {"threshold": 0.0293, "nu": 1.0, "coefficients": (0.105, 1.9, 2.0)}


def rates(threshold: float, half_width: float, count: int, offset: float = 0.0) -> list[float]:
    """Rates around the threshold; `offset` moves the window, since nobody knows where the middle is."""
    return list(threshold * np.linspace(1 - half_width, 1 + half_width, count) * (1 + offset))


# Name: law, correction (D, 1/mu power as in sample_scaling_law), distances, rates, shots for each point.
SCENARIOS = {
    "plain, 1e3 shots": (CAPACITY, None, [5, 9, 13, 17], rates(0.103, 0.12, 5), 1_000),
    "plain, 1e4 shots, window off centre": (CAPACITY, None, [5, 7, 9, 11], rates(0.103, 0.1, 5, 0.03), 10_000),
    "plain, 1e4 shots": (CAPACITY, None, [5, 7, 9, 11, 13], rates(0.103, 0.12, 7, -0.02), 10_000),
    "plain, 1e4 shots, three distances": (CAPACITY, None, [5, 9, 13], rates(0.103, 0.12, 7), 10_000),
    "plain, 1e5 shots": (PHENOMENOLOGICAL, None, [5, 7, 9, 11, 13, 15], rates(0.0293, 0.12, 9, 0.02), 100_000),
    "D = -0.15, mu = 1, 1e4 shots": (CAPACITY, (-0.15, 1.0), [5, 7, 9, 11, 13], rates(0.103, 0.12, 7, -0.06), 10_000),
    "D = -0.15, mu = 1, 1e5 shots": (CAPACITY, (-0.15, 1.0), [5, 7, 9, 11, 13, 17], rates(0.103, 0.12, 9), 100_000),
    "D = -0.05, mu = 1, 3e3 shots": (CAPACITY, (-0.05, 1.0), [5, 9, 13, 17], rates(0.103, 0.12, 7), 3_000),
    "D = 0.2, mu = 0.7, 3e4 shots": (
        PHENOMENOLOGICAL, (0.2, 0.7), [5, 7, 9, 11, 13], rates(0.0293, 0.12, 9, -0.01), 30_000,
    ),
    "D = -0.05, mu = 1.4, 1e5 shots": (
        PHENOMENOLOGICAL, (-0.05, 1.4), [5, 7, 9, 11, 13, 15], rates(0.0293, 0.08, 9), 100_000,
    ),
}  # fmt: skip


def one_fit(name: str, seed: int) -> tuple[float, float, bool, bool] | None:
    """Relative bias, relative width, and whether threshold and exponent are inside; None if the fit is refused."""
    law, correction, distances, ps, shots = SCENARIOS[name]
    stats = sample_scaling_law(**law, correction=correction, distances=distances, ps=ps, shots=shots, seed=seed)
    try:
        fit = fit_threshold(stats, seed=seed, num_bootstrap=400)
    except NoThresholdError:
        return None
    found, truth = fit.threshold, law["threshold"]
    return (
        found.value / truth - 1,
        (found.high - found.low) / truth,
        found.low <= truth <= found.high,
        fit.exponent.low <= law["nu"] <= fit.exponent.high,
    )


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    rows = []
    with ProcessPoolExecutor() as pool:
        for name in SCENARIOS:
            fits = list(pool.map(one_fit, [name] * repetitions, range(repetitions)))
            done = [fit for fit in fits if fit is not None]
            bias, width, inside, exponent_inside = (np.array(column) for column in zip(*done, strict=True))
            low, high = binomial_interval(inside.sum(), len(done))
            rows.append(
                (name, f"{inside.mean():.3f} [{low:.3f}, {high:.3f}]", f"{exponent_inside.mean():.3f}",
                 f"{100 * bias.mean():+.2f} %", f"{100 * width.mean():.1f} %", repetitions - len(done))
            )  # fmt: skip
            print(rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Coverage of the 95 % interval of a threshold",
        f"python benchmarks/threshold_coverage.py {repetitions}",
        ["counts drawn from", "holds the threshold (95 %)", "holds the exponent", "bias", "width", "refused"],
        rows,
        notes=f"{repetitions} repetitions of each. Coverage is over the fits that were not refused; bias and width are "
        "relative to the threshold. Everything is left to the automatic rule.",
    )


if __name__ == "__main__":
    main()
