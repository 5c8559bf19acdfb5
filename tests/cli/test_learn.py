"""`quell learn`, called as a shell calls it: what it prints, what it writes, how it goes on."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pymatching
import pytest
import stim

from quell.cli.main import run
from quell.decoders.noise_learning.learn import learn_detector_error_model
from quell.decoders.noise_learning.learner import NoiseLearner

from .tools import fails, run_json

pytest.importorskip("numba")

NUMBER = r"\d(?:\.\d+)?(?:e-\d+)?"
ROW = re.compile(rf"\d+  +(D\d+ ?)+  +{NUMBER}  +{NUMBER} \[{NUMBER}, {NUMBER}\]")
LEARN = ["learn", "events.b8", "--structure", "circuit.stim", "--out", "learned.dem"]


def circuit(p: float) -> stim.Circuit:
    return stim.Circuit.generated(
        "repetition_code:memory",
        distance=3,
        rounds=4,
        before_measure_flip_probability=p,
        before_round_data_depolarization=p,
    )


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    circuit(0.001).to_file("circuit.stim")
    circuit(0.001).detector_error_model(decompose_errors=True).to_file("circuit.dem")
    write("events.b8", seed=1)


def write(path: str, seed: int, p: float = 0.03, shots: int = 20_000, **options: Any) -> None:
    sampler = circuit(p).compile_detector_sampler(seed=seed)
    sampler.sample_write(shots, filepath=path, format=path.split(".")[-1], **options)  # type: ignore[arg-type]  # Stim's


def test_it_writes_a_model_and_prints_each_number_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(LEARN) == 0
    head, empty, columns, *rows = capsys.readouterr().out.splitlines()
    assert (head, empty) == ("closed-form, from 20,000 shots", "")
    assert columns.split()[:4] == ["errors", "such", "as", "structure"]
    assert rows[-2:] == ["", "-> learned.dem"]
    assert len(rows) == 5
    assert all(ROW.fullmatch(row) for row in rows[:-2])
    learned = stim.DetectorErrorModel.from_file("learned.dem")
    data = np.fromfile("events.b8", dtype=np.uint8).reshape(20_000, -1)
    assert learned == learn_detector_error_model(data, circuit(0.001), bit_packed=True)
    wanted = circuit(0.03).detector_error_model(decompose_errors=True).flattened()
    assert learned.approx_equals(wanted, atol=0.009)  # six standard deviations of each, pooled or not
    assert pymatching.Matching.from_detector_error_model(learned).num_detectors == wanted.num_detectors


def test_json_has_every_error_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, *LEARN)
    learned = stim.DetectorErrorModel.from_file("learned.dem")
    assert (found["out"], found["state"], found["method"], found["shots"]) == (
        "learned.dem",
        None,
        "closed-form",
        20_000,
    )
    assert [error["probability"] for error in found["errors"]] == [
        learned[i].args_copy()[0] for i in range(len(learned)) if learned[i].type == "error"
    ]
    for error in found["errors"]:
        assert error["interval"][0] < error["probability"] < error["interval"][1]
        assert 0.0005 < error["structure"] < 0.0015
    assert sum(one["size"] for one in found["classes"]) == len(found["errors"])
    assert found["silent_detectors"] == []


def test_models_and_files_of_all_kinds_are_taken(capsys: pytest.CaptureFixture[str]) -> None:
    from_circuit = run_json(capsys, *LEARN)
    Path("learned.dem").unlink()
    from_model = run_json(capsys, "learn", "events.b8", "--structure", "circuit.dem", "-o", "learned.dem")
    assert from_model == from_circuit
    sampler = circuit(0.03).compile_detector_sampler(seed=2)
    data = sampler.sample(3_000)
    for kind in ("01", "dets", "hits", "r8"):
        stim.write_shot_data_file(data=data, path=f"e.{kind}", format=kind, num_detectors=data.shape[1])  # type: ignore[arg-type]  # Stim's
    options = ["--structure", "circuit.stim", "--out", "learned.dem", "--classes", "none"]
    together = run_json(capsys, "learn", "e.01", "e.dets", "e.hits", "e.r8", *options)
    assert (together["shots"], together["classes"]) == (12_000, [])
    write("observables.b8", seed=1, append_observables=True)
    assert run_json(capsys, "learn", "observables.b8", *LEARN[2:], "--appended-observables", "1") == from_circuit
    likely = run_json(capsys, *LEARN, "--method", "likelihood")
    assert likely["method"] == "likelihood"
    for one, other in zip(from_circuit["errors"], likely["errors"], strict=True):
        assert one["interval"][0] < other["probability"] < one["interval"][1]


def test_it_goes_on_from_a_state(capsys: pytest.CaptureFixture[str]) -> None:
    write("more.b8", seed=3)
    at_once = run_json(capsys, "learn", "events.b8", "more.b8", *LEARN[2:], "--state", "one.npz", "--memory", "1e4")
    run_json(capsys, *LEARN, "--state", "two.npz", "--memory", "1e4")
    options = ["--out", "learned.dem", "--state", "two.npz"]
    assert run_json(capsys, "learn", "more.b8", *options) == {**at_once, "state": "two.npz"}
    assert Path("one.npz").read_bytes() == Path("two.npz").read_bytes()
    assert at_once["shots"] == 40_000
    assert at_once["effective_shots"] < 30_000
    # What is there can be printed again without more shots.
    assert run_json(capsys, "learn", *options) == {**at_once, "state": "two.npz"}
    assert run(["learn", *options]) == 0
    assert re.match("closed-form, from 40,000 shots, as good as [0-9,]+ that all count\n", capsys.readouterr().out)


def test_a_state_is_refused_under_other_settings_and_stays_when_something_fails(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run_json(capsys, *LEARN, "--state", "state.npz")
    before = Path("state.npz").read_bytes(), Path("learned.dem").read_bytes()
    for option, value, was in (
        ("--method", "likelihood", "method closed-form"),
        ("--classes", "none", "classes translation"),
        ("--memory", "5000", "memory None"),
    ):
        fails(capsys, 2, f"state.npz was made with {was}, got {option} {value}",
              *LEARN, "--state", "state.npz", option, value)  # fmt: skip
    circuit(0.002).to_file("other.stim")
    fails(capsys, 2, "state.npz was made with another structure than other.stim", "learn", "events.b8", "--structure",
          "other.stim", "--out", "learned.dem", "--state", "state.npz")  # fmt: skip
    Path("cut.b8").write_bytes(Path("events.b8").read_bytes()[:-1])
    write("more.b8", seed=3)
    fails(capsys, 1, "it is cut off", "learn", "more.b8", "cut.b8", *LEARN[2:], "--state", "state.npz")
    assert (Path("state.npz").read_bytes(), Path("learned.dem").read_bytes()) == before
    Path("state.npz").write_bytes(before[0][:-9])
    fails(capsys, 1, "state.npz is no whole state of a NoiseLearner", *LEARN, "--state", "state.npz")


@pytest.mark.parametrize(
    ("tokens", "code", "message"),
    [
        (["learn", "--structure", "circuit.stim", "--out", "a.dem"], 2, "nothing to learn from: name files"),
        (["learn", "events.b8", "--out", "a.dem"], 2, "pass --structure"),
        (["learn", "events.b8", "--out", "a.txt"], 2, "--out must name a file that ends in .dem, got a.txt"),
        (["learn", "events.b8", "--out", "no/a.dem"], 1, "there is no folder no"),
        ([*LEARN, "--state", "a.json"], 2, "--state must name a file that ends in .npz, got a.json"),
        ([*LEARN, "--method", "likelyhood"], 2, "unknown method 'likelyhood': did you mean 'likelihood'"),
        (
            ["learn", "events.b8", "--structure", "circuit.dem", "--out", "a.dem", "--method", "pauli25"],
            2,
            "a stim.Circuit",
        ),
        ([*LEARN, "--memory", "10"], 2, "memory must be a half-life of 1000 shots or more"),
        ([*LEARN, "--memory", "0"], 2, "got 0; to forget nothing, leave --memory out"),
        (["learn", "events.b8", "./events.b8", *LEARN[2:]], 2, "have the same content: its shots would count twice"),
        (["learn", "events.csv", *LEARN[2:]], 2, "got events.csv"),
        (["learn", "none.b8", *LEARN[2:]], 1, "cannot read none.b8: No such file"),
        (["learn", "events.b8", "--structure", "none.stim", "--out", "a.dem"], 1, "cannot read none.stim"),
        (["learn", "events.b8", "--structure", "bad.stim", "--out", "a.dem"], 1, "bad.stim is no circuit: "),
        (["learn", "events.b8", "--structure", "bad.dem", "--out", "a.dem"], 1, "bad.dem is no detector error model: "),
        (["learn", "events.b8", "--structure", "bytes.dem", "--out", "a.dem"], 1, "bytes.dem is no text file"),
        (["learn", "events.b8", "--structure", "events.b8", "--out", "a.dem"], 2, "a circuit (.stim) or a detector"),
        (["learn", "zeros.b8", *LEARN[2:]], 2, "no detector fired in any of 2,000 shots"),
        (
            ["learn", "ones.b8", *LEARN[2:]],
            2,
            "D0, D1, D2, D3, D4, D5, D6, D7, …) fired in about half of the 2,000 shots or more",
        ),
    ],
)
def test_what_goes_wrong_is_said(
    capsys: pytest.CaptureFixture[str], tokens: list[str], code: int, message: str
) -> None:
    Path("bad.stim").write_text("NO_GATE 3\n")
    Path("bad.dem").write_text("mistake(0.1) D0\n")
    Path("bytes.dem").write_bytes(b"\xff\xfe")
    Path("zeros.b8").write_bytes(bytes(4_000))
    Path("ones.b8").write_bytes(b"\xff\x03" * 2_000)
    fails(capsys, code, message, *tokens)
    assert not list(Path().glob("*a.*"))
    assert not Path("learned.dem").exists()


def test_detectors_that_never_fire_are_in_the_notes(capsys: pytest.CaptureFixture[str]) -> None:
    data = circuit(0.03).compile_detector_sampler(seed=4).sample(2_000)
    data[:, 3] = False
    stim.write_shot_data_file(data=data, path="events.b8", format="b8", num_detectors=data.shape[1])
    assert run(LEARN) == 0
    output = capsys.readouterr()
    assert "D3 never fired: what flips them has upper limits alone" in output.out
    assert output.err == ""


def files() -> tuple[bytes, bytes]:
    return Path("state.npz").read_bytes(), Path("learned.dem").read_bytes()


def test_events_that_a_state_has_are_not_taken_up_again(capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, *LEARN, "--state", "state.npz")
    before = files()
    Path("copy.b8").write_bytes(Path("events.b8").read_bytes())
    fails(capsys, 2, "copy.b8 was taken up before", "learn", "copy.b8", *LEARN[2:], "--state", "state.npz")
    assert files() == before
    assert run_json(capsys, *LEARN, "--state", "state.npz", "--again")["shots"] == 40_000


def meanwhile(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Has something happen once a learner has taken shots up."""
    update = NoiseLearner.update

    def and_then(learner: NoiseLearner, *args: Any, **options: Any) -> None:
        update(learner, *args, **options)
        monkeypatch.setattr(NoiseLearner, "update", update)
        do()

    monkeypatch.setattr(NoiseLearner, "update", and_then)


