"""Runs that stop early, are killed or interrupted, and go on; files that are damaged."""

import dataclasses
import json
import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sinter

from quell.errors import DataError, StorageError
from quell.qec import RareEstimate, rare_error_rates, read_rare_estimates
from quell.qec.rare_events import methods

from . import rare_faults
from .truths import HERE, assert_near, exact_rate, job_of, majority_failure, repetition, surface

NO_TIME: Any = {"max_seconds": 1e-9, **HERE}


@pytest.fixture(params=["strata", "splitting"])
def method(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def as_saved(results: list[RareEstimate]) -> list[RareEstimate]:
    return [dataclasses.replace(result, seconds=round(result.seconds, 3)) for result in results]


def test_a_run_that_ran_out_of_time_goes_on(tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is up after every few orders; every later run has more shots, in the same file, until it is good enough."""
    monkeypatch.setattr(methods, "_SAVE_SECONDS", 0.0)
    table, circuit = tmp_path / "rare.csv", surface(5, 2e-3)
    target = 0.03 if method == "strata" else 0.15
    shots, runs = 0, 0
    while True:
        (result,) = rare_error_rates(
            circuit, "pymatching", method=method, save=table, target_relative_error=target, max_seconds=0.1, **HERE
        )  # fmt: skip
        runs += 1
        assert as_saved([result]) == [row for row in read_rare_estimates(table) if row.method == method]
        assert len(os.listdir(f"{table}.state")) == 1
        if result.relative_error() <= target:
            break
        assert result.method == method
        assert result.shots > shots or not result.trusted, "it began anew"
        shots = result.shots
        assert runs < 2_000
    before = table.read_bytes()
    (again,) = rare_error_rates(
        circuit, "pymatching", method=method, save=table, target_relative_error=target, **NO_TIME
    )
    assert [again] == as_saved([result])
    assert table.read_bytes() == before


def test_a_tighter_target_goes_on_from_a_looser_one(tmp_path: Path, method: str) -> None:
    table, circuit = tmp_path / "rare.csv", repetition([0.01, 0.02, 0.01, 0.03, 0.01])
    found = []
    for target in (0.5, 0.1):
        found += rare_error_rates(
            circuit, "pymatching", method=method, save=table, target_relative_error=target, max_seconds=30, **HERE
        )  # fmt: skip
    assert found[1].shots >= found[0].shots
    assert found[1].relative_error() <= 0.1
    assert_near(found[1], exact_rate(job_of(circuit).model), 5)


def test_each_method_has_its_row(tmp_path: Path) -> None:
    table, circuit = tmp_path / "rare.csv", repetition([0.01] * 5)
    options: Any = {"save": table, "target_relative_error": 0.4, "seed": 4, **HERE}
    for method in ("splitting", "strata", "splitting"):
        (result,) = rare_error_rates(circuit, "pymatching", method=method, **options)
        assert result.method == method
        assert_near(result, majority_failure(5, 0.01), 5)
    assert [row.method for row in read_rare_estimates(table)] == ["splitting", "strata"]
    (best,) = rare_error_rates(circuit, "pymatching", **options)
    assert best.method == "strata"


def test_a_curve_of_which_a_point_is_good_enough_goes_on(tmp_path: Path) -> None:
    """The points share their shots: one that is done must not make the others begin anew."""
    tasks = [sinter.Task(circuit=surface(5, p), json_metadata={"p": p}) for p in (0.0005, 0.001, 0.002)]
    options: Any = {"method": "strata", "save": tmp_path / "rare.csv", "seed": 9, **HERE}
    first = rare_error_rates(tasks, "pymatching", target_relative_error=0.001, max_seconds=0.5, **options)
    errors = sorted(result.relative_error() for result in first)
    assert errors[0] < errors[-1]
    again = rare_error_rates(tasks, "pymatching", target_relative_error=errors[1] * 1.001, max_seconds=1e-9, **options)
    assert [result.shots for result in again] >= [result.shots for result in first]
    assert len(os.listdir(tmp_path / "rare.csv.state")) == 1


def test_a_longer_curve_keeps_what_is_known(tmp_path: Path) -> None:
    tasks = [sinter.Task(circuit=repetition([p] * 5), json_metadata={"p": p}) for p in (0.001, 0.002, 0.005)]
    table = tmp_path / "rare.csv"
    first = rare_error_rates(tasks[:2], "pymatching", save=table, seed=5, **HERE)
    every = rare_error_rates(tasks, "pymatching", save=table, seed=5, **HERE)
    assert every[:2] == as_saved(first)
    assert sorted(read_rare_estimates(table), key=lambda row: row.json_metadata["p"]) == as_saved(every)


@pytest.mark.parametrize("executor", [None, ThreadPoolExecutor(2)], ids=["processes", "threads"])
def test_two_workers(executor: Any, method: str) -> None:
    circuit = surface(3, 0.001, rounds=2)
    (result,) = rare_error_rates(
        circuit, "pymatching", method=method, seed=6, num_workers=2, executor=executor, target_relative_error=0.3,
        progress=False,
    )  # fmt: skip
    assert result.method == method
    assert_near(result, exact_rate(job_of(circuit).model), 5)


def test_killed_runs_go_on(tmp_path: Path, method: str) -> None:
    table, rng = tmp_path / "rare.csv", random.Random(7)
    target = 0.004 if method == "strata" else 0.06
    for _ in range(2):
        found = rare_faults.kill_once(table, method, target, rng)
        assert {row.method for row in found} == {method}
        shots = max(row.shots for row in found)
        assert all(row.error_rate.low <= row.error_rate.value <= row.error_rate.high for row in found)
        with np.load(next(Path(f"{table}.state").glob("*.npz"))) as state:
            assert json.loads(str(state["description"]))["seed"]
    results = rare_error_rates(
        rare_faults.tasks(), "pymatching", method=method, target_relative_error=max(target, 0.03), save=table, **HERE
    )  # fmt: skip
    assert all(result.shots >= shots for result in results)
    assert shots > 0
    models = [job_of(task).model for task in rare_faults.tasks()]
    middle = models[1]  # of two, the stronger
    for result, model in zip(results, models, strict=True):
        assert_near(result, exact_rate(model, weights=middle), 5)
    assert len({row.strong_id for row in read_rare_estimates(table)}) == 2
    assert not [name for name in os.listdir(tmp_path) if name not in ("rare.csv", "rare.csv.state")]


def test_interrupted_runs_lose_nothing(tmp_path: Path, method: str) -> None:
    table, target = tmp_path / "rare.csv", {"strata": 1e-9, "splitting": 0.03}[method]
    process = rare_faults.start(table, method, target)
    rare_faults.wait_for_rows(table, process)
    saved = max(row.shots for row in rare_faults.rows(table))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert "During handling" not in errors, errors
    after = max(row.shots for row in rare_faults.rows(table))
    assert after >= saved
    process = rare_faults.start(table, method, target)
    rare_faults.wait_for_rows(table, process, more_than=after)
    process.kill()
    process.communicate(timeout=20)
    assert max(row.shots for row in rare_faults.rows(table)) > after


def run_again(table: Path) -> None:
    rare_error_rates(
        surface(5, 0.002), "pymatching", method="strata", save=table, target_relative_error=1e-3, **NO_TIME
    )  # fmt: skip


def state_of(table: Path) -> Path:
    run_again(table)
    (state,) = Path(f"{table}.state").iterdir()
    return state


@pytest.mark.parametrize("how", ["cut", "flipped", "empty", "other", "text", "other arrays", "no arrays"])
def test_a_damaged_state_is_named(tmp_path: Path, how: str) -> None:
    table = tmp_path / "rare.csv"
    state = state_of(table)
    whole = state.read_bytes()
    if how == "cut":
        state.write_bytes(whole[: len(whole) // 2])
    elif how == "flipped":
        middle = len(whole) // 3
        state.write_bytes(whole[:middle] + bytes([whole[middle] ^ 255]) * 20 + whole[middle + 20 :])
    elif how == "empty":
        state.write_bytes(b"")
    elif how == "other":
        np.savez(state, numbers=np.arange(3))
    elif how == "text":
        state.write_text("{}")
    else:
        with np.load(state) as file:
            arrays = dict(file)
        if how == "other arrays":
            arrays["strata_whole"] = arrays["strata_whole"][:3]
        else:
            del arrays["strata_whole"]
        np.savez(state, **arrays)
    with pytest.raises(DataError, match=str(state)):
        run_again(table)


def test_a_state_of_another_version_is_named(tmp_path: Path) -> None:
    table = tmp_path / "rare.csv"
    state = state_of(table)
    with np.load(state) as file:
        arrays = dict(file)
    description = json.loads(str(arrays.pop("description")))
    np.savez(state, description=np.array(json.dumps({**description, "version": 0})), **arrays)
    with pytest.raises(DataError, match=r"another version.*remove it"):
        run_again(table)


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    table = tmp_path / "rare.csv"
    state_of(table)
    whole = table.read_text()
    for text, message in [
        ("shots,errors,discards\n1,2,3\n", "no table of rare-event results"),
        (whole[:-20], "cut off"),
        (whole.replace("strata", "magic"), "line 2: not a row"),
        (whole + "1,2,3\n", "line 3"),
    ]:
        table.write_text(text)
        with pytest.raises(DataError, match=message):
            run_again(table)
        assert table.read_text() == text, "the file of somebody else was changed"
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not a text file"):
        run_again(table)


def test_a_sweep_is_no_table_of_rare_events(tmp_path: Path) -> None:
    from quell.qec import sweep

    table = tmp_path / "sweep.csv"
    sweep(surface(3, 0.003), "pymatching", max_shots=100, save=table, **HERE)
    before = table.read_bytes()
    with pytest.raises(DataError, match="no table of rare-event results"):
        run_again(table)
    assert table.read_bytes() == before


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "rare.csv"):
        with pytest.raises(StorageError, match=str(place)):
            run_again(place)
