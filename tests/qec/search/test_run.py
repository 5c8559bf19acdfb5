"""Searches that are stopped, gone on with, and made again; and what they refuse."""

import json
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from quell.errors import DataError, InputError, StorageError
from quell.qec.search import SeedSearch, read_search, restart_seed, search_seeds


def test_a_code_is_found_and_can_be_made_again_from_its_number() -> None:
    state = search_seeds(16, 8, max_restarts=30, seed=5)
    assert state.best is not None
    assert state.best_restart is not None
    problem = state.best.problem
    again = restart_seed(state, problem.n, (problem.max_row, problem.max_column), state.best_restart)
    assert again.rows.tolist() == state.best.rows.tolist()
    assert sum(state.restarts.values()) == 30 or state.optimal
    assert state.evaluations > 0


def test_what_cannot_be_shorter_ends_the_search() -> None:
    state = search_seeds(9, 4, seconds=60, seed=1)
    assert state.optimal
    assert state.seconds < 30
    assert state.quantum_length(state.best.problem.n) == state.best.problem.quantum_parameters[0]  # type: ignore[union-attr]


def test_workers_find_what_one_finds() -> None:
    """A number stands for a matrix, whoever ran it."""
    state = search_seeds(16, 8, max_restarts=20, seed=5, num_workers=3)
    assert state.best is not None
    assert state.best_restart is not None
    again = restart_seed(SeedSearch(16, 8, seed=5), state.best.problem.n, (3, 3), state.best_restart)
    assert again.rows.tolist() == state.best.rows.tolist()


def test_it_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    settings: dict[str, Any] = {"k": 36, "distance": 13, "seed": 5}
    first = search_seeds(**settings, max_restarts=4, save=path)
    second = search_seeds(**settings, max_restarts=6, save=path)
    assert sum(second.restarts.values()) == sum(first.restarts.values()) + 6
    assert second.evaluations > first.evaluations
    at_once = search_seeds(**settings, max_restarts=10)
    assert second.restarts == at_once.restarts
    assert second.best is not None
    assert at_once.best is not None
    assert second.best.rows.tolist() == at_once.best.rows.tolist()


def test_an_interrupt_keeps_what_was_found(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    timer = threading.Timer(3.0, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    began = time.monotonic()
    state = search_seeds(49, 12, seconds=60, seed=1, num_workers=2, save=path)
    assert state.interrupted
    assert time.monotonic() - began < 30
    again = search_seeds(49, 12, max_restarts=1, seed=1, save=path)
    assert not again.interrupted
    assert again.evaluations > state.evaluations
    if state.best is not None:
        assert again.best is not None
        assert again.best.problem.n <= state.best.problem.n


def test_progress_is_told() -> None:
    told: list[int] = []
    search_seeds(16, 8, max_restarts=3, on_progress=lambda state: told.append(state.evaluations))
    assert told
    assert told == sorted(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 50, "distance": 12}, r"k must be a square .* got 50: the nearest are 49 and 64"),
        ({"k": 0, "distance": 12}, "k must be an integer >= 1, got 0"),
        ({"k": 49, "distance": 12, "max_weight": 2}, "max_weight must be >= 3, got 2"),
        ({"k": 49, "distance": 12, "max_degree": 1}, "max_degree must be an integer >= 2, got 1"),
        ({"k": 49, "distance": 12, "agent": "anealing"}, "annealing"),
        ({"k": 49, "distance": 12, "seconds": 0}, "seconds must be > 0, got 0"),
        ({"k": 49, "distance": 12, "seconds": None}, "seconds or max_restarts must be given"),
        ({"k": 49, "distance": 12, "num_workers": 0}, "num_workers must be an integer >= 1, got 0"),
        ({"k": 1156, "distance": 3}, "needs n >= 68, as rows of at most 3 give n <= 2"),
        ({"k": 4, "distance": 50}, "needs n >= 75, as the Griesmer bound asks for it"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        search_seeds(**{"seconds": 1, **arguments})


def test_files_that_are_not_of_this_search(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    search_seeds(16, 8, max_restarts=1, save=path)
    with pytest.raises(DataError, match="of a search with distance = 8, not 9"):
        search_seeds(16, 9, max_restarts=1, save=path)
    assert read_search(path).k == 16
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "settings": {"k": 17, "distance": 8}}))
    with pytest.raises(DataError, match="does not hold the settings of a search: k must be a square"):
        read_search(path)
    for bad in ("", "{}", "[]", json.dumps({**record, "best": {"rows": []}}), json.dumps({**record, "format": "x"})):
        path.write_text(bad)
        with pytest.raises(DataError, match=r"state\.json"):
            search_seeds(16, 8, max_restarts=1, save=path)
    with pytest.raises(StorageError, match="cannot write"):
        search_seeds(16, 8, max_restarts=1, save=tmp_path / "none" / "state.json")
