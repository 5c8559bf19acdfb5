"""How far learned rates are from the true ones, and how often these are in their 95 % intervals, over the whole grid.

    python benchmarks/noise_learning/probabilities.py              # goes on from probabilities.jsonl
    python benchmarks/noise_learning/probabilities.py --table

Nothing is decoded. Rates are those of faults, of which each flips a set of detectors that no other one does.
"""

import argparse
import datetime
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from points import NOISES, Point, grid

from quell.decoders.noise_learning.closed_form import closed_form
from quell.decoders.noise_learning.drift import Drift
from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.pooling import PooledRates, pooled_rates
from quell.decoders.noise_learning.structure import FaultStructure
from quell.decoders.noise_learning.translation import translation_classes

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import machine

RAW = Path(__file__).with_name("probabilities.jsonl")
SHOTS = (10_000, 100_000)
CLASSES = ("translation", "None")
REPETITIONS = {3: 8, 5: 4, 7: 2, 9: 1, 11: 1, 13: 1}
ASKED = (0.90, 0.99)
STEPS = 10  # of drifting noise; taking up few shots at a time takes long


def true_rates(point: Point, structure: FaultStructure) -> NDArray[np.float64]:
    """The rates that the circuit itself has, in the order of the structure's faults."""
    own = FaultStructure.of(point.circuit())
    number = {tuple(row): rate for row, rate in zip(own.detectors.tolist(), own.nominal.tolist(), strict=True)}
    found = np.array([number.pop(tuple(row), 0.0) for row in structure.detectors.tolist()])
    assert not number, "the structure lacks faults of the circuit"
    return found


def counted(point: Point, sets: ParitySets, num_shots: int, repetition: int) -> ParityCounts:
    counts = ParityCounts(sets, with_ages=point.noise == "drifting")
    for events in point.training(num_shots, repetition, STEPS):
        if point.noise == "drifting":
            counts.decay(0.5 ** (len(events) / (num_shots / 2)), len(events))
        counts.add(events)
    return counts


def summary(found: PooledRates, true: NDArray[np.float64], sizes: NDArray[np.int64]) -> dict[str, Any]:
    """By the size of faults and, last, of all: errors of the logarithm, and shares below and above the intervals."""
    with np.errstate(divide="ignore"):
        error = np.log(found.rates / true)
    below, above = true < found.intervals[:, 0], true > found.intervals[:, 1]
    groups = [*(sizes == size for size in np.unique(sizes)), np.ones(len(sizes), dtype=np.bool_)]
    return {
        "faults": [int(group.sum()) for group in groups],
        "rms": [round(float(np.sqrt(np.mean(error[group] ** 2))), 4) for group in groups],
        "median": [round(float(np.median(np.abs(error[group]))), 4) for group in groups],
        "below": [round(float(below[group].mean()), 5) for group in groups],
        "above": [round(float(above[group].mean()), 5) for group in groups],
    }


def run(point: Point) -> dict[str, Any]:
    structure = FaultStructure.of(point.guess())
    true = true_rates(point, structure)
    sets = ParitySets.of(structure)
    classes = {"translation": translation_classes(structure), "None": None}
    found: dict[str, Any] = {}
    for num_shots in SHOTS:
        for repetition in range(REPETITIONS[point.distance]):
            counts = counted(point, sets, num_shots, repetition)
            estimates = closed_form(structure, counts)
            for name in CLASSES:
                pooled = pooled_rates(structure, estimates, classes[name])
                if classes[name] is not None:
                    drift = Drift.of(structure, counts, estimates, classes[name][:, -1], pooled.rates)
                    pooled = drift.followed(pooled)
                found.setdefault(f"{name} {num_shots}", []).append(summary(pooled, true, structure.sizes))
    return {"point": vars(point), "found": found}


def mean(runs: list[dict[str, Any]], what: str) -> NDArray[np.float64]:
    values = np.array([each[what] for each in runs])
    return np.asarray(np.sqrt((values**2).mean(axis=0)) if what == "rms" else values.mean(axis=0))


