"""Plans and results that are not what they should be: refused, with the file, the reason and the way out."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sinter

from quell.errors import CircuitError, DataError, IdentityError, InputError, QuellError, StorageError
from quell.qec import ShardPlan, merge_shards, missing_shards, plan_shards, run_shard, sweep
from quell.qec.sweeps.shards.plan import digest_of_json

from .tools import Guess, repetition_task

TASKS = [repetition_task(3, 0.1), repetition_task(5, 0.1)]


def plan_of(directory: Path, **options: Any) -> ShardPlan:
    return plan_shards(TASKS, "pymatching", directory, **{"shards": 2, "max_shots": 20, **options})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plan whose two shards are done; tests work on copies."""
    plan = plan_of(tmp_path_factory.mktemp("plans") / "plan")
    for index in range(2):
        run_shard(plan.directory, index, num_workers=1)
    return plan.directory


@pytest.fixture
def directory(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "plan"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shards": 0}, "shards must be an integer >= 1, got 0"),
        ({"shards": 2.0}, r"shards must be an integer >= 1, got 2\.0"),
        ({"shards": 21}, "shards must be <= the shots of every task.* got shards = 21 and max_shots = 20 for decoder"),
        (
            {"shards": 11, "max_errors": 10},
            "shards must be <= the errors of every task.* and 10 errors .* 10 shards or",
        ),
        ({"target_relative_error": 1e-9}, "needs [0-9,]{20,} errors, more than the 20 shots of max_shots"),
        ({"max_shots": None}, "nothing says when to stop: pass max_shots, max_errors or target_relative_error"),
        ({"max_shots": -1}, "max_shots must be an integer >= 0, got -1"),
        ({"max_errors": 0}, "max_errors must be an integer >= 1, got 0"),
        ({"target_relative_error": 0}, "target_relative_error must be > 0, got 0"),
    ],
)
def test_bad_plans_are_not_written(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        plan_of(tmp_path / "plan", **options)
    assert list(tmp_path.iterdir()) == []


def test_bad_tasks_and_decoders_are_said_when_planning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="nothing to plan"):
        plan_shards([], "pymatching", tmp_path / "plan", shards=2, max_shots=20)
    with pytest.raises(CircuitError, match=r"cannot read a circuit from no\.stim"):
        plan_shards(sinter.Task(circuit_path="no.stim"), "pymatching", tmp_path / "plan", shards=1, max_shots=20)
    monkeypatch.chdir(tmp_path)  # from where a job does not find the decoder's module
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(InputError, match=r"decoder 'Guess@.*' cannot be loaded in a new process .* PYTHONPATH"):
        plan_shards(TASKS, Guess(), tmp_path / "plan", shards=2, max_shots=20)
    with pytest.raises(InputError, match=r"'Deadly@.*' ends the process that loads it"):
        plan_shards(TASKS, _deadly(), tmp_path / "plan", shards=2, max_shots=20)
    assert list(tmp_path.iterdir()) == []


def _deadly() -> sinter.Decoder:
    class Deadly(sinter.Decoder):
        def __setstate__(self, state: object) -> None:
            import os

            os._exit(3)

        def __getstate__(self) -> object:
            return {"a": 1}

    Deadly.__module__ = "__main__"  # by value
    return Deadly()


def test_directories_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name, error, message in [
        ("no_such_folder/plan", StorageError, r"cannot write the plan to .*: No such file.* mkdir -p .*no_such_folder"),
        ("file/plan", StorageError, r"cannot write the plan to .*: Not a directory"),
        ("file", StorageError, r"cannot read .*file: Not a directory"),
        ("full", InputError, r"full is not empty, and holds no plan: choose a new directory, such as .*full/plan"),
        ("link", StorageError, r"Not a directory; name a directory in it that does not exist yet, such as .*link/plan"),
    ]:
        with pytest.raises(error, match=message):
            plan_of(tmp_path / name)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "file", "full", "link", "mine.txt"]
    with pytest.raises(InputError, match="must have a directory of its own, got the current one"):
        plan_of(Path.cwd())
    plan_of(tmp_path / "plan")
    with pytest.raises(InputError, match=r"holds another plan, .* with 2 tasks in 2 shards, .* choose another"):
        plan_of(tmp_path / "plan", max_shots=30)
    with pytest.raises(InputError, match="holds another plan"):
        plan_of(tmp_path / "plan", shards=3)


