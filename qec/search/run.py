"""A search for the shortest seed of a hypergraph product: restarts in turn, on several cores, kept in a file.

Every restart is known by its number: the same seed and number give the same matrix again, however many cores there
were. One restart in four is free; the others keep to matrices with a cyclic symmetry, drawn at random, and take a
twentieth of the steps: where there is such a code it is found soon. Budgets follow the sequence 1, 1, 2, 1, 1, 2, 4, …
of Luby, Sinclair and Zuckerman (1993).
"""

import concurrent.futures
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from quell.errors import DataError, InputError, check_integer, check_known
from quell.qec.search.agents import Agent, Annealing, RandomSampling, SearchResult, draw_symmetry
from quell.qec.search.seeds import MAX_LENGTH, SeedProblem, least_length, seed_bounds
from quell.qec.search.state_files import read_state, search_settings, write_state

__all__ = ["SEED_AGENTS", "SeedSearch", "read_search", "restart_seed", "search_seeds"]

SEED_AGENTS = ("annealing", "learned", "random")

_BUDGET = 100_000
_SYMMETRIC_BUDGET = 5_000
_LEARNED_BUDGET = 20_000
_SAVE_EVERY = 5.0
_LOOK_EVERY = 0.2
_FORMAT = "quell search of seeds, 1"


@dataclass
class SeedSearch:
    """How far a search has come. What is found is in `best`; all else is needed to go on, or to make it again.

    Attributes:
        k: Of the quantum code, a square.
        distance: That is wanted.
        max_weight: Of its checks.
        max_degree: Of its qubits, in checks of each type.
        agent: One of `SEED_AGENTS`.
        seed: Of all random numbers.
        best: The shortest seed found, or None.
        best_restart: By which restart, for `restart_seed`.
        restarts: How many restarts there were for each (n, max_row, max_column).
        evaluations: Matrices looked at in all.
        seconds: Spent in all.
        interrupted: Whether Ctrl-C ended it.
    """

    k: int
    distance: int
    max_weight: int = 6
    max_degree: int = 3
    agent: str = "annealing"
    seed: int = 0
    best: SearchResult | None = None
    best_restart: int | None = None
    restarts: dict[tuple[int, int, int], int] = field(default_factory=dict)
    evaluations: int = 0
    seconds: float = 0.0
    interrupted: bool = False

    def __post_init__(self) -> None:
        """Checks that such a code can exist."""
        check_known("agent", self.agent, SEED_AGENTS)
        check_integer("seed", self.seed, minimum=0)
        check_integer("distance", self.distance, minimum=2)
        least = self.least
        if least > MAX_LENGTH:
            raise InputError(
                f"a seed with k = {self.seed_k}, distance {self.distance} and these bounds needs n >= {least}, as "
                f"{self._least_length()[1]}, and the search reaches n = {MAX_LENGTH}: lower k or distance, or raise "
                "the bounds"
            )

    @property
    def seed_k(self) -> int:
        """The dimension of the seed, the root of k."""
        check_integer("k", self.k, minimum=1)
        root = math.isqrt(self.k)
        if root**2 != self.k:
            raise InputError(
                f"k must be a square for the product of a code of independent checks with itself, got {self.k}: the "
                f"nearest are {root**2} and {(root + 1) ** 2}"
            )
        return root

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """The bounds on rows and columns of a seed, (row, column), that keep the product within its own."""
        return seed_bounds(self.max_weight, self.max_degree)

    @property
    def least(self) -> int:
        """A length that no seed can be below."""
        return self._least_length()[0]

    @property
    def optimal(self) -> bool:
        """Whether what was found is as short as any seed of independent checks within the bounds can be."""
        return self.best is not None and self.best.problem.n == self.least

    def quantum_length(self, n: int) -> int:
        """How many qubits the product of a seed of length n has."""
        return n**2 + (n - self.seed_k) ** 2

    def problem(self, n: int, bounds: tuple[int, int]) -> SeedProblem:
        """The seed of a length that is searched for."""
        return SeedProblem(n, self.seed_k, self.distance, *bounds)

    def _least_length(self) -> tuple[int, str]:
        return min(least_length(self.seed_k, self.distance, *bounds) for bounds in self.bounds)