def covered(runs: list[dict[str, Any]]) -> NDArray[np.float64]:
    return np.asarray(1 - mean(runs, "below") - mean(runs, "above"))


def write(rows: list[dict[str, Any]]) -> None:
    rows = sorted(
        rows, key=lambda row: (NOISES.index(row["point"]["noise"]), row["point"]["distance"], row["point"]["p"])
    )
    lines = [
        "# Learned rates beside true ones",
        "",
        "    python benchmarks/noise_learning/probabilities.py",
        "",
        f"{machine()}; {datetime.date.today()}.",
        "",
        *NOTES,
        "",
        "## Share of true rates in their 95 % intervals",
        "",
        "| noise | classes | training shots | points | mean | lowest | highest | outside 90–99 % | "
        "outside, by size of fault (1 / 2 / …) |",
        "|" + "---|" * 9,
    ]
    for noise in NOISES:
        for key in (f"{name} {shots}" for name in CLASSES for shots in SHOTS):
            runs = [row["found"][key] for row in rows if row["point"]["noise"] == noise]
            if not runs:
                continue
            shares = np.array([covered(each) for each in runs])
            outside = ((shares < ASKED[0]) | (shares > ASKED[1])).sum(axis=0)
            name, shots = key.split()
            lines.append(
                f"| {noise} | {name} | {int(shots):,} | {len(runs)} | {shares[:, -1].mean():.1%} | "
                f"{shares[:, -1].min():.1%} | {shares[:, -1].max():.1%} | {outside[-1]} | "
                f"{' / '.join(map(str, outside[:-1]))} |"
            )
    header = ["noise", "d", "p", "faults"]
    for name in CLASSES:
        for shots in SHOTS:
            header += [f"{name}, {shots:.0e}: rms".replace("e+0", "e"), "median", "in 95 %"]
    lines += ["", "## Point by point", "", "| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    for row in rows:
        point, cells = row["point"], []
        for name in CLASSES:
            for shots in SHOTS:
                runs = row["found"][f"{name} {shots}"]
                rms, share = mean(runs, "rms"), covered(runs)
                cells.append(f"{rms[-1]:.3f} ({' / '.join(f'{each:.2f}' for each in rms[:-1])})")
                cells.append(f"{mean(runs, 'median')[-1]:.3f}")
                cells.append(f"{share[-1]:.1%}" if ASKED[0] <= share[-1] <= ASKED[1] else f"**{share[-1]:.1%}**")
        faults = row["found"][f"{CLASSES[0]} {SHOTS[0]}"][0]["faults"][-1]
        lines.append(f"| {point['noise']} | {point['distance']} | {point['p']:g} | {faults:,} | {' | '.join(cells)} |")
    text = "\n".join(lines) + "\n"
    Path(__file__).with_name("probabilities.md").write_text(text)
    print(text)


NOTES = (
    "The grid, the guess and the noise are those of [error_rates.md](error_rates.md). Method: closed forms, each fault "
    "by itself (None) or drawn towards its translation classes. `rms` and `median` are of log(learned / true), over "
    "all faults, and in parentheses the rms over those of 1 / 2 / 3 / 4 detectors; `in 95 %` is the share of true "
    "rates that lie in their intervals, in bold outside of the 90–99 % that are asked for. "
    f"Means over {', '.join(f'{count} (d = {d})' for d, count in REPETITIONS.items())} training runs.",
    "",
    "Where noise drifts, the true rates are those at the end of training; classes are followed to it, and faults by "
    "themselves are not.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--distances", type=int, nargs="*")
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in arguments.raw.read_text().splitlines()] if arguments.raw.exists() else []
    done = [row["point"] for row in rows]
    for point in grid():
        if arguments.table or vars(point) in done or point.distance not in (arguments.distances or REPETITIONS):
            continue
        start = time.monotonic()
        rows.append(run(point))
        with arguments.raw.open("a") as file:
            file.write(json.dumps(rows[-1]) + "\n")
        print(point, f"{time.monotonic() - start:.1f} s", flush=True)
    write(rows)


if __name__ == "__main__":
    main()
