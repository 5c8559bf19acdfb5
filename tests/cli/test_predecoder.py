"""`quell train-predecoder`, called as a shell calls it: what it writes, how it stops, how it goes on."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import stim

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.cli import predecoder
from quell.cli.main import run
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.predecoder.network_source import NetworkSource

from .tools import fails, run_json

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from quell.decoders.predecoder import training
from quell.decoders.predecoder.network_file import StoredNetwork

TINY = "width = 4\ndepth = 1\nvolumes = [[3, 1]]\nnum_steps = 6\nsites_per_step = 640\nseed = 3\n"
TRAIN = ["train-predecoder", "--config", "tiny.toml", "--save", "tiny.safetensors", "--device", "cpu"]
TRAIN += ["--confidence-shots", "0"]
FIGURES = predecoder._FIGURES
CHECKPOINT = Path("tiny.checkpoint.safetensors")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(predecoder, "_FIGURES", ((3, 1, 0.003), (3, 2, 0.006)))
    Path("tiny.toml").write_text(TINY)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def uninterrupted(capsys: pytest.CaptureFixture[str]) -> Any:
    """What a training says that is done in one go."""
    found = run_json(capsys, *TRAIN)
    Path("tiny.safetensors").unlink()
    return found


def test_it_trains_and_says_how_well(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predecoder, "_FIGURES", FIGURES)
    assert run(TRAIN) == 0
    output = capsys.readouterr()
    first, *figures = output.out.splitlines()
    assert first.startswith("6 steps, 120 shots, ")
    assert first.endswith(" s -> tiny.safetensors")
    assert [line.partition(":")[0] for line in figures] == [
        "d = 5, 5 rounds, p = 0.003",
        "d = 5, 5 rounds, p = 0.006",
    ]
    assert all(line.endswith("] of the prior's, on held-out shots") for line in figures)
    assert "6/6" in output.err
    assert "loss=" in output.err


def test_the_card_says_how_the_weights_were_made(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for folder in ("configs", "out"):
        Path(folder).mkdir()
    Path("tiny.toml").rename("configs/tiny.toml")
    config, save = tmp_path / "configs" / "tiny.toml", tmp_path / "out" / "tiny.safetensors"
    command = ["train-predecoder", "--config", str(config), "--save", str(save), "--confidence-shots", "50"]
    said = run_json(capsys, *command)
    assert list(Path("out").iterdir()) == [Path("out/tiny.safetensors")]
    stored = StoredNetwork.load(save)
    card = stored.card
    assert (said["finished"], said["save"], said["sha256"]) == (True, str(save), stored.sha256)
    assert {name: said[name] for name in ("steps", "shots", "loss", "seconds", "figures")} == {
        name: card[name] for name in ("steps", "shots", "loss", "seconds", "figures")
    }
    assert card["command"].startswith("quell train-predecoder --config tiny.toml --save tiny.safetensors --device auto")
    assert str(tmp_path) not in str(card)
    assert (card["steps"], card["shots"]) == (6, 6 * (640 // 32))
    assert card["config"]["volumes"] == [[3, 1]]
    assert card["config"]["seed"] == 3
    assert card["config"]["max_p"] == 0.012, "defaults are there too"
    assert card["torch"] == torch.__version__
    assert card["stim"] == stim.__version__  # type: ignore[attr-defined]
    assert 0 < card["seconds"] < 60
    assert 0.5 < card["loss"] <= 1.01
    assert card["device"]
    assert set(card["confidences"]) == {"pymatching", "pymatching-correlated", "other"}
    assert all(0.5 <= confidence <= 1 for confidence in card["confidences"].values())
    assert NetworkSource(save).confidence_before("pymatching") == card["confidences"]["pymatching"]
    assert [(row["distance"], row["rounds"], row["p"]) for row in card["figures"]] == [(3, 1, 0.003), (3, 2, 0.006)]
    for row in card["figures"]:
        low, high = row["interval"]
        assert low <= row["relative_cross_entropy"] <= high < 1.2
        assert row["shots"] == 6 * 1024


def test_the_weights_can_be_used(capsys: pytest.CaptureFixture[str], uninterrupted: Any) -> None:
    said = run_json(capsys, *TRAIN)
    assert {**said, "seconds": 0} == {**uninterrupted, "seconds": 0}, "the same config trains the same"
    source = NetworkSource("tiny.safetensors")
    assert source.settings_id() == f"network weights sha256={said['sha256']}"
    circuit = rotated_surface_memory(3, 2, "X", NoiseModel.si1000(0.002))
    dem = circuit.detector_error_model(decompose_errors=True)
    graph = EdgeGraph.of(dem)
    compiled = source.compile(graph, dem.get_detector_coordinates(), np.arange(graph.num_edges), device="cpu")
    events = circuit.compile_detector_sampler(seed=1).sample(10, bit_packed=True)
    assert compiled.log_odds(events).shape == (10, graph.num_edges)  # type: ignore[arg-type]


@pytest.mark.parametrize("checkpoint", [None, "elsewhere/a.safetensors"])
def test_it_stops_after_its_time_and_goes_on(
    capsys: pytest.CaptureFixture[str], uninterrupted: Any, checkpoint: str | None
) -> None:
    Path("elsewhere").mkdir()
    tokens = TRAIN if checkpoint is None else [*TRAIN, "--checkpoint", checkpoint]
    path = CHECKPOINT if checkpoint is None else Path(checkpoint)
    for step in range(1, 4):
        said = run_json(capsys, *tokens, "--max-time", "0.001s")
        assert (said["finished"], said["steps"], said["num_steps"]) == (False, step, 6)
        assert said["checkpoint"] == str(path)
        assert path.exists()
        assert not Path("tiny.safetensors").exists()
    assert run([*tokens, "--max-time", "0.001s"]) == 0
    output = capsys.readouterr()
    assert output.out == f"the time is up after 4 of 6 steps: run the same command to go on from {path}\n"
    said = run_json(capsys, *tokens, "--max-time", "1h")
    assert {**said, "seconds": 0, "loss": 0} == {**uninterrupted, "seconds": 0, "loss": 0}
    assert Path("tiny.safetensors").exists()
    assert not path.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_the_checkpoint_and_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, uninterrupted: Any, number: int
) -> None:
    step = training.Trainer._one_step
    with monkeypatch.context() as patched:

        def interrupted(self: training.Trainer) -> torch.Tensor:
            if self.progress.step == 2:
                os.kill(os.getpid(), number)
            return step(self)

        patched.setattr(training.Trainer, "_one_step", interrupted)
        assert run(TRAIN) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert f"quell: what was trained is in {CHECKPOINT}" in output.err
    assert "run the same command to go on" in output.err
    assert not Path("tiny.safetensors").exists()
    said = run_json(capsys, *TRAIN, "--max-time", "0.001s")
    assert said["steps"] == 4, "the step that was under way counts"
    said = run_json(capsys, *TRAIN)
    assert said["sha256"] == uninterrupted["sha256"]


def test_an_end_that_failed_is_made_up_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(StoredNetwork, "save", full)
        assert run(TRAIN) == 1
    assert CHECKPOINT.exists()
    said = run_json(capsys, *TRAIN)
    assert (said["finished"], said["steps"], said["loss"]) == (True, 6, None)
    assert not CHECKPOINT.exists()


def test_a_checkpoint_of_another_config_is_kept_and_refused(capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, *TRAIN, "--max-time", "0.001s")
    before = CHECKPOINT.read_bytes()
    Path("tiny.toml").write_text(TINY.replace("num_steps = 6", "num_steps = 7"))
    fails(capsys, 1, f"{CHECKPOINT} is a checkpoint of another config", *TRAIN)
    assert CHECKPOINT.read_bytes() == before
    CHECKPOINT.write_bytes(before[:-5])
    fails(capsys, 1, f"{CHECKPOINT} is no safetensors file, or is damaged", *TRAIN)
    CHECKPOINT.unlink()
    assert run_json(capsys, *TRAIN)["steps"] == 7


def test_a_teacher_is_named_without_its_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    Path("teachers").mkdir()
    run_json(capsys, *TRAIN)
    Path("tiny.safetensors").rename("teachers/large.safetensors")
    Path("tiny.toml").write_text(TINY + f"teacher = '{tmp_path / 'teachers' / 'large.safetensors'}'\n")
    run_json(capsys, *TRAIN)
    assert StoredNetwork.load("tiny.safetensors").card["config"]["teacher"] == "large.safetensors"


def test_a_training_that_diverges_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Path("tiny.toml").write_text(TINY + "learning_rate = 1e30\nmuon_learning_rate = 1e30\n")
    fails(capsys, 2, "the training has diverged, and its weights are no numbers: lower learning_rate", *TRAIN)
    assert not Path("tiny.safetensors").exists()


@pytest.mark.parametrize("precision", ["mixed", "single"])
def test_the_precision_is_in_the_card(capsys: pytest.CaptureFixture[str], precision: str) -> None:
    run_json(capsys, *TRAIN, "--precision", precision)
    card = StoredNetwork.load("tiny.safetensors").card
    assert card["precision"] == precision
    assert card["command"].endswith(f"--device cpu --precision {precision}")


@pytest.mark.parametrize(
    ("tokens", "code", "message"),
    [
        (["--save", "tiny.pt"], 2, "--save must name a file that ends in .safetensors, got tiny.pt"),
        (["--save", "."], 2, "--save must name a file that ends in .safetensors, got ."),
        (["--save", "no/tiny.safetensors"], 1, "cannot write no/tiny.safetensors: there is no folder no"),
        (["--checkpoint", "a.ckpt"], 2, "--checkpoint must name a file that ends in .safetensors, got a.ckpt"),
        (["--checkpoint", "tiny.safetensors"], 2, "--checkpoint and --save must be two files, got tiny.safetensors"),
        (["--config", "none.toml"], 1, "cannot read none.toml: No such file"),
        (["--config", "bad.toml"], 2, "bad.toml has the setting 'widht', which there is not"),
        (["--device", "gpu"], 2, "device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'gpu'"),
        (["--device", "cuda:99"], 2, "device 'cuda:99' was asked for, and "),
        (["--precision", "singel"], 2, "unknown precision 'singel': did you mean 'single'? Known: mixed, single"),
    ],
)
def test_what_goes_wrong_is_said(
    capsys: pytest.CaptureFixture[str], tokens: list[str], code: int, message: str
) -> None:
    Path("bad.toml").write_text("widht = 3\n")
    given = dict(zip(TRAIN[1::2], TRAIN[2::2], strict=True)) | {tokens[0]: tokens[1]}
    fails(capsys, code, message, TRAIN[0], *(token for pair in given.items() for token in pair))
    assert {path.name for path in Path().iterdir()} == {"tiny.toml", "bad.toml"}


@pytest.mark.parametrize("module", ["torch", "safetensors"])
def test_what_is_not_installed_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    fails(capsys, 1, f"{module} is not installed: this needs pip install 'quell[predecoder]'", *TRAIN)
