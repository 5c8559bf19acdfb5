"""`quell plan`, `quell run-shard` and `quell merge`: a sweep as an array of jobs in a queue."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from quell.cli.options import (
    CircuitFiles,
    Count,
    Counts,
    CustomDecoders,
    Json,
    Many,
    MemoryOptions,
    Rates,
    load_custom_decoders,
    print_json,
    tasks_of,
)
from quell.decoders import sinter_decoders
from quell.qec import ShardPlan, format_table, plan_shards, table_rows
from quell.qec import run_shard as run_one_shard
from quell.qec.sweeps.shards.merge import merge_results, ranges
from quell.qec.sweeps.shards.plan import read_plan

__all__ = ["merge", "plan", "run_shard"]


def plan(
    circuits: CircuitFiles = [],  # noqa: B006
    /,
    *,
    shards: Count,
    out: Path = Path("plan"),
    distances: Annotated[Counts, Parameter(show_default=False)] = [],  # noqa: B006 (never changed; likewise below)
    p: Annotated[Rates, Parameter(show_default=False)] = [],  # noqa: B006
    basis: Annotated[list[str], Many] = ["Z"],  # noqa: B006
    memory: MemoryOptions = MemoryOptions(),  # noqa: B008
    decoders: Annotated[list[str], Many] = ["pymatching"],  # noqa: B006
    max_errors: Count | None = None,
    max_shots: Count | None = None,
    target_relative_error: float | None = None,
    custom_decoders: CustomDecoders = None,
    json: Json = False,
) -> None:
    """Plan a sweep as jobs for a queue: SLURM, PBS, SGE, Kubernetes, or a loop in a shell.

    Writes a directory that `quell run-shard` and `quell merge` work on; copy it to wherever the jobs run. Each shard
    does its share of every task, and the shares add up to the limits. The circuits are either a family's, as for
    `quell sweep`, or files. A file named like d=5,p=0.003.stim gets that as its metadata, others get their path.

    quell plan --distances 3 5 7 --p 0.004 0.006 --noise si1000 --max-errors 1000 --shards 100 --out plan

    quell plan circuits/*.stim --decoders pymatching --max-shots 1e8 --shards 100 --out plan

    Args:
        shards: How many jobs there will be.
        out: The directory, best one that does not exist yet.
        distances: Code distances, for example 3 5 7.
        p: Physical error rates, for example 0.004 0.006 0.008, and ranges: 1e-4:1e-3, or 1e-4:1e-3:7 for 7 points.
        basis: Z or X, or both: which logical observable is kept.
        decoders: Names: pymatching, pymatching-correlated, … as sinter knows them, and those of --custom-decoders.
        max_errors: Errors after which a task is done, over all shards; each may find some more than its share.
        max_shots: Shots after which a task is done, over all shards. [default: 10,000,000 if another limit is given]
        target_relative_error: Stands for the errors that make a 95 % interval this narrow, for example 0.1 for 385.
    """
    made = plan_shards(
        tasks_of("plan", circuits, distances, p, basis, memory),
        decoders,
        out,
        shards=shards,
        custom_decoders={**sinter_decoders(), **load_custom_decoders(custom_decoders)},
        max_shots=max_shots,
        max_errors=max_errors,
        target_relative_error=target_relative_error,
    )
    if json:
        print_json({"plan": made.plan_id, "directory": str(out), "shards": made.num_shards, "tasks": _limits(made)})
        return
    where = shlex.quote(str(out))
    last = made.num_shards - 1
    print(f"{made}, in {out}")
    print(f"  here    for i in $(seq 0 {last}); do quell run-shard {where} $i; done")
    job = f'quell run-shard {where} "$SLURM_ARRAY_TASK_ID"'
    print(f"  SLURM   sbatch --array=0-{last} --wrap {shlex.quote(job)}")
    print(f"  then    quell merge {where} --save {where}.csv")
    if any(task.max_errors is not None for task in made.tasks):
        print("Shards do not see each other: each may find some errors more than its share.")


def run_shard(
    directory: Annotated[Path, Parameter(help="Of the plan. Its decoders are code: run only plans that you trust.")],
    index: Annotated[Count, Parameter(help="Which shard, from 0.")],
    /,
    *,
    workers: Annotated[Count | None, Parameter(alias="--num-workers")] = None,
    allow_other_versions: bool = False,
    json: Json = False,
) -> None:
    """Run one shard of a plan, on all cores.

    A shard that is done is left alone. One that was killed goes on from what it had saved, on whatever machine.

    quell run-shard plan "$SLURM_ARRAY_TASK_ID"

    Args:
        workers: Processes. [default: one for each core that the job may use]
        allow_other_versions: Allow another version of quell, Stim, sinter or PyMatching than planned.
    """
    if "" not in sys.path:
        sys.path.insert(0, "")  # decoders of modules beside the user are found, as they were when it was planned
    made = read_plan(directory)
    path = made.result_file(made.check_index(index))
    was_done = path.exists()
    stats = run_one_shard(directory, index, num_workers=workers, allow_other_versions=allow_other_versions)
    if json:
        print_json({"shard": index, "file": str(path), "was_done": was_done, "results": table_rows(stats)})
        return
    print(format_table(stats))
    print(f"\nshard {index} was done already, nothing was sampled: {path}" if was_done else f"\nshard {index}: {path}")


def merge(
    directory: Annotated[Path, Parameter(help="Of the plan.")],
    /,
    *,
    save: Path | None = None,
    partial: bool = False,
    overwrite: bool = False,
    json: Json = False,
) -> None:
    """Add up the shards of a plan, after checking that each is there once, whole, and of this plan.

    quell merge plan --save sweep.csv

    Args:
        save: CSV file of sinter's to write.
        partial: Do without shards that are missing, and say which.
        overwrite: Replace a file that is there with other content.
    """
    merged = merge_results(directory, save=save, partial=partial, overwrite=overwrite)
    num_merged = merged.plan.num_shards - len(merged.missing)
    if json:
        print_json(
            {
                "plan": merged.plan.plan_id,
                "shards": merged.plan.num_shards,
                "missing": merged.missing,
                "save": None if save is None else str(save),
                "results": table_rows(merged.stats),
            }
        )
        return
    print(format_table(merged.stats))
    print(f"\n{num_merged} of {merged.plan.num_shards} shards" + ("" if save is None else f": {save}"))
    if merged.missing:
        print(f"missing: {ranges(merged.missing)}")


def _limits(made: ShardPlan) -> list[dict[str, Any]]:
    names = ("strong_id", "decoder", "metadata", "max_shots", "max_errors")
    return [{name: getattr(task, name) for name in names} for task in made.tasks]
