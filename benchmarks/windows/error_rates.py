"""Error rates per round of matching in windows, over those of matching that sees the whole memory, on the same shots.

    OMP_NUM_THREADS=1 python benchmarks/windows/error_rates.py --minutes 75    # goes on from error_rates.jsonl
    OMP_NUM_THREADS=1 python benchmarks/windows/error_rates.py --table

One line for each batch goes to error_rates.jsonl. The quickest work is done first. A buffer is left alone once its
ratio is known well enough, and sooner where its interval lies far outside of what is asked for.
"""

import argparse
import collections
import dataclasses
import functools
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import sinter
import stim
from numpy.typing import NDArray
from points import Arm, Point, arms_of, grid
from rates import Interval, ratio_per_round

RAW = Path(__file__).with_name("error_rates.jsonl")
LIMIT = 0.02
# Errors of the whole volume, and the most seconds that a memory may take until it has them.
PASSES = (
    *((level, 200.0) for level in (300, 1000, 3000, 10_000)),
    *((level, math.inf) for level in (300, 1000, 3000, 10_000, 30_000)),
)
FAR = 1.04  # a ratio all of whose interval is above is not measured further
FEWEST_FAR = 300
FEWEST_WITHIN = 1000
HALF_WIDTH = 0.006  # nor one that is known as well as this, from FEWEST errors on
FEWEST = 3000
BATCH_SECONDS = 20.0
MOST_BITS = 1 << 29  # of detection events in a batch


class Bench:
    """What decodes a point: whole-volume matching, plain and correlated, and the windows, each compiled when needed."""

    def __init__(self, point: Point) -> None:
        self.circuit = point.circuit()
        self.model = point.model()
        self.compiled: dict[Arm | str, tuple[sinter.CompiledDecoder, str]] = {}

    def wrong(self, arm: Arm | str, events: NDArray[np.uint8], actual: NDArray[np.uint8]) -> NDArray[np.bool_]:
        decoder, _ = self._ready(arm)
        found = decoder.decode_shots_bit_packed(bit_packed_detection_event_data=events)
        return np.asarray((found != actual).any(axis=1))

    def _ready(self, arm: Arm | str) -> tuple[sinter.CompiledDecoder, str]:
        if arm not in self.compiled:
            if isinstance(arm, str):
                whole = sinter.BUILT_IN_DECODERS[arm].compile_decoder_for_dem(dem=self.model)
                self.compiled[arm] = whole, digest([self.model])
            else:
                windowed = arm.decoder().compile_decoder_for_dem(dem=self.model)
                self.compiled[arm] = windowed, digest(windowed.plan.models)
        return self.compiled[arm]

    def run(self, seed: int, num_shots: int, arms: list[Arm]) -> dict[str, Any]:
        """Decodes fresh shots in windows and as a whole, and counts errors of each arm, and of it and the whole."""
        sampler = self.circuit.compile_detector_sampler(seed=seed)
        events, actual = sampler.sample(num_shots, separate_observables=True, bit_packed=True)
        counts: dict[str, list[int]] = {}
        seconds: dict[str, float] = {}
        whole: dict[str, NDArray[np.bool_]] = {}

        def timed(arm: Arm | str, name: str) -> NDArray[np.bool_]:
            self._ready(arm)
            start = time.process_time()
            found = self.wrong(arm, events, actual)
            seconds[name] = round(time.process_time() - start, 4)
            return found

        for inner in sorted({arm.inner for arm in arms}):
            whole[inner] = timed(inner, inner)
            counts[inner] = [int(whole[inner].sum())] * 2
        for arm in arms:
            found = timed(arm, arm.name)
            counts[arm.name] = [int(found.sum()), int((found & whole[arm.inner]).sum())]
        models = {arm.name: self.compiled[arm][1] for arm in arms}
        return {"seed": seed, "shots": num_shots, "models": models, "seconds": seconds, "counts": counts}


def digest(models: Any) -> str:
    text = "\n".join(str(model) for model in models if isinstance(model, stim.DetectorErrorModel))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


@dataclasses.dataclass
class Sum:
    """All batches of one arm with the latest models: shots, its errors, the whole's on them, both; seconds."""

    rounds: int
    shots: int = 0
    errors: int = 0
    alone: int = 0
    both: int = 0
    seconds: float = 0.0
    seconds_alone: float = 0.0

    @functools.cached_property
    def ratio(self) -> tuple[float, Interval]:
        return ratio_per_round(self.errors, self.alone, self.both, max(self.shots, 1), self.rounds)

    @property
    def half_width(self) -> float:
        low, high = self.ratio[1]
        return (high - low) / 2

    def within(self) -> bool | None:
        """Whether the interval is within the limit, or outside of it, or neither."""
        low, high = self.ratio[1]
        if self.alone < FEWEST_FAR:
            return None
        if self.alone >= FEWEST_WITHIN and low >= 1 - LIMIT and high <= 1 + LIMIT:
            return True
        return False if low > 1 + LIMIT or high < 1 - LIMIT else None

    def wants(self, level: int) -> bool:
        """Whether it should be measured until the whole has made so many errors."""
        if self.alone >= level:
            return False
        known = self.half_width <= HALF_WIDTH and self.alone >= FEWEST
        far = self.ratio[1][0] > FAR and self.alone >= FEWEST_FAR
        return not known and not far


