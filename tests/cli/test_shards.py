"""Plans, shards and merges from a shell: what they print, what they write, how they end."""

import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import sinter

from quell import circuits
from quell.cli.main import run

from .tools import fails, run_json

PLAN = ["plan", "--distances", "3", "5", "--p", "0.01", "0.02", "--shards", "2"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sweep_by_shards(capsys: pytest.CaptureFixture[str]) -> None:
    planned = run_json(capsys, *PLAN, "--max-shots", "1001", "--noise", "si1000")
    assert (planned["directory"], planned["shards"]) == ("plan", 2)
    assert [(task["metadata"]["d"], task["max_shots"]) for task in planned["tasks"]] == [
        (3, 1001), (3, 1001), (5, 1001), (5, 1001),
    ]  # fmt: skip
    fails(capsys, 1, "no shard of plan has a result yet: run shards 0-1", "merge", "plan")
    first = run_json(capsys, "run-shard", "plan", "0", "--workers", "1")
    assert not first["was_done"]
    assert {row["shots"] for row in first["results"]} == {501}
    again = run_json(capsys, "run-shard", "plan", "0", "--num-workers", "1")
    assert again["was_done"]
    assert again["results"] == first["results"]
    fails(capsys, 1, "1 of 2 shards of plan are missing: run shards 1", "merge", "plan", "--save", "all.csv")
    part = run_json(capsys, "merge", "plan", "--partial")
    assert part["missing"] == [1]
    assert part["results"] == first["results"]
    assert run(["run-shard", "plan", "1", "--workers", "1"]) == 0
    capsys.readouterr()
    merged = run_json(capsys, "merge", "plan", "--save", "all.csv")
    assert (merged["plan"], merged["missing"], merged["save"]) == (planned["plan"], [], "all.csv")
    assert all(row["error_rate"]["interval"] for row in merged["results"])
    assert {stat.shots for stat in sinter.read_stats_from_csv_files("all.csv")} == {1001}
    assert {stat.strong_id for stat in sinter.read_stats_from_csv_files("all.csv")} == {
        task["strong_id"] for task in planned["tasks"]
    }
    # The same sweep goes on from the file, without a further shot.
    tokens = ["sweep", *PLAN[1:-2], "--noise", "si1000", "--max-shots", "1001", "--save", "all.csv"]
    assert run_json(capsys, *tokens)["results"] == merged["results"]


def test_what_people_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PLAN, "--max-shots", "100", "--out", "my plan"]) == 0
    text = capsys.readouterr().out
    assert ": 4 tasks, each shared by 2 shards, in my plan\n" in text
    assert "for i in $(seq 0 1); do quell run-shard 'my plan' $i; done" in text
    assert "sbatch --array=0-1 --wrap" in text
    assert "more than its share" not in text
    assert run([*PLAN, "--max-errors", "100", "--out", "other"]) == 0
    assert "each may find some errors more than its share" in capsys.readouterr().out
    assert run(["run-shard", "my plan", "1", "--workers", "1"]) == 0
    assert "shard 1: " in capsys.readouterr().out
    assert run(["run-shard", "my plan", "1"]) == 0
    assert "shard 1 was done already, nothing was sampled: " in capsys.readouterr().out
    assert run(["merge", "my plan", "--partial"]) == 0
    text = capsys.readouterr().out
    assert "error rate per shot (95 %)" in text
    assert text.endswith("1 of 2 shards\nmissing: 0\n")


def test_the_lines_that_a_plan_prints_work_in_a_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*PLAN, "--max-shots", "20", "--out", "it's"]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    commands = {words[0]: words[1] for words in lines}
    quell = f'quell() {{ "{sys.executable}" -P -m quell "$@"; }}; '
    shell = quell + commands["here"] + " && " + commands["then"]
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert {stat.shots for stat in sinter.read_stats_from_csv_files("it's.csv")} == {20}
    # sbatch runs what is wrapped with its own shell, in which the number of the job is set.
    sbatch = 'sbatch() { echo "$3"; }; '
    done = subprocess.run(["sh", "-c", sbatch + commands["SLURM"]], capture_output=True, text=True, check=True)
    echo = 'quell() { echo "$3:$2"; }; SLURM_ARRAY_TASK_ID=7; '
    done = subprocess.run(["sh", "-c", echo + done.stdout], capture_output=True, text=True, check=True)
    assert done.stdout == "7:it's\n"


