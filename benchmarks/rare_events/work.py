"""The time that 10 % relative error takes, beside sinter's at the same decoder, extrapolated from its shot rate.

python benchmarks/rare_events/work.py [REPEATS]
"""

import dataclasses
import statistics
import sys
import time
from pathlib import Path

import sinter
import stim

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.qec import RareEstimate, rare_error_rates

TARGET = 0.1
ERRORS = (1.96 / TARGET) ** 2  # that plain sampling needs for the same interval
RATE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Point:
    name: str
    circuit: stim.Circuit
    is_short: bool  # so that it can be repeated


def ours(distance: int, p: float) -> Point:
    circuit = rotated_surface_memory(distance, distance, "X", NoiseModel.uniform_depolarizing(p))
    return Point(f"quell's rotated memory, d = {distance}, p = {p:g}", circuit, distance < 9)


def stims(distance: int, p: float) -> Point:
    circuit = stim.Circuit.generated(
        "surface_code:rotated_memory_x",
        distance=distance,
        rounds=distance,
        after_clifford_depolarization=p,
        before_round_data_depolarization=p,
        before_measure_flip_probability=p,
        after_reset_flip_probability=p,
    )
    return Point(f"Stim's rotated memory, d = {distance}, p = {p:g}", circuit, distance < 9)


def seconds_per_shot(circuit: stim.Circuit) -> float:
    """Sinter's, with one worker: the rate between the moments at which it reports, so that its start is left out."""
    task = sinter.Task(circuit=circuit)
    reports: list[tuple[float, int]] = []
    for progress in sinter.iter_collect(num_workers=1, tasks=[task], decoders=["pymatching"], max_shots=10**12):
        shots = (reports[-1][1] if reports else 0) + sum(stat.shots for stat in progress.new_stats)
        reports.append((time.monotonic(), shots))
        if reports[-1][0] - reports[0][0] > RATE_SECONDS:
            break
    start = next(report for report in reports if report[0] - reports[0][0] > RATE_SECONDS / 4)
    return (reports[-1][0] - start[0]) / (reports[-1][1] - start[1])


def main() -> None:
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = []
    for point in (stims(5, 1e-4), ours(5, 1e-4), ours(7, 2e-4), ours(9, 5e-4), ours(11, 5e-4)):
        per_shot = seconds_per_shot(point.circuit)
        runs: list[tuple[float, RareEstimate]] = []
        for seed in range(repeats if point.is_short else 1):
            start = time.monotonic()
            (estimate,) = rare_error_rates(
                point.circuit, "pymatching", target_relative_error=TARGET, num_workers=1, seed=seed
            )
            runs.append((time.monotonic() - start, estimate))
        rate = statistics.fmean(estimate.error_rate.value for _, estimate in runs)
        sinters = ERRORS / rate * per_shot
        times = sorted(seconds for seconds, _ in runs)
        rows.append(
            (
                point.name,
                " ".join(sorted({estimate.method for _, estimate in runs})),
                str(runs[0][1].error_rate),
                f"{times[len(times) // 2]:.1f} [{times[0]:.1f}, {times[-1]:.1f}]",
                f"{per_shot * 1e6:.2f}",
                f"{sinters:,.0f}",
                f"{sinters / times[len(times) // 2]:,.0f} [{sinters / times[-1]:,.0f}, {sinters / times[0]:,.0f}]",
            )
        )
        print(rows[-1], flush=True)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Work to 10 % relative error, beside plain sampling",
        f"python benchmarks/rare_events/work.py {repeats}",
        ["circuit", "method", "error rate (first run)", "seconds", "sinter: µs per shot", "sinter: seconds", "ratio"],
        rows,
        notes=f"One worker each, uncorrelated PyMatching. Seconds are whole calls, starts of processes included: the "
        f"median of {repeats} runs, and the range; one run from d = 9 on. Sinter's are what {ERRORS:.0f} errors would "
        f"take at its shot rate, which is measured over {RATE_SECONDS:.0f} s without its start.",
    )


if __name__ == "__main__":
    main()
