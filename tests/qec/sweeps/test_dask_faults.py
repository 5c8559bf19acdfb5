"""Killed Dask workers and schedulers: what was reported is there once, and the rest is sampled again."""

import random
from pathlib import Path

import pytest

from . import dask_faults


@pytest.mark.skipif(not Path("/proc").exists(), reason="the cluster is killed by process groups")
def test_a_cluster_that_is_killed_costs_nothing_that_was_reported(tmp_path: Path) -> None:
    rng = random.Random(7)
    study = dask_faults.Study(tmp_path, shots=120_000, batch_seconds=0.02)
    with dask_faults.Cluster(tmp_path) as cluster:
        first = study.kill_once(cluster, "worker", rng.uniform(0.3, 1.5), longer=1.0)
        assert 0 < first.saved < study.shots * dask_faults.TASKS, "it was killed before the end"
        last = study.kill_once(cluster, "scheduler", rng.uniform(0.3, 1.5))
        assert last.seconds_to_end is not None
        assert last.seconds_to_end < 15
    with dask_faults.Cluster(tmp_path) as cluster:
        study.kill_once(cluster, "worker", rng.uniform(0.3, 1.5), longer=60)
    study.check_end()
