"""`quell cultivate`, called as a shell calls it."""

from pathlib import Path

import pytest
import sinter

from quell.cli.main import run
from quell.qec import read_stats

from .tools import fails, run_json

QUICK = ["cultivate", "--shots", "20000", "--workers", "1"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_stages_and_rates_stand_with_intervals_and_true_t(capsys: pytest.CaptureFixture[str]) -> None:
    found = run_json(capsys, *QUICK, "--p", "0.001", "0.002", "--as-published")
    first, second = found["results"]
    assert [stage["stage"] for stage in first["stages"]] == [1, 2, 3, 4, 5, 6]
    assert first["shots"] == 20_000
    assert first["metadata"]["as_published"] is True
    assert abs(first["kept"] / 20_000 - 0.514) < 0.02
    assert first["cuts"][0]["error_rate"]["interval"][1] > 0
    assert first["true_t_series"]["rate"] == pytest.approx(1.24e-6, rel=0.01)
    assert second["true_t_series"]["rate"] == pytest.approx(9.08e-6, rel=0.01)
    assert first["warning"] == "gate S stands in for T: logical error rates are optimistic"


def test_the_text_warns_of_the_proxy(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUICK, "--p", "0.001"]) == 0
    text = capsys.readouterr().out
    assert "gate S stands in for T: logical error rates are optimistic" in text
    assert "with true T: 1.24e-06 in the circuits as published, without expansion" in text
    assert "in these the first term is 13 % larger" in text
    assert run([*QUICK, "--p", "0.001", "--noise", "si1000"]) == 0
    assert "with true T: not known here; --gate T samples it" in capsys.readouterr().out


def test_an_expansion_lists_cuts_saves_goes_on_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    command = [*QUICK, "--p", "0.002", "--expand-to", "5", "--rounds", "1", "--save", "kept.csv"]
    (row,) = run_json(capsys, *command, "--plot", "kept.png")["results"]
    assert len(row["cuts"]) > 3
    assert Path("kept.png").stat().st_size > 10_000
    (stats,) = read_stats("kept.csv")
    assert stats.json_metadata == {
        "d": 3, "expand_to": 5, "gate": "S", "noise": "uniform_depolarizing", "p": 0.002, "protocol": "rp2-cultivation",
        "rounds": 1,
    }  # fmt: skip
    assert sinter.read_stats_from_csv_files("kept.csv")[0].custom_counts["kept_5"] == row["kept"]
    size = Path("kept.csv").stat().st_size
    (again,) = run_json(capsys, *command, "--gaps", "0", "10")["results"]
    assert Path("kept.csv").stat().st_size == size
    assert [cut["gap_db"] >= limit for cut, limit in zip(again["cuts"], (0, 10), strict=True)] == [True, True]


def test_true_t_is_sampled(capsys: pytest.CaptureFixture[str]) -> None:
    (row,) = run_json(capsys, *QUICK, "--p", "0.004", "--gate", "T")["results"]
    assert row["metadata"]["gate"] == "T"
    assert row["warning"] is None
    assert 0 < row["kept"] < row["shots"] == 20_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--distance", "4"], "distance must be 3 or 5, got 4"),
        (["--expand-to", "3"], "expand_to must be odd and >= 5, got 3"),
        (["--rounds", "2"], "pass expand_to"),
        (["--gate", "Q"], "gate"),
        (["--noise", "biased"], "pass --eta"),
        (["--noise", "biased", "--eta", "10"], "no product of independent errors"),
        (["--gaps", "nan"], "gaps must be numbers >= 0, in dB, got nan"),
        (["--gaps=-5"], "gaps must be numbers >= 0, in dB, got -5"),
    ],
)
def test_bad_input_ends_with_a_message(capsys: pytest.CaptureFixture[str], options: list[str], message: str) -> None:
    fails(capsys, 2, message, *QUICK, "--p", "0.002", *options)


def test_a_cut_that_keeps_nothing_costs_no_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUICK, "--p", "0.002", "--gaps", "500"]) == 2
    output = capsys.readouterr()
    assert "a cut at 500 dB keeps none" in output.err
    assert "logical error rate (95 %)" in output.out
    fails(capsys, 2, "shots must be an integer >= 1, got 0", "cultivate", "--p", "0.002", "--shots", "0")
