"""All check matrices of a small shape, column by column: what is not found then does not exist.

Columns come in rising order, as masks of rows, and none may be a sum of distance - 2 or fewer of those before it, since
that would be a light codeword.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from quell.errors import TooLargeError, check_integer
from quell.qec.search.agents import SearchResult
from quell.qec.search.seeds import SeedProblem, evaluate

__all__ = ["Exhaustive"]

_MOST_ROWS = 12


@dataclass(frozen=True)
class Exhaustive:
    """Goes through all matrices of up to 12 rows. Each column that is added counts as one evaluation.

    If it ends before its budget without having reached the target, no matrix within the bounds does.

    Examples:
        >>> from quell.qec.search import Exhaustive, SeedProblem
        >>> result = Exhaustive().search(SeedProblem(7, 3, 4, max_column=2), evaluations=1_000_000, seed=0)
        >>> result.reached, result.evaluations
        (False, 383)
        >>> Exhaustive().search(SeedProblem(8, 3, 4, max_column=2), evaluations=1_000_000, seed=0).reached
        True
    """

    @property
    def name(self) -> str:
        """What tables call it."""
        return "exhaustive"

    def search(
        self,
        problem: SeedProblem,
        *,
        evaluations: int,
        seed: int,  # noqa: ARG002 (nothing is drawn)
        stop: Callable[[], bool] | None = None,
    ) -> SearchResult:
        """See `Agent`; what is returned is the matrix that reaches the target, or else the last that was complete.

        Raises:
            TooLargeError: The matrix has more than 12 rows.
            MissingExtraError: numba is not installed.
        """
        check_integer("evaluations", evaluations, minimum=1)
        if problem.num_checks > _MOST_ROWS:
            raise TooLargeError(
                f"an exhaustive search goes up to {_MOST_ROWS} rows, got {problem.num_checks}: take Annealing"
            )
        best: tuple[int, ...] = ()
        done = 0
        for done, columns in enumerate(_growing(problem), 1):
            if len(columns) > len(best):
                best = columns
            if done == evaluations or (done % 1000 == 0 and stop is not None and stop()):
                break
            if len(columns) == problem.n:
                best = columns
                if evaluate(problem, _rows(best, problem.num_checks)).cost == 0:
                    break
        # What is not complete is filled up with columns that it has.
        filled = tuple(itertools.islice(itertools.cycle(best), problem.n))
        rows = _rows(filled, problem.num_checks)
        found = evaluate(problem, rows)
        return SearchResult(problem, rows, found.cost, found.distance, done, np.array([[done, found.cost]]))


def _growing(problem: SeedProblem) -> Iterator[tuple[int, ...]]:
    """Sets of columns that have room in the rows and no light codeword, each one column more than one before."""
    masks = [mask for mask in range(1, 1 << problem.num_checks) if mask.bit_count() <= problem.max_column]
    most = max(problem.distance - 2, 0)

    def grow(columns: tuple[int, ...], sums: list[set[int]], ones: list[int], first: int) -> Iterator[tuple[int, ...]]:
        # Every column still to come takes a one at least.
        if len(columns) + sum(problem.max_row - each for each in ones) < problem.n:
            return
        for place in range(first, len(masks)):
            mask = masks[place]
            rows = [row for row in range(problem.num_checks) if mask >> row & 1]
            if any(ones[row] == problem.max_row for row in rows) or any(mask in few for few in sums):
                continue
            for row in rows:
                ones[row] += 1
            yield (*columns, mask)
            if len(columns) + 1 < problem.n:
                # Sums of so many columns, with the new one among them or not.
                more = [sums[size] | {each ^ mask for each in sums[size - 1]} for size in range(1, most + 1)]
                yield from grow((*columns, mask), [sums[0], *more], ones, place + (problem.distance > 2))
            for row in rows:
                ones[row] -= 1

    yield from grow((), [{0}] + [set() for _ in range(most)], [0] * problem.num_checks, 0)


def _rows(columns: tuple[int, ...], num_rows: int) -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return np.array(
        [sum((mask >> row & 1) << place for place, mask in enumerate(columns)) for row in range(num_rows)],
        dtype=np.uint64,
    )
