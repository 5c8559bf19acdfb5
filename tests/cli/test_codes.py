"""`quell search` and `quell codes`, called as a shell calls them."""

import dataclasses
import json
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from quell.cli.main import run
from quell.qec.codes import CSSCode, LinearCode, distance, hamming_code, read_code, rotated_surface_code, write_code
from quell.qec.search import catalogue, read_catalogue, write_catalogue

from .tools import fails, run_json

QUICK = ["search", "--k", "16", "--distance", "8", "--workers", "1"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_search_saves_what_can_be_listed_shown_and_verified(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = run_json(capsys, *QUICK, "--time", "20s", "--save", "found.jsonl")["results"]
    assert (found["k"], found["d"], found["max_weight"], found["max_degree"]) == (16, 8, 6, 3)
    assert found["optimal"] is True
    assert found["least_n"] == found["n"]
    (listed,) = run_json(capsys, "codes", "list", "--file", "found.jsonl")["results"]
    assert listed.keys() == {"name", "n", "k", "d", "d_method", "max_weight", "max_degree"}
    assert listed["name"] == found["name"]
    (shown,) = run_json(capsys, "codes", "show", found["name"], "--file", "found.jsonl", "--out", "code.npz")["results"]
    assert shown["found_by"].startswith("quell search --k 16 --distance 8")
    code = read_code("code.npz")
    assert isinstance(code, CSSCode)
    assert code.parameters == (found["n"], 16)
    assert distance(code).distance == 8
    (verified,) = run_json(capsys, "codes", "verify", "--file", "found.jsonl")["results"]
    assert verified["verified"] is True
    assert verified["d"] == 8
    # The same command goes on, and finds that nothing is left to do.
    (again,) = run_json(capsys, *QUICK, "--time", "20s", "--save", "found.jsonl")["results"]
    assert again["restarts"] == found["restarts"]
    assert len(read_catalogue("found.jsonl")) == 1
    # Another search adds to the same file.
    assert run(["search", "--family", "two-block", "--k", "4", "--distance", "4", "--save", "found.jsonl"]) == 0
    assert [entry.name for entry in read_catalogue("found.jsonl")] == ["2b-18-4-4", found["name"]]


def test_the_text_says_what_is_proven(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*QUICK, "--time", "20s"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("[[")
    assert "no product of one seed of independent checks within the bounds is shorter: proven" in text
    assert run(["search", "--family", "two-block", "--k", "4", "--distance", "4"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("[[18, 4, 4]]  2b-18-4-4\n")
    assert "with two or three elements on either side, is shorter: all were looked through" in text


def test_an_interrupt_keeps_the_best(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        state = Path("found.jsonl.hypergraph-product-49-12-6-3-default-0.state")
        while not (state.exists() and json.loads(state.read_text())["best"]):
            time.sleep(0.05)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    # A seed as short as the bound is not known here, so that the search does not end by itself.
    arguments = ["search", "--k", "49", "--distance", "12", "--time", "10m", "--workers", "1", "--save", "found.jsonl"]
    (found,) = run_json(capsys, *arguments)["results"]
    thread.join()
    assert found["interrupted"] is True
    assert read_catalogue("found.jsonl")[0].n == found["n"]


def test_what_is_asked_for_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    every = run_json(capsys, "codes", "list")["results"]
    assert len(every) == len(catalogue())
    assert [row["n"] for row in every] == sorted(row["n"] for row in every)
    chosen = run_json(capsys, "codes", "list", "--k", "12", "--distance", "12", "--max-weight", "6")["results"]
    assert {row["name"] for row in chosen} >= {"bb-144-12-12", "bb-288-12-18"}
    assert all(row["k"] >= 12 and row["d"] >= 12 for row in chosen)
    assert run(["codes", "list", "--max-weight", "5"]) == 0
    text = capsys.readouterr().out
    assert "2b-18-4-3-w5" in text
    assert "bb-" not in text
    assert run(["codes", "list", "--k", "5000"]) == 0
    assert "`quell search` looks for one" in capsys.readouterr().out


def test_matrices_of_ones_own_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    write_code("mine.alist", rotated_surface_code(5))
    (shown,) = run_json(capsys, "codes", "show", "mine.alist")["results"]
    assert (shown["n"], shown["k"], shown["d"], shown["max_weight"], shown["max_degree"]) == (25, 1, 5, 4, 2)
    write_code("hamming.mtx", hamming_code(3))
    (shown,) = run_json(capsys, "codes", "show", "hamming.mtx")["results"]
    assert (shown["n"], shown["k"], shown["d"]) == (7, 4, 3)
    assert sum(hamming_code(3).checks[:, shown["witness"]].sum(axis=1) % 2) == 0
    # Without logical qubits there is no distance.
    write_code("none.npz", CSSCode([[1, 1]], [[1, 1]]))
    (shown,) = run_json(capsys, "codes", "show", "none.npz")["results"]
    assert "d" not in shown
    assert shown["k"] == 0
    assert run(["codes", "show", "mine.alist"]) == 0
    assert "shortest cycle" in capsys.readouterr().out


def test_a_distance_that_takes_too_long_is_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    write_code("dense.npz", LinearCode(rng.integers(0, 2, size=(200, 400))))
    (shown,) = run_json(capsys, "codes", "show", "dense.npz", "--time-limit", "1s")["results"]
    assert "d" not in shown
    assert 1 <= shown["d_lower"] < shown["d_upper"]


def test_a_false_claim_ends_with_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    entries = {entry.name: entry for entry in catalogue()}
    good, bad = entries["bb-72-12-6"], dataclasses.replace(entries["2b-18-4-4"], k=5)
    write_catalogue("codes.jsonl", [good, bad])
    assert run(["codes", "verify", "--file", "codes.jsonl", "--json"]) == 1
    output = capsys.readouterr()
    assert "1 of 2 codes are not verified: 2b-18-4-4" in output.err
    rows = {row["name"]: row for row in json.loads(output.out)["results"]}
    assert rows["bb-72-12-6"]["verified"] is True
    assert rows["2b-18-4-4"]["failures"] == ["k is 4, not 5"]
    assert run(["codes", "verify", "bb-72-12-6"]) == 0
    assert capsys.readouterr().out == "bb-72-12-6: verified, d = 6 by clusters\n"


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 2, "k must be a square", "search", "--k", "50", "--distance", "12")
    fails(
        capsys, 2, "needs n >= 68, as rows of at most 3 give n <= 2 (n - k)", "search", "--k", "1156", "--distance", "3"
    )
    fails(capsys, 2, "max_weight must be", "search", "--k", "49", "--distance", "12", "--max-weight", "1")
    fails(capsys, 2, "two-block", "search", "--k", "4", "--distance", "4", "--family", "two-blocks")
    fails(capsys, 2, "annealing", "search", "--k", "4", "--distance", "4", "--agent", "anneal")
    fails(capsys, 2, "--workers is for hypergraph products",
          "search", "--k", "4", "--distance", "4", "--family", "two-block", "--workers", "2")  # fmt: skip
    fails(capsys, 2, "bb-144-12-12", "codes", "show", "bb-144-12-11")
    fails(capsys, 2, "claims nothing that could be verified", "codes", "verify", "mine.npz")
    fails(capsys, 1, "cannot read none.jsonl", "codes", "list", "--file", "none.jsonl")
    fails(capsys, 1, "none.npz", "codes", "show", "none.npz")
    Path("notes.txt").write_text("Dear diary")
    fails(capsys, 1, "notes.txt, line 1: not JSON", *QUICK, "--save", "notes.txt")
    fails(capsys, 1, "cannot write none/found.jsonl", *QUICK, "--save", "none/found.jsonl")
    write_code("x.npz", hamming_code(3))
    fails(capsys, 2, "--file is a catalogue", "codes", "show", "x.npz", "--file", "found.jsonl")


def test_nothing_found_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    fails(capsys, 1, "no [[n, 400, 9]] code was found", "search", "--k", "400", "--distance", "9", "--time", "2s",
          "--agent", "random", "--workers", "1")  # fmt: skip
