"""`quell mitigate`, called as a shell calls it: what it prints, what it writes, how it ends."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.cli.main import run
from quell.mitigation import read_counts

NUMBER = r"\d(?:\.\d+)?(?:e-\d+)?"
ROW = re.compile(rf"[01]+(?:  +{NUMBER} \[{NUMBER}, {NUMBER}\]){{2}}")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def counts() -> dict[str, int]:
    """One answer, 10110, under independent flips of 5 % of the bits."""
    flips = np.random.default_rng(8).random((4000, 5)) < 0.05
    shots = np.array([1, 0, 1, 1, 0]) ^ flips
    keys, numbers = np.unique(shots, axis=0, return_counts=True)
    found = {"".join(map(str, key.tolist())): int(number) for key, number in zip(keys, numbers, strict=True)}
    Path("counts.json").write_text(json.dumps(found))
    return found


def run_json(capsys: pytest.CaptureFixture[str], *tokens: str) -> Any:
    assert run(["mitigate", *tokens, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_it_prints_the_report_and_every_probability_with_its_interval(
    capsys: pytest.CaptureFixture[str], counts: dict[str, int]
) -> None:
    tokens = ["mitigate", "counts.json", "--method", "q-cluster", "--flip-rate", "0.05", "--top", "3"]
    assert run([*tokens, "--resamples", "40", "--confidence", "0.9"]) == 0
    report, table = capsys.readouterr().out.split("\n\n")
    assert report.startswith("q-cluster: ")
    assert f"4000 shots of 5 bits, {len(counts)} distinct strings" in report
    heading, *rows, last = table.strip().split("\n")
    assert heading.split() == ["string", "raw", "(90", "%)", "mitigated", "(90", "%)"]
    assert len(rows) == 3
    assert rows[0].startswith("10110  ")
    for row in rows:
        assert ROW.fullmatch(row)
    assert re.fullmatch(r"and \d+ more strings", last)


def test_json_says_the_same_for_machines(capsys: pytest.CaptureFixture[str], counts: dict[str, int]) -> None:
    found = run_json(capsys, "counts.json", "--method", "raw", "--resamples", "40", "--top", "2")
    assert found["report"]["method"] == "raw"
    assert found["report"]["changed"] is False
    assert (found["shots"], found["num_strings"]) == (4000, len(counts))
    assert [row["key"] for row in found["results"]] == sorted(counts, key=lambda key: -counts[key])[:2]
    for row in found["results"]:
        for name in ("raw", "mitigated"):
            low, high = row[name]["interval"]
            assert low <= row[name]["value"] == counts[row["key"]] / 4000 <= high
            assert row[name]["confidence"] == 0.95


def test_the_automatic_choice_finds_the_answer(capsys: pytest.CaptureFixture[str], counts: dict[str, int]) -> None:
    (best,) = run_json(capsys, "counts.json", "--resamples", "20", "--top", "1")["results"]
    assert best["key"] == "10110"
    # The flips are independent and one answer is under them: nothing but the answer should be left.
    assert best["mitigated"]["value"] > 0.95 > counts["10110"] / 4000


@pytest.mark.usefixtures("counts")
def test_the_same_seed_prints_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["counts.json", "--method", "raw", "--resamples", "40"]
    first = run_json(capsys, *tokens, "--seed", "3")
    assert run_json(capsys, *tokens, "--seed", "3") == first
    assert run_json(capsys, *tokens, "--seed", "4") != first


@pytest.mark.usefixtures("counts")
def test_it_saves_what_it_can_read_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--method", "raw", "--resamples", "20"]
    found = run_json(capsys, "counts.json", *options, "--save", "a.json", "--plot", "a.png")
    assert (found["save"], found["plot"]) == ("a.json", "a.png")
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")
    saved = json.loads(Path("a.json").read_text())
    assert saved["probabilities"].keys() == saved["intervals"].keys()
    again = run_json(capsys, "a.json", *options, "--save", "a.csv")
    assert again["results"] == found["results"]
    assert any("mitigated before" in note for note in [*again["notes"], *again["report"]["notes"]])
    assert run_json(capsys, "a.csv", *options)["results"] == found["results"]


def test_records_are_chosen_by_name_or_number(capsys: pytest.CaptureFixture[str]) -> None:
    records = [{"id": "bell", "counts": {"00": 9, "11": 8}}, {"id": "7", "counts": {"0": 9}}, {"counts": {"1": 3}}]
    Path("a.json").write_text(json.dumps(records))
    options = ["--method", "raw", "--resamples", "20", "--record"]
    assert [run_json(capsys, "a.json", *options, name)["shots"] for name in ("bell", "7", "2", "0")] == [17, 9, 3, 17]
    assert run(["mitigate", "a.json"]) == 2
    message = (
        "a.json holds 3 sets of counts: choose one with --record by their number from 0 to 2, or their name: bell, 7"
    )
    assert message in capsys.readouterr().err
    for name in ("ghz", "3", "-1"):
        assert run(["mitigate", "a.json", f"--record={name}"]) == 2
        assert f"none of them is '{name}'" in capsys.readouterr().err


def test_numbers_and_probabilities_need_what_the_file_does_not_say(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_text('{"0x0": 0.75, "0x3": 0.25}')
    options = ["--method", "raw", "--resamples", "20"]
    assert run(["mitigate", "a.json", *options]) == 1
    assert "a.json: the counts are probabilities" in capsys.readouterr().err
    found = run_json(capsys, "a.json", *options, "--shots", "80", "--num-bits", "6", "--bit-order", "big")
    assert (found["shots"], found["report"]["num_bits"]) == (80, 6)
    noted = run_json(capsys, "a.json", *options, "--shots", "80")
    assert any("largest key" in note for note in [*noted["notes"], *noted["report"]["notes"]])
    assert run(["mitigate", "a.json", *options, "--shots", "80"]) == 0
    assert capsys.readouterr().out.count("largest key") == 1


@pytest.mark.usefixtures("counts")
@pytest.mark.parametrize(
    ("tokens", "code", "message"),
    [
        (["nowhere.json"], 1, "cannot read nowhere.json: No such file"),
        (["counts.json", "--method", "q-clustr"], 2, "did you mean 'q-cluster'"),
        (["counts.json", "--method", "q-cluster", "--flip-rate", "0.7"], 2, "flip_rate"),
        (["counts.json", "--num-bits", "3"], 2, "counts.json: num_bits is 3, but key '"),
        (["counts.json", "--shots", "17"], 2, "shots is 17, but the counts sum to 4000"),
        (["counts.json", "--resamples", "3"], 2, "resamples must be an integer >= 20, got 3"),
        (["counts.json", "--top", "0"], 2, "top must be an integer >= 1, got 0"),
        (["counts.json", "--save", "out.txt"], 2, "its name must end with .json or .csv"),
        (["counts.json", "--confidence", "95"], 2, "confidence must be between 0 and 1"),
        (["counts.json", "--method", "raw", "--save", "no/out.csv"], 1, "cannot write no/out.csv"),
        (
            ["counts.json", "--method", "raw", "--plot", "out.nope"],
            2,
            "--plot must end in one of .jpg, .pdf, .png, .svg, got out.nope",
        ),
    ],
)
def test_what_goes_wrong_is_said(
    capsys: pytest.CaptureFixture[str], tokens: list[str], code: int, message: str
) -> None:
    assert run(["mitigate", *tokens]) == code
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.startswith("quell: ")
    assert printed.out == ""


def test_what_was_left_alone_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    # Uniform counts: there is no answer to find.
    uniform = np.random.default_rng(5).multinomial(4096, np.full(32, 1 / 32))
    Path("a.json").write_text(json.dumps({f"{i:05b}": int(count) for i, count in enumerate(uniform)}))
    assert run(["mitigate", "a.json", "--resamples", "20"]) == 0
    first = capsys.readouterr().out.split("\n")[0]
    assert re.fullmatch(r"[a-z0-9-]+: left alone; .{10,}", first)


def test_wide_strings(capsys: pytest.CaptureFixture[str]) -> None:
    Path("a.json").write_text(json.dumps({"0" * 127: 90, "0" * 126 + "1": 10}))
    found = run_json(capsys, "a.json", "--method", "raw", "--resamples", "20", "--plot", "wide.png", "--save", "b.csv")
    assert found["report"]["num_bits"] == 127
    assert read_counts("b.csv").num_bits == 127
