"""Eight things that go wrong with plain sinter, each of which must not go wrong here."""

import collections
import csv
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbclient
import nbformat
import pytest
import sinter
import stim

import quell
from quell.errors import SweepError
from quell.qec import iter_sweep, read_stats
from quell.qec.sweeps.chunk import ChunkLimits, _BatchedSampler
from quell.qec.sweeps.store import csv_lines

from .tools import Broken, Guess, repetition_task, run_script

SCRIPT = """
import sys
import quell, sinter, stim

class Mine(sinter.Decoder):
    def compile_decoder_for_dem(self, *, dem):
        return sinter.BUILT_IN_DECODERS["pymatching"].compile_decoder_for_dem(dem=dem)

circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=3,
                                 before_round_data_depolarization=0.1)
task = sinter.Task(circuit=circuit, json_metadata={"d": 3, "p": 0.1})
(stat,) = quell.sweep(task, %s, max_shots=2000, num_workers=2, save="out.csv")
print(stat.shots, stat.errors > 0, stat.decoder.split("@")[0])
"""


def test_trap_1_a_decoder_class_from_main(tmp_path: Path) -> None:
    result = run_script(tmp_path, SCRIPT % "Mine()")
    assert result.stdout.split() == ["2000", "True", "Mine"], result.stderr


def test_trap_1_a_decoder_class_from_a_notebook_cell(tmp_path: Path) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SCRIPT % "Mine()")])
    client = nbclient.NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    texts = [output["text"] for output in notebook.cells[0].outputs if output.get("name") == "stdout"]
    assert "".join(texts).split() == ["2000", "True", "Mine"]


def test_trap_2_a_script_without_a_main_guard(tmp_path: Path) -> None:
    result = run_script(tmp_path, SCRIPT % "'pymatching'")
    assert result.stdout.split() == ["2000", "True", "pymatching"], result.stderr
    assert result.stderr == ""


START_TOGETHER = """
import pathlib, sys, time
import quell, sinter, stim
from tools import repetition_task

tasks = [repetition_task(3, p) for p in {ps}]
while not pathlib.Path("go").exists():
    time.sleep(0.001)
for stat in quell.sweep(tasks, "pymatching", max_shots={shots}, num_workers=1, save="out.csv"):
    print(stat.json_metadata["p"], stat.shots)
"""


def start_together(folder: Path, *scripts: str) -> list[str]:
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parent))
    runs = []
    for index, text in enumerate(scripts):
        (folder / f"script{index}.py").write_text(text)
        command = [sys.executable, f"script{index}.py"]
        runs.append(subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True))
    time.sleep(1.5)
    (folder / "go").touch()
    outputs = [run.communicate(timeout=60)[0] for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs)
    return outputs


def test_trap_3_two_processes_start_on_one_new_file_with_different_tasks(tmp_path: Path) -> None:
    first = START_TOGETHER.format(ps="(0.05, 0.1)", shots=50_000)
    second = START_TOGETHER.format(ps="(0.15, 0.2)", shots=50_000)
    start_together(tmp_path, first, second)
    found = {stat.json_metadata["p"]: stat.shots for stat in read_stats(tmp_path / "out.csv")}
    assert found == {0.05: 50_000, 0.1: 50_000, 0.15: 50_000, 0.2: 50_000}


def test_trap_3_two_processes_on_one_file_share_the_same_task(tmp_path: Path) -> None:
    shots = 20_000_000
    script = START_TOGETHER.format(ps="(0.1,)", shots=shots)
    outputs = start_together(tmp_path, script, script)
    (stat,) = read_stats(tmp_path / "out.csv")
    # Each may be in the middle of a chunk, which is at most half of the task, when the other one ends it.
    assert shots <= stat.shots < 1.9 * shots
    assert max(int(output.split()[1]) for output in outputs) == stat.shots


def test_trap_4_a_file_listed_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    task = repetition_task()
    quell.sweep(task, "pymatching", max_shots=3000, num_workers=1, save=path)
    link = tmp_path / "link.csv"
    link.symlink_to(path)
    (stat,) = read_stats(path, path, link)
    assert stat.shots == 3000
    for files in ([path], [link, path]):
        (stat,) = quell.sweep(task, "pymatching", max_shots=3000, num_workers=1, save=path, existing=files)
        assert stat.shots == 3000
    (stat,) = quell.sweep(task, "pymatching", max_shots=3000, num_workers=1, existing=[path, link])
    assert stat.shots == 3000


