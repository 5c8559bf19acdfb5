"""Kills a sweep (kill -9) at random moments, again and again, and checks that nothing reported was lost.

python benchmarks/sweep_faults.py [KILLS] [SEED]
"""

import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table
from tests.qec.sweeps import faults

SHOTS = 5_000_000  # for each task: more than the killed runs can finish


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    rng = random.Random(seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(kills):
            stop = faults.stop_once(folder, SHOTS, rng)
            rows.append((index + 1, f"{stop.reported:,}", f"{stop.saved:,}", stop.unreported_rows))
            print(rows[-1], flush=True)
        faults.finish(folder, SHOTS)
    write_table(
        Path(__file__).with_suffix(".md"),
        "A sweep killed again and again",
        f"python benchmarks/sweep_faults.py {kills} {seed}",
        ["kill", "shots reported so far", "shots in the file", "rows caught between file and report, so far"],
        rows,
        notes="After every kill sinter read the file, no reported shot was missing, none was there twice and no "
        f"worker was left. The last run then ended with exactly {SHOTS:,} shots for each of {faults.TASKS} "
        "tasks. A chunk lasts 2 s at most, which is what each worker may have to repeat.",
    )


if __name__ == "__main__":
    main()
