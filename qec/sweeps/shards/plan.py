"""What a shard plan holds, and how it is read back: a directory with plan.json, and the files that it names.

Everything is checked on reading: a plan that was edited, half copied or written by a newer quell is refused, because
its shards would no longer add up.
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sinter
import stim

from quell.errors import DataError, InputError, check_integer
from quell.qec.sweeps.booking import Limits
from quell.whole_files import read_file

__all__ = [
    "PLAN_FILE",
    "PlannedDecoder",
    "PlannedTask",
    "ShardPlan",
    "digest_of_json",
    "plan_text",
    "read_plan",
]

_FORMAT = 1  # of plan.json and of the results; a reader refuses newer ones
PLAN_FILE = "plan.json"
_KIND = "quell shard plan"
_AS_THEY_ARE = (
    "plan_id",
    "limits",
    "versions",
    "count_observable_error_combos",
    "count_detection_events",
)


@dataclasses.dataclass(frozen=True)
class PlannedTask:
    """One task of a plan; its limits are those of all shards together.

    Attributes:
        strong_id: sinter's.
        decoder: The decoder's name, with its settings where it is not one of sinter's.
        metadata: The task's.
        circuit: File in the plan's directory.
        model: Likewise: the detector error model, computed once, since its probabilities may be rounded otherwise
            by another build of Stim.
        max_shots: Of all shards together.
        max_errors: Likewise; None if only shots count.
        max_batch_size: As in `sinter.CollectionOptions`.
        max_batch_seconds: Likewise.
        postselection_mask: As in `sinter.Task`, in hexadecimal digits.
        postselected_observables_mask: Likewise.
    """

    strong_id: str
    decoder: str
    metadata: Any
    circuit: str
    model: str
    max_shots: int
    max_errors: int | None
    max_batch_size: int | None
    max_batch_seconds: float | None
    postselection_mask: str | None
    postselected_observables_mask: str | None

    def limits(self, index: int, num_shards: int) -> Limits:
        """What shard `index` has to do of this task: the shares of all shards add up to the task's limits."""
        errors = None if self.max_errors is None else _share(self.max_errors, index, num_shards)
        return Limits(_share(self.max_shots, index, num_shards), errors, None)

    def stats(self, counted: sinter.AnonTaskStats) -> sinter.TaskStats:
        """Returns what was counted as statistics of this task."""
        return sinter.TaskStats(
            strong_id=self.strong_id,
            decoder=self.decoder,
            json_metadata=self.metadata,
            shots=counted.shots,
            errors=counted.errors,
            discards=counted.discards,
            seconds=counted.seconds,
            custom_counts=counted.custom_counts,
        )