def test_trap_4_short_runs_that_came_out_alike_all_count(tmp_path: Path) -> None:
    row = '500,0,0,0.001,pymatching,9c31,"{""d"":5}",'
    for index in range(12):
        (tmp_path / f"{index}.csv").write_text(f"{sinter.CSV_HEADER}\n{row}\n")
    assert [stat.shots for stat in read_stats(*tmp_path.glob("*.csv"))] == [6000]


def test_trap_4_a_copy_that_cannot_be_told_from_a_run_is_warned_of(tmp_path: Path) -> None:
    path, copy = tmp_path / "sweep.csv", tmp_path / "backup.csv"
    tasks = [repetition_task(d) for d in (3, 5, 7)]
    quell.sweep(tasks, "pymatching", max_shots=1000, num_workers=1, save=path)
    copy.write_bytes(path.read_bytes())
    quell.sweep(tasks, "pymatching", max_shots=2000, num_workers=1, save=path)
    with pytest.warns(UserWarning, match=r"sweep\.csv begins with all rows of .*backup\.csv.*counted twice"):
        assert [stat.shots for stat in read_stats(copy, path)] == [3000] * 3
    with pytest.warns(UserWarning, match="counted twice"):
        quell.sweep(tasks, "pymatching", max_shots=2000, num_workers=1, save=path, existing=[copy])


def test_trap_5_the_order_of_metadata_keys_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    quell.sweep(repetition_task(metadata={"p": 0.1, "d": 3}), "pymatching", max_shots=1000, num_workers=1, save=path)
    (stat,) = quell.sweep(
        repetition_task(metadata={"d": 3, "p": 0.1}), "pymatching", max_shots=1000, num_workers=1, save=path
    )
    assert stat.shots == 1000
    (read,) = read_stats(path)
    assert read.shots == 1000
    assert list(read.json_metadata) == ["d", "p"]


@pytest.mark.parametrize("metadata", [{"p": 0.1, "d": 3, "z": {"b": [1, 2], "a": "é"}}, {"z": 1, "y": 2, "x": 3.5}])
def test_trap_5_a_file_that_sinter_wrote_in_another_order_is_gone_on_with(tmp_path: Path, metadata: object) -> None:
    path = tmp_path / "sinter.csv"
    task = repetition_task(metadata=metadata)
    sinter.collect(num_workers=1, tasks=[task], decoders=["pymatching"], max_shots=1000, save_resume_filepath=path)
    (before,) = sinter.read_stats_from_csv_files(path)
    (stat,) = quell.sweep(task, "pymatching", max_shots=1000, num_workers=1, save=path)
    assert stat.shots == 1000
    assert stat.strong_id != before.strong_id  # since sinter hashed the order as it was given
    (stat,) = quell.sweep(repetition_task(metadata=dict(sorted(metadata.items()))), "pymatching",  # type: ignore[attr-defined]
                          max_shots=1500, num_workers=1, save=path)  # fmt: skip
    assert stat.shots == 1500
    assert sum(row.shots for row in read_stats(path)) == 1500


def test_trap_6_settings_and_weights_are_part_of_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    decoders = {"a": Guess(1.0), "b": Guess(2.0)}
    stats = quell.sweep(repetition_task(), decoders, max_shots=1000, num_workers=1, save=path)
    names = [stat.decoder for stat in stats]
    assert [name[:2] for name in names] == ["a@", "b@"]
    assert names[0][2:] != names[1][2:]
    with pytest.raises(quell.errors.IdentityError, match=r"same name with other settings.*another name"):
        quell.sweep(repetition_task(), {"a": Guess(3.0)}, max_shots=1000, num_workers=1, save=path)
    (stat,) = quell.sweep(
        repetition_task(), {"a": Guess(3.0)}, max_shots=1000, num_workers=1, save=path, mix_settings=True
    )
    assert stat.shots == 1000
    assert len({row.strong_id for row in read_stats(path)}) == 3


