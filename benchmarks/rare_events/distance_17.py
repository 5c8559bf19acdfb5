"""The logical error rate of the rotated code at d = 17, 17 rounds, p = 5e-4, from two runs that share nothing.

python benchmarks/rare_events/distance_17.py [RELATIVE_ERROR] [MAX_SECONDS_OF_A_RUN]
"""

import math
import sys
import time
from pathlib import Path

import sinter

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.qec import rare_error_rates

DISTANCE, P = 17, 5e-4


def main() -> None:
    target = float(sys.argv[1]) if len(sys.argv) > 1 else 0.15
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3600.0
    circuit = rotated_surface_memory(DISTANCE, DISTANCE, "X", NoiseModel.uniform_depolarizing(P))
    task = sinter.Task(circuit=circuit, json_metadata={"d": DISTANCE, "p": P, "r": DISTANCE})
    rows = []
    rates = []
    for seed in (1, 2):
        start = time.monotonic()
        (found,) = rare_error_rates(
            task,
            "pymatching",
            method="splitting",
            target_relative_error=target,
            max_seconds=seconds,
            seed=seed,
            save=f"distance_17_seed_{seed}.csv",
        )
        rates.append(found.error_rate)
        details = found.details
        rows.append(
            (
                seed,
                str(found.error_rate),
                found.reason or "yes",
                f"{found.shots:,}",
                f"{time.monotonic() - start:,.0f}",
                details["levels"],
                f"{details['trips']:,}",
                ", ".join(f"{rate:.2e}" for rate in details["sets_of_seeds"]),
            )
        )
        print(rows[-1], flush=True)
    errors = [math.log(rate.high / rate.low) / (2 * 1.96) for rate in rates if rate.low > 0]
    z = math.log(rates[1].value / rates[0].value) / math.hypot(*errors) if len(errors) == 2 else math.nan
    write_table(
        Path(__file__).with_suffix(".md"),
        f"d = {DISTANCE}, {DISTANCE} rounds, p = {P:g}",
        f"python benchmarks/rare_events/distance_17.py {target:g} {seconds:g}",
        ["seed", "error rate", "mixed", "decoded", "seconds", "levels", "trips", "by sets of seeds"],
        rows,
        notes=f"quell's rotated memory X, uniform depolarising noise, plain matching, splitting, all cores. The "
        f"two runs share nothing, not even the levels of their ladders; they differ by {z:+.2f} standard deviations.",
    )


if __name__ == "__main__":
    main()