class Results:
    """The rows so far, by point."""

    def __init__(self, path: Path) -> None:
        self.rows: dict[Point, list[dict[str, Any]]] = collections.defaultdict(list)
        if path.exists():
            for line in path.read_text().splitlines():
                row = json.loads(line)
                self.rows[Point(**row["point"])].append(row)

    def sums(self, point: Point) -> dict[Arm, Sum]:
        latest = {name: models for row in self.rows[point] for name, models in row["models"].items()}
        sums = {arm: Sum(point.rounds) for arm in sorted({*arms_of(point), *map(Arm.named, latest)})}
        for row in self.rows[point]:
            for name, models in row["models"].items():
                if models != latest[name]:
                    continue
                arm = Arm.named(name)
                sums[arm].shots += row["shots"]
                sums[arm].errors += row["counts"][name][0]
                sums[arm].both += row["counts"][name][1]
                sums[arm].alone += row["counts"][arm.inner][0]
                sums[arm].seconds += row["seconds"][name]
                sums[arm].seconds_alone += row["seconds"][arm.inner]
        return sums

    def whole(self, point: Point, inner: str) -> tuple[int, int]:
        """Errors and shots."""
        rows = [row for row in self.rows[point] if inner in row["counts"]]
        return sum(row["counts"][inner][0] for row in rows), sum(row["shots"] for row in rows)

    def next_seed(self, point: Point) -> int:
        return max((row["seed"] + 1 for row in self.rows[point]), default=point.seed())


@dataclasses.dataclass(frozen=True)
class Job:
    """Arms of one point that should be measured further."""

    point: Point
    arms: tuple[Arm, ...]
    seconds: float  # expected
    shots: int  # in the next batch


def next_job(results: Results, point: Point, inner: str, level: int) -> Job | None:
    sums = results.sums(point)
    arms = tuple(arm for arm in arms_of(point) if arm.inner == inner and sums[arm].wants(level))
    if not arms:
        return None
    errors, shots = results.whole(point, inner)
    if not shots:
        # A first small batch tells how long it takes.
        return Job(point, arms, 0.0, max(20, 200_000 // (point.rounds * point.distance**2)))
    rate = max(errors, 1) / shots
    known = [found for arm, found in sums.items() if arm.inner == inner and found.shots]
    of_whole = max(found.seconds_alone / found.shots for found in known)
    per_shot = of_whole + sum(
        sums[arm].seconds / sums[arm].shots if sums[arm].shots else of_whole + 1e-5 for arm in arms
    )
    left = (level - min(sums[arm].alone for arm in arms)) / rate
    fitting = MOST_BITS // (point.rounds * point.distance**2)
    size = int(min(max(50, BATCH_SECONDS / per_shot), left + 50, fitting))
    return Job(point, arms, left * per_shot, size)


def work(points: list[Point], path: Path, minutes: float, inners: list[str]) -> None:
    end = time.monotonic() + 60 * minutes
    results = Results(path)
    bench: tuple[Point, Bench] | None = None
    for level, longest in PASSES:
        while time.monotonic() < end:
            found = (next_job(results, point, inner, level) for point in points for inner in inners)
            jobs = [job for job in found if job is not None and job.seconds <= longest]
            if not jobs:
                break
            # Whatever is begun is gone on with, because compiling takes time too.
            same = [job for job in jobs if bench and job.point == bench[0]]
            job = min(same or jobs, key=lambda job: job.seconds)
            if bench is None or bench[0] != job.point:
                left = sum(job.seconds for job in jobs)
                print(f"{level} errors: {job.point}, about {job.seconds:.0f} s; all {left:.0f} s", flush=True)
                bench = job.point, Bench(job.point)
            row = bench[1].run(results.next_seed(job.point), job.shots, list(job.arms))
            row = {"point": dataclasses.asdict(job.point), **row}
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
            results.rows[job.point].append(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--raw", type=Path, default=RAW)
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    parser.add_argument("--distances", type=int, nargs="*")
    parser.add_argument("--inners", nargs="*", default=["pymatching", "pymatching-correlated"])
    arguments = parser.parse_args()
    if arguments.table:
        import error_rates_table

        error_rates_table.write(grid(), Results(arguments.raw))
        return
    points = [point for point in grid() if not arguments.distances or point.distance in arguments.distances]
    work(points, arguments.raw, arguments.minutes, arguments.inners)


if __name__ == "__main__":
    main()