def search_seeds(
    k: int,
    distance: int,
    *,
    max_weight: int = 6,
    max_degree: int = 3,
    agent: str = "annealing",
    seconds: float | None = None,
    max_restarts: int | None = None,
    num_workers: int | None = 1,
    seed: int = 0,
    save: str | os.PathLike[str] | None = None,
    on_progress: Callable[[SeedSearch], None] | None = None,
) -> SeedSearch:
    """Searches for the shortest hypergraph product of a classical code of independent checks with itself.

    First any seed is found, and from then on one that is shorter by one, until time or restarts are used up, or nothing
    shorter can exist. Ctrl-C ends it as the time limit does, with `interrupted` set.

    Args:
        k: Logical qubits, a square.
        distance: Of the quantum code, at least.
        max_weight: The most qubits in a check.
        max_degree: The most checks of one type on a qubit.
        agent: One of `SEED_AGENTS`.
        seconds: How long; None for no limit.
        max_restarts: How many restarts; None for no limit. One of the two must be given.
        num_workers: How many restarts run side by side, in threads that do not hold Python's lock; None for one on
            each core.
        seed: Of all random numbers.
        save: A file of its state, JSON, written every few seconds. If it exists the search goes on from there.
        on_progress: Called with the state about five times a second.

    Raises:
        InputError: An argument is outside its limits, or no such code can exist; the message says which bound forbids
            it.
        DataError: The file is not one of a search, or of one with other settings.
        StorageError: The file cannot be read or written.
        MissingExtraError: numba is not installed.

    Examples:
        >>> from quell.qec.search import search_seeds
        >>> found = search_seeds(k=9, distance=8, max_restarts=40, seed=1)
        >>> found.best.problem.quantum_parameters, found.optimal
        ((317, 9, 8), True)
    """
    if seconds is None and max_restarts is None:
        raise InputError("seconds or max_restarts must be given: a search does not end by itself")
    if seconds is not None and not 0 < seconds < math.inf:
        raise InputError(f"seconds must be > 0, got {seconds}")
    if max_restarts is not None:
        check_integer("max_restarts", max_restarts, minimum=1)
    workers = os.cpu_count() or 1 if num_workers is None else check_integer("num_workers", num_workers, minimum=1)
    state = SeedSearch(k, distance, max_weight, max_degree, agent, seed)
    path = None if save is None else Path(save)
    if path is not None and path.exists():
        state = _read(path, state)
        state.interrupted = False
    _Run(state, path, on_progress).run(seconds, max_restarts, workers)
    return state


def read_search(path: str | os.PathLike[str]) -> SeedSearch:
    """Reads how far a search has come, from the file that `search_seeds` saves.

    Raises:
        DataError: The file does not hold a search for seeds.
        StorageError: The file cannot be read.

    Examples:
        >>> import pathlib, tempfile
        >>> from quell.qec.search import read_search, search_seeds
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "search.json"
        ...     saved = search_seeds(k=9, distance=8, max_restarts=1, seed=1, save=path)
        ...     read_search(path).restarts == saved.restarts
        True
    """
    path = Path(path)
    settings = read_state(path, _FORMAT, {})["settings"]
    try:
        wanted = SeedSearch(**settings)
    except (TypeError, InputError) as error:
        raise DataError(f"{path} does not hold the settings of a search: {error}") from None
    return _read(path, wanted)


def restart_seed(
    state: SeedSearch, n: int, bounds: tuple[int, int], restart: int, stop: Callable[[], bool] | None = None
) -> SearchResult:
    """Runs one restart of a search again, from its number.

    Args:
        state: The search.
        n: Length of the seed.
        bounds: On rows and columns, one of `state.bounds`.
        restart: Its number, from 0.
        stop: Ends it early if true.

    Examples:
        >>> from quell.qec.search import SeedSearch, restart_seed
        >>> restart_seed(SeedSearch(16, 8), 20, (3, 3), 0).distance
        8
    """
    problem = state.problem(n, bounds)
    number = int(np.random.SeedSequence([state.seed, *asdict(problem).values(), restart]).generate_state(1)[0])
    agent, evaluations = _agent_of(state.agent, problem, restart, number)
    return agent.search(problem, evaluations=evaluations, seed=number, stop=stop)


def _agent_of(name: str, problem: SeedProblem, restart: int, seed: int) -> tuple[Agent, int]:
    if name == "random":
        return RandomSampling(), _BUDGET
    if name == "learned":
        from quell.qec.search.learned import learned_annealing

        return learned_annealing(), _LEARNED_BUDGET * _luby(restart + 1)
    turn = restart // 4
    if restart % 4 == 0:
        return Annealing(), _BUDGET * _luby(turn + 1)
    return Annealing(draw_symmetry(problem, seed)), _SYMMETRIC_BUDGET * _luby(turn + 1)


def _luby(index: int) -> int:
    """The sequence 1, 1, 2, 1, 1, 2, 4, …, from index 1."""
    size = index.bit_length()
    return 1 << (size - 1) if index == (1 << size) - 1 else _luby(index + 1 - (1 << (size - 1)))


