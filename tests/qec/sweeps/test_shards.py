"""Shard plans: what is planned is what is sampled, once, whatever happens to the jobs in between."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sinter
import stim
from hypothesis import given
from hypothesis import strategies as st

from quell.errors import IdentityError, StorageError
from quell.qec import binomial_interval, merge_shards, missing_shards, plan_shards, read_stats, run_shard, sweep
from quell.qec.sweeps import versions
from quell.qec.sweeps.shards import read_plan
from quell.qec.sweeps.shards import run as run_module
from quell.qec.sweeps.shards.merge import ranges
from quell.qec.sweeps.shards.plan import PlannedTask
from quell.qec.sweeps.tasks import prepare_jobs

from .tools import Guess, repetition_task, run_script

ROOT = Path(__file__).parents[3]
TASKS = [repetition_task(3, 0.1), repetition_task(5, 0.1)]


@pytest.fixture(autouse=True)
def decoders_of_the_tests_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run_all(directory: Path) -> None:
    for index in range(read_plan(directory).num_shards):
        run_shard(directory, index, num_workers=1)


def partial_files(directory: Path) -> list[Path]:
    return [path for path in (directory / "results").iterdir() if path.name.startswith(".")]


@given(shots=st.integers(1, 10**15), errors=st.integers(1, 10**6), shards=st.integers(1, 50))
def test_the_shares_of_all_shards_add_up(shots: int, errors: int, shards: int) -> None:
    task = PlannedTask("", "", None, "", "", shots, errors, None, None, None, None)
    limits = [task.limits(index, shards) for index in range(shards)]
    assert sum(each.max_shots for each in limits) == shots
    found = [each.max_errors for each in limits if each.max_errors is not None]
    assert sum(found) == errors
    assert max(found) - min(found) <= 1
    assert max(each.max_shots for each in limits) - min(each.max_shots for each in limits) <= 1


def test_merged_shards_are_the_sweep_that_was_asked_for(tmp_path: Path) -> None:
    directory, save = tmp_path / "plan", tmp_path / "all.csv"
    plan = plan_shards(TASKS, ["pymatching", "vacuous"], directory, shards=3, max_shots=1000)
    assert missing_shards(directory) == [0, 1, 2]
    run_all(directory)
    assert missing_shards(directory) == []
    assert partial_files(directory) == []
    merged = merge_shards(directory, save=save)
    assert [(stat.shots, stat.strong_id) for stat in merged] == [(1000, task.strong_id) for task in plan.tasks]
    # sinter reads the shards and the sum, and a sweep of the same tasks finds nothing left to do.
    shards = [directory / "results" / f"shard-{index:05}.csv" for index in range(3)]
    assert sinter.read_stats_from_csv_files(save) == merged
    by_id = {stat.strong_id: stat.errors for stat in sinter.read_stats_from_csv_files(*shards)}
    assert by_id == {stat.strong_id: stat.errors for stat in merged}
    content = save.read_bytes()
    again = sweep(TASKS, ["pymatching", "vacuous"], max_shots=1000, save=save, num_workers=1)
    assert [stat.errors for stat in again] == [stat.errors for stat in merged]
    assert save.read_bytes() == content


def test_a_shard_that_is_done_is_left_alone(tmp_path: Path) -> None:
    plan = plan_shards(TASKS, "pymatching", tmp_path / "plan", shards=2, max_shots=100)
    first = run_shard(plan.directory, 1, num_workers=1)
    content = plan.result_file(1).read_bytes()
    again = run_shard(plan.directory, 1, num_workers=1)
    assert [(stat.shots, stat.errors) for stat in again] == [(stat.shots, stat.errors) for stat in first]
    assert plan.result_file(1).read_bytes() == content
    assert missing_shards(plan.directory) == [0]


def test_errors_are_shared_too(tmp_path: Path) -> None:
    task = repetition_task(3, 0.2)
    plan = plan_shards(task, "pymatching", tmp_path / "plan", shards=3, max_errors=100)
    run_all(plan.directory)
    (merged,) = merge_shards(plan.directory)
    assert merged.errors >= 100
    assert merged.shots < 100_000  # of the ten million that are the limit by default


def test_a_relative_error_stands_for_a_number_of_errors(tmp_path: Path) -> None:
    for target in (0.05, 0.1, 0.5, 2.0):
        task = plan_shards(TASKS[0], "pymatching", tmp_path / f"{target}", shards=2, target_relative_error=target)
        errors = task.tasks[0].max_errors
        assert errors is not None
        for rate in (1e-6, 1e-3, 0.1):
            low, high = binomial_interval(errors, round(errors / rate))
            # The interval of a larger rate is narrower, up to the rounding of the number of shots.
            assert (high - low) / 2 <= target * rate * 1.001
    assert read_plan(tmp_path / "0.1").tasks[0].max_errors == 385


def test_limits_of_tasks_hold(tmp_path: Path) -> None:
    circuit = TASKS[0].circuit
    tasks = [
        sinter.Task(circuit=circuit, json_metadata={"n": n}, collection_options=sinter.CollectionOptions(max_shots=n))
        for n in (4, 25)
    ]
    plan = plan_shards(tasks, "pymatching", tmp_path / "plan", shards=4)
    assert len(list((plan.directory / "circuits").iterdir())) == 1  # equal files are one
    run_all(plan.directory)
    assert [stat.shots for stat in merge_shards(plan.directory)] == [4, 25]


def test_masks_and_custom_counts_arrive(tmp_path: Path) -> None:
    circuit = TASKS[0].circuit
    assert circuit is not None
    mask = np.zeros((circuit.num_detectors + 7) // 8, dtype=np.uint8)
    mask[0] = 1
    task = sinter.Task(circuit=circuit, postselection_mask=mask, json_metadata={"d": 3})
    plan = plan_shards(
        task, "pymatching", tmp_path / "plan", shards=2, max_shots=500, count_observable_error_combos=True
    )
    run_all(plan.directory)
    (merged,) = merge_shards(plan.directory)
    (swept,) = sweep(task, "pymatching", max_shots=1, num_workers=1)
    assert merged.strong_id == swept.strong_id
    assert merged.shots == 500
    assert merged.discards > 0  # a rate of 0.18: none in 500 has a chance of 1e-43
    assert merged.custom_counts["obs_mistake_mask=E"] == merged.errors


def test_decoders_of_ones_own_go_along_with_their_settings(tmp_path: Path) -> None:
    decoders = [Guess(1.0), Guess(2.0), "pymatching"]
    plan = plan_shards(TASKS, decoders, tmp_path / "plan", shards=2, max_shots=20)
    run_all(plan.directory)
    merged = merge_shards(plan.directory)
    swept = sweep(TASKS, decoders, max_shots=1, num_workers=1)
    assert [(stat.decoder, stat.strong_id) for stat in merged] == [(stat.decoder, stat.strong_id) for stat in swept]
    assert {stat.shots for stat in merged} == {20}


SCRIPT = """
import sinter, sys
from quell.qec import plan_shards
sys.path.insert(0, {root!r})
from tests.qec.sweeps.tools import repetition_task

