"""What searches for a seed: agents behind one interface, measured by how many check matrices they have looked at.

Two of them are the bars that a learned search has to pass: random sampling, and simulated annealing (Kirkpatrick,
Gelatt and Vecchi 1983) by changes of one or two edges, free or among the matrices that have a cyclic symmetry.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer
from quell.qec.search.seeds import EXCESS_PRICE, SeedProblem, evaluate, pack_rows, seed_kernels, unpack_rows

__all__ = [
    "Agent",
    "Annealing",
    "RandomSampling",
    "SearchResult",
    "SymmetricAnnealing",
    "Symmetry",
    "check_temperatures",
    "draw_symmetry",
]

_AT_A_TIME = 20_000  # evaluations between two looks at whether to stop
_MAX_IMPROVEMENTS = 4096
_SYMMETRY_TRIES = 50


@dataclass(frozen=True)
class SearchResult:
    """What an agent came to.

    Attributes:
        problem: What was wanted.
        rows: uint64 (n - k,): the cheapest check matrix, bit j of row i being column j.
        cost: Of it; 0 where the target is reached.
        distance: Of its code, exact where below the distance that was wanted, else at least that.
        evaluations: How many matrices were looked at.
        trace: float64 (T, 2): after how many evaluations the least cost fell, and to what.
    """

    problem: SeedProblem
    rows: NDArray[np.uint64]
    cost: float
    distance: int
    evaluations: int
    trace: NDArray[np.float64]

    @classmethod
    def of(cls, problem: SeedProblem, rows: NDArray[np.uint64], evaluations: int) -> "SearchResult":
        """Looks at a matrix again that was found before.

        Raises:
            InputError: It is outside the bounds of the problem.
        """
        bits = unpack_rows(rows, problem.n)
        if bits.shape != (problem.num_checks, problem.n) or not (pack_rows(bits) == rows).all():
            raise InputError(f"the matrix must have {problem.num_checks} rows and {problem.n} columns")
        if bits.sum(axis=1).max() > problem.max_row or bits.sum(axis=0).max() > problem.max_column:
            raise InputError(
                f"the matrix must have at most {problem.max_row} ones in a row and {problem.max_column} in a column"
            )
        found = evaluate(problem, rows)
        return cls(problem, rows, found.cost, found.distance, evaluations, np.array([[evaluations, found.cost]]))

    @property
    def reached(self) -> bool:
        """Whether the matrix has the dimension and the distance that were wanted."""
        return self.cost == 0

    @property
    def checks(self) -> NDArray[np.uint8]:
        """The check matrix, uint8 (n - k, n)."""
        return unpack_rows(self.rows, self.problem.n)


@runtime_checkable
class Agent(Protocol):
    """Whatever searches for a seed within a budget of evaluations."""

    @property
    def name(self) -> str:
        """What tables call it."""

    def search(
        self, problem: SeedProblem, *, evaluations: int, seed: int, stop: Callable[[], bool] | None = None
    ) -> SearchResult:
        """Looks at no more than `evaluations` matrices, and ends when the target is reached or `stop()` is true.

        The same seed gives the same result.
        """


@dataclass(frozen=True)
class Symmetry:
    """A cyclic symmetry of check matrices: a permutation of rows and one of columns that together leave it the same.

    Args:
        row_cycles: Lengths of the cycles that rows, in their sequence, go round in; empty if all stay in place.
        column_cycles: Likewise.

    Examples:
        >>> from quell.qec.search import Symmetry
        >>> Symmetry((3, 3), (3, 2, 1)).images(6, 6)[1]
        array([1, 2, 0, 4, 3, 5])
        >>> print(Symmetry((3, 3), (3, 2, 1)))
        rows 3^2, columns 3 2 1
    """

    row_cycles: tuple[int, ...] = ()
    column_cycles: tuple[int, ...] = ()

    @classmethod
    def of_order(cls, order: int, problem: SeedProblem) -> "Symmetry":
        """As many cycles of one length as there is room for; the rest stays in place.

        Examples:
            >>> from quell.qec.search import SeedProblem, Symmetry
            >>> print(Symmetry.of_order(3, SeedProblem(29, 7, 12)))
            rows 3^7 1, columns 3^9 1^2
        """
        check_integer("order", order, minimum=1)
        rows, columns = ((order,) * (size // order) + (1,) * (size % order) for size in (problem.num_checks, problem.n))
        return cls(rows, columns)

    @classmethod
    def draw(cls, rng: np.random.Generator, problem: SeedProblem) -> "Symmetry":
        """A random one: an order, most often 2 or 3, and cycles whose lengths divide it, most of them as long as it is.

        Examples:
            >>> import numpy as np
            >>> from quell.qec.search import SeedProblem, Symmetry
            >>> print(Symmetry.draw(np.random.default_rng(1), SeedProblem(29, 7, 12)))
            rows 3^5 1^7, columns 3^9 1^2
        """
        orders = np.arange(2, max(problem.n // 3, 2) + 1)
        order = int(rng.choice(orders, p=orders**-1.5 / (orders**-1.5).sum()))
        rows, columns = (_draw_cycles(rng, size, order) for size in (problem.num_checks, problem.n))
        return cls(rows, columns)

    def images(self, num_rows: int, num_columns: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns where rows and columns go, int64 (rows,) and (columns,).

        Raises:
            InputError: The cycles are not as many rows or columns.
        """
        return _image("rows", num_rows, self.row_cycles), _image("columns", num_columns, self.column_cycles)

    def __str__(self) -> str:
        """The cycles, equal ones together."""
        return f"rows {_text(self.row_cycles)}, columns {_text(self.column_cycles)}"