class _Run:
    """One call of `search_seeds`: hands out restarts and books what comes back."""

    def __init__(self, state: SeedSearch, path: Path | None, on_progress: Callable[[SeedSearch], None] | None) -> None:
        self.state = state
        self.path = path
        self.on_progress = on_progress
        self.stopping = False
        self.saved = time.monotonic()

    def run(self, seconds: float | None, max_restarts: int | None, workers: int) -> None:
        began, before = time.monotonic(), self.state.seconds
        handed_out = 0
        running: dict[concurrent.futures.Future[SearchResult], tuple[int, tuple[int, int], int]] = {}
        with concurrent.futures.ThreadPoolExecutor(workers) as executor:
            try:
                while True:
                    elapsed = time.monotonic() - began
                    self.state.seconds = before + elapsed
                    over = self.state.optimal or (seconds is not None and elapsed >= seconds)
                    while not over and len(running) < workers and (max_restarts is None or handed_out < max_restarts):
                        job = self._next_job()
                        running[executor.submit(self._restart, *job)] = job
                        handed_out += 1
                    self.stopping = over
                    if not running:
                        break
                    done, _ = concurrent.futures.wait(running, _LOOK_EVERY, concurrent.futures.FIRST_COMPLETED)
                    for future in done:
                        self._book(running.pop(future), future.result())
                    self._tell()
            except KeyboardInterrupt:
                self.state.interrupted = True
            finally:
                self.stopping = True
                self._save()

    def _next_job(self) -> tuple[int, tuple[int, int], int]:
        n = self._target()
        bounds = min(
            (bounds for bounds in self.state.bounds if self._least(bounds) <= n),
            key=lambda bounds: self.state.restarts.get((n, *bounds), 0),
        )
        restart = self.state.restarts.get((n, *bounds), 0)
        self.state.restarts[(n, *bounds)] = restart + 1
        return n, bounds, restart

    def _target(self) -> int:
        """One below the best, or, as long as there is none, longer and longer seeds."""
        if self.state.best is not None:
            return self.state.best.problem.n - 1
        step, n = 1, self.state.least
        while n < MAX_LENGTH and any((n, *bounds) in self.state.restarts for bounds in self.state.bounds):
            n, step = min(n + step, MAX_LENGTH), 2 * step
        return n

    def _least(self, bounds: tuple[int, int]) -> int:
        return least_length(self.state.seed_k, self.state.distance, *bounds)[0]

    def _restart(self, n: int, bounds: tuple[int, int], restart: int) -> SearchResult:
        def stop() -> bool:
            return self.stopping or (self.state.best is not None and self.state.best.problem.n <= n)

        return restart_seed(self.state, n, bounds, restart, stop)

    def _book(self, job: tuple[int, tuple[int, int], int], result: SearchResult) -> None:
        n, _, restart = job
        self.state.evaluations += result.evaluations
        if result.reached and (self.state.best is None or n < self.state.best.problem.n):
            self.state.best, self.state.best_restart = result, restart
            self._save()

    def _tell(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.state)
        if time.monotonic() - self.saved > _SAVE_EVERY:
            self._save()

    def _save(self) -> None:
        self.saved = time.monotonic()
        if self.path is not None:
            _write(self.path, self.state)


def _write(path: Path, state: SeedSearch) -> None:
    best = state.best
    record = {
        "evaluations": state.evaluations,
        "seconds": round(state.seconds, 1),
        "restarts": [[*key, count] for key, count in sorted(state.restarts.items())],
        "best": None
        if best is None
        else {
            "problem": asdict(best.problem),
            "restart": state.best_restart,
            "evaluations": best.evaluations,
            "rows": [f"{int(row):x}" for row in best.rows],
        },
    }
    write_state(path, _FORMAT, search_settings(state), record)


def _read(path: Path, wanted: SeedSearch) -> SeedSearch:
    record = read_state(path, _FORMAT, search_settings(wanted))
    state = SeedSearch(**search_settings(wanted))
    try:
        state.evaluations, state.seconds = int(record["evaluations"]), float(record["seconds"])
        state.restarts = {(n, row, column): count for n, row, column, count in record["restarts"]}
        best = record["best"]
        if best is not None:
            state.best_restart = best["restart"]
            problem = SeedProblem(**best["problem"])
            rows = np.array([int(row, 16) for row in best["rows"]], dtype=np.uint64)
            state.best = SearchResult.of(problem, rows, best["evaluations"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path} does not hold the state of a search: {error!r}") from None
    return state
