"""A search for the shortest two-block code with a wanted number of logical qubits and distance, order by order.

Groups are taken by their order. The exhaustive agent goes through all connected codes of each with two or three
elements on either side, so that the first code that it finds is as short as any of these; annealing and random sampling
come round to each order again and again, with twice the budget each time.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from quell.errors import DataError, InputError, check_integer, check_known
from quell.qec.codes.group_algebra import Group
from quell.qec.search.found_codes import FoundCode
from quell.qec.search.groups import groups_of_order
from quell.qec.search.state_files import read_state, search_settings, write_state
from quell.qec.search.two_block import anneal_two_block, random_two_block, scan_two_block

__all__ = ["TWO_BLOCK_AGENTS", "TwoBlockSearch", "search_two_block"]

TWO_BLOCK_AGENTS = ("exhaustive", "annealing", "random")

_FORMAT = "quell search of two-block codes, 1"
_SUPPORTS = ((3, 3), (3, 2), (2, 2))
_BUDGET = 250
_MAX_ROUNDS = 24
_PROOF_SECONDS = 60.0
_SAVE_EVERY = 5.0
_MOST_ORDER = 180
_INCOMPLETE = (120, 128, 160)  # orders of which not all groups are made


@dataclass
class TwoBlockSearch:
    """How far a search has come.

    Attributes:
        k: Logical qubits, at least.
        distance: At least.
        max_weight: Of the checks.
        max_degree: Of the qubits, in checks of each type.
        agent: One of `TWO_BLOCK_AGENTS`.
        seed: Of all random numbers.
        best: The shortest code found, or None.
        done: The searches that are over: group, elements of each block, and round.
        seconds: Spent in all.
        interrupted: Whether Ctrl-C ended it.
        undecided: Whether a proof of a distance ran out of time, so that a shorter code may have been passed over.
        optimal: Whether all shorter connected codes with two or three elements on either side, within the bounds, were
            looked through. Longer sums, which wider bounds allow, are not searched, and not all groups of order 120,
            128 and 160 are known here, so that it is never said of n above 240.
    """

    k: int
    distance: int
    max_weight: int = 6
    max_degree: int = 3
    agent: str = "exhaustive"
    seed: int = 0
    best: FoundCode | None = None
    done: set[tuple[str, int, int, int]] = field(default_factory=set)
    seconds: float = 0.0
    interrupted: bool = False
    undecided: bool = False
    optimal: bool = False

    def __post_init__(self) -> None:
        """Checks all numbers."""
        check_integer("k", self.k, minimum=1)
        check_integer("distance", self.distance, minimum=2)
        check_integer("max_weight", self.max_weight, minimum=2)
        check_integer("max_degree", self.max_degree, minimum=2)
        check_integer("seed", self.seed, minimum=0)
        check_known("agent", self.agent, TWO_BLOCK_AGENTS)
        if not self.supports:
            raise InputError(
                "two-block codes have checks of weight 4 to 6 and degree 2 or 3 here, got max_weight = "
                f"{self.max_weight} and max_degree = {self.max_degree}: raise them"
            )
        if self.least > 2 * _MOST_ORDER:
            raise InputError(
                f"k = {self.k} with distance {self.distance} needs n >= {self.least}, as the quantum Singleton bound "
                f"asks for it, and the search reaches n = {2 * _MOST_ORDER}: lower k or distance"
            )

    @property
    def supports(self) -> list[tuple[int, int]]:
        """How many elements each block may have."""
        return [size for size in _SUPPORTS if sum(size) <= self.max_weight and max(size) <= self.max_degree]

    @property
    def least(self) -> int:
        """A length that no code with these parameters can be below: n - k >= 2 (d - 1)."""
        return self.k + 2 * (self.distance - 1)


def search_two_block(
    k: int,
    distance: int,
    *,
    max_weight: int = 6,
    max_degree: int = 3,
    agent: str = "exhaustive",
    seconds: float | None = None,
    max_order: int = _MOST_ORDER,
    seed: int = 0,
    save: str | os.PathLike[str] | None = None,
    on_progress: Callable[[TwoBlockSearch, str], None] | None = None,
) -> TwoBlockSearch:
    """Searches for the shortest two-block code (Lin and Pryadko, arXiv:2306.16400) of any group.

    Ctrl-C ends it as the time limit does, with `interrupted` set. Both wait for the group at hand.

    Args:
        k: Logical qubits, at least.
        distance: At least, proven.
        max_weight: The most qubits in a check, 4 or more; checks have 4, 5 or 6.
        max_degree: The most checks of one type on a qubit, 2 or more; qubits are in 2 or 3.
        agent: One of `TWO_BLOCK_AGENTS`.
        seconds: How long; None until all orders were looked through.
        max_order: The greatest order of a group, half of n; at most 180.
        seed: Of all random numbers.
        save: A file of its state, JSON, written every few seconds. If it exists the search goes on from there.
        on_progress: Called before each group with the state and the group's text.

    Raises:
        InputError: An argument is outside its limits.
        DataError: The file is not one of a search, or of one with other settings.
        StorageError: The file cannot be read or written.
        MissingExtraError: numba is not installed.

    Examples:
        >>> from quell.qec.search import search_two_block
        >>> found = search_two_block(k=4, distance=4)
        >>> found.best, found.optimal
        (<[[18, 4, 4]], weight 6: Z9, a = (0, 1, 2), b = (0, 1, 5)>, True)
    """
    if seconds is not None and not 0 < seconds < float("inf"):
        raise InputError(f"seconds must be > 0, got {seconds}")
    check_integer("max_order", max_order, minimum=3)
    if max_order > _MOST_ORDER:
        raise InputError(f"max_order must be <= {_MOST_ORDER}, got {max_order}")
    state = TwoBlockSearch(k, distance, max_weight, max_degree, agent, seed)
    path = None if save is None else Path(save)
    if path is not None and path.exists():
        _read(path, state)
    began, before = time.monotonic(), state.seconds
    written = began
    try:
        for group, sizes, turn in _searches(state, max_order):
            state.seconds = before + time.monotonic() - began
            if seconds is not None and state.seconds - before >= seconds:
                break
            key = (group.spec, *sizes, turn)
            if key in state.done:
                continue
            if on_progress is not None:
                on_progress(state, group.spec)
            for code in _search(state, group, sizes, turn):
                if state.best is None or code.n < state.best.n:
                    state.best = code
            state.done.add(key)
            if time.monotonic() - written > _SAVE_EVERY:
                _write(path, state)
                written = time.monotonic()
        else:
            if state.best is not None:
                orders = range(-(-state.least // 2), state.best.n // 2)
                complete = not any(order in orders for order in _INCOMPLETE)
                state.optimal = state.agent == "exhaustive" and complete and not state.undecided
    except KeyboardInterrupt:
        state.interrupted = True
    state.seconds = before + time.monotonic() - began
    _write(path, state)
    return state


def _searches(state: TwoBlockSearch, max_order: int) -> Iterator[tuple[Group, tuple[int, int], int]]:
    """Groups by their order, as long as a code of theirs would be shorter than the best."""
    for turn in range(1 if state.agent == "exhaustive" else _MAX_ROUNDS):
        for order in range(max(3, -(-state.least // 2)), max_order + 1):
            if state.best is not None and 2 * order >= state.best.n:
                break
            for group in groups_of_order(order):
                for sizes in state.supports:
                    yield group, sizes, turn


def _search(state: TwoBlockSearch, group: Group, sizes: tuple[int, int], turn: int) -> list[FoundCode]:
    if state.agent == "exhaustive":
        # Of those with too few logical qubits none is asked for: no distance is above n.
        known = {k: 2 * group.order if k < state.k else state.distance - 1 for k in range(1, 2 * group.order + 1)}
        codes = scan_two_block(group, sizes, better_than=known, time_limit=_PROOF_SECONDS, seed=state.seed)
    else:
        search = anneal_two_block if state.agent == "annealing" else random_two_block
        codes = search([group], _BUDGET << turn, state.seed + turn, sizes=sizes)
    codes = [code for code in codes if code.k >= state.k]
    state.undecided |= any(code.lower < state.distance <= code.upper for code in codes)
    return [code for code in codes if code.lower >= state.distance]


def _write(path: Path | None, state: TwoBlockSearch) -> None:
    if path is not None:
        best = None if state.best is None else state.best.to_record()
        record = {
            "seconds": round(state.seconds, 1),
            "undecided": state.undecided,
            "done": sorted(state.done),
            "best": best,
        }
        write_state(path, _FORMAT, search_settings(state), record)


def _read(path: Path, state: TwoBlockSearch) -> None:
    record = read_state(path, _FORMAT, search_settings(state))
    try:
        state.seconds, state.undecided = float(record["seconds"]), bool(record["undecided"])
        state.done = {(spec, first, second, turn) for spec, first, second, turn in record["done"]}
        state.best = None if record["best"] is None else FoundCode.from_record(record["best"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not hold the state of a search: {error!r}") from None
