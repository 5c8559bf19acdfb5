"""Shards that are killed, interrupted, or started twice by their queue."""

import os
import random
import signal
import time
from pathlib import Path

from quell.qec import missing_shards

from . import shard_faults


def test_killed_shards_end_with_exactly_the_planned_shots(tmp_path: Path) -> None:
    rng = random.Random(1)
    shots = 500_000
    directory = shard_faults.plan(tmp_path, 2, shots)
    stops = [
        shard_faults.kill_once(directory, shard, rng, longest=1.5, twice=twice)
        for shard, twice in ((0, False), (1, True), (0, False))
    ]
    assert all(stop.saved <= shots * shard_faults.TASKS // 2 for stop in stops)
    shard_faults.finish(directory, shots)


def test_a_shard_that_its_queue_ends_goes_on(tmp_path: Path) -> None:
    directory = shard_faults.plan(tmp_path, 1, 10**8)
    process = shard_faults.start(directory, 0)
    deadline = time.monotonic() + 60
    while not shard_faults.saved_shots(directory, 0):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "run the same command to go on" in errors
    assert missing_shards(directory) == [0]
    saved = shard_faults.saved_shots(directory, 0)
    stop = shard_faults.kill_once(directory, 0, random.Random(2), longest=2.0)
    assert stop.saved >= saved > 0
    assert len(os.listdir(directory / "results")) in (1, 2)  # the second, if the kill fell between copy and removal