class Base(sinter.Decoder):
    def compile_decoder_for_dem(self, *, dem):
        return sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)

def made(strength):
    class Local(Base):
        def strength(self):
            return strength
    return Local()

plan_shards(repetition_task(), [Base(), made(3)], "plan", shards=2, max_shots=100)
"""


def test_a_decoder_of_a_script_runs_in_another_process(tmp_path: Path) -> None:
    done = run_script(tmp_path, SCRIPT.format(root=str(ROOT)))
    assert done.returncode == 0, done.stderr
    run_all(tmp_path / "plan")
    assert [(stat.decoder[:5], stat.shots) for stat in merge_shards(tmp_path / "plan")] == [
        ("Base@", 100),
        ("Local", 100),
    ]


MODULE = """
import sinter
class Mine(sinter.Decoder):
    def settings_id(self):
        return "strength={strength}"
    def compile_decoder_for_dem(self, *, dem):
        return sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)
def decoders():
    return {{"mine": Mine()}}
"""


def test_a_decoder_that_was_edited_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d=3.stim").write_text(str(TASKS[0].circuit))
    module = tmp_path / "my_module.py"
    module.write_text(MODULE.format(strength=1))
    planned = quell(
        tmp_path, "plan", "d=3.stim", "--custom-decoders", "my_module:decoders", "--decoders", "mine",
        "--max-shots", "100", "--shards", "2",
    )  # fmt: skip
    assert planned.returncode == 0, planned.stderr
    with module.open("a") as file:
        file.write("# other code under the same settings\n")
    refused = quell(tmp_path, "run-shard", "plan", "0", "--workers", "1")
    assert refused.returncode == 1
    assert "this machine has a source of my_module of digest " in refused.stderr
    assert "and the work was given out with a source of my_module of digest " in refused.stderr
    done = quell(tmp_path, "run-shard", "plan", "0", "--workers", "1", "--allow-other-versions")
    assert done.returncode == 0, done.stderr


def quell(folder: Path, *tokens: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "quell", *tokens], cwd=folder, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_other_settings_than_planned_are_refused(tmp_path: Path) -> None:
    (tmp_path / "d=3.stim").write_text(str(TASKS[0].circuit))
    (tmp_path / "my_module.py").write_text(MODULE.format(strength=1))
    planned = quell(
        tmp_path, "plan", "d=3.stim", "--custom-decoders", "my_module:decoders", "--decoders", "mine",
        "--max-shots", "100", "--shards", "2",
    )  # fmt: skip
    assert planned.returncode == 0, planned.stderr
    (tmp_path / "my_module.py").write_text(MODULE.format(strength=2))
    refused = quell(tmp_path, "run-shard", "plan", "0", "--allow-other-versions")
    assert refused.returncode == 1
    assert "has other settings here than where it was planned" in refused.stderr
    (tmp_path / "my_module.py").unlink()
    refused = quell(tmp_path, "run-shard", "plan", "0")
    assert "cannot be loaded here (ModuleNotFoundError: No module named 'my_module')" in refused.stderr
    (tmp_path / "my_module.py").write_text(MODULE.format(strength=1))
    done = quell(tmp_path, "run-shard", "plan", "0", "--workers", "1", "--json")
    assert json.loads(done.stdout)["results"][0]["shots"] == 50, done.stderr


def test_other_versions_than_planned_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_shards(TASKS, "pymatching", tmp_path / "plan", shards=2, max_shots=10)
    found = versions._version
    monkeypatch.setattr(versions, "_version", lambda name: "9.9" if name == "pymatching" else found(name))
    with pytest.raises(
        IdentityError, match=r"has pymatching 9\.9, and the work was given out with pymatching 2.*: install"
    ):
        run_shard(plan.directory, 0, num_workers=1)
    monkeypatch.setattr(versions, "_version", lambda _: versions.MISSING)
    with pytest.raises(IdentityError, match=r"has no quell, no stim.*, and the work was given out with quell 0"):
        run_shard(plan.directory, 0, num_workers=1)
    stats = run_shard(plan.directory, 0, num_workers=1, allow_other_versions=True)
    assert [stat.shots for stat in stats] == [5, 5]


def test_packages_that_decoders_come_from_are_planned_too(tmp_path: Path) -> None:
    class Local(Guess):
        pass

    Local.__module__ = "hypothesis.example"  # as if it were defined in a package
    (job,) = prepare_jobs(TASKS[0], Local(), {}, num_workers=1)
    assert versions.sources_of(job) == ["hypothesis", "source of tests.qec.sweeps.tools"]  # and that of its base
    plan = plan_shards(TASKS[0], "pymatching", tmp_path / "plan", shards=2, max_shots=10)
    assert list(plan.versions) == [*versions.PACKAGES, "python"]


def test_the_same_plan_again_changes_nothing(tmp_path: Path) -> None:
    def plan(shots: int) -> Any:
        return plan_shards(TASKS, [Guess(), "pymatching"], tmp_path / "plan", shards=2, max_shots=shots)

    first = plan(100)
    run_shard(first.directory, 0, num_workers=1)
    content = (first.directory / "plan.json").read_bytes()
    assert plan(100).plan_id == first.plan_id
    assert (first.directory / "plan.json").read_bytes() == content
    assert missing_shards(first.directory) == [1]
    assert [path.name for path in tmp_path.iterdir()] == ["plan"]  # no drafts


def test_a_plan_works_from_wherever_it_is_copied(tmp_path: Path) -> None:
    plan = plan_shards(TASKS, "pymatching", tmp_path / "plan", shards=2, max_shots=10)
    run_shard(plan.directory, 0, num_workers=1)
    copy = tmp_path / "elsewhere"
    plan.directory.rename(copy)
    run_shard(copy, 1, num_workers=1)
    assert [stat.shots for stat in merge_shards(copy)] == [10, 10]


def interrupted(plan_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs shard 0 until it has saved something, and returns the file it leaves."""

    def some_of_it(tasks: list[sinter.Task], **options: Any) -> None:
        sweep(tasks, **{**options, "max_shots": 30})
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "sweep", some_of_it)
    with pytest.raises(KeyboardInterrupt):
        run_shard(plan_directory, 0, num_workers=1)
    monkeypatch.undo()
    (left,) = partial_files(plan_directory)
    return left


