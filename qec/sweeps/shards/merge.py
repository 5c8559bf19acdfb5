"""Adds the shards of a plan up, after it has made sure that each is there once, whole, and of this plan."""

import dataclasses
import os
import warnings
from pathlib import Path

import sinter

from quell.errors import DataError, InputError
from quell.qec.sweeps.shards.plan import ShardPlan, read_plan
from quell.qec.sweeps.shards.results import ShardResult, read_result
from quell.qec.sweeps.store import csv_lines
from quell.whole_files import read_file, write_whole

__all__ = ["MergedShards", "merge_results", "merge_shards", "missing_shards", "ranges"]


@dataclasses.dataclass(frozen=True)
class MergedShards:
    """The sum of the shards of a plan.

    Attributes:
        plan: Which plan.
        stats: One for each task of the plan, in its order.
        missing: The shards that have no result yet, in order.
    """

    plan: ShardPlan
    stats: list[sinter.TaskStats]
    missing: list[int]


def merge_shards(
    directory: str | os.PathLike[str],
    *,
    save: str | os.PathLike[str] | None = None,
    partial: bool = False,
    overwrite: bool = False,
) -> list[sinter.TaskStats]:
    """Adds up the results of all shards of a plan.

    Every `*.csv` in the plan's folder `results` must be the result of a shard of this plan, whole and unchanged, and
    there must be one for each shard. Files may have any names: each says itself which shard it is.

    Args:
        directory: Of the plan.
        save: A CSV file of sinter's to write, in one step.
        partial: Whether to do without shards that are missing; a warning names them.
        overwrite: Whether `save` may replace a file with other content.

    Returns:
        One `sinter.TaskStats` for each task of the plan, in its order, with the shots of all shards.

    Raises:
        DataError: The directory holds no plan, or a result is missing, cut off, changed or there twice.
        IdentityError: A result belongs to another plan.
        InputError: `save` has other content, or would lie among the results.
        StorageError: A file cannot be read or written.
    """
    merged = merge_results(directory, save=save, partial=partial, overwrite=overwrite)
    if merged.missing:
        warnings.warn(f"{directory} is merged without shards {ranges(merged.missing)}", stacklevel=2)
    return merged.stats


def missing_shards(directory: str | os.PathLike[str]) -> list[int]:
    """Returns the shards of a plan that have no result yet, in order: those to submit again.

    Raises:
        DataError: As for `merge_shards`, except for missing results.
        IdentityError: A result belongs to another plan.
        StorageError: A file cannot be read.
    """
    plan = read_plan(directory)
    return _missing(plan, _results(plan))


def merge_results(
    directory: str | os.PathLike[str],
    *,
    save: str | os.PathLike[str] | None = None,
    partial: bool = False,
    overwrite: bool = False,
) -> MergedShards:
    """Does what `merge_shards` does, and returns also what is missing."""
    plan = read_plan(directory)
    found = _results(plan)
    missing = _missing(plan, found)
    if not found:
        raise DataError(f"no shard of {directory} has a result yet: run shards {ranges(missing)}")
    if missing and not partial:
        raise DataError(
            f"{len(missing)} of {plan.num_shards} shards of {directory} are missing: run shards {ranges(missing)}, "
            f"or merge what is there with partial=True (--partial)"
        )
    totals = [sinter.AnonTaskStats() for _ in plan.tasks]
    for result in found.values():
        totals = [total + stat.to_anon_stats() for total, stat in zip(totals, result.stats, strict=True)]
    stats = [task.stats(total) for task, total in zip(plan.tasks, totals, strict=True)]
    if save is not None:
        _save(plan, Path(save).expanduser().absolute(), stats, overwrite)
    return MergedShards(plan, stats, missing)


def ranges(numbers: list[int]) -> str:
    """Returns sorted numbers as the array options of queues take them.

    Examples:
        >>> from quell.qec.sweeps.shards.merge import ranges
        >>> ranges([0, 3, 4, 5, 9])
        '0,3-5,9'
    """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in spans)


def _results(plan: ShardPlan) -> dict[int, ShardResult]:
    """The result of every shard that has one."""
    found: dict[int, ShardResult] = {}
    # Files with a dot in front are those of running shards, and of macOS.
    for path in sorted(path for path in plan.results.glob("*.csv") if not path.name.startswith(".")):
        result = read_result(plan, path)
        if result.index in found:
            raise DataError(
                f"shard {result.index} is there twice, as {found[result.index].path} and {path}: remove one of them"
            )
        found[result.index] = result
    return found


def _missing(plan: ShardPlan, found: dict[int, ShardResult]) -> list[int]:
    return [index for index in range(plan.num_shards) if index not in found]


def _save(plan: ShardPlan, path: Path, stats: list[sinter.TaskStats], overwrite: bool) -> None:
    if path.parent.resolve() == plan.results.resolve():
        raise InputError(f"save must not lie among the results of the shards, got {path}: save it elsewhere")
    content = (sinter.CSV_HEADER + "\n" + "".join(map(csv_lines, stats))).encode()
    if path.is_dir():
        raise InputError(
            f"save must be a file, got the directory {path}: name a file in it, such as {path / 'sweep.csv'}"
        )
    if path.exists():
        if read_file(path) == content:
            return
        if not overwrite:
            raise InputError(
                f"{path} exists and has other content: save to another file, or allow it with overwrite=True "
                f"(--overwrite)"
            )
    write_whole(path, content)
