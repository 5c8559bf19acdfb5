"""CSS codes from files, as circuits and in sweeps."""

from pathlib import Path

import pytest
import stim

from quell.circuits import NoiseModel, css_memory
from quell.cli.main import run
from quell.qec.codes import CSSCode, repetition_code, write_code

from .tools import fails, run_json

STEANE = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
CODE = CSSCode(STEANE, STEANE)
CIRCUIT = ("circuit", "css", "--distance", "3")
SWEEP = ("sweep", "--code", "css", "--p", "0.002", "--max-shots", "500", "--workers", "1")


@pytest.fixture(autouse=True)
def a_folder_with_a_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_code("steane.npz", CODE)
    write_code("repetition.npz", repetition_code(3))


def test_a_file_becomes_a_circuit(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*CIRCUIT, "--file", "steane.npz", "--p", "0.001", "--basis", "X"]) == 0
    noise = NoiseModel.uniform_depolarizing(0.001)
    assert stim.Circuit(capsys.readouterr().out) == css_memory(CODE, 3, "X", noise)
    assert (
        run([*CIRCUIT, "--file", "steane.npz", "--rounds", "2", "--schedule", "separate", "--detectors", "basis"]) == 0
    )
    expected = css_memory(CODE, 2, schedule="separate", detectors="basis")
    assert stim.Circuit(capsys.readouterr().out) == expected


def test_a_file_is_swept(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ("--file", "steane.npz", "--distances", "3", "--decoders", "bp-osd", "--detectors", "basis")
    found = run_json(capsys, *SWEEP, *tokens)["results"]
    said = {"code": "css", "file": "steane.npz", "d": 3, "r": 3, "basis": "Z", "detectors": "basis"}
    assert [row["metadata"] for row in found] == [{**said, "noise": "uniform_depolarizing", "p": 0.002}]
    assert found[0]["shots"] >= 500


@pytest.mark.parametrize(
    ("tokens", "code", "message"),
    [
        (CIRCUIT, 2, "pass --file, for example --file code.npz"),
        ((*CIRCUIT, "--file", "none.npz"), 1, "none.npz"),
        ((*CIRCUIT, "--file", "repetition.npz"), 2, "repetition.npz holds a classical code"),
        ((*CIRCUIT, "--file", "steane.npz", "--order", "stim"), 2, "--order is no choice for code css"),
        ((*CIRCUIT, "--file", "steane.npz", "--schedule", "short"), 2, "Known: auto, interleaved, separate"),
        (("circuit", "--distance", "3", "--file", "steane.npz"), 2, "the code is rotated-surface: leave one out"),
        (("circuit", "--distance", "3", "--schedule", "auto"), 2, "--schedule is no choice for code rotated-surface"),
        ((*SWEEP, "--file", "steane.npz", "--distances", "3", "5"), 2, "one distance, got 3, 5"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], tokens: tuple[str, ...], code: int, message: str) -> None:
    fails(capsys, code, message, *tokens)
