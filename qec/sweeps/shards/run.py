"""Runs a shard of a plan, once: a shard that is done stays done, and one that was killed goes on.

While it runs, its rows go to a file of its own beside the result. A later run of the shard copies what is there and
removes it; if the earlier one still lives, it notices with its next row, and ends. So two runs never write to one
file, whether the file system has locks or not, and whichever finishes puts down a whole result.
"""

import os
import secrets
import warnings
from pathlib import Path

import sinter

from quell.errors import DataError, IdentityError, StorageError
from quell.qec.sweeps.collect import sweep
from quell.qec.sweeps.shards.decoders import load_decoders
from quell.qec.sweeps.shards.plan import ShardPlan, read_plan
from quell.qec.sweeps.shards.results import read_result, write_result
from quell.qec.sweeps.store import read_stats
from quell.qec.sweeps.versions import different_versions, versions_of

__all__ = ["run_shard"]


def run_shard(
    directory: str | os.PathLike[str],
    index: int,
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
    allow_other_versions: bool = False,
) -> list[sinter.TaskStats]:
    """Runs one shard of a plan on all cores, and writes `results/shard-<index>.csv` in one step.

    If that file is there, nothing is sampled. Killed at any moment, the next run goes on from what was saved. Run it
    twice at once and the later run takes over; the earlier one ends with an error that says so.

    Args:
        directory: Of the plan. Decoders in it are code: run only plans that you trust.
        index: Which shard, from 0.
        num_workers: Worker processes. Default: one for each core that this process may use.
        progress: Whether to show a progress bar. Default: in a terminal and in a notebook.
        allow_other_versions: Allows other versions of quell, Stim, sinter, PyMatching and decoders' packages than the
            plan was made with.

    Returns:
        One `sinter.TaskStats` for each task of the plan, with the shots of this shard.

    Raises:
        InputError: There is no such shard.
        DataError: The directory holds no plan, or the plan or the result was changed.
        IdentityError: Versions, or the settings of a decoder, are not those that were planned.
        StorageError: A file cannot be read or written, or a later run of this shard has taken over.
        SweepError: As in `sweep`.
    """
    plan = read_plan(directory)
    index = plan.check_index(index)
    done = _done(plan, index)
    if done is not None:
        return done
    if not allow_other_versions:
        _check_versions(plan)
    tasks, decoders = _tasks(plan, index)
    partial = _take_over(plan, index)
    try:
        counted = sweep(
            tasks,
            custom_decoders=decoders,
            save=partial,
            num_workers=num_workers,
            progress=progress,
            mix_settings=True,  # the file is this shard's alone
            count_observable_error_combos=plan.count_observable_error_combos,
            count_detection_events=plan.count_detection_events,
        )
    except StorageError as error:
        if partial.exists():
            raise
        done = _done(plan, index)
        if done is not None:
            return done
        raise StorageError(
            f"another run of shard {index} in {directory} has taken over, with all that this one had saved; "
            f"this one ends"
        ) from error
    stats = [task.stats(stat.to_anon_stats()) for task, stat in zip(plan.tasks, counted, strict=True)]
    write_result(plan, index, stats)
    for path in _partial_files(plan, index):
        path.unlink(missing_ok=True)
    return stats


def _done(plan: ShardPlan, index: int) -> list[sinter.TaskStats] | None:
    """The result of a shard, if it is there."""
    path = plan.result_file(index)
    if not path.exists():
        return None
    result = read_result(plan, path)
    if result.index != index:
        raise DataError(f"{path} holds shard {result.index}: rename it, or remove it if that is there as well")
    return result.stats


def _tasks(plan: ShardPlan, index: int) -> tuple[list[sinter.Task], dict[str, sinter.Decoder | sinter.Sampler]]:
    """The tasks with the limits of this shard, and the decoders by the names that the tasks have here."""
    names = load_decoders(plan)
    tasks = []
    for planned, task in zip(plan.tasks, plan.sinter_tasks(), strict=True):
        limits = planned.limits(index, plan.num_shards)
        tasks.append(
            sinter.Task(
                circuit=task.circuit,
                decoder=names[planned.decoder][0],
                detector_error_model=task.detector_error_model,
                postselection_mask=task.postselection_mask,
                postselected_observables_mask=task.postselected_observables_mask,
                json_metadata=task.json_metadata,
                collection_options=sinter.CollectionOptions(
                    max_shots=limits.max_shots,
                    max_errors=limits.max_errors,
                    max_batch_size=planned.max_batch_size,
                    max_batch_seconds=planned.max_batch_seconds,
                ),
            )
        )
    return tasks, {name: decoder for name, decoder in names.values() if decoder is not None}


def _partial_name(plan: ShardPlan, index: int, run: str) -> str:
    return f".{plan.result_file(index).stem}.{plan.plan_id}.{run}.csv"


def _partial_files(plan: ShardPlan, index: int) -> list[Path]:
    return sorted(plan.results.glob(_partial_name(plan, index, "*")))


def _take_over(plan: ShardPlan, index: int) -> Path:
    """Makes this run's own file, with the rows of the earlier run that saved most, and removes the earlier ones."""
    partial = plan.results / _partial_name(plan, index, secrets.token_hex(8))
    try:
        plan.results.mkdir(exist_ok=True)
        earlier = _partial_files(plan, index)
        contents = [_whole_lines(path) for path in earlier]
        for content in [*sorted(contents, key=len, reverse=True), f"{sinter.CSV_HEADER}\n".encode()]:
            partial.write_bytes(content)
            if _is_readable(partial):
                break
        for path in earlier:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write to {plan.results}: {error.strerror}") from error
    return partial


def _whole_lines(path: Path) -> bytes:
    """What an earlier run has saved, without a row that was cut off; nothing if it is gone."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def _is_readable(path: Path) -> bool:
    try:
        read_stats(path)
    except DataError as error:
        if path.stat().st_size:
            warnings.warn(f"an earlier run of the shard left rows that cannot be used: {error}", stacklevel=4)
        return False
    return True


def _check_versions(plan: ShardPlan) -> None:
    """Refuses other versions than were planned with. Python's own may differ: decoders say if they need the same."""
    wanted = {name: each for name, each in plan.versions.items() if name != "python"}
    different = different_versions(wanted, versions_of(wanted))
    if different:
        raise IdentityError(
            f"this machine {different}, plan again, or allow it with allow_other_versions=True (--allow-other-versions)"
        )
