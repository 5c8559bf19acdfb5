"""The command line, called as a shell calls it: what it prints, what it writes, how it ends."""

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
import stim

from quell import circuits
from quell.cli.main import run
from quell.qec import read_stats, sample_scaling_law

from .tools import fails, run_json

SWEEP = ["sweep", "--distances", "3", "5", "--p", "0.01", "0.02", "--max-shots", "2000", "--workers", "1"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def scaling_csv(tmp_path: Path) -> Path:
    rows = sample_scaling_law(
        threshold=0.1,
        nu=1.5,
        coefficients=(0.15, 1.0, 0.5),
        distances=[5, 7, 9, 11],
        ps=[0.09, 0.095, 0.1, 0.105, 0.11],
        shots=200_000,
        seed=3,
    )
    path = tmp_path / "law.csv"
    path.write_text("\n".join([sinter.CSV_HEADER, *(row.to_csv_line() for row in rows)]) + "\n")
    return path


def intervals_stand_with_values(value: Any) -> bool:
    """Whether every `value` has its `interval` beside it, everywhere in a JSON value."""
    if isinstance(value, dict):
        numbers = {"value", "threshold", "lambda"} & {key for key in value if not isinstance(value[key], dict)}
        return bool(numbers) == ("interval" in value) and all(map(intervals_stand_with_values, value.values()))
    return all(map(intervals_stand_with_values, value)) if isinstance(value, list) else True


def test_sweep_saves_sinters_csv_and_goes_on_from_it(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, *SWEEP, "--decoders", "pymatching", "pymatching-correlated", "--save", "sweep.csv")
    assert len(found["results"]) == 8
    assert intervals_stand_with_values(found)
    stats = sinter.read_stats_from_csv_files("sweep.csv")
    assert {stat.shots for stat in stats} == {2000}
    assert {stat.decoder for stat in stats} == {"pymatching", "pymatching-correlated"}
    metadata = {"basis": "Z", "code": "rotated-surface", "d": 3, "noise": "uniform_depolarizing", "p": 0.01, "r": 3}
    assert metadata in [stat.json_metadata for stat in stats]
    size = Path("sweep.csv").stat().st_size
    again = run_json(capsys, *SWEEP, "--decoders", "pymatching", "pymatching-correlated", "--save", "sweep.csv")
    assert Path("sweep.csv").stat().st_size == size
    assert [row["errors"] for row in again["results"]] == [row["errors"] for row in found["results"]]


def test_sweep_samples_the_circuit_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    run_json(capsys, *SWEEP, "--noise", "si1000", "--basis", "x", "--rounds", "2", "--save", "sweep.csv")
    model = circuits.NoiseModel.si1000(0.02)
    circuit = circuits.rotated_surface_memory(5, rounds=2, basis="X", noise=model)
    task = sinter.Task(
        circuit=circuit,
        decoder="pymatching",
        detector_error_model=circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True),
        json_metadata={"basis": "X", "code": "rotated-surface", "d": 5, "noise": "si1000", "p": 0.02, "r": 2},
    )
    assert task.strong_id() in {stat.strong_id for stat in read_stats("sweep.csv")}


def test_code_capacity_takes_one_round_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, *SWEEP, "--noise", "code_capacity")
    assert {row["rounds"] for row in found["results"]} == {1}


def test_sweep_takes_decoders_of_the_users_own(capsys: pytest.CaptureFixture[str]) -> None:
    Path("my_decoders_xyz.py").write_text(
        "import sinter\n"
        "class Mine(sinter.Decoder):\n"
        "    def compile_decoder_for_dem(self, *, dem):\n"
        "        return sinter.BUILT_IN_DECODERS['pymatching'].compile_decoder_for_dem(dem=dem)\n"
        "def decoders():\n"
        "    return {'mine': Mine()}\n"
    )
    found = run_json(
        capsys, *SWEEP, "--custom-decoders", "my_decoders_xyz:decoders", "--decoders", "mine", "pymatching"
    )
    assert {row["decoder"].split("@")[0] for row in found["results"]} == {"mine", "pymatching"}


def test_threshold_prints_the_promised_json(capsys: pytest.CaptureFixture[str], scaling_csv: Path) -> None:
    fit = run_json(capsys, "threshold", str(scaling_csv), "--bootstrap", "200")
    assert {"threshold", "interval", "confidence", "exponent", "chi2_per_dof"} <= set(fit)
    low, high = fit["interval"]
    assert low < 0.1 < high
    assert low < fit["threshold"] < high
    assert fit["confidence"] == 0.95
    assert fit["exponent"]["interval"][0] < 1.5 < fit["exponent"]["interval"][1]
    assert intervals_stand_with_values(fit)


def test_threshold_draws(capsys: pytest.CaptureFixture[str], scaling_csv: Path) -> None:
    tokens = ["threshold", str(scaling_csv), "--bootstrap", "100", "--plot", "out.png", "--collapse", "collapse.pdf"]
    assert run(tokens) == 0
    assert "threshold 0." in capsys.readouterr().out
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")
    assert Path("collapse.pdf").read_bytes().startswith(b"%PDF")