def test_an_interrupted_shard_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_shards(TASKS, "pymatching", tmp_path / "plan", shards=2, max_shots=200)
    left = interrupted(plan.directory, monkeypatch)
    with left.open("a") as file:
        file.write("   30,   2")  # a row that a crash cut off
    seen: list[int] = []

    def watched(tasks: list[sinter.Task], **options: Any) -> list[sinter.TaskStats]:
        seen.extend(stat.shots for stat in read_stats(options["save"]))
        return sweep(tasks, **options)

    monkeypatch.setattr(run_module, "sweep", watched)
    stats = run_shard(plan.directory, 0, num_workers=1)
    assert seen == [30, 30]
    assert [stat.shots for stat in stats] == [100, 100]
    assert partial_files(plan.directory) == []


def test_rows_that_went_bad_are_sampled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_shards(TASKS, "pymatching", tmp_path / "plan", shards=2, max_shots=200)
    left = interrupted(plan.directory, monkeypatch)
    left.write_bytes(left.read_bytes() + bytes(100) + b"\n")  # as a node leaves it that lost power
    with pytest.warns(UserWarning, match="an earlier run of the shard left rows that cannot be used"):
        stats = run_shard(plan.directory, 0, num_workers=1)
    assert [stat.shots for stat in stats] == [100, 100]


