"""Sweeps as job arrays: a plan is a directory, each job runs one shard of it, and a merge adds the shards up.

Nothing but the directory connects planner, jobs and merge, so any queue will do: SLURM, PBS, SGE, Kubernetes, a loop.
"""

from quell.qec.sweeps.shards.merge import merge_shards, missing_shards
from quell.qec.sweeps.shards.plan import ShardPlan, read_plan
from quell.qec.sweeps.shards.planning import plan_shards
from quell.qec.sweeps.shards.run import run_shard

__all__ = ["ShardPlan", "merge_shards", "missing_shards", "plan_shards", "read_plan", "run_shard"]