def test_threshold_of_several_decoders(capsys: pytest.CaptureFixture[str], scaling_csv: Path) -> None:
    other = scaling_csv.with_name("other.csv")
    text = scaling_csv.read_text()
    decoder = read_stats(scaling_csv)[0].decoder
    ids = {stat.strong_id for stat in read_stats(scaling_csv)}
    for strong_id in ids:
        text = text.replace(strong_id, f"{strong_id}-b")
    other.write_text(text.replace(decoder, "another"))
    found = run_json(capsys, "threshold", str(scaling_csv), str(other), "--bootstrap", "100")
    assert len(found["fits"]) == 2
    assert run(["threshold", str(scaling_csv), str(other), "--plot", "out.png"]) == 2
    assert "--where decoder=" in capsys.readouterr().err
    chosen = run_json(
        capsys, "threshold", str(scaling_csv), str(other), "--where", "decoder=another", "--bootstrap", "100"
    )
    assert "another" in chosen["group"]


def test_lambda_and_table(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["sweep", "--distances", "3", "5", "--p", "0.004", "--max-shots", "100000", "--save", "sweep.csv"]
    assert run(tokens) == 0
    capsys.readouterr()
    fit = run_json(capsys, "lambda", "sweep.csv", "--plot", "lambda.png")
    assert intervals_stand_with_values(fit)
    assert Path("lambda.png").exists()
    rows = run_json(capsys, "table", "sweep.csv", "--where", "d=3")["results"]
    assert [row["d"] for row in rows] == [3]
    assert run(["table", "sweep.csv"]) == 0
    assert "[" in capsys.readouterr().out


def test_circuit_prints_writes_and_describes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["circuit", "--distance", "3", "--p", "0.001", "--noise", "si1000"]) == 0
    printed = stim.Circuit(capsys.readouterr().out)
    assert printed == circuits.rotated_surface_memory(3, rounds=3, noise=circuits.NoiseModel.si1000(0.001))
    assert run(["circuit", "--distance", "3", "--out", "d3.stim"]) == 0
    assert capsys.readouterr().out == ""
    assert stim.Circuit.from_file("d3.stim") == circuits.rotated_surface_memory(3, rounds=3)
    assert run_json(capsys, "circuit", "--distance", "5")["num_detectors"] == 24 * 5


def test_demo(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, "demo", "--max-errors", "300")
    assert intervals_stand_with_values(found)
    # 0.7 % for this noise and matching. In 150 resamplings the ends lay in 0.0049…0.0074 and 0.0070…0.0088.
    low, high = found["interval"]
    assert 0 <= low < 0.0085
    assert high > 0.0055
    assert Path(found["picture"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("tokens", "code", "message"),
    [
        (["sweep", "--distances", "4", "--p", "0.1", "--max-shots", "9"], 2, "distance must be odd and >= 3, got 4"),
        (["sweep", "--distances", "1", "--p", "0.1", "--max-shots", "9"], 2, "distance must be odd and >= 3, got 1"),
        (["sweep", "--distances", "3", "--p", "-0.1", "--max-shots", "9"], 2, "between 0 and 0.75, got -0.1"),
        (["sweep", "--distances", "3", "--p", "nan", "--max-shots", "9"], 2, "between 0 and 0.75, got nan"),
        (["sweep", "--distances", "3", "--p", "1.5", "--max-shots", "9"], 2, "between 0 and"),
        (["sweep", "--distances", "3", "--p", "0.1"], 2, "nothing says when to stop"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--code", "rotated"], 2, "rotated-surface"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--noise", "si100"], 2, "'si1000'"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--decoders", "pymatchin"], 2, "'pymatching'"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--order", "wrong"], 2, "unknown"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--noise", "biased"], 2, "eta"),
        (["sweep", "--distances", "99999", "--p", "0.1", "--max-shots", "9"], 2, "GiB"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--custom-decoders", "os"], 2, "FUNCTION"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--custom-decoders", "os:no"], 2, "os:no"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--save", "/proc/x.csv"], 1, "cannot save"),
        (["sweep", "--distances", "3", "--p", "0.1", "--max-shots", "9", "--eta", "3"], 2, "leave it out"),
        (["circuit", "--distance", "3", "--noise", "si1000"], 2, "pass --p"),
        (["threshold", "header.csv"], 1, "hold no rows"),
        (["table", "binary.csv"], 1, "binary.csv"),
        (["table", "flat.csv", "--where", "decodr=a"], 2, "did you mean 'decoder'"),
        (["lambda", "flat.csv"], 1, "two distances"),
        (["threshold", "missing.csv"], 1, "cannot read missing.csv"),
        (["threshold", "empty.csv"], 1, "empty.csv is empty"),
        (["threshold", "foreign.csv"], 1, "not a results file"),
        (["threshold", "flat.csv"], 1, ""),
        (["table", "flat.csv", "--where", "d=5"], 2, "no row has d=5: d is 3"),
        (["table", "flat.csv", "--where", "d"], 2, "--where takes KEY=VALUE"),
        (["circuit", "--distance", "3", "--out", "no/such/folder.stim"], 1, "cannot write"),
    ],
)
def test_errors(capsys: pytest.CaptureFixture[str], tokens: list[str], code: int, message: str) -> None:
    Path("empty.csv").touch()
    Path("header.csv").write_text(sinter.CSV_HEADER + "\n")
    Path("binary.csv").write_bytes(bytes(range(256)) * 4)
    Path("foreign.csv").write_text("a,b\n1,2\n")
    Path("flat.csv").write_text(sinter.CSV_HEADER + '\n1000,42,0,0.1,pymatching,9c31,"{""d"":3,""p"":0.1,""r"":3}",\n')
    assert run(tokens) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("quell: ")
    assert message in captured.err
    assert "Traceback" not in captured.err


