"""Whether true weights lie in the intervals that are printed with them, and what sharpening does to them.

    python benchmarks/mitigation/weights.py [num_seeds]

Four answers with weights .55, .25, .15, .05 and independent flips, as in `simulated.py`. For every answer: the mean of
the probability found, and in how many of the runs its 95 % bootstrap interval holds the true weight.
"""

import sys
from pathlib import Path

import numpy as np
from simulated import SHOTS, UNEQUAL, simulate

from quell.mitigation import BitFlipMixture, Hammer, Mitigator, RichardsonLucy

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table


def main() -> None:
    num_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    rows = []
    for p in (0.05, 0.1, 0.2):
        methods: dict[str, Mitigator] = {
            "mixture, independent": BitFlipMixture(independent=True),
            "mixture": BitFlipMixture(),
            "Richardson–Lucy": RichardsonLucy(p),
            "HAMMER": Hammer(),
        }
        for method, estimator in methods.items():
            found, held = np.zeros((num_seeds, 4)), np.zeros((num_seeds, 4), dtype=bool)
            for seed in range(num_seeds):
                ideal, counts = simulate(UNEQUAL, p, seed)
                mitigated = estimator.mitigate(counts)
                intervals = mitigated.intervals(100, seed=seed)
                for index, (key, weight) in enumerate(ideal.items()):
                    found[seed, index] = mitigated.get(key, 0.0)
                    low, high = intervals.get(key, (0.0, 0.0))
                    held[seed, index] = low <= weight <= high
            cells = [
                f"{mean:.3f} ({share:.0%})" for mean, share in zip(found.mean(axis=0), held.mean(axis=0), strict=True)
            ]
            rows.append([p, method, *cells])
            print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Weights and their intervals",
        f"python benchmarks/mitigation/weights.py {num_seeds}",
        ["p", "method", *(f"true weight {weight:g}" for weight in UNEQUAL)],
        rows,
        notes="Mean probability found (share of the runs whose 95 % interval holds the true weight); "
        f"{num_seeds} seeds of {SHOTS} shots, 100 resamples each.",
    )


if __name__ == "__main__":
    main()
