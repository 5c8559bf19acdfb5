"""Speed-up of decoding in windows with two processes over one.

    OMP_NUM_THREADS=1 python benchmarks/windows/workers.py

On a quiet machine with two cores. In sliding windows each window waits for the one before, so that shots are shared
out; parallel windows of one stage are, even of a single shot.
"""

import sys
import time
from pathlib import Path

import numpy as np
import sinter
from numpy.typing import NDArray
from points import Point

from quell.decoders import Windowed

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table

POINTS = (Point(9, 90, 0.005), Point(9, 900, 0.003), Point(13, 130, 0.006), Point(13, 1300, 0.004))
BATCHES = {10: (1, 16, 1024), 100: (1, 16, 128)}  # shots, by rounds / d
SECONDS = 1.5  # for each number
BOOTSTRAPS = 2000


def timed(decoder: sinter.CompiledDecoder, events: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    decoder.decode_shots_bit_packed(bit_packed_detection_event_data=events)
    return time.perf_counter() - start


def speed_up(one: NDArray[np.float64], two: NDArray[np.float64]) -> str:
    """Ratio of the medians, with a 95 % interval of the bootstrap; pairs stay together."""
    drawn = np.random.default_rng(1).integers(len(one), size=(BOOTSTRAPS, len(one)))
    ratios = np.median(one[drawn], axis=1) / np.median(two[drawn], axis=1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return f"{np.median(one) / np.median(two):.2f} [{low:.2f}, {high:.2f}]"


def main() -> None:
    rows = []
    for point in POINTS:
        d = point.distance
        model = point.model()
        sampler = point.circuit().compile_detector_sampler(seed=point.seed())
        for scheme in ("sliding", "parallel"):
            decoders = []
            for workers in (1, 2):
                start = time.perf_counter()
                windowed = Windowed("pymatching", commit=d, buffer=d, scheme=scheme, workers=workers)
                decoders.append(windowed.compile_decoder_for_dem(dem=model))
                compiling = time.perf_counter() - start
            widest = np.bincount([window.stage for window in decoders[0].plan.windows])
            for size in BATCHES[point.rounds // d]:
                events = sampler.sample(size, bit_packed=True)
                answers = [
                    decoder.decode_shots_bit_packed(bit_packed_detection_event_data=events) for decoder in decoders
                ]
                if not np.array_equal(*answers):
                    raise SystemExit(f"one process and two do not agree: {point}, {scheme}")
                pairs = []
                end = time.perf_counter() + 2 * SECONDS
                while len(pairs) < 3 or (time.perf_counter() < end and len(pairs) < 500):
                    events = sampler.sample(size, bit_packed=True)
                    pairs.append([timed(decoder, events) for decoder in decoders])
                one, two = np.array(pairs).T
                per_round = [1e6 * float(np.median(each)) / size / point.rounds for each in (one, two)]
                rows.append(
                    (
                        *(d, point.rounds, f"{point.p:g}", scheme, f"{len(widest)}, {widest.max()}", size, len(pairs)),
                        *(f"{each:.3g}" for each in per_round),
                        speed_up(one, two),
                        f"{compiling:.1f}",
                    )
                )
                print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_name("workers.md"),
        "Speed-up of windows with two processes",
        "OMP_NUM_THREADS=1 python benchmarks/windows/workers.py",
        (
            "d",
            "rounds",
            "p",
            "scheme",
            "stages, most windows in one",
            "shots in a batch",
            "batches",
            "µs per shot and round, one process",
            "two",
            "speed-up",
            "compile with two, s",
        ),
        rows,
        notes="quell's rotated memory, Z, uniform depolarising noise, PyMatching inside, commit = buffer = d, gaps of "
        "d. Wall-clock time of whole batches, in this process and in two others, in turn on the same shots; medians, "
        "and 95 % intervals of the bootstrap over batches. Both give the same answers, which is checked. With two, "
        "events and predictions go through sockets. Only for decoders that are used by themselves: inside sinter's "
        "workers, `workers=2` decodes in one process, and warns. Not measured: more than two cores.",
    )


if __name__ == "__main__":
    main()
