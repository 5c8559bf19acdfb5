"""Kills the shards of a plan (kill -9) at random moments, every fourth time two runs of one, and checks the merged sum.

python benchmarks/shard_faults.py [KILLS] [SEED]
"""

import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table
from tests.qec.sweeps import shard_faults

SHARDS = 3
SHOTS = 6_000_000  # of each task, over all shards


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    rng = random.Random(seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        directory = shard_faults.plan(Path(name), SHARDS, SHOTS)
        for index in range(kills):
            twice = index % 4 == 3
            stop = shard_faults.kill_once(directory, index % SHARDS, rng, longest=3.0, twice=twice)
            runs = f"{stop.runs}, the later took over" if stop.taken_over else str(stop.runs)
            rows.append((index + 1, stop.shard, runs, f"{stop.saved:,}", "yes" if stop.finished else "no"))
            print(rows[-1], flush=True)
        shard_faults.finish(directory, SHOTS)
    write_table(
        Path(__file__).with_suffix(".md"),
        "Shards killed again and again",
        f"python benchmarks/shard_faults.py {kills} {seed}",
        ["kill", "shard", "runs of it", "shots of it saved so far", "done"],
        rows,
        notes="After every kill the files could be read and no saved shot was gone. Then every shard was run to its "
        f"end, and the merge held exactly {SHOTS:,} shots for each of {shard_faults.TASKS} tasks, with nothing left "
        f"over beside the results of the {SHARDS} shards. Where there were two runs of a shard, one was started "
        "while the other ran; where it says so, the earlier one had ended before the kill, else both were killed.",
    )


if __name__ == "__main__":
    main()
