"""Shots per second of `quell.sweep` and of plain `sinter.collect`: same tasks, decoder and workers, in alternation.

python benchmarks/sweep_throughput.py [PAIRS]
"""

import sys
import time
from pathlib import Path

import numpy as np
import sinter
from tables import write_table

import quell
from quell import circuits

# About 12 s of two cores for each run, so that starting workers, some 0.6 s for both, weighs little.
POINTS = {
    (3, 1e-3): 60_000_000,
    (3, 5e-3): 40_000_000,
    (7, 1e-3): 6_000_000,
    (7, 5e-3): 1_000_000,
    (11, 1e-3): 1_000_000,
    (11, 5e-3): 250_000,
}
WORKERS = 2


def task(distance: int, p: float) -> sinter.Task:
    noise = circuits.NoiseModel.uniform_depolarizing(p)
    return sinter.Task(
        circuit=circuits.rotated_surface_memory(distance, rounds=distance, noise=noise),
        json_metadata={"d": distance, "p": p},
    )


def seconds_of_sinter(one: sinter.Task, shots: int) -> float:
    begin = time.monotonic()
    sinter.collect(num_workers=WORKERS, tasks=[one], decoders=["pymatching"], max_shots=shots)
    return time.monotonic() - begin


def seconds_of_quell(one: sinter.Task, shots: int) -> float:
    begin = time.monotonic()
    quell.sweep(one, "pymatching", max_shots=shots, num_workers=WORKERS)
    return time.monotonic() - begin


def main() -> None:
    pairs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = []
    for (distance, p), shots in POINTS.items():
        one = task(distance, p)
        times = []
        for index in range(pairs):
            runs = [seconds_of_sinter, seconds_of_quell]
            if index % 2:  # who goes first changes, so that a drift of the machine cancels
                quells, sinters = (run(one, shots) for run in reversed(runs))
            else:
                sinters, quells = (run(one, shots) for run in runs)
            times.append((sinters, quells))
        logs = np.log([a / b for a, b in times])
        half = 1.96 * logs.std(ddof=1) / np.sqrt(pairs)
        sinters, quells = np.median(times, axis=0)
        low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
        rows.append(
            (distance, p, f"{shots:,}", f"{shots / sinters:,.0f}", f"{shots / quells:,.0f}",
             f"{middle:.3f} [{low:.3f}, {high:.3f}]")
        )  # fmt: skip
        print(rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Throughput of a sweep beside plain sinter",
        f"python benchmarks/sweep_throughput.py {pairs}",
        ["d", "p", "shots", "sinter, shots/s", "quell, shots/s", "quell / sinter (95 %)"],
        rows,
        notes="Rotated surface memory, uniform depolarising, rounds = d, PyMatching, "
        f"{WORKERS} workers; {pairs} pairs of runs, start-up of the workers included. Speeds are medians; the ratio "
        "is the geometric mean over pairs.",
    )


if __name__ == "__main__":
    main()