def test_trap_6_a_class_that_is_edited_in_a_notebook_is_another_decoder(tmp_path: Path) -> None:
    edited = (SCRIPT % "Mine()").replace('BUILT_IN_DECODERS["pymatching"]', 'BUILT_IN_DECODERS["vacuous"]')
    cells = [nbformat.v4.new_code_cell(text) for text in (SCRIPT % "Mine()", SCRIPT % "Mine()", edited)]
    client = nbclient.NotebookClient(
        nbformat.v4.new_notebook(cells=cells),
        timeout=60,
        allow_errors=True,
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute()
    first, again, other = (cell.outputs for cell in client.nb.cells)
    printed = [[output["text"] for output in cell if output.get("name") == "stdout"] for cell in (first, again)]
    assert printed[0] == printed[1] != []
    assert other[-1]["ename"] == "IdentityError"


def test_trap_6_another_sweep_with_other_settings_does_not_end_one_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    task = repetition_task()
    running = iter_sweep(task, {"a": Guess(1.0)}, max_shots=2_000_000, num_workers=1, save=path)
    seen = next(running).shots
    quell.sweep(task, {"a": Guess(2.0)}, max_shots=100, num_workers=1, save=path, mix_settings=True)
    assert seen + sum(stat.shots for stat in running) == 2_000_000


def test_trap_7_custom_counts_of_any_size_can_be_read_back(tmp_path: Path) -> None:
    counts = collections.Counter({f"gap bin number {index:06}": index % 7 + 1 for index in range(20_000)})
    stat = sinter.TaskStats(
        strong_id="f00", decoder="pymatching", json_metadata={"d": 3}, shots=100_000, errors=5, custom_counts=counts
    )
    assert len(str(dict(counts))) > 131_072
    path = tmp_path / "sweep.csv"
    path.write_text(sinter.CSV_HEADER + "\n" + csv_lines(stat))
    assert read_stats(path) == [stat]
    assert sinter.read_stats_from_csv_files(path) == [stat]  # as written here, sinter can read it too
    path.write_text(sinter.CSV_HEADER + "\n" + stat.to_csv_line() + "\n")
    with pytest.raises(csv.Error, match="field larger than field limit"):
        sinter.read_stats_from_csv_files(path)
    assert read_stats(path) == [stat]  # and what sinter writes and cannot read can be read here
    assert csv.field_size_limit() == 131_072


def _kill_one_worker_after(seconds: float) -> threading.Thread:
    def kill() -> None:
        time.sleep(seconds)
        found = subprocess.run(
            ["pgrep", "-P", str(os.getpid()), "-f", "quell.qec.sweeps.worker"],
            capture_output=True,
            text=True,
            check=True,
        )
        os.kill(int(found.stdout.split()[0]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_trap_8_a_worker_that_is_killed_is_replaced_and_its_shots_are_taken_again(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    killer = _kill_one_worker_after(1.5)
    decoder = Guess(seconds=0.02)
    (stat,) = quell.sweep(repetition_task(), decoder, max_shots=150_000, num_workers=2, save=path)
    killer.join()
    assert stat.shots == 150_000
    assert sum(row.shots for row in read_stats(path)) == 150_000


def test_trap_8_workers_that_keep_dying_end_the_sweep_with_the_reason() -> None:
    with pytest.raises(
        SweepError, match=r"killed by SIGKILL.*decoder 'Broken@[0-9a-f]{12}' of task .*'d': 3.* 3 in a row"
    ):
        quell.sweep(repetition_task(), Broken("die"), max_shots=100, num_workers=2)


class Forking(Guess):
    """Starts a process that outlives its worker."""

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> sinter.CompiledDecoder:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        return super().compile_decoder_for_dem(dem=dem)


def test_trap_8_also_when_the_decoder_has_children(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    killer = _kill_one_worker_after(1.5)
    (stat,) = quell.sweep(repetition_task(), Forking(seconds=0.02), max_shots=150_000, num_workers=2, save=path)
    killer.join()
    assert stat.shots == 150_000


class Odd(sinter.Sampler):
    def __init__(self, **stats: object) -> None:
        self.stats = stats

    def compiled_sampler_for_task(self, task: sinter.Task) -> sinter.CompiledSampler:  # noqa: ARG002
        return CompiledOdd(self.stats)


class CompiledOdd(sinter.CompiledSampler):
    def __init__(self, stats: dict[str, object]) -> None:
        self.stats = stats

    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:  # noqa: ARG002
        return sinter.AnonTaskStats(**self.stats)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stats", "message"),
    [
        ({"shots": 0}, "at least one shot"),
        ({"shots": 2.5}, "whole numbers, got shots = 2.5"),
        ({"shots": 2, "errors": 3}, "self.shots >= self.errors"),
        ({"shots": 2, "custom_counts": collections.Counter({1: 2})}, "names that are strings, got 1"),
        ({"shots": 2, "custom_counts": collections.Counter(a=1.5)}, "whole numbers, got a = 1.5"),
    ],
)
def test_counts_that_are_none_end_the_sweep_with_the_reason(stats: dict[str, object], message: str) -> None:
    with pytest.raises(SweepError, match=message):
        quell.sweep(repetition_task(), Odd(**stats), max_shots=100, num_workers=1)


def test_workers_that_cannot_be_started_are_said_and_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    popen, started = subprocess.Popen, []

    def third_time_unlucky(*args: object, **kwargs: object) -> object:
        if len(started) == 2:
            raise OSError(24, "Too many open files")
        started.append(popen(*args, **kwargs))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr("quell.qec.sweeps.engine.subprocess.Popen", third_time_unlucky)
    before = threading.active_count()
    with pytest.raises(SweepError, match="cannot start 4 worker processes: Too many open files; lower num_workers"):
        quell.sweep(repetition_task(), "pymatching", max_shots=10**6, num_workers=4)
    assert [process.poll() for process in started] == [-signal.SIGKILL] * 2
    assert threading.active_count() == before


def test_a_fork_of_the_users_program_leaves_the_sweep_alone(tmp_path: Path) -> None:
    script = """
import os, sys
import quell
from quell.qec import iter_sweep
from tools import repetition_task
total = 0
for stat in iter_sweep(repetition_task(), "pymatching", max_shots=3_000_000, num_workers=2, save="out.csv"):
    if not total and os.fork() == 0:
        sys.exit(0)
    total += stat.shots
print(total)
"""
    (tmp_path / "script.py").write_text(script)
    environment = dict(os.environ, PYTHONPATH=str(Path(__file__).parent))
    result = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout.split() == ["3000000"]


def test_a_change_of_folder_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    running = iter_sweep(repetition_task(), "pymatching", max_shots=1_000_000, num_workers=1, save="out.csv")
    seen = next(running).shots
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert seen + sum(stat.shots for stat in running) == 1_000_000
    assert read_stats(tmp_path / "out.csv")[0].shots == 1_000_000


def test_a_program_without_stderr(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT % "'pymatching'")
    command = f"{sys.executable} script.py 2>&-"
    result = subprocess.run(
        command, shell=True, cwd=tmp_path, stdout=subprocess.PIPE, text=True, timeout=60, check=True
    )
    assert result.stdout.split() == ["2000", "True", "pymatching"]


def test_a_decoder_that_raises_ends_the_sweep_with_its_error() -> None:
    with pytest.raises(SweepError, match="ValueError: this decoder takes no such model") as caught:
        quell.sweep(repetition_task(), Broken("raise"), max_shots=100, num_workers=1)
    assert "compile_decoder_for_dem" in "".join(caught.value.__notes__)


def test_a_decoder_of_the_wrong_shape_ends_the_sweep() -> None:
    with pytest.raises(SweepError, match=r"predictions\.shape\[1\]"):
        quell.sweep(repetition_task(), Broken("shape"), max_shots=100, num_workers=1)


def test_leaving_the_loop_early_keeps_what_was_collected_and_ends_the_workers(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    reported = 0
    for stat in iter_sweep(repetition_task(), "pymatching", max_shots=10**9, num_workers=2, save=path):
        reported += stat.shots
        if reported > 10_000:
            break
    assert sum(row.shots for row in read_stats(path)) >= reported
    left = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "quell.qec.sweeps.worker"], check=False)
    assert left.returncode == 1


def test_the_csv_has_sinters_own_strong_ids_and_each_tool_reads_the_other(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    task = repetition_task()  # its metadata keys are sorted already
    (ours,) = quell.sweep(task, "pymatching", max_shots=1000, num_workers=1, save=path)
    complete = sinter.Task(
        circuit=task.circuit,
        decoder="pymatching",
        detector_error_model=stim.Circuit(str(task.circuit)).detector_error_model(
            decompose_errors=True, approximate_disjoint_errors=True
        ),
        json_metadata=task.json_metadata,
    )
    assert ours.strong_id == complete.strong_id()
    (theirs,) = sinter.collect(
        num_workers=1, tasks=[task], decoders=["pymatching"], max_shots=2500, save_resume_filepath=path
    )
    assert theirs.shots == 2500
    (again,) = quell.sweep(task, "pymatching", max_shots=2500, num_workers=1, save=path)
    assert again.shots == 2500
    combined = subprocess.run(
        [sys.executable, "-c", "from sinter._command._main import main; main()", "combine", str(path)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = list(csv.DictReader(io.StringIO(combined.stdout), skipinitialspace=True))
    assert [int(row["shots"]) for row in rows] == [2500]


class Half(sinter.CompiledSampler):
    """Every second shot is an error."""

    def sample(self, suggested_shots: int) -> sinter.AnonTaskStats:
        return sinter.AnonTaskStats(shots=suggested_shots, errors=(suggested_shots + 1) // 2)


def test_a_small_limit_of_errors_is_not_passed_by_a_large_batch() -> None:
    runner = _BatchedSampler(Half())
    for _ in range(2):
        assert runner.run(ChunkLimits(max_shots=100_000), None).shots == 100_000  # batches are large now
        assert 10 <= runner.run(ChunkLimits(max_shots=100_000, max_errors=10), None).errors <= 12