def test_a_volume_for_itself_is_named_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise OSError(errno.EBUSY, "Device or resource busy")

    (tmp_path / "my volume").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", busy)  # as for a mount point
        with pytest.raises(StorageError, match=r"busy; name .*, such as '.*/my volume/plan'"):
            plan_of(tmp_path / "my volume")
    (tmp_path / "my volume" / "lost+found").mkdir()
    with pytest.raises(InputError, match=r"choose a new directory, such as '.*/my volume/plan'"):
        plan_of(tmp_path / "my volume")
    plan_of(tmp_path / "my volume" / "plan")


def test_results_that_cannot_be_written(directory: Path) -> None:
    shutil.rmtree(directory / "results")
    (directory / "results").write_text("")
    with pytest.raises(StorageError, match=r"cannot write to .*results"):
        run_shard(directory, 0, num_workers=1)


def edit(path: Path, change: Callable[[dict[str, Any]], Any], *, sign: bool = False) -> None:
    content = json.loads(path.read_text())
    change(content)
    if sign:
        del content["checksum"]
        content["checksum"] = digest_of_json(content)
    path.write_text(json.dumps(content))


def test_changed_plans_are_refused_by_every_command(directory: Path) -> None:
    path = directory / "plan.json"
    whole = path.read_text()

    def refused(message: str) -> None:
        for command in (lambda: run_shard(directory, 0), lambda: merge_shards(directory),
                        lambda: missing_shards(directory), lambda: plan_of(directory)):  # fmt: skip
            with pytest.raises(DataError, match=message):
                command()
        path.write_text(whole)

    edit(path, lambda content: content.update(shards=3))
    refused(r"plan\.json was changed after it was written")
    edit(path, lambda content: content["tasks"][0].update(max_shots=30))
    refused(r"plan\.json was changed after it was written")
    edit(path, lambda content: content.update(format=2, surprise=True), sign=True)
    refused(r"plan\.json has format 2, and this quell knows 1: use the quell that made it, version 0")
    path.write_text("{}")
    refused(r"plan\.json is not a shard plan of quell")
    for length in range(0, len(whole) - 2, 97):
        path.write_text(whole[:length])
        with pytest.raises(DataError, match=r"plan\.json is cut off, or not JSON"):
            merge_shards(directory)


def test_a_directory_without_a_plan_is_said(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match=r"is not a shard plan: there is no plan\.json in it; make one with"):
            run_shard(place, 0)
        with pytest.raises(DataError, match=r"is not a shard plan"):
            merge_shards(place)


@pytest.mark.parametrize("folder", ["circuits", "models"])
def test_files_that_were_changed_or_not_copied_are_refused(directory: Path, folder: str) -> None:
    shutil.rmtree(directory / "results")
    path = next(iter((directory / folder).iterdir()))
    path.write_text(path.read_text() + "# a comment\n")
    with pytest.raises(DataError, match=f"{path.name} was changed or cut off after it was planned: copy"):
        run_shard(directory, 0)
    path.unlink()
    with pytest.raises(StorageError, match=f"cannot read .*{path.name}: No such file"):
        run_shard(directory, 0)


@pytest.mark.parametrize("index", [-1, 2, 10**9, 0.0, True, "1"])
def test_shards_that_do_not_exist(directory: Path, index: Any) -> None:
    with pytest.raises(InputError, match=r"shard must be (from 0 to 1, as planned|an integer >= 0), got"):
        run_shard(directory, index)


def test_missing_shards_are_listed(directory: Path, tmp_path: Path) -> None:
    (directory / "results" / "shard-00001.csv").unlink()
    with pytest.raises(DataError, match=r"1 of 2 shards of .* are missing: run shards 1, or .* \(--partial\)"):
        merge_shards(directory, save=tmp_path / "all.csv")
    assert not (tmp_path / "all.csv").exists()
    with pytest.warns(UserWarning, match="is merged without shards 1"):
        merged = merge_shards(directory, partial=True)
    assert [stat.shots for stat in merged] == [10, 10]
    (directory / "results" / "shard-00000.csv").unlink()
    with pytest.raises(DataError, match=r"no shard of .* has a result yet: run shards 0-1"):
        merge_shards(directory, partial=True)


