"""Rare events from a shell: what `quell rare` prints and saves, who else reads it, and how it ends."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import sinter

from quell import circuits
from quell.cli.main import run
from quell.qec import Estimate, RareEstimate, read_rare_estimates, write_rare_estimates

from .tools import fails, run_json

RARE = ["rare", "--distances", "3", "5", "--p", "1e-4:1e-3:3", "--target-relative-error", "0.3", "--seed", "1",
        "--workers", "1"]  # fmt: skip


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_curve_and_what_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, *RARE, "--save", "rare.csv", "--plot", "rare.png")["results"]
    assert [(row["d"], row["p"], row["method"]) for row in found] == [
        (d, p, "strata") for p in (1e-4, 0.000316228, 1e-3) for d in (3, 5)
    ]
    assert found[0]["metadata"] == {
        "basis": "Z", "code": "rotated-surface", "d": 3, "noise": "uniform_depolarizing", "p": 1e-4, "r": 3,
    }  # fmt: skip
    # Both faults of d = 3 that fail together are counted out: 1.7e-5 is 1696 p^2. A factor of 2 holds the rest of all.
    assert all(0.5 < row["error_rate"]["value"] / (1696 * row["p"] ** 2) < 2 for row in found if row["d"] == 3)
    assert all(row["error_rate"]["interval"][0] > 0 and "detector error model" in row["assumes"] for row in found)
    assert Path("rare.png").read_bytes().startswith(b"\x89PNG")
    assert len(read_rare_estimates("rare.csv")) == 6
    # Again: nothing is drawn, and the file stays.
    before = Path("rare.csv").read_bytes()
    assert run_json(capsys, *RARE, "--save", "rare.csv")["results"] == found
    assert Path("rare.csv").read_bytes() == before
    assert run_json(capsys, "table", "rare.csv")["results"] == found
    chosen = run_json(capsys, "table", "rare.csv", "--where", "method=strata", "d=5", "p=1e-4")["results"]
    assert [(row["d"], row["p"]) for row in chosen] == [(5, 1e-4)]
    fits = run_json(capsys, "lambda", "rare.csv", "--plot", "lambda.png")["fits"]
    assert [fit["p"] for fit in fits] == [1e-4, 0.000316228, 1e-3]
    assert all(fit["interval"][0] < fit["lambda"] < fit["interval"][1] for fit in fits)
    assert Path("lambda.png").exists()
    assert run(["table", "rare.csv"]) == 0
    text = capsys.readouterr().out
    assert "error rate per shot (95 %)" in text
    assert "assumed:\n  the detector error model stands for the circuit" in text


def test_with_the_points_of_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["sweep", "--distances", "3", "--p", "1e-3:4e-3:2", "--max-shots", "2000", "--workers", "1"]
    swept = run_json(capsys, *tokens, "--save", "sweep.csv")["results"]
    assert [row["p"] for row in swept] == [0.001, 0.004]
    rare = ["rare", "--distances", "3", "--p", "1e-3", "--workers", "1", "--plot", "both.png"]
    assert run([*rare, "--sampled", "sweep.csv", "--own-runs"]) == 0
    assert Path("both.png").exists()
    capsys.readouterr()
    fails(capsys, 2, "--sampled is for the plot", *rare[:-2], "--sampled", "sweep.csv")
    assert run([*rare, "--save", "rare.csv"]) == 0
    capsys.readouterr()
    fails(capsys, 2, "cannot be mixed: rare.csv holds rare events", "table", "sweep.csv", "rare.csv")
    fails(capsys, 2, "far below the threshold", "threshold", "rare.csv")
    fails(capsys, 2, "leave out --confidence", "table", "rare.csv", "--confidence", "0.9")
    fails(capsys, 1, "two distances or more, got 1 of 1", "lambda", "rare.csv")
    fails(
        capsys, 2, "no row has method=splitting: method is strata", "table", "rare.csv", "--where", "method=splitting"
    )
    fails(capsys, 1, "sweep.csv is no table of rare-event results", *rare, "--save", "sweep.csv")
    lines = Path("rare.csv").read_text().splitlines()
    Path("rare.csv").write_text("\n".join([lines[0], lines[1][:60]]))
    fails(capsys, 1, "rare.csv, line 2: the file is cut off", "table", "rare.csv")


def test_circuits_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    for d, p in ((3, 0.001), (3, 0.0005)):
        noise = circuits.NoiseModel.si1000(p)
        circuits.rotated_surface_memory(d, rounds=2, noise=noise).to_file(f"d={d},p={p},r=2.stim")
    files = sorted(str(path) for path in Path().glob("*.stim"))
    tokens = ["rare", *files, "--decoders", "pymatching", "pymatching-correlated", "--workers", "1"]
    found = run_json(capsys, *tokens, "--target-relative-error", "0.5", "--plot", "two.png")["results"]
    assert [(row["decoder"], row["p"]) for row in found] == [
        (name, p) for name in ("pymatching", "pymatching-correlated") for p in (0.0005, 0.001)
    ]
    Path(files[0]).rename("mine.stim")
    fails(capsys, 2, "mine.stim does not say them", "rare", "mine.stim", "--plot", "no.png")
    fails(capsys, 2, "files of circuits are taken as they are", "rare", "mine.stim", "--p", "1e-3")
    rows = run_json(capsys, "rare", "mine.stim", "--workers", "1", "--target-relative-error", "0.5")["results"]
    assert rows[0]["metadata"] == {"path": "mine.stim"}


def test_rows_without_an_interval_end_with_1_and_say_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = RareEstimate("a", "pymatching", {"d": 3, "p": 1e-4, "r": 3}, "strata", Estimate(1.7e-5, 1.6e-5, 1.8e-5))
    reason = "the chains have not mixed: let it run on"
    bad = RareEstimate("b", "pymatching", {"d": 9, "p": 1e-4, "r": 9}, "splitting", Estimate(1e-13, 0.0, 1.0),
                       trusted=False, reason=reason)  # fmt: skip
    given: dict[str, Any] = {}

    def stand_in(tasks: list[sinter.Task], decoders: list[str], **options: Any) -> list[RareEstimate]:
        given.update(options, tasks=tasks, decoders=decoders)
        return [good, bad]

    monkeypatch.setattr("quell.cli.rare.rare_error_rates", stand_in)
    tokens = ["rare", "--distances", "3", "9", "--p", "1e-4", "--time", "1.5m", "--num-workers", "2", "--method",
              "splitting", "--plot", "rare.png", "--own-runs", "--basis", "x"]  # fmt: skip
    assert run([*tokens, "--save", "rare.csv"]) == 1
    output = capsys.readouterr()
    assert "1 of 2 error rates have no interval: run the same command to go on" in output.err
    assert "no interval (1)" in output.out
    assert f"(1) {reason}" in output.out
    assert Path("rare.png").exists()
    assert (given["max_seconds"], given["num_workers"], given["method"]) == (90.0, 2, "splitting")
    assert (given["one_run"], given["seed"], given["target_relative_error"]) == (False, None, 0.1)
    assert [task.json_metadata["basis"] for task in given["tasks"]] == ["X", "X"]
    assert run([*tokens, "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)["results"]
    assert [row["trusted"] for row in rows] == [True, False]
    # What is in a file is shown as it is; there it is no failure of the command.
    write_rare_estimates("rare.csv", [good, bad])
    assert run(["table", "rare.csv"]) == 0
    assert "no interval (1)" in capsys.readouterr().out
    # Of two methods the one with an interval is shown, unless the other is asked for.
    by_strata = dataclasses.replace(
        bad, method="strata", error_rate=Estimate(1e-13, 1e-14, 1e-9), trusted=True, reason=""
    )
    write_rare_estimates("rare.csv", [by_strata])
    assert [row["method"] for row in run_json(capsys, "table", "rare.csv")["results"]] == ["strata", "strata"]
    rows = run_json(capsys, "table", "rare.csv", "--where", "method=splitting")["results"]
    assert [(row["strong_id"], row["trusted"]) for row in rows] == [("b", False)]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([], "nothing to estimate: pass --distances and --p"),
        (["--distances", "3", "--p", "1e-3", "--method", "both"], "unknown method 'both'. Known: auto, splitting"),
        (["--distances", "3", "--p", "1e-3", "--target-relative-error", "9"], "must be between 0 and 2, got 9"),
        (["--distances", "3", "--p", "1e-3", "--seed", "-1"], "seed must be an integer >= 0"),
        (["--distances", "3", "--p", "1e-2"], "plain sampling is the tool"),
        (["--distances", "4", "--p", "1e-3"], "distance must be odd"),
        (["--distances", "3", "--p", "1e-3", "--decoders", "none"], "unknown decoder"),
        (["none.stim"], "cannot read a circuit from none.stim"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], tokens: list[str], message: str) -> None:
    fails(capsys, 2, message, "rare", *tokens, "--workers", "1")
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--p", "1e-3:1e-4", "a range goes up, from a rate > 0 to one <= 1, got 1e-3:1e-4"),
        ("--p", "0:1e-4", "a range goes up, from a rate > 0"),
        ("--p", "1e-4:nan", "a range goes up, from a rate > 0"),
        ("--p", "1e-4:1e-3:1", "a range has 2 points or more, got 1 in 1e-4:1e-3:1"),
        ("--p", "1e-4:1e-3:2.5", "2.5 is not a whole number"),
        ("--p", "1e-4:1e-3:5:7", "a range is LOW:HIGH or LOW:HIGH:POINTS, for example"),
        ("--p", "1e-4:", "a rate is a number, or a range such as 1e-4:1e-3, got nothing"),
        ("--p", "small", "a rate is a number, or a range such as 1e-4:1e-3, got small"),
        ("--p", "1e-3:1.00001e-3:500", "500 points are too many for a range as narrow"),
        ("--time", "10x", "such as 90s, 10m or 2h, got '10x'"),
        ("--time", "0", "such as 90s, 10m or 2h, got '0'"),
        ("--time", "infh", "such as 90s, 10m or 2h, got 'infh'"),
    ],
)
def test_bad_ranges_and_times(capsys: pytest.CaptureFixture[str], option: str, value: str, message: str) -> None:
    options = {"--distances": "3", "--p": "1e-3", option: value}
    with pytest.raises(SystemExit) as end:
        run(["rare", *(word for pair in options.items() for word in pair)])
    assert end.value.code == 2
    assert message in " ".join(capsys.readouterr().err.replace("│", "").split())


def test_ranges_are_geometric_and_may_touch(capsys: pytest.CaptureFixture[str]) -> None:
    def rates(*texts: str) -> list[float]:
        tokens = [
            "plan",
            "--distances",
            "3",
            "--shards",
            "1",
            "--max-shots",
            "1",
            "--out",
            " ".join(texts),
            "--p",
            *texts,
        ]
        return [task["metadata"]["p"] for task in run_json(capsys, *tokens)["tasks"]]

    assert rates("1e-4:1e-3") == [1e-4, 0.000177828, 0.000316228, 0.000562341, 1e-3]
    assert rates("0.01", "0.001:0.004:3", "4e-3:8e-3:2") == [0.01, 0.001, 0.002, 0.004, 0.008]
    assert rates("0.1", "0.2") == [0.1, 0.2]
    fails(capsys, 2, "twice", "sweep", "--distances", "3", "--p", "0.1", "0.1", "--max-shots", "9")


def test_ctrl_c_keeps_what_was_found() -> None:
    tokens = ["rare", "--distances", "5", "--p", "1e-3", "--method", "strata", "--target-relative-error", "1e-4",
              "--workers", "1", "--save", "rare.csv"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "quell", *tokens], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        while not (Path("rare.csv").exists() and read_rare_estimates("rare.csv")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "run the same command to go on" in errors
    assert "Traceback" not in errors
    [row] = read_rare_estimates("rare.csv")
    assert row.shots > 0
    assert row.error_rate.low > 0
    # On from there, with a target that is reached by now.
    tokens[tokens.index("1e-4")] = "0.3"
    assert run(tokens) == 0
    assert read_rare_estimates("rare.csv")[0].shots >= row.shots
