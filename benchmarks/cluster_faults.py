"""Kills Dask workers and schedulers (kill -9) at random moments of a sweep, and checks that nothing reported was lost.

python benchmarks/cluster_faults.py [KILLS] [SEED]
"""

import logging
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table
from tests.qec.sweeps import dask_faults

BATCH_SECONDS = 0.02
SHOTS = 3_000_000  # for each task: more than the killed runs can finish


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    logging.disable(logging.CRITICAL)  # Dask has a lot to say about lost connections
    rng = random.Random(seed)
    rows = []
    with tempfile.TemporaryDirectory() as name:
        study = dask_faults.Study(Path(name), SHOTS, BATCH_SECONDS)
        cluster = dask_faults.Cluster(Path(name))
        for index in range(kills):
            victim = rng.choice(["worker", "worker", "scheduler"])
            kill = study.kill_once(cluster, victim, rng.uniform(0.0, 3.0), longer=3.0)
            end = "went on" if kill.seconds_to_end is None else f"error after {kill.seconds_to_end:.1f} s"
            rows.append((index + 1, victim, f"{kill.after:.2f}", end, f"{kill.reported:,}", f"{kill.saved:,}"))
            print(rows[-1], flush=True)
            if victim == "scheduler":
                with cluster:
                    pass
                cluster = dask_faults.Cluster(Path(name))
        with cluster:
            study.run(cluster)
        study.check_end()
    write_table(
        Path(__file__).with_suffix(".md"),
        "A sweep on a Dask cluster that is killed again and again",
        f"python benchmarks/cluster_faults.py {kills} {seed}",
        ["kill", "of", "after, s", "the run", "shots reported so far", "shots in the file"],
        rows,
        notes="Two workers of one thread. After every kill no reported shot was missing from the file and none was "
        "there twice; chunks that were done and not yet reported when a run ended are in the file too. A run goes on "
        "without a killed worker, which Dask starts again; without its scheduler it ends, and the next run goes on "
        f"from the file on a new cluster. The last run ended with exactly {SHOTS:,} shots for each of "
        f"{dask_faults.TASKS} tasks.",
    )


if __name__ == "__main__":
    main()
