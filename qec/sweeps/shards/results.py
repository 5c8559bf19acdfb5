"""The result of a shard: a CSV file that sinter reads, whose further columns seal it.

The seal says of which plan and shard the rows are, how many they are, and their digest; so a file that was cut off,
edited, copied under another name or taken from another plan is known from itself alone.
"""

import dataclasses
import hashlib
from pathlib import Path

import sinter

from quell.errors import DataError, IdentityError
from quell.qec.sweeps.shards.plan import ShardPlan
from quell.qec.sweeps.store import csv_lines, read_stats
from quell.whole_files import read_file, write_whole

__all__ = ["ShardResult", "read_result", "write_result"]

_SEAL = ("plan", "shard", "rows", "digest")
_HEADER = ",".join([sinter.CSV_HEADER, *_SEAL])


@dataclasses.dataclass(frozen=True)
class ShardResult:
    """What one shard found.

    Attributes:
        path: The file.
        index: The shard's number.
        stats: One for each task of the plan, in its order.
    """

    path: Path
    index: int
    stats: list[sinter.TaskStats]


def write_result(plan: ShardPlan, index: int, stats: list[sinter.TaskStats]) -> None:
    """Writes a shard's result in one step.

    Raises:
        StorageError: It cannot be written.
    """
    rows = "".join(map(csv_lines, stats)).splitlines()
    seal = f"{plan.plan_id},{index},{len(rows)},{_digest(plan.plan_id, str(index), rows)}"
    text = "".join(f"{line}\n" for line in [_HEADER, *(f"{row},{seal}" for row in rows)])
    write_whole(plan.result_file(index), text.encode())


def read_result(plan: ShardPlan, path: Path) -> ShardResult:
    """Reads a shard's result.

    Raises:
        StorageError: It cannot be read.
        DataError: It is no result of a shard, or not whole.
        IdentityError: It belongs to another plan.
    """
    header, *lines = read_file(path).decode(errors="replace").split("\n")
    if header.strip("\r") != _HEADER:
        raise DataError(
            f"{path} is not the result of a shard, which has the columns {', '.join(_SEAL)} after sinter's, or it was "
            f"cut off or rewritten by another program: move it elsewhere, and run the shard again if it was one"
        )
    plan_id, index = _unsealed(path, lines)
    if plan_id != plan.plan_id:
        raise IdentityError(
            f"{path} belongs to plan {plan_id}, and this is plan {plan.plan_id} in {plan.directory}: "
            f"move it to the results of its own plan"
        )
    stats = {stat.strong_id: stat for stat in read_stats(path)}
    result = ShardResult(path, int(index), [stats[task.strong_id] for task in plan.tasks])
    for task, stat in zip(plan.tasks, result.stats, strict=True):
        if not task.limits(result.index, plan.num_shards).done(stat.to_anon_stats()):
            raise _broken(path, f"it ends before the limits of {stat.decoder} with metadata {stat.json_metadata}")
    return result


def _unsealed(path: Path, lines: list[str]) -> tuple[str, str]:
    """The plan and the shard of a file, if all rows are there as they were written."""
    parts = [line.rsplit(",", len(_SEAL)) for line in lines if line]
    if not parts or len(parts[0]) != 1 + len(_SEAL):
        raise _broken(path, "its first row is not whole")
    rows, (plan_id, index, num_rows, digest) = [part[0] for part in parts], parts[0][1:]
    if str(len(rows)) != num_rows:
        raise _broken(path, f"it holds {len(rows)} rows, and {num_rows} were written")
    if any(part[1:] != parts[0][1:] for part in parts) or lines[-1] or digest != _digest(plan_id, index, rows):
        raise _broken(path, f"it holds {num_rows} rows, as were written, but not the same ones: its digest differs")
    return plan_id, index


def _digest(plan_id: str, index: str, rows: list[str]) -> str:
    return hashlib.sha256("\n".join([plan_id, index, *rows]).encode()).hexdigest()[:16]


def _broken(path: Path, why: str) -> DataError:
    return DataError(f"{path} was cut off or changed ({why}): remove it, and run its shard again")
