"""Shards that are killed at random moments, as a queue kills its jobs, and what must hold at every stop.

The tests do this a few times; `benchmarks/shard_faults.py` does it often.
"""

import dataclasses
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from quell.qec import merge_shards, missing_shards, plan_shards, read_stats

from .tools import repetition_task

TASKS = 4


@dataclasses.dataclass
class Stop:
    """What was found after one kill."""

    shard: int
    runs: int  # how many runs of the shard there were at once
    taken_over: bool  # whether the earlier run ended because the later one took over
    saved: int  # shots that the next run of the shard goes on from, or that its result holds
    finished: bool


def plan(folder: Path, shards: int, shots: int) -> Path:
    tasks = [repetition_task(d, 0.08) for d in (9, 11, 13, 15)]
    return plan_shards(tasks, "pymatching", folder / "plan", shards=shards, max_shots=shots).directory


def start(directory: Path, shard: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-P", "-m", "quell", "run-shard", str(directory), str(shard), "--workers", "1"]
    return subprocess.Popen(command, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def saved_shots(directory: Path, shard: int) -> int:
    """Shots in the file of a shard that has the most."""
    found = [0]
    for path in (directory / "results").glob(f"*shard-{shard:05}.*csv"):
        if path.stat().st_size:
            found.append(sum(stat.shots for stat in read_stats(path)))
    return max(found)


def kill_once(directory: Path, shard: int, rng: random.Random, *, longest: float, twice: bool = False) -> Stop:
    """Starts a shard, or goes on with it, kills it at a random moment, and checks that no saved shot was lost."""
    before = saved_shots(directory, shard)
    processes = [start(directory, shard)]
    if twice:
        time.sleep(rng.uniform(0.0, longest))
        processes.append(start(directory, shard))
    time.sleep(rng.uniform(0.0, longest))
    for process in processes:
        process.kill()
    for process in processes:
        _, errors = process.communicate(timeout=20)
        assert process.returncode in (-9, 0) or "has taken over" in errors, errors
    taken_over = any(process.returncode == 1 for process in processes)
    saved = saved_shots(directory, shard)
    assert saved >= before, "a saved shot is gone"
    return Stop(shard, len(processes), taken_over, saved, (directory / "results" / f"shard-{shard:05}.csv").exists())


def finish(directory: Path, shots: int) -> None:
    """Runs what is missing to its end, and checks that all of it is there, once."""
    for shard in missing_shards(directory):
        process = start(directory, shard)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert [stat.shots for stat in merge_shards(directory)] == [shots] * TASKS
    assert not [name for name in os.listdir(directory / "results") if name.startswith(".")], "something was left over"