@pytest.mark.parametrize("there", [True, False])
def test_a_state_that_another_process_changed_is_not_overwritten(
    there: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("more.b8", seed=5)
    write("most.b8", seed=6)
    if there:
        run_json(capsys, *LEARN, "--state", "state.npz")
    more = ["learn", "more.b8", *LEARN[2:], "--state", "state.npz"]
    most = ["learn", "most.b8", *LEARN[2:-1], "other.dem", "--state", "state.npz"]
    meanwhile(monkeypatch, lambda: run_json(capsys, *more))
    fails(capsys, 1, "state.npz was changed by another process since it was read, and nothing was written", *most)
    assert not Path("other.dem").exists()
    assert run_json(capsys, *most)["shots"] == 20_000 * (2 + there)


def quell(*tokens: str, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from quell.cli.main import main; main()", *tokens]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_a_result_that_cannot_be_printed_is_not_saved(capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, *LEARN, "--state", "state.npz")
    before = files()
    write("more.b8", seed=5)
    for option in ([], ["--json"]):
        with open("/dev/full", "w") as full:
            done = quell("learn", "more.b8", *LEARN[2:], "--state", "state.npz", *option, stdout=full)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert done.stderr.startswith("quell: cannot print the result: No space left on device; nothing was written")
        assert files() == before


def test_a_reader_that_has_seen_enough_does_not_stop_the_saving() -> None:
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as reader:
        reader.wait()
        done = quell(*LEARN, "--state", "state.npz", stdout=reader.stdin)
    assert (done.returncode, done.stderr) == (0, "")
    assert NoiseLearner.load("state.npz").num_shots == 20_000
    assert stim.DetectorErrorModel.from_file("learned.dem").num_errors > 0


def test_ctrl_c_says_whether_the_events_are_in_the_state(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted(message: str) -> None:
        meanwhile(monkeypatch, interrupt)
        fails(capsys, 1, message, "learn", "more.b8", *LEARN[2:], "--state", "state.npz")

    write("more.b8", seed=5)
    interrupted("interrupted: there is no state.npz yet, run the same command again")
    run_json(capsys, *LEARN, "--state", "state.npz")
    interrupted("state.npz has 20,000 shots, these events are not among them; run the same command again")
    save = NoiseLearner.save

    def saved_and_interrupted(learner: NoiseLearner, path: Path) -> None:
        save(learner, path)
        raise KeyboardInterrupt

    monkeypatch.setattr(NoiseLearner, "save", saved_and_interrupted)
    assert run(["learn", "more.b8", *LEARN[2:], "--state", "state.npz"]) == 1
    error = capsys.readouterr().err
    assert "state.npz has 40,000 shots, these events among them; to print what was learned" in error
