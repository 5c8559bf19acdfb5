"""Makes shard plans: completes the tasks, splits their limits, and writes the directory in one step.

Every shard does every task, with its share of the task's shots and errors. So the shards take the same time whatever
the distances, which no model of costs could promise, and a lost shard costs every task a little rather than one
task all.
"""

import contextlib
import hashlib
import os
import platform
import secrets
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sinter

from quell.errors import InputError, StorageError, check_integer
from quell.qec.sweeps.booking import Limits
from quell.qec.sweeps.identity import AnyDecoder
from quell.qec.sweeps.shards.decoders import digests_when_loaded
from quell.qec.sweeps.shards.plan import (
    PLAN_FILE,
    PlannedDecoder,
    PlannedTask,
    ShardPlan,
    digest_of_json,
    plan_text,
    read_plan,
)
from quell.qec.sweeps.tasks import Decoders, Job, Tasks, prepare_jobs
from quell.qec.sweeps.versions import MISSING, PACKAGES, sources_of, versions_of
from quell.whole_files import no_folder_hint

__all__ = ["plan_shards"]

_MOST_SHOTS = 10**15  # as in a sweep
_RARE = 10**6  # shots for an error: where an interval no longer depends on the error rate


def plan_shards(
    tasks: Tasks,
    decoders: Decoders,
    directory: str | os.PathLike[str],
    *,
    shards: int,
    custom_decoders: Mapping[str, AnyDecoder] | None = None,
    max_shots: int | None = None,
    max_errors: int | None = None,
    target_relative_error: float | None = None,
    count_observable_error_combos: bool = False,
    count_detection_events: bool = False,
) -> ShardPlan:
    """Writes a directory from which any machine with quell can run a part of a sweep.

    Every shard does every task, with a share of its shots and errors; the shares add up to the limits. Shards do not
    see each other: where both limits are near, some shards stop at their share of errors and others at their share of
    shots, and the sum may stay below both limits. As in a sweep, batches under way may add some errors: here to the
    share of every shard, which counts where a share is a few errors.

    The directory holds plan.json, the circuits, the detector error models, and decoders that are not sinter's own as
    pickles. Pickles are code: run only plans that you trust. A decoder's class is found by its name where it is run;
    only classes of scripts and notebooks come along. Where the file that defines the class is of no installed
    package, its digest stands in the plan, and a shard refuses another one; of the modules that this file imports
    nothing is known.

    Args:
        tasks: As for `sweep`.
        decoders: As for `sweep`.
        directory: A new or an empty one. If it holds the same plan already, nothing happens.
        shards: How many jobs there will be; at most as many as shots of a task, and as its errors.
        custom_decoders: As for `sweep`.
        max_shots: Shots of a task, over all shards. Default: 10,000,000, if another limit is given.
        max_errors: Errors of a task, over all shards.
        target_relative_error: Stands for the number of errors at which half the width of the 95 % likelihood interval
            is this fraction of a small error rate: 0.1 for 385.
        count_observable_error_combos: As in `sinter.collect`.
        count_detection_events: As in `sinter.collect`.

    Returns:
        The plan.

    Raises:
        InputError: An argument, a circuit or a decoder is not usable, or the directory holds something else.
        StorageError: The directory cannot be written.

    Examples:
        >>> import pathlib, stim, tempfile
        >>> from quell.qec import merge_shards, plan_shards, run_shard
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=3,
        ...                                  before_round_data_depolarization=0.1)
        >>> folder = tempfile.TemporaryDirectory()
        >>> directory = pathlib.Path(folder.name) / "plan"
        >>> plan = plan_shards(circuit, "pymatching", directory, shards=3, max_shots=1000)
        >>> [run_shard(directory, index, num_workers=1)[0].shots for index in range(plan.num_shards)]
        [334, 333, 333]
        >>> merge_shards(directory)[0].shots
        1000
        >>> folder.cleanup()
    """
    shards = check_integer("shards", shards, minimum=1)
    limits = Limits.checked(max_shots, max_errors, target_relative_error)
    jobs = prepare_jobs(tasks, decoders, custom_decoders or {}, num_workers=1)
    if not jobs:
        raise InputError("there is nothing to plan: tasks is empty")
    files: dict[str, bytes] = {}
    planned = tuple(_planned(job, _limits_of(job, limits, shards), files) for job in jobs)
    versions = _versions_of(jobs)
    counts = {
        "count_observable_error_combos": bool(count_observable_error_combos),
        "count_detection_events": bool(count_detection_events),
    }
    plan = ShardPlan(
        directory=Path(directory).expanduser().absolute(),
        plan_id=_plan_id(shards, planned, versions, counts),
        num_shards=shards,
        tasks=planned,
        decoders=_planned_decoders(jobs, files),
        limits={"max_shots": max_shots, "max_errors": max_errors, "target_relative_error": target_relative_error},
        versions=versions,
        files={name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())},
        **counts,
    )
    return _known(plan) or _written(plan, files)


