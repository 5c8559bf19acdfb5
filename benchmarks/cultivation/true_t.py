"""True T beside the proxy S: what cultivation keeps, and how often that is wrong.

Each setting is sampled a batch at a time and every batch is a row of true_t.csv, so that the command can be stopped and
started again, and goes on where it was. True T is sampled by frames; --symft adds a near-Clifford simulator at
distance 3, as a check.

python benchmarks/cultivation/true_t.py --seconds 1500 [--symft]
"""

import argparse
import csv
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, cultivation, true_t_series
from quell.decoders import sample_stages, sample_true_t
from quell.qec.analysis import binomial_interval

FILE = Path(__file__).with_suffix(".csv")
BATCH_SECONDS = 15
NOTES = """Uniform depolarizing noise, cultivation alone, a noiseless projection at the end that is post-selected;
intervals hold 95 %. `published` circuits have what the authors' files have beyond the protocol, and the series (Wan and
Zapirain, arXiv:2609.18922) is of these; that paper sampled 8.90e-6 at distance 3 and p = 0.002, from 165 errors, and
gives 7.43e-6 for the proxy. The proxy S is optimistic."""


class Setting(NamedTuple):
    distance: int
    p: float
    published: bool
    gate: str
    simulator: str


# How the time is shared out.
SHARES = {
    **{Setting(3, p, True, "T", "frames"): share for p, share in ((1e-3, 3.0), (2e-3, 3.0), (3e-3, 2.0))},
    **{Setting(3, p, True, "S", "stages"): 0.5 for p in (1e-3, 2e-3, 3e-3)},
    **{Setting(3, p, False, "T", "frames"): 1.0 for p in (1e-3, 2e-3, 3e-3)},
    **{Setting(3, p, False, "S", "stages"): 0.3 for p in (1e-3, 2e-3, 3e-3)},
    **{Setting(5, p, True, "T", "frames"): 0.5 for p in (1e-3, 2e-3, 3e-3)},
    **{Setting(5, p, True, "S", "stages"): 0.3 for p in (1e-3, 2e-3, 3e-3)},
}
SYMFT = {Setting(3, p, True, "T", "symft"): 1.0 for p in (2e-3, 3e-3)}


class Total:
    def __init__(self) -> None:
        self.batches = self.shots = self.kept = self.errors = 0
        self.seconds = 0.0


def read() -> dict[Setting, Total]:
    totals: defaultdict[Setting, Total] = defaultdict(Total)
    if FILE.exists():
        with FILE.open(newline="") as file:
            for row in csv.DictReader(file):
                setting = Setting(
                    int(row["distance"]), float(row["p"]), row["published"] == "True", row["gate"], row["simulator"]
                )
                total = totals[setting]
                total.batches += 1
                total.shots += int(row["shots"])
                total.kept += int(row["kept"])
                total.errors += int(row["errors"])
                total.seconds += float(row["seconds"])
    return totals


def sample(setting: Setting, batch: int, shots: int) -> tuple[int, int]:
    """Kept, and wrong among these; batches differ in their seed."""
    circuit = cultivation(
        setting.distance,
        noise=NoiseModel.uniform_depolarizing(setting.p),
        gate=setting.gate,
        as_published=setting.published,
    )
    words = [setting.distance, round(1e6 * setting.p), setting.published, "ST".index(setting.gate), batch]
    seed = int(np.random.SeedSequence([*words, len(setting.simulator)]).generate_state(1)[0])
    if setting.simulator == "stages":
        samples = sample_stages(circuit, shots, seed=seed)
        return int(samples.kept[-1]), int(samples.flips.any(axis=1).sum())
    counts = sample_true_t(circuit, shots, seed=seed, simulator=setting.simulator)
    return counts.kept[-1], counts.errors


def run_batch(setting: Setting, total: Total) -> None:
    first = 4096 if setting.simulator == "symft" else 1 << 16
    shots = int(BATCH_SECONDS * total.shots / total.seconds) if total.seconds else first
    start = time.monotonic()
    kept, errors = sample(setting, total.batches, shots)
    row = {
        **setting._asdict(),
        "batch": total.batches,
        "shots": shots,
        "kept": kept,
        "errors": errors,
        "seconds": round(time.monotonic() - start, 3),
    }
    new = not FILE.exists()
    with FILE.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)


def table(totals: dict[Setting, Total], command: str) -> None:
    rows = []
    for setting in sorted(totals):
        total = totals[setting]
        series = true_t_series(setting.distance, setting.p) if setting.gate == "T" and setting.published else None
        rows.append(
            (
                setting.distance,
                f"{setting.p:g}",
                "published" if setting.published else "protocol",
                setting.gate,
                setting.simulator,
                f"{total.shots:.3g}",
                interval(total.kept, total.shots),
                total.errors,
                interval(total.errors, total.kept),
                f"{series:.3g}" if series else "",
                f"{total.shots / total.seconds:.2g}",
            )
        )
    header = ("distance", "p", "circuit", "gate", "sampled by", "attempts", "kept", "wrong", "error rate", "series",
              "attempts per second")  # fmt: skip
    write_table(FILE.with_suffix(".md"), "True T beside the proxy S", command, header, rows, notes=NOTES)


def interval(hits: int, trials: int) -> str:
    if not trials:
        return ""
    low, high = (float(end) for end in binomial_interval(hits, trials))
    return f"{hits / trials:.3g} [{low:.2g}, {high:.2g}]" if hits else f"below {high:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1500, help="to sample for, in all runs together")
    parser.add_argument("--symft", action="store_true")
    arguments = parser.parse_args()
    shares = SHARES | (SYMFT if arguments.symft else {})
    while True:
        totals = read()
        for setting in shares:
            totals.setdefault(setting, Total())
        if sum(total.seconds for total in totals.values()) >= arguments.seconds:
            break
        # Whatever is furthest behind its share.
        setting = min(shares, key=lambda each: totals[each].seconds / shares[each])
        run_batch(setting, totals[setting])
    command = f"python benchmarks/cultivation/true_t.py --seconds {arguments.seconds:g}"
    table({s: t for s, t in totals.items() if t.shots}, command + (" --symft" if arguments.symft else ""))


if __name__ == "__main__":
    main()
