"""Searches for two-block codes, order by order: what is first is shortest; stopping and going on."""

import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from quell.errors import DataError, InputError
from quell.qec.codes import distance
from quell.qec.search import TwoBlockSearch, search_two_block


def test_the_shortest_code_is_found_and_is_one() -> None:
    state = search_two_block(4, 6)
    assert state.optimal
    assert state.best is not None
    # [[30, 4, 6]] is listed by Lin and Pryadko, arXiv:2306.16400, among cyclic groups.
    assert (state.best.n, state.best.k, state.best.lower) == (30, 4, 6)
    code = state.best.code
    found = distance(code)
    assert (code.k, found.distance) == (4, 6)
    assert code.max_weight <= 6
    assert code.max_degree <= 3
    assert (code.x_checks @ code.z_checks.T % 2 == 0).all()


def test_narrower_bounds_are_kept() -> None:
    state = search_two_block(4, 4, max_weight=5)
    assert state.best is not None
    assert state.best.code.max_weight == 5
    assert state.best.n == 24


@pytest.mark.parametrize("agent", ["annealing", "random"])
def test_other_agents_find_codes_too(agent: str) -> None:
    def enough(state: TwoBlockSearch, group: str) -> None:  # noqa: ARG001
        if state.best is not None:
            raise KeyboardInterrupt

    state = search_two_block(4, 4, agent=agent, seconds=60, max_order=9, on_progress=enough)
    assert state.best is not None
    assert state.best.n >= 18
    assert not state.optimal


def test_it_goes_on_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    timer = threading.Timer(0.5, signal.raise_signal, (signal.SIGINT,))
    first = None
    timer.start()
    try:
        first = search_two_block(6, 6, save=path)
        timer.join()
    except KeyboardInterrupt:
        pytest.fail("an interrupt must end the search, not the script")
    groups: list[str] = []
    second = search_two_block(6, 6, save=path, on_progress=lambda _, group: groups.append(group))
    assert second.best is not None
    assert (second.best.n, second.best.k, second.best.lower) == (42, 6, 6)
    assert second.optimal
    assert first is not None
    assert first.done <= second.done
    assert len(groups) == len(second.done) - len(first.done)
    with pytest.raises(DataError, match="of a search with k = 6, not 7"):
        search_two_block(7, 6, save=path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be an integer >= 1, got 0"),
        ({"distance": 1}, "distance must be an integer >= 2, got 1"),
        ({"max_weight": 3}, "two-block codes have checks of weight 4 to 6"),
        ({"max_degree": 2, "max_weight": 3}, "two-block codes have checks of weight 4 to 6"),
        ({"agent": "learned"}, "agent"),
        ({"seconds": -1}, "seconds must be > 0, got -1"),
        ({"max_order": 181}, "max_order must be <= 180, got 181"),
        ({"distance": 200}, "needs n >= 402, as the quantum Singleton bound asks for it"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        search_two_block(**{"k": 4, "distance": 4, **arguments})


def test_nothing_is_found_where_nothing_is() -> None:
    state = search_two_block(4, 6, max_order=10)
    assert state.best is None
    assert not state.optimal
    assert isinstance(state, TwoBlockSearch)


def test_sums_of_two_elements_are_looked_through_as_well() -> None:
    """[[10, 2, 3]] has checks of four qubits, and is the shortest with k = 2 and d = 3: a toric code."""
    state = search_two_block(2, 3)
    assert state.best is not None
    assert (state.best.n, state.best.k, state.best.lower) == (10, 2, 3)
    assert state.best.code.max_weight == 4
    assert search_two_block(2, 3, max_degree=2).best == state.best