def _limits_of(job: Job, limits: Limits | None, num_shards: int) -> Limits:
    """The limits of a task over all shards, in shots and errors alone."""
    options = job.task.collection_options
    found = limits or Limits.checked(options.max_shots, options.max_errors, None)
    if found is None:
        raise InputError(
            "nothing says when to stop: pass max_shots, max_errors or target_relative_error, for example "
            "max_errors=1000"
        )
    found = found.with_options(options)
    if found.max_shots < num_shards:
        raise InputError(
            f"shards must be <= the shots of every task, so that each shard has one; got shards = {num_shards} and "
            f"max_shots = {found.max_shots} for {job}: take fewer shards, or more shots"
        )
    errors = [] if found.max_errors is None else [found.max_errors]
    if found.target_relative_error is not None:
        wanted = Limits(_MOST_SHOTS, None, found.target_relative_error).errors_wanted()
        if wanted is not None and wanted > found.max_shots:
            raise InputError(
                f"target_relative_error = {found.target_relative_error} needs {wanted:,} errors, more than the "
                f"{found.max_shots:,} shots of max_shots, for {job}: take a larger target_relative_error, or more shots"
            )
        errors.append(_errors_for(found.target_relative_error))
    max_errors = min(errors, default=None)
    if max_errors is not None and max_errors < num_shards:
        raise InputError(
            f"shards must be <= the errors of every task, so that each has one to find; got shards = {num_shards} and "
            f"{max_errors} errors for {job}: take {max_errors} shards or fewer, better a tenth of that, since each may "
            f"find some more than its share; or ask for more errors"
        )
    return Limits(found.max_shots, max_errors, None)


def _errors_for(target_relative_error: float) -> int:
    """The fewest errors whose interval is narrow enough when errors are rare, which is when it is widest."""
    limits = Limits(_MOST_SHOTS, None, target_relative_error)
    errors = limits.errors_wanted()
    assert errors is not None
    while not limits.done(sinter.AnonTaskStats(shots=errors * _RARE, errors=errors)):
        errors += 1
    return errors


def _planned(job: Job, limits: Limits, files: dict[str, bytes]) -> PlannedTask:
    task = job.task
    return PlannedTask(
        strong_id=job.key,
        decoder=job.decoder_name,
        metadata=task.json_metadata,
        circuit=_add_file(files, "circuits", ".stim", f"{task.circuit}\n".encode()),
        model=_add_file(files, "models", ".dem", f"{task.detector_error_model}\n".encode()),
        max_shots=limits.max_shots,
        max_errors=limits.max_errors,
        max_batch_size=task.collection_options.max_batch_size,
        max_batch_seconds=task.collection_options.max_batch_seconds,
        postselection_mask=_digits(task.postselection_mask),
        postselected_observables_mask=_digits(task.postselected_observables_mask),
    )


