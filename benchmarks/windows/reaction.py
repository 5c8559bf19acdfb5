"""Reaction time and time per round of memories that are decoded while they run, as they get longer.

    OMP_NUM_THREADS=1 python benchmarks/windows/reaction.py

One shot at a time, in CPU time of the one thread; best on a quiet machine all the same. The reaction time is what
passes from the moment the last layer of detectors has come until the answer is there: of a stream of windows, and of
matching that starts with the whole memory then.
"""

import dataclasses
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sinter
from numpy.typing import NDArray
from points import Point

from quell.decoders import Windowed

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table

P = 0.003
TIMES = (10, 30, 100)
SHOTS = {5: 400, 9: 200, 13: 80}
WARM_UP = 5
BOOTSTRAPS = 2000
clock = time.thread_time  # of CPU: other processes may want the core too


@dataclasses.dataclass
class Arm:
    """One way to decode one memory, shot by shot, and how long each shot took."""

    decode: Callable[[NDArray[np.bool_]], tuple[float, float, float]]
    compiling: float
    begin: list[float] = dataclasses.field(default_factory=list)
    reaction: list[float] = dataclasses.field(default_factory=list)
    whole: list[float] = dataclasses.field(default_factory=list)

    def run(self, events: NDArray[np.bool_], counts: bool) -> None:
        begin, reaction, whole = self.decode(events)
        if counts:
            self.begin.append(begin)
            self.reaction.append(reaction)
            self.whole.append(whole)


def whole_volume(point: Point) -> Arm:
    model = point.model()
    start = clock()
    compiled = sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=model)
    compiling = clock() - start

    def decode(events: NDArray[np.bool_]) -> tuple[float, float, float]:
        packed = np.packbits(events[None], axis=1, bitorder="little")
        start = clock()
        compiled.decode_shots_bit_packed(bit_packed_detection_event_data=packed)
        seconds = clock() - start
        return 0.0, seconds, seconds

    return Arm(decode, compiling)


def in_windows(point: Point, scheme: str) -> Arm:
    model = point.model()
    d = point.distance
    start = clock()
    compiled = Windowed("pymatching", commit=d, buffer=d, scheme=scheme).compile_decoder_for_dem(dem=model)
    compiling = clock() - start
    order = np.argsort(compiled.plan.layers, kind="stable")
    ends = np.cumsum(np.bincount(compiled.plan.layers))[:-1]

    def decode(events: NDArray[np.bool_]) -> tuple[float, float, float]:
        layers = [row[None] for row in np.split(events[order], ends)]
        begin = clock()
        stream = compiled.stream()
        start = clock()
        for layer in layers[:-1]:
            stream.push(layer)
        last = clock()
        stream.push(layers[-1])
        stream.finish()
        end = clock()
        return start - begin, end - last, end - start

    return Arm(decode, compiling)


def medians(values: list[float], seed: int) -> NDArray[np.float64]:
    """The median, and those of samples drawn from the values anew."""
    found = np.array(values)
    drawn = np.random.default_rng(seed).choice(found, size=(BOOTSTRAPS, len(found)))
    return np.concatenate([[np.median(found)], np.median(drawn, axis=1)])


def shown(found: NDArray[np.float64]) -> str:
    low, high = np.quantile(found[1:], (0.025, 0.975))
    digits = max(0, 2 - math.floor(math.log10(max(found[0], 1e-9))))
    return f"{found[0]:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def measured(distance: int) -> list[tuple[object, ...]]:
    """Lengths and decoders take turns, so that all of them meet the same state of the machine."""
    points = [Point(distance, times * distance, P) for times in TIMES]
    shots = SHOTS[distance]
    arms: dict[tuple[Point, str], Arm] = {}
    events: dict[Point, NDArray[np.bool_]] = {}
    for point in points:
        sampler = point.circuit().compile_detector_sampler(seed=point.seed())
        events[point] = sampler.sample(shots + WARM_UP)
        arms[point, "whole volume"] = whole_volume(point)
        for scheme in ("sliding", "parallel"):
            arms[point, scheme] = in_windows(point, scheme)
    for shot in range(shots + WARM_UP):
        for (point, _), arm in arms.items():
            arm.run(events[point][shot], shot >= WARM_UP)
    rows: list[tuple[object, ...]] = []
    first: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for number, ((point, name), arm) in enumerate(arms.items()):
        reaction = 1e6 * medians(arm.reaction, 2 * number)
        per_round = 1e6 * medians(arm.whole, 2 * number + 1) / point.rounds
        first.setdefault(name, (reaction, per_round))
        tail = 1e6 * float(np.quantile(arm.reaction, 0.95))
        ratios = [shown(reaction / first[name][0]), shown(per_round / first[name][1])]
        rows.append(
            (
                distance,
                point.rounds,
                name,
                shots,
                shown(reaction),
                f"{tail:.0f}",
                shown(per_round),
                *(ratios if point.rounds > points[0].rounds else ["", ""]),
                f"{1e3 * float(np.median(arm.begin)):.1f}" if name != "whole volume" else "",
                f"{arm.compiling:.2f}",
            )
        )
        print(*rows[-1], flush=True)
    return rows


def main() -> None:
    rows = [row for distance in SHOTS for row in measured(distance)]
    write_table(
        Path(__file__).with_name("reaction.md"),
        "Reaction time and time per round, as the memory gets longer",
        "OMP_NUM_THREADS=1 python benchmarks/windows/reaction.py",
        (
            "d",
            "rounds",
            "decoder",
            "shots",
            "reaction, µs",
            "its 95th percentile",
            "per round, µs",
            "reaction over that of 10 d rounds",
            "per round over that of 10 d rounds",
            "begin, ms",
            "compile, s",
        ),
        rows,
        notes=f"quell's rotated memory, Z, uniform depolarising noise, p = {P:g}, PyMatching inside, commit = buffer = "
        "d, gaps of d. One shot at a time, one thread, CPU time of it. `reaction`: from the last layer to the answer. "
        "`per round`: all pushes of a shot, by the number of rounds; of the whole volume, the one call. `begin`: the "
        "time that `compiled.stream()` takes, before the first layer comes; it is not in the others. Compile times: "
        "of one run, CPU time too. Medians over shots, with "
        "95 % intervals of the bootstrap over shots, and so of their ratios; they do not tell how runs, or machines, "
        "differ. Not measured: the transfer of events, and time spent waiting for a round of a real device.",
    )


if __name__ == "__main__":
    main()