def call(*tokens: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "quell", *tokens], capture_output=True, text=True, check=False, timeout=60
    )


def test_wrong_usage_names_the_nearest_option() -> None:
    result = call("sweep", "--distances", "3", "--p", "0.1", "--nois", "si1000")
    assert result.returncode == 2
    assert "--noise" in result.stderr
    assert call("swep").returncode == 2
    assert call("--version").stdout.strip()


def test_half_a_distance_is_refused_and_large_numbers_may_be_short() -> None:
    for option, value in (("--distances", "3.4"), ("--rounds", "2.6"), ("--max-shots", "10.5")):
        options = {"--distances": "3", "--p": "0.1", "--max-shots": "10", option: value}
        result = call("sweep", *(word for pair in options.items() for word in pair))
        assert result.returncode == 2
        assert f"{value} is not a whole number" in " ".join(result.stderr.replace("│", "").split())
    result = call("sweep", "--distances", "3", "--p", "0.1", "--max-shots", "1e3", "--json")
    assert json.loads(result.stdout)["results"][0]["shots"] == 1000


def test_every_fit_is_printed_under_its_group(capsys: pytest.CaptureFixture[str], scaling_csv: Path) -> None:
    assert run(["threshold", str(scaling_csv), "--bootstrap", "100"]) == 0
    assert capsys.readouterr().out.startswith("decoder=")


def test_lambda_where_there_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    def row(d: int, errors: int) -> str:
        return f'10000,{errors},0,0.1,pymatching,id{d},"{{""d"":{d},""p"":0.1,""r"":{d}}}",\n'

    Path("random.csv").write_text(sinter.CSV_HEADER + "\n" + row(3, 4990) + row(5, 5010))
    assert run(["lambda", "random.csv", "--json"]) == 1
    assert "as good as random" in capsys.readouterr().err
    Path("above.csv").write_text(sinter.CSV_HEADER + "\n" + row(3, 1000) + row(5, 1200) + row(7, 1500))
    assert run(["lambda", "above.csv"]) == 0
    assert "warning: no suppression" in capsys.readouterr().out
    Path("lone.csv").write_text(sinter.CSV_HEADER + "\n" + row(3, 1) + row(5, 1))
    assert intervals_stand_with_values(run_json(capsys, "lambda", "lone.csv"))


def test_help_teaches() -> None:
    result = call("sweep", "--help")
    assert result.returncode == 0
    assert "quell sweep --distances 3 5 7" in " ".join(result.stdout.split())


def test_ctrl_c_says_how_to_go_on() -> None:
    tokens = ["sweep", "--distances", "3", "--p", "0.001", "--max-shots", "1000000000", "--save", "sweep.csv"]
    process = subprocess.Popen([sys.executable, "-m", "quell", *tokens], stderr=subprocess.PIPE, text=True)
    while not Path("sweep.csv").exists() or len(Path("sweep.csv").read_text().splitlines()) < 3:
        time.sleep(0.05)
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert time.monotonic() - begin < 2
    assert process.returncode == 1
    assert "run the same command to go on" in errors
    assert "Traceback" not in errors
    assert read_stats("sweep.csv")[0].shots > 0


def test_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m quell circuit --distance 51 --p 0.001 | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, check=True, env=dict(os.environ))
    assert result.stdout.startswith("QUBIT_COORDS")
    assert result.stderr == ""


def test_rp2_codes_are_swept_and_written_like_others(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(
        capsys, "sweep", "--code", "rp2", "--distances", "3", "5", "--p", "0.004", "0.02", "--max-shots", "2000",
        "--workers", "1", "--save", "rp2.csv",
    )  # fmt: skip
    assert {row["metadata"]["code"] for row in found["results"]} == {"rp2"}
    assert found["results"][0]["error_rate"]["value"] < found["results"][-1]["error_rate"]["value"]
    assert run(["circuit", "rp2", "--distance", "3", "--p", "0.004", "--basis", "X"]) == 0
    expected = circuits.rp2_memory(3, 3, "X", circuits.NoiseModel.uniform_depolarizing(0.004))
    assert stim.Circuit(capsys.readouterr().out) == expected
    fails(capsys, 2, "--gate-set is no choice for code rp2", "circuit", "rp2", "--distance", "3", "--gate-set", "stim")
    twice = ["circuit", "rp2", "--distance", "3", "--code", "unrotated-surface"]
    fails(capsys, 2, "the code is given twice", *twice)