def test_the_later_run_of_a_shard_takes_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_shards(TASKS[0], "pymatching", tmp_path / "plan", shards=1, max_shots=100)

    def overtaken(tasks: list[sinter.Task], **options: Any) -> list[sinter.TaskStats]:
        monkeypatch.setattr(run_module, "sweep", sweep)
        sweep(tasks, **{**options, "max_shots": 30})
        if finishes:
            run_shard(plan.directory, 0, num_workers=1)
        else:
            run_module._take_over(plan, 0)
        # This run had opened its file before, so that a sweep finds it gone.
        raise StorageError("removed or replaced while it was in use")

    finishes = False
    monkeypatch.setattr(run_module, "sweep", overtaken)
    with pytest.raises(StorageError, match=r"another run of shard 0 in .* has taken over"):
        run_shard(plan.directory, 0, num_workers=1)
    (left,) = partial_files(plan.directory)
    assert read_stats(left)[0].shots == 30
    finishes = True
    monkeypatch.setattr(run_module, "sweep", overtaken)
    (stat,) = run_shard(plan.directory, 0, num_workers=1)  # what the other run found
    assert stat.shots == 100
    assert merge_shards(plan.directory) == [stat]


def test_two_runs_of_one_shard_at_once_count_once(tmp_path: Path) -> None:
    plan = plan_shards(TASKS, Guess(seconds=0.05), tmp_path / "plan", shards=1, max_shots=20_000)
    ends: list[str] = []

    def one() -> None:
        try:
            run_shard(plan.directory, 0, num_workers=1)
            ends.append("done")
        except StorageError as error:
            ends.append(str(error))

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "done" in ends
    assert all(end == "done" or "has taken over" in end for end in ends)
    assert [stat.shots for stat in merge_shards(plan.directory)] == [20_000, 20_000]
    assert partial_files(plan.directory) == []


def test_ranges_are_what_queues_take() -> None:
    assert ranges([]) == ""
    assert ranges([4]) == "4"
    assert ranges([0, 1, 2, 7, 9, 10]) == "0-2,7,9-10"


def test_models_are_shipped_and_not_computed_again(tmp_path: Path) -> None:
    circuit = TASKS[0].circuit
    assert circuit is not None
    own = stim.DetectorErrorModel(str(circuit.detector_error_model()).replace("error(0.1)", "error(0.125)"))
    task = sinter.Task(circuit=circuit, detector_error_model=own)
    plan = plan_shards(task, "pymatching", tmp_path / "plan", shards=1, max_shots=10)
    (built,) = plan.sinter_tasks()
    assert built.detector_error_model == own
    assert os.listdir(plan.directory / "models") == [Path(plan.tasks[0].model).name]