def _image(name: str, size: int, cycles: tuple[int, ...]) -> NDArray[np.int64]:
    image = np.arange(size, dtype=np.int64)
    if cycles and (min(cycles) < 1 or sum(cycles) != size):
        raise InputError(f"cycles of {name} must be >= 1 and {size} {name} in all, got {_text(cycles)}")
    start = 0
    for length in cycles:
        image[start : start + length] = np.roll(image[start : start + length], -1)
        start += length
    return image


def _draw_cycles(rng: np.random.Generator, size: int, order: int) -> tuple[int, ...]:
    """Cycles of full length, but for a rest, and now and then one or two more, of shorter ones."""
    full = max(size // order - int(rng.geometric(0.7) - 1), 0)
    rest = size - full * order
    cycles = [order] * full
    shorter = [length for length in range(1, order) if order % length == 0]
    while rest:
        length = int(rng.choice([each for each in shorter if each <= rest]))
        cycles.append(length)
        rest -= length
    return tuple(sorted(cycles, reverse=True))


def _text(cycles: tuple[int, ...]) -> str:
    if not cycles:
        return "in place"
    counts = [(length, cycles.count(length)) for length in dict.fromkeys(cycles)]
    return " ".join(f"{length}^{count}" if count > 1 else str(length) for length, count in counts)


@dataclass(frozen=True)
class RandomSampling:
    """Draws matrices independently, rows and columns about as full as they may be.

    Args:
        symmetry: That all matrices have.

    Examples:
        >>> from quell.qec.search import RandomSampling, SeedProblem
        >>> result = RandomSampling().search(SeedProblem(12, 3, 4), evaluations=1000, seed=1)
        >>> result.reached, result.evaluations <= 1000
        (True, True)
    """

    symmetry: Symmetry = Symmetry()

    @property
    def name(self) -> str:
        """What tables call it."""
        return "random"

    def search(
        self, problem: SeedProblem, *, evaluations: int, seed: int, stop: Callable[[], bool] | None = None
    ) -> SearchResult:
        """See `Agent`.

        Raises:
            InputError: No matrix of that shape was found within the bounds.
            MissingExtraError: numba is not installed.
        """
        check_integer("evaluations", evaluations, minimum=1)
        walk = _Walk(problem, self.symmetry, seed)
        while walk.done < evaluations and walk.best_cost > 0 and not (stop is not None and stop()):
            walk.sample(min(evaluations - walk.done, _AT_A_TIME))
        return walk.result()


@dataclass(frozen=True)
class Annealing:
    """Simulated annealing: a change of one or two edges is kept if it costs less, or a little more while it is warm.

    The temperature falls geometrically over the whole budget, to a fraction of what the cheapest codeword costs, so
    that in the end hardly anything dearer is kept.

    Args:
        symmetry: That all matrices have.
        start_temperature: In units of the cost of one codeword of weight distance - 1.
        end_temperature: Likewise.

    Examples:
        >>> from quell.qec.search import Annealing, SeedProblem
        >>> result = Annealing().search(SeedProblem(20, 4, 9), evaluations=100_000, seed=1)
        >>> result.reached
        True
        >>> result.problem.quantum_parameters
        (656, 16, 9)
    """

    symmetry: Symmetry = Symmetry()
    start_temperature: float = 1.0
    end_temperature: float = 0.15

    def __post_init__(self) -> None:
        """Checks the temperatures."""
        check_temperatures(self.start_temperature, self.end_temperature)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "annealing"

    def search(
        self, problem: SeedProblem, *, evaluations: int, seed: int, stop: Callable[[], bool] | None = None
    ) -> SearchResult:
        """See `Agent`.

        Raises:
            InputError: No matrix of that shape and symmetry was found within the bounds.
            MissingExtraError: numba is not installed.
        """
        check_integer("evaluations", evaluations, minimum=1)
        walk = _Walk(problem, self.symmetry, seed)
        walk.sample(1)
        walk.temperature = self.start_temperature
        cooling = (self.end_temperature / self.start_temperature) ** (1 / max(evaluations - 1, 1))
        while walk.done < evaluations and walk.best_cost > 0 and not (stop is not None and stop()):
            if not walk.anneal(min(evaluations - walk.done, _AT_A_TIME), cooling):
                break  # nothing can be changed within the bounds
        return walk.result()


@dataclass(frozen=True)
class SymmetricAnnealing:
    """Annealing over and over, each time among the matrices with a cyclic symmetry drawn at random.

    Where there is such a code it is found in few steps, as the space is so much smaller.

    Args:
        steps: Evaluations for each symmetry; what is left over goes to the last one.
        start_temperature: Of each, as for `Annealing`.
        end_temperature: Likewise.

    Examples:
        >>> from quell.qec.search import SeedProblem, SymmetricAnnealing
        >>> result = SymmetricAnnealing().search(SeedProblem(29, 7, 12), evaluations=200_000, seed=1)
        >>> result.problem.quantum_parameters, result.reached
        ((1325, 49, 12), True)
    """

    steps: int = 5_000
    start_temperature: float = 1.0
    end_temperature: float = 0.15

    def __post_init__(self) -> None:
        """Checks the numbers."""
        check_integer("steps", self.steps, minimum=1)
        check_temperatures(self.start_temperature, self.end_temperature)

    @property
    def name(self) -> str:
        """What tables call it."""
        return "symmetric annealing"

    def search(
        self, problem: SeedProblem, *, evaluations: int, seed: int, stop: Callable[[], bool] | None = None
    ) -> SearchResult:
        """See `Agent`.

        Raises:
            InputError: No matrix of that shape was found within the bounds.
            MissingExtraError: numba is not installed.
        """
        check_integer("evaluations", evaluations, minimum=1)
        best: SearchResult | None = None
        trace: list[tuple[float, float]] = []
        done = 0
        while done < evaluations and (best is None or not best.reached) and not (best and stop is not None and stop()):
            part = seed if not done else int(np.random.SeedSequence([seed, done]).generate_state(1)[0])
            agent = Annealing(draw_symmetry(problem, part), self.start_temperature, self.end_temperature)
            left = evaluations - done
            result = agent.search(
                problem, evaluations=left if left < 2 * self.steps else self.steps, seed=part, stop=stop
            )
            for at, cost in result.trace:
                if not trace or cost < trace[-1][1]:
                    trace.append((done + at, cost))
            done += result.evaluations
            if best is None or result.cost < best.cost:
                best = result
        assert best is not None
        return dataclasses.replace(best, evaluations=done, trace=np.array(trace))


def check_temperatures(start: float, end: float) -> None:
    """Raises `InputError` unless an annealing can go from one temperature to the other."""
    if not 0 < end <= start < math.inf:
        raise InputError(
            f"temperatures must fall, 0 < end <= start, got start_temperature = {start} and end_temperature = {end}"
        )


def draw_symmetry(problem: SeedProblem, seed: int) -> Symmetry:
    """Returns a random symmetry that some matrix within the bounds has; none if fifty that were drawn are no such."""
    rng = np.random.default_rng([seed, 1])
    for _ in range(_SYMMETRY_TRIES):
        symmetry = Symmetry.draw(rng, problem)
        try:
            RandomSampling(symmetry).search(problem, evaluations=1, seed=seed)
        except InputError:
            continue
        return symmetry
    return Symmetry()


class _Walk:
    """A matrix on its way, and the best that it has been."""

    def __init__(self, problem: SeedProblem, symmetry: Symmetry, seed: int) -> None:
        self.problem = problem
        self.kernels = seed_kernels()
        self.rng = np.random.default_rng(seed)
        self.images = symmetry.images(problem.num_checks, problem.n)
        self.free = symmetry == Symmetry()
        self.bounds = (problem.n, problem.max_row, problem.max_column)
        self.rows = np.zeros(problem.num_checks, dtype=np.uint64)
        self.best_rows = self.rows.copy()
        self.best_cost = math.inf
        self.cost = math.inf
        self.temperature = 1.0
        self.done = 0
        self.trace: list[tuple[float, float]] = []

    def sample(self, evaluations: int) -> None:
        """Looks at that many random matrices, or at as many as it takes to reach the target."""
        trace = np.zeros((_MAX_IMPROVEMENTS, 2))
        done, self.cost, self.best_cost, improvements = self.kernels.sample(
            self.rng,
            self.rows,
            *self.bounds,
            *self.images,
            self.problem.prices,
            EXCESS_PRICE,
            evaluations,
            self.best_rows,
            self.best_cost,
            trace,
        )
        if done < evaluations and self.best_cost > 0:
            raise InputError(
                f"found no matrix of {self.problem.num_checks} rows and {self.problem.n} columns with at most "
                f"{self.problem.max_row} ones in a row and {self.problem.max_column} in a column"
                + (": raise the bounds" if self.free else ", and that symmetry: leave the symmetry out")
            )
        self._book(done, trace[:improvements])

    def anneal(self, evaluations: int, cooling: float) -> int:
        """Makes that many steps, or as many as it takes to reach the target, and returns how many."""
        trace = np.zeros((_MAX_IMPROVEMENTS, 2))
        done, self.cost, self.best_cost, self.temperature, improvements = self.kernels.anneal(
            self.rng,
            self.rows,
            self.cost,
            *self.bounds,
            *self.images,
            self.problem.prices,
            EXCESS_PRICE,
            self.temperature,
            cooling,
            evaluations,
            self.best_rows,
            self.best_cost,
            trace,
        )
        self._book(done, trace[:improvements])
        return int(done)

    def _book(self, done: int, improvements: NDArray[np.float64]) -> None:
        self.trace += [(self.done + step, cost) for step, cost in improvements]
        self.done += int(done)

    def result(self) -> SearchResult:
        return SearchResult(
            self.problem,
            self.best_rows.copy(),
            float(self.best_cost),
            evaluate(self.problem, self.best_rows).distance,
            self.done,
            np.array(self.trace, dtype=np.float64).reshape(-1, 2),
        )
