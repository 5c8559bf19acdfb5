"""A sweep on a local Dask cluster beside plain sinter, and two of its workers beside one: same tasks and decoder.

python benchmarks/cluster.py [REPEATS]
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import sinter
from distributed import Client, LocalCluster
from tables import write_table

import quell
from quell import circuits

# At least 10 s of two cores for each run.
POINTS = {(3, 5e-3): 65_000_000, (7, 5e-3): 1_400_000, (11, 5e-3): 300_000}
OTHERS = 0.1  # cores that other programs may use during a run; else it is repeated
TRIES = 40
PAUSE = 10.0  # seconds, before it is repeated


def task(distance: int, p: float) -> sinter.Task:
    noise = circuits.NoiseModel.uniform_depolarizing(p)
    return sinter.Task(
        circuit=circuits.rotated_surface_memory(distance, rounds=distance, noise=noise),
        json_metadata={"d": distance, "p": p},
    )


def busy_seconds() -> tuple[float, float]:
    """Processor time since the start: of the machine, and of this process with its workers, dead or alive."""
    times = psutil.cpu_times()
    machine = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    here = os.times()
    alive = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            alive += sum(child.cpu_times()[:2])
    return machine, here.user + here.system + here.children_user + here.children_system + alive


def seconds(function: Callable[[], object]) -> tuple[float, float]:
    """How long a call takes on a machine that does little else, and the processor time that goes into it."""
    for _ in range(TRIES):
        machine, own = busy_seconds()
        begin = time.monotonic()
        function()
        found = time.monotonic() - begin
        machine_after, own_after = busy_seconds()
        others = (machine_after - machine - (own_after - own)) / found
        print(f"{found:.2f} s, others {others:.2f} cores", flush=True)
        if others < OTHERS:
            return found, own_after - own
        time.sleep(PAUSE)
    raise SystemExit(f"the machine is busy: other programs used {others:.2f} cores during the last of {TRIES} runs")


def interval(ratios: list[float]) -> str:
    """The geometric mean with its 95 % interval, by the normal approximation."""
    logs = np.log(ratios)
    half = 1.96 * logs.std(ddof=1) / np.sqrt(len(ratios))
    low, middle, high = np.exp([logs.mean() - half, logs.mean(), logs.mean() + half])
    return f"{middle:.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 4
    rows = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        executor = client.get_executor()
        for (distance, p), shots in POINTS.items():
            one = task(distance, p)
            runs = {
                "sinter": lambda one=one, shots=shots: sinter.collect(
                    num_workers=2, tasks=[one], decoders=["pymatching"], max_shots=shots
                ),
                "two": lambda one=one, shots=shots: quell.sweep(
                    one, "pymatching", max_shots=shots, executor=executor, num_workers=2
                ),
                "one": lambda one=one, shots=shots: quell.sweep(
                    one, "pymatching", max_shots=shots, executor=executor, num_workers=1
                ),
            }
            times: dict[str, list[float]] = {name: [] for name in runs}
            used: dict[str, list[float]] = {name: [] for name in runs}
            for index in range(repeats):
                names = list(runs)
                for name in names if index % 2 else reversed(names):  # so that a drift of the machine cancels
                    clock, processor = seconds(runs[name])
                    times[name].append(clock)
                    used[name].append(processor)
            overhead = [two / sinters for two, sinters in zip(times["two"], times["sinter"], strict=True)]
            work = [two / sinters for two, sinters in zip(used["two"], used["sinter"], strict=True)]
            speed_up = [ones / two for ones, two in zip(times["one"], times["two"], strict=True)]
            rows.append(
                (distance, p, f"{shots:,}", f"{np.median(times['sinter']):.1f}", f"{np.median(times['two']):.1f}",
                 interval(overhead), interval(work), interval(speed_up))
            )  # fmt: skip
            print(rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "A sweep on a Dask cluster of one machine",
        f"python benchmarks/cluster.py {repeats}",
        ["d", "p", "shots", "sinter, 2 workers, s", "Dask, 2 workers, s", "time, Dask / sinter (95 %)",
         "processor time, Dask / sinter (95 %)",
         "speed-up, 2 workers / 1 (95 %)"],
        rows,
        notes=f"Rotated surface memory, uniform depolarising, rounds = d, PyMatching; {repeats} runs of each, in "
        f"changing order; a run during which other programs used more than {OTHERS} cores was repeated. The cluster "
        "stands before the clock runs; sinter starts its workers each time. The scheduler and the sweep share the two "
        "cores with the workers. Times are medians; ratios are geometric means.",
    )  # fmt: skip


if __name__ == "__main__":
    main()
