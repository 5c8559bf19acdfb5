"""Both rare-event methods beside plain sampling, wherever all three reach, pooled into one chi-square.

python benchmarks/rare_events/agreement.py [MAX_ERRORS] [MAX_SHOTS] [RELATIVE_ERROR]
"""

import math
import sys
from pathlib import Path

import scipy.stats
import sinter

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

import quell
from quell.circuits import NoiseModel, rotated_surface_memory
from quell.qec import Estimate, error_rate, rare_error_rates

POINTS = ((3, 2e-3), (3, 1e-3), (3, 3e-4), (5, 2e-3), (5, 1e-3), (5, 5e-4), (5, 2e-4), (7, 2e-3), (7, 1e-3), (7, 5e-4))


def log_error(estimate: Estimate) -> float:
    return math.log(estimate.high / estimate.low) / (2 * 1.96)


def main() -> None:
    max_errors = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    max_shots = int(sys.argv[2]) if len(sys.argv) > 2 else 400_000_000
    target = float(sys.argv[3]) if len(sys.argv) > 3 else 0.05
    tasks = [
        sinter.Task(
            circuit=rotated_surface_memory(d, d, "X", NoiseModel.uniform_depolarizing(p)),
            json_metadata={"d": d, "p": p},
        )
        for d, p in POINTS
    ]
    stats = quell.sweep(tasks, "pymatching", max_errors=max_errors, max_shots=max_shots)
    rows = []
    chi_square = {"strata": 0.0, "splitting": 0.0}
    for task, stat in zip(tasks, stats, strict=True):
        plain = error_rate(stat)
        row = [task.json_metadata["d"], f"{task.json_metadata['p']:g}", str(plain)]
        for method in chi_square:
            (rare,) = rare_error_rates(task, "pymatching", method=method, target_relative_error=target, seed=1)
            width = math.hypot(log_error(plain), log_error(rare.error_rate))
            z = math.log(rare.error_rate.value / plain.value) / width
            chi_square[method] += z**2
            row += [str(rare.error_rate), f"{z:+.2f}"]
        rows.append(tuple(row))
        print(row, flush=True)
    summary = "; ".join(
        f"{method}: {value:.1f} for {len(POINTS)} points, probability {scipy.stats.chi2.sf(value, len(POINTS)):.2f}"
        for method, value in chi_square.items()
    )
    print(summary)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Rare-event methods beside plain sampling",
        f"python benchmarks/rare_events/agreement.py {max_errors} {max_shots} {target:g}",
        ["d", "p", "plain sampling", "strata", "z", "splitting", "z"],
        rows,
        notes=f"quell's rotated memory X, d rounds, uniform depolarising noise, plain matching; plain sampling "
        f"to {max_errors:,} errors or {max_shots:,} shots. Chi-square of the z: {summary}.",
    )


if __name__ == "__main__":
    main()