def _planned_decoders(jobs: list[Job], files: dict[str, bytes]) -> tuple[PlannedDecoder, ...]:
    by_name = {job.decoder_name: job for job in jobs}
    own = {name: job for name, job in by_name.items() if name not in sinter.BUILT_IN_SAMPLERS}
    pickles = {name: job.pickled_decoder() for name, job in own.items()}
    digests = digests_when_loaded(pickles)
    return tuple(
        PlannedDecoder(name, _add_file(files, "decoders", ".pickle", pickles[name]), digests[name])
        if name in pickles
        else PlannedDecoder(name)
        for name in by_name
    )


def _add_file(files: dict[str, bytes], folder: str, ending: str, content: bytes) -> str:
    """Adds a file under a name that is made from its content, so that equal ones are one."""
    name = f"{folder}/{hashlib.sha256(content).hexdigest()[:16]}{ending}"
    files[name] = content
    return name


def _digits(mask: Any) -> str | None:
    return None if mask is None else bytes(mask).hex()


def _versions_of(jobs: list[Job]) -> dict[str, str]:
    """The versions of what jobs need here, of what is installed."""
    sources = sorted({source for job in jobs for source in sources_of(job)} - set(PACKAGES))
    found = {name: each for name, each in versions_of([*PACKAGES, *sources]).items() if each != MISSING}
    return {**found, "python": platform.python_version()}


def _plan_id(num_shards: int, tasks: tuple[PlannedTask, ...], versions: dict[str, str], counts: dict[str, bool]) -> str:
    # Not the pickles: the same decoder may be pickled in several ways, and its name says which it is.
    wanted = [[task.strong_id, task.max_shots, task.max_errors] for task in tasks]
    return digest_of_json({"shards": num_shards, "tasks": wanted, "versions": versions, **counts})[:16]


def _known(plan: ShardPlan) -> ShardPlan | None:
    """The same plan, if the directory holds it; None if it is free."""
    directory = plan.directory
    if directory == Path.cwd():
        raise InputError(f"the plan must have a directory of its own, got the current one, {directory}: name a new one")
    try:
        if not directory.exists() or not any(directory.iterdir()):
            return None
    except OSError as error:
        raise StorageError(f"cannot read {directory}: {error.strerror}") from error
    if not (directory / PLAN_FILE).exists():
        raise InputError(
            f"{directory} is not empty, and holds no plan: choose a new directory, such as "
            f"{shlex.quote(str(directory / 'plan'))}"
        )
    found = read_plan(directory)
    if found.plan_id != plan.plan_id:
        raise InputError(
            f"{directory} holds another plan, {found.plan_id} with {len(found.tasks)} tasks in {found.num_shards} "
            f"shards, and this one is {plan.plan_id}: choose another directory, or remove that one"
        )
    return found


def _written(plan: ShardPlan, files: dict[str, bytes]) -> ShardPlan:
    """Writes the directory beside its place, and moves it there."""
    draft = plan.directory.with_name(f".{plan.directory.name}.{secrets.token_hex(8)}")
    try:
        draft.mkdir()
        for name, content in {**files, PLAN_FILE: plan_text(plan).encode()}.items():
            (draft / name).parent.mkdir(exist_ok=True)
            (draft / name).write_bytes(content)
        (draft / plan.results.name).mkdir()
        os.rename(draft, plan.directory)
    except OSError as error:
        if (plan.directory / PLAN_FILE).exists():  # another planner was faster
            found = _known(plan)
            assert found is not None
            return found
        hint = no_folder_hint(plan.directory)
        if plan.directory.exists():  # a mount point or a link has to stay what it is
            new = shlex.quote(str(plan.directory / "plan"))
            hint = f"; name a directory in it that does not exist yet, such as {new}"
        raise StorageError(f"cannot write the plan to {plan.directory}: {error.strerror}{hint}") from error
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(draft)
    return plan
