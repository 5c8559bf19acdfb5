"""Decodes the same shots with matching, correlated matching and the pre-decoder, and counts who was wrong on which.

    python benchmarks/predecoder/compare.py OUT.jsonl --weights accurate --minutes 30 --processes 2

One line for each batch goes to OUT.jsonl, which later runs go on from; `table.py` makes the tables of it. A point is
done when every arm that is claimed about has enough errors, or after the limit of shots.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import json
import multiprocessing
import os
import sys
import time
import zlib
from pathlib import Path
from typing import Any

from points import Bench, Point

DISTANCES = (5, 7, 9, 11, 13)
SHOTS_PER_BATCH = {5: 20000, 7: 10000, 9: 5000, 11: 3000, 13: 2000}
FIRST_SEED = 1_000_000  # thresholds are chosen on seeds below


def first_seed(point: Point) -> int:
    return FIRST_SEED + zlib.crc32(repr(point).encode())


def points_of(which: str) -> list[Point]:
    if which == "main":
        # What takes longest comes last.
        order = [(0.006, DISTANCES), (0.003, DISTANCES[:3]), (0.003, DISTANCES[3:])]
        return [
            Point(family, "uniform", basis, d, d, p)
            for p, distances in order
            for family in ("quell", "stim")
            for d in distances
            for basis in ("Z", "X")
        ]
    if which == "noise":
        names = ("si1000", "biased10", "biased100", "pauli25-1", "pauli25-2", "pauli25-3")
        return [Point("quell", name, basis, d, d, 0.004) for d in (5, 7) for name in names for basis in ("Z", "X")]
    if which == "shapes":
        sizes = ((3, 3), (5, 1), (5, 30), (7, 2), (15, 5))
        return [Point("quell", "uniform", basis, d, r, 0.006) for d, r in sizes for basis in ("Z", "X")]
    if which == "reference":
        return [Point("quell", "reference", "X", d, d, p) for p in (0.006, 0.003) for d in (9, 13)]
    raise SystemExit(f"unknown set of points {which!r}: main, noise, shapes or reference")


@functools.lru_cache(maxsize=3)
def bench(point: Point, weights: str, device: str, confidences: tuple[tuple[str, float], ...]) -> Bench:
    return Bench(point, weights, device, dict(confidences))


def one_batch(
    point: Point,
    weights: str,
    device: str,
    confidences: tuple[tuple[str, float], ...],
    seed: int,
    shots: int,
    residual: bool,
) -> dict[str, Any]:
    import torch

    torch.set_num_threads(1)
    found = bench(point, weights, device, confidences).run(seed, shots, residual)
    return {"point": dataclasses.asdict(point), "weights": Path(weights).stem, "device": device, **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--points", default="main")
    parser.add_argument("--weights", default="accurate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("--errors", type=int, default=1100, help="of the arm with the fewest")
    parser.add_argument("--max-shots", type=float, default=1e7)
    parser.add_argument("--residual-shots", type=float, default=1e6, help="after which the residual arms are left out")
    parser.add_argument("--confidence", type=float, nargs=2, default=(0.9, 0.9), help="pymatching, correlated")
    parser.add_argument("--distances", type=int, nargs="*")
    parser.add_argument("--p", type=float, nargs="*")
    parser.add_argument("--families", nargs="*")
    parser.add_argument("--bases", nargs="*")
    parser.add_argument("--largest-batch", type=float, default=1.0, help="factor on the shots in a batch")
    arguments = parser.parse_args()
    points = [
        point
        for point in points_of(arguments.points)
        if (not arguments.distances or point.distance in arguments.distances)
        and (not arguments.p or point.p in arguments.p)
        and (not arguments.families or point.family in arguments.families)
        and (not arguments.bases or point.basis in arguments.bases)
    ]
    confidences = tuple(zip(("pymatching", "pymatching-correlated"), arguments.confidence, strict=True))
    done: dict[Point, list[dict[str, Any]]] = {point: [] for point in points}
    if arguments.out.exists():
        for line in arguments.out.read_text().splitlines():
            row = json.loads(line)
            point = Point(**row["point"])
            if point in done and row["weights"] == Path(arguments.weights).stem:
                done[point].append(row)

    def unfinished(point: Point) -> bool:
        shots = sum(row["shots"] for row in done[point])
        errors = min((sum(row["errors"][arm] for row in done[point]) for arm in FEWEST), default=0)
        return errors < arguments.errors and shots < arguments.max_shots

    end = time.monotonic() + 60 * arguments.minutes
    next_seed = {point: max((row["seed"] + 1 for row in done[point]), default=first_seed(point)) for point in points}
    context = multiprocessing.get_context("spawn")
    with (
        arguments.out.open("a") as file,
        concurrent.futures.ProcessPoolExecutor(arguments.processes, context) as executor,
    ):
        under_way: dict[concurrent.futures.Future[dict[str, Any]], Point] = {}
        while True:
            while len(under_way) < arguments.processes + 2 and time.monotonic() < end:
                point = next((point for point in points if unfinished(point)), None)
                if point is None:
                    break
                shots = int(arguments.largest_batch * SHOTS_PER_BATCH.get(point.distance, 2000))
                residual = sum(row["shots"] for row in done[point]) < arguments.residual_shots
                future = executor.submit(
                    one_batch,
                    point,
                    arguments.weights,
                    arguments.device,
                    confidences,
                    next_seed[point],
                    shots,
                    residual,
                )
                next_seed[point] += 1
                under_way[future] = point
            if not under_way:
                break
            finished, _ = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in finished:
                point = under_way.pop(future)
                row = future.result()
                done[point].append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
    for point in points:
        rows = done[point]
        errors = {arm: sum(row["errors"].get(arm, 0) for row in rows) for arm in FEWEST}
        print(point, sum(row["shots"] for row in rows), errors, file=sys.stderr)


FEWEST = ("pymatching", "pymatching-correlated", "predecoder")

if __name__ == "__main__":
    main()