def test_circuits_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("folder").mkdir()
    for name, p in (("d=3,p=0.01,kind=rotated.stim", 0.01), ("folder/mine.stim", 0.02)):
        Path(name).write_text(
            str(circuits.rotated_surface_memory(3, rounds=3, noise=circuits.noise_model("si1000", p)))
        )
    files = ["d=3,p=0.01,kind=rotated.stim", "folder/mine.stim"]
    planned = run_json(
        capsys, "plan", *files, "--decoders", "pymatching", "vacuous", "--max-errors", "100", "--shards", "3"
    )
    assert [task["metadata"] for task in planned["tasks"]] == [
        {"d": 3, "kind": "rotated", "p": 0.01}, {"d": 3, "kind": "rotated", "p": 0.01},
        {"path": "folder/mine.stim"}, {"path": "folder/mine.stim"},
    ]  # fmt: skip
    assert {(task["max_shots"], task["max_errors"]) for task in planned["tasks"]} == {(10_000_000, 100)}
    again = run_json(
        capsys, "plan", *files, "--decoders", "pymatching", "vacuous", "--max-errors", "100", "--shards", "3"
    )
    assert again == planned


def test_wrong_usage_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("mine.stim").write_text("H 0\n")
    limit = ["--max-shots", "100"]
    fails(capsys, 2, "nothing to plan: pass --distances and --p", "plan", "--shards", "2", *limit)
    fails(capsys, 2, "nothing to plan: pass --distances and --p", "plan", "--shards", "2", "--p", "0.1", *limit)
    message = "files of circuits are taken as they are: leave out --distances"
    fails(capsys, 2, message, "plan", "mine.stim", "--shards", "2", "--distances", "3", *limit)
    fails(capsys, 2, message, "plan", "mine.stim", "--shards", "2", "--noise", "si1000", *limit)
    fails(capsys, 2, "has no observables", "plan", "mine.stim", "--shards", "2", *limit)
    fails(capsys, 2, "cannot read a circuit from no.stim", "plan", "no.stim", "--shards", "2", *limit)
    fails(capsys, 2, "shards must be an integer >= 1, got 0", *PLAN[:-1], "0", *limit)
    fails(capsys, 2, "got shards = 2 and max_shots = 1", *PLAN, "--max-shots", "1")
    fails(capsys, 2, "nothing says when to stop", *PLAN)
    fails(capsys, 1, "is not a shard plan: there is no plan.json in it", "run-shard", ".", "0")
    fails(capsys, 1, "is not a shard plan", "merge", "nowhere")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.stim"]
    assert run([*PLAN, *limit]) == 0
    capsys.readouterr()
    fails(capsys, 2, "shard must be from 0 to 1, as planned, got 2", "run-shard", "plan", "2")
    fails(capsys, 2, "holds another plan", *PLAN, "--max-shots", "200")
    fails(capsys, 2, "got shards = 2 and 1 errors", *PLAN, "--max-errors", "1")
    fails(capsys, 1, f"mkdir -p '{tmp_path}/no such'", *PLAN, *limit, "--out", "no such/plan")
    for message, tokens in (
        ("x is not a whole number, such as", ["run-shard", "plan", "x"]),
        ("a range has 1000 points at most, got 1000000000", [*PLAN[:4], "--p", "1e-3:1e-2:1e9", "--shards", "2"]),
    ):
        with pytest.raises(SystemExit, match="2"):
            run(tokens)
        assert message in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_results_that_do_not_belong_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for name, shots in (("one", "20"), ("two", "30")):
        assert run([*PLAN, "--max-shots", shots, "--out", name]) == 0
        assert run(["run-shard", name, "0", "--workers", "1"]) == 0
    capsys.readouterr()
    shutil.copy("one/results/shard-00000.csv", "two/results/shard-00001.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fails(capsys, 1, "belongs to plan", "merge", "two")
        fails(capsys, 1, "belongs to plan", "merge", "two", "--partial")
