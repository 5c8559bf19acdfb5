"""Sweeps: sinter tasks in, sinter statistics out, with nothing lost on the way."""

from quell.qec.sweeps.collect import SweepOptions, iter_sweep, sweep
from quell.qec.sweeps.identity import settings_digest
from quell.qec.sweeps.shards import ShardPlan, merge_shards, missing_shards, plan_shards, run_shard
from quell.qec.sweeps.store import read_stats

__all__ = [
    "ShardPlan",
    "SweepOptions",
    "iter_sweep",
    "merge_shards",
    "missing_shards",
    "plan_shards",
    "read_stats",
    "run_shard",
    "settings_digest",
    "sweep",
]
