"""Every method on counts with independent bit flips, where the truth is known: fidelity, and the weights found.

    python benchmarks/mitigation/simulated.py [num_seeds]

Ten bits, 8,192 shots, answers drawn at random, each bit flipped with probability p. Q-Cluster, Richardson–Lucy, M3 and
Q-BEEP are told the true p; HAMMER and the mixture are told nothing, save that the last column's mixture knows that the
flips are independent. All methods see the same counts.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.mitigation import (
    M3,
    BitFlipMixture,
    Hammer,
    Mitigator,
    QBeep,
    QCluster,
    Raw,
    RichardsonLucy,
    hellinger_fidelity,
)

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table

NUM_BITS, SHOTS = 10, 8192
UNEQUAL = (0.55, 0.25, 0.15, 0.05)
UNEQUAL_8 = (0.3, 0.2, 0.15, 0.1, 0.1, 0.05, 0.05, 0.05)
ROWS: list[tuple[tuple[float, ...], float]] = [
    *(((1.0,), p) for p in (0.05, 0.2, 0.4)),
    *(((0.5, 0.5), p) for p in (0.1, 0.2, 0.3, 0.4)),
    *(((0.25,) * 4, p) for p in (0.1, 0.2, 0.3, 0.4)),
    *((UNEQUAL, p) for p in (0.05, 0.1, 0.2, 0.3)),
    *(((0.125,) * 8, p) for p in (0.1, 0.2, 0.3)),
    *((UNEQUAL_8, p) for p in (0.1, 0.2)),
]
METHODS: dict[str, Callable[[float], Mitigator]] = {
    "raw": lambda _: Raw(),
    "Q-Cluster": QCluster,
    "HAMMER": lambda _: Hammer(),
    "Richardson–Lucy": RichardsonLucy,
    "M3": M3,
    "Q-BEEP": QBeep,
    "mixture": lambda _: BitFlipMixture(),
    "mixture, independent": lambda _: BitFlipMixture(independent=True),
}


def simulate(weights: tuple[float, ...], p: float, seed: int) -> tuple[dict[str, float], dict[str, int]]:
    """The ideal distribution over random distinct answers, and counts with every bit flipped with probability p."""
    generator = np.random.default_rng([seed, len(weights), round(1000 * p)])
    answers = generator.choice(2**NUM_BITS, size=len(weights), replace=False)
    shots = generator.choice(answers, size=SHOTS, p=np.array(weights) / sum(weights))
    flips = generator.random((SHOTS, NUM_BITS)) < p
    measured = shots ^ (flips @ (1 << np.arange(NUM_BITS)))
    values, numbers = np.unique(measured, return_counts=True)
    ideal = {format(answer, f"0{NUM_BITS}b"): weight for answer, weight in zip(answers, weights, strict=True)}
    return ideal, {format(v, f"0{NUM_BITS}b"): int(n) for v, n in zip(values, numbers, strict=True)}


def mean_interval(values: NDArray[np.float64]) -> str:
    """The mean over seeds with its 95 % interval, by Student's t."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {half:.3f}"


def named(weights: tuple[float, ...]) -> str:
    """The number of answers, and their weights unless they are equal."""
    return f"{len(weights)}" if len(set(weights)) == 1 else f"{len(weights)}: {', '.join(f'{w:g}' for w in weights)}"


def main() -> None:
    num_seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    rows = []
    for weights, p in ROWS:
        fidelities: dict[str, list[float]] = {method: [] for method in METHODS}
        for seed in range(num_seeds):
            ideal, counts = simulate(weights, p, seed)
            for method, make in METHODS.items():
                fidelities[method].append(hellinger_fidelity(ideal, make(p).mitigate(counts)))
        rows.append([named(weights), p, *(mean_interval(np.array(values)) for values in fidelities.values())])
        print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Independent bit flips, truth known",
        f"python benchmarks/mitigation/simulated.py {num_seeds}",
        ["answers", "p", *METHODS],
        rows,
        notes=f"Hellinger fidelity, support never truncated; {NUM_BITS} bits, {SHOTS} shots, {num_seeds} seeds. "
        "Intervals: 95 %, over seeds.",
    )


if __name__ == "__main__":
    main()