@dataclasses.dataclass(frozen=True)
class PlannedDecoder:
    """A decoder of a plan.

    Attributes:
        name: With its settings where it is not one of sinter's.
        file: Its pickle in the plan's directory; None for sinter's own.
        digest_when_loaded: Its `settings_digest` in a process that has it from the pickle alone. It differs from the
            one in the name for some classes that were defined in a script or notebook.
    """

    name: str
    file: str | None = None
    digest_when_loaded: str | None = None


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """A plan that was read from its directory. Make one with `plan_shards`.

    Attributes:
        directory: Where it is.
        plan_id: 16 hexadecimal digits that stand for tasks, limits, shards and versions.
        num_shards: How many jobs there are, numbered from 0.
        tasks: Every task with each of its decoders.
        decoders: What decodes them.
        limits: The limits as they were asked for, by name.
        versions: Of quell, Stim, sinter, PyMatching, Python, and packages that decoders come from, where the plan
            was made.
        count_observable_error_combos: As in `sinter.collect`.
        count_detection_events: As in `sinter.collect`.
        files: SHA-256 of every other file of the plan, by its name.
    """

    directory: Path
    plan_id: str
    num_shards: int
    tasks: tuple[PlannedTask, ...] = dataclasses.field(repr=False)
    decoders: tuple[PlannedDecoder, ...]
    limits: Mapping[str, Any]
    versions: Mapping[str, str]
    count_observable_error_combos: bool
    count_detection_events: bool
    files: Mapping[str, str] = dataclasses.field(repr=False)

    def __str__(self) -> str:
        return f"plan {self.plan_id}: {len(self.tasks)} tasks, each shared by {self.num_shards} shards"

    @property
    def results(self) -> Path:
        """The folder of the results."""
        return self.directory / "results"

    def result_file(self, index: int) -> Path:
        """Where shard `index` puts its result."""
        return self.results / f"shard-{index:05}.csv"

    def check_index(self, index: object) -> int:
        """Returns the number of a shard, or raises `InputError`."""
        number = check_integer("shard", index, minimum=0)
        if number >= self.num_shards:
            raise InputError(f"shard must be from 0 to {self.num_shards - 1}, as planned, got {number}")
        return number

    def file(self, name: str) -> bytes:
        """Returns the content of one of the plan's files.

        Raises:
            StorageError: It cannot be read.
            DataError: It is not what was planned.
        """
        content = read_file(self.directory / name)
        if hashlib.sha256(content).hexdigest() != self.files[name]:
            raise DataError(
                f"{self.directory / name} was changed or cut off after it was planned: copy the plan again, "
                f"or plan again into another directory"
            )
        return content

    def sinter_tasks(self) -> list[sinter.Task]:
        """Returns the complete tasks, from the plan's files, in order and without limits.

        Raises:
            DataError: A file was changed, or gives another task than was planned.
        """
        circuits = {name: stim.Circuit(self.file(name).decode()) for name in {task.circuit for task in self.tasks}}
        models = {
            name: stim.DetectorErrorModel(self.file(name).decode()) for name in {task.model for task in self.tasks}
        }
        found = []
        for task in self.tasks:
            built = sinter.Task(
                circuit=circuits[task.circuit],
                decoder=task.decoder,
                detector_error_model=models[task.model],
                postselection_mask=_mask(task.postselection_mask),
                postselected_observables_mask=_mask(task.postselected_observables_mask),
                json_metadata=task.metadata,
            )
            if built.strong_id() != task.strong_id:
                raise DataError(
                    f"{self.directory}: {task.circuit} with {task.model} is another task here than where it was "
                    f"planned: this version of stim writes circuits in another way, or the plan was edited; plan again"
                )
            found.append(built)
        return found


def read_plan(directory: str | os.PathLike[str]) -> ShardPlan:
    """Reads a plan. Circuits, models and decoders stay on disk, where they are checked when they are needed.

    Raises:
        StorageError: It cannot be read.
        DataError: The directory holds no plan, or one that was changed, or one of a newer format.
    """
    folder = Path(directory).expanduser().absolute()
    path = folder / PLAN_FILE
    if not path.exists():
        raise DataError(f"{directory} is not a shard plan: there is no {PLAN_FILE} in it; make one with `quell plan`")
    try:
        content = json.loads(read_file(path))
        if not isinstance(content, dict) or content.get("kind") != _KIND:
            raise DataError(f"{path} is not a shard plan of quell: make one with `quell plan`")
        if content.get("format") != _FORMAT:
            raise DataError(
                f"{path} has format {content.get('format')!r}, and this quell knows {_FORMAT}: "
                f"use the quell that made it, version {content.get('versions', {}).get('quell')}"
            )
        if content.pop("checksum", None) != digest_of_json(content):
            raise DataError(
                f"{path} was changed after it was written, so its shards would not add up: "
                f"plan again into another directory"
            )
        return ShardPlan(
            directory=folder,
            num_shards=content["shards"],
            tasks=tuple(PlannedTask(**task) for task in content["tasks"]),
            decoders=tuple(PlannedDecoder(**decoder) for decoder in content["decoders"]),
            files=content["files"],
            **{name: content[name] for name in _AS_THEY_ARE},
        )
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is cut off, or not JSON ({error}): copy the plan again, or plan again") from error


def plan_text(plan: ShardPlan) -> str:
    """Returns the text of plan.json."""
    content = {
        "kind": _KIND,
        "format": _FORMAT,
        "shards": plan.num_shards,
        **{name: getattr(plan, name) for name in _AS_THEY_ARE},
        "decoders": [dataclasses.asdict(decoder) for decoder in plan.decoders],
        "tasks": [dataclasses.asdict(task) for task in plan.tasks],
        "files": plan.files,
    }
    return json.dumps({**content, "checksum": digest_of_json(content)}, indent=1) + "\n"


def digest_of_json(value: object) -> str:
    """Returns 64 hexadecimal digits that two JSON values share if they are equal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _share(total: int, index: int, num_shards: int) -> int:
    return total // num_shards + (index < total % num_shards)


def _mask(digits: str | None) -> Any:
    return None if digits is None else np.frombuffer(bytes.fromhex(digits), dtype=np.uint8).copy()
