"""`quell sweep` with quell's own decoders, and where they run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sinter

from quell.cli.main import run
from quell.decoders import sinter_decoders
from quell.qec.sweeps.identity import name_with_settings

from .tools import fails, run_json

torch = pytest.importorskip("torch")

SWEEP = ["sweep", "--distances", "3", "--p", "0.01", "--max-shots", "400", "--workers", "1", "--decoders"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_pre_decoder_is_swept_on_the_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["predecoder", "pymatching", "--device", "cpu", "--save", "sweep.csv"]
    found = run_json(capsys, *SWEEP, *options)["results"]
    assert [row["shots"] for row in found] == [400, 400]
    stats = sinter.read_stats_from_csv_files("sweep.csv")
    name = name_with_settings("predecoder", sinter_decoders()["predecoder"])
    assert re.fullmatch(r"predecoder@[0-9a-f]{12}", name)
    # Where it ran is no part of the name: the same file goes on without the option.
    assert {stat.decoder for stat in stats} == {name, "pymatching"}
    assert run_json(capsys, *SWEEP, "predecoder", "--save", "sweep.csv")["results"][0]["shots"] == 400
    assert sum(stat.shots for stat in sinter.read_stats_from_csv_files("sweep.csv")) == 800


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("mps", "device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'mps'"),
        ("nonsense", "device must be 'auto', 'cpu', 'cuda' or 'cuda:0', …, got 'nonsense'"),
        ("cuda:x", "got 'cuda:x'"),
    ],
)
def test_devices_that_no_machine_has_are_refused(capsys: pytest.CaptureFixture[str], device: str, message: str) -> None:
    fails(capsys, 2, message, *SWEEP, "predecoder", "--device", device, "--save", "sweep.csv")
    assert not Path("sweep.csv").exists()


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = f"device {device!r} was asked for, and torch {torch.__version__} sees no CUDA device: pass device='cpu'"
    fails(capsys, 2, message, *SWEEP, "predecoder", "--device", device, "--save", "sweep.csv")
    assert not Path("sweep.csv").exists()


def test_names_that_are_nearly_right(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 2, "did you mean 'predecoder'?", *SWEEP, "predecodr")


def test_the_help_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "predecoder" in text
    assert "--device" in text