def test_a_result_that_was_cut_off_anywhere_is_refused(directory: Path) -> None:
    path = directory / "results" / "shard-00001.csv"
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"shard-00001\.csv (was cut off or changed|is not the result of a shard)"):
            merge_shards(directory)
    path.write_bytes(content)
    assert [stat.shots for stat in merge_shards(directory)] == [20, 20]


def test_a_result_that_was_changed_anywhere_is_refused(directory: Path) -> None:
    path = directory / "results" / "shard-00001.csv"
    lines = path.read_text().splitlines(keepends=True)
    changes = [
        [lines[0], lines[1].replace(" 10,", " 11,", 1), lines[2]],  # a count
        [lines[0], lines[2], lines[1]],  # the order
        [lines[0], lines[1], lines[1]],  # a row twice
        [line.replace(",1,2,", ",0,2,") for line in lines],  # another shard's number
        [*lines, lines[1]],
    ]
    for change in changes:
        path.write_text("".join(change))
        why = (
            "it holds 3 rows, and 2 were" if len(change) == 4 else "it holds 2 rows, as were written, but not the same"
        )
        with pytest.raises(DataError, match=rf"shard-00001\.csv was cut off or changed \({why}.*: remove it, and run"):
            merge_shards(directory)


def test_a_result_that_is_there_twice_is_refused(directory: Path) -> None:
    results = directory / "results"
    shutil.copy(results / "shard-00000.csv", results / "shard-00000 (copy).csv")
    with pytest.raises(DataError, match=r"shard 0 is there twice, as .*\(copy\)\.csv and .*shard-00000\.csv: remove"):
        merge_shards(directory)
    (results / "shard-00000 (copy).csv").unlink()
    shutil.copy(results / "shard-00000.csv", results / "shard-00001.csv")
    with pytest.raises(DataError, match=r"shard 0 is there twice, as .*shard-00000\.csv and .*shard-00001\.csv"):
        merge_shards(directory)
    with pytest.raises(DataError, match=r"shard-00001\.csv holds shard 0: rename it, or remove it"):
        run_shard(directory, 1)


def test_results_of_two_plans_are_not_mixed(directory: Path, tmp_path: Path) -> None:
    other = plan_of(tmp_path / "other", max_shots=30)
    run_shard(other.directory, 1, num_workers=1)
    (directory / "results" / "shard-00001.csv").unlink()
    shutil.copy(other.result_file(1), directory / "results")
    with pytest.raises(IdentityError, match=rf"shard-00001\.csv belongs to plan {other.plan_id}, and this is plan"):
        merge_shards(directory)
    with pytest.raises(IdentityError, match=rf"belongs to plan {other.plan_id}"):
        run_shard(directory, 1)


def test_other_files_among_the_results_are_refused(directory: Path) -> None:
    sweep(TASKS, "pymatching", max_shots=5, save=directory / "results" / "mine.csv", num_workers=1)
    with pytest.raises(DataError, match=r"mine\.csv is not the result of a shard.* move it elsewhere"):
        merge_shards(directory)


def test_a_merge_replaces_no_other_file(directory: Path, tmp_path: Path) -> None:
    save = tmp_path / "all.csv"
    save.write_text("mine")
    cases: list[tuple[Path, type[QuellError], str]] = [
        (save, InputError, r"all\.csv exists and has other content: save to another file, or .*--overwrite"),
        (tmp_path, InputError, r"save must be a file, got the directory .*: name a file in it, such as .*sweep\.csv"),
        (
            tmp_path / "no_folder" / "all.csv",
            StorageError,
            "cannot write .*all.csv: No such file.* mkdir -p .*no_folder",
        ),
        (directory / "results" / "all.csv", InputError, "save must not lie among the results"),
    ]
    for path, error, message in cases:
        with pytest.raises(error, match=message):
            merge_shards(directory, save=path)
    assert save.read_text() == "mine"
    merged = merge_shards(directory, save=save, overwrite=True)
    content = save.read_bytes()
    assert merge_shards(directory, save=save) == merged  # the same again is fine
    assert save.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.csv", "plan"]
