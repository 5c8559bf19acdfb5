"""The pre-decoder and windows together: inside of windows, and before them.

    OMP_NUM_THREADS=1 python benchmarks/windows/predecoder.py --minutes 10    # goes on from predecoder.jsonl
    OMP_NUM_THREADS=1 python benchmarks/windows/predecoder.py --table

All arms decode the same shots; each is compared with the same decoders without windows. One line for each batch goes to
predecoder.jsonl.
"""

import argparse
import collections
import dataclasses
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import sinter
import torch
from error_rates import digest
from numpy.typing import NDArray
from points import Point
from rates import rate_per_round, ratio_per_round

from quell.decoders import PreDecoded, Windowed
from quell.decoders.windows.windowed import CompiledWindowed

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table

RAW = Path(__file__).with_name("predecoder.jsonl")
POINTS = (Point(5, 50, 0.006), Point(9, 90, 0.006))
SHOTS = {5: 20_000, 9: 4000}
BATCH = {5: 200, 9: 50}
PLAIN, REWEIGHT, RESIDUAL = "pymatching", "PreDecoded, reweight", "PreDecoded, residual"


def arms_of(d: int) -> dict[str, tuple[sinter.Decoder, str]]:
    """Decoders, and with which each is compared."""

    def pre(inner: str | sinter.Decoder, handover: str) -> PreDecoded:
        return PreDecoded(inner, handover=handover, device="cpu")

    plain = sinter.BUILT_IN_DECODERS["pymatching"]
    arms: dict[str, tuple[sinter.Decoder, str]] = {
        PLAIN: (plain, PLAIN),
        REWEIGHT: (pre("pymatching", "reweight"), PLAIN),
        RESIDUAL: (pre("pymatching", "residual"), PLAIN),
    }
    for buffer in ((d + 1) // 2, d):
        windows = f"windows, buffer {buffer}"
        for handover, whole in (("reweight", REWEIGHT), ("residual", RESIDUAL)):
            inside = Windowed(pre("pymatching", handover), commit=d, buffer=buffer)
            arms[f"{whole}, in {windows}"] = inside, whole
        inner = Windowed("pymatching", commit=d, buffer=buffer)
        arms[f"{RESIDUAL}, before {windows}"] = pre(inner, "residual"), RESIDUAL
        arms[f"{PLAIN}, in {windows}"] = inner, PLAIN
    blocks = Windowed(pre("pymatching", "reweight"), commit=d, buffer=d, scheme="parallel")
    arms[f"{REWEIGHT}, in parallel blocks, buffer {d}"] = blocks, REWEIGHT
    return arms


class Bench:
    """All arms of a point, compiled."""

    def __init__(self, point: Point) -> None:
        self.circuit = point.circuit()
        model = point.model()
        self.arms: dict[str, tuple[sinter.CompiledDecoder, str]] = {}
        models = [model]
        for name, (decoder, whole) in arms_of(point.distance).items():
            compiled = decoder.compile_decoder_for_dem(dem=model)
            self.arms[name] = compiled, whole
            if isinstance(compiled, CompiledWindowed):
                models += compiled.plan.models
        self.digest = digest(models)

    def run(self, seed: int, num_shots: int) -> dict[str, Any]:
        sampler = self.circuit.compile_detector_sampler(seed=seed)
        events, actual = sampler.sample(num_shots, separate_observables=True, bit_packed=True)
        wrong: dict[str, NDArray[np.bool_]] = {}
        counts: dict[str, list[int]] = {}
        seconds: dict[str, float] = {}
        for name, (decoder, whole) in self.arms.items():
            start = time.process_time()
            found = decoder.decode_shots_bit_packed(bit_packed_detection_event_data=events)
            seconds[name] = round(time.process_time() - start, 4)
            wrong[name] = (found != actual).any(axis=1)
            counts[name] = [int(each.sum()) for each in (wrong[name], wrong[whole], wrong[name] & wrong[whole])]
        return {"seed": seed, "shots": num_shots, "models": self.digest, "seconds": seconds, "counts": counts}


def read(path: Path) -> dict[Point, list[dict[str, Any]]]:
    """The batches of the latest models, by point."""
    rows: dict[Point, list[dict[str, Any]]] = collections.defaultdict(list)
    for line in path.read_text().splitlines() if path.exists() else ():
        row = json.loads(line)
        rows[Point(**row["point"])].append(row)
    return {
        point: [row for row in found if row["models"] == found[-1]["models"]] for point, found in sorted(rows.items())
    }


def work(path: Path, minutes: float) -> None:
    end = time.monotonic() + 60 * minutes
    for number, point in enumerate(POINTS, 1):
        share = time.monotonic() + (end - time.monotonic()) / (len(POINTS) + 1 - number)
        bench = Bench(point)
        known = read(path).get(point, [])
        done = sum(row["shots"] for row in known if row["models"] == bench.digest)
        seed = max((row["seed"] + 1 for row in known), default=point.seed())
        while done < SHOTS[point.distance] and time.monotonic() < share:
            row = {"point": dataclasses.asdict(point), **bench.run(seed, BATCH[point.distance])}
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            seed += 1
            done += row["shots"]


def table(path: Path) -> None:
    rows = []
    for point, batches in read(path).items():
        shots = sum(row["shots"] for row in batches)
        for name, (_, whole) in arms_of(point.distance).items():
            errors, alone, both = np.sum([row["counts"][name] for row in batches], axis=0).tolist()
            rate, (low, high) = rate_per_round(errors, shots, point.rounds)
            cells = [f"{rate:.2e} [{low:.2e}, {high:.2e}]", whole, ""]
            if name != whole:
                ratio, (low, high) = ratio_per_round(errors, alone, both, shots, point.rounds)
                cells[2] = f"{ratio:.3f} [{low:.3f}, {high:.3f}]"
            seconds = sum(row["seconds"][name] for row in batches)
            cells.append(f"{1e6 * seconds / shots / point.rounds:.0f}")
            rows.append((point.distance, f"{point.p:g}", point.rounds, name, f"{shots:,}", f"{errors:,}", *cells))
    write_table(
        Path(__file__).with_name("predecoder.md"),
        "The pre-decoder and windows together",
        "OMP_NUM_THREADS=1 python benchmarks/windows/predecoder.py --minutes 10",
        (
            "d",
            "p",
            "rounds",
            "decoder",
            "shots",
            "errors",
            "error rate per round",
            "compared with",
            "ratio",
            "CPU µs per shot and round",
        ),
        rows,
        notes="quell's rotated memory, Z, uniform depolarising noise. The weights `fast`, on a CPU, one thread; "
        "confidences of the residual as they are by default. `in windows`: "
        "`Windowed(PreDecoded(…), commit=d, buffer=…)`, the network inside sees one window; `before windows`: "
        "`PreDecoded(Windowed(…), handover='residual')`, the network sees the whole memory. Sliding windows, unless it "
        "says otherwise. Ratios are of error rates per round, on the same shots, with paired 95 % intervals as in "
        "error_rates.md. Times are those of large batches on a machine that was busy with other things. Not measured: "
        "a GPU, the weights `accurate`, other noise, longer memories.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.table:
        work(arguments.raw, arguments.minutes)
    table(arguments.raw)


if __name__ == "__main__":
    main()
