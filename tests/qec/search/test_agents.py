"""Agents: what they promise, and that annealing earns its place."""

import itertools

import numpy as np
import pytest

from quell.errors import InputError, TooLargeError
from quell.qec.codes import LinearCode
from quell.qec.codes.gf2 import kernel, rank
from quell.qec.search import (
    Agent,
    Annealing,
    Exhaustive,
    RandomSampling,
    SearchResult,
    SeedProblem,
    Symmetry,
    pack_rows,
)

AGENTS: list[Agent] = [RandomSampling(), Annealing(), Annealing(Symmetry((2,) * 8, (2,) * 10))]


@pytest.mark.parametrize("agent", AGENTS, ids=["random", "annealing", "symmetric"])
def test_what_is_returned_is_what_it_says(agent: Agent) -> None:
    problem = SeedProblem(20, 4, 8)
    result = agent.search(problem, evaluations=30_000, seed=3)
    checks = result.checks
    assert isinstance(agent, Agent)
    assert result.evaluations <= 30_000
    assert checks.shape == (16, 20)
    assert checks.sum(axis=1).max() <= 3
    assert checks.sum(axis=0).max() <= 3
    # All sixteen codewords, multiplied out.
    chosen = np.array([[i >> bit & 1 for bit in range(20 - rank(checks))] for i in range(1, 2 ** (20 - rank(checks)))])
    weights = (chosen @ kernel(checks) % 2).sum(axis=1)
    assert min(int(weights.min()), 8) == result.distance
    assert result.reached == (rank(checks) == 16 and weights.min() >= 8)
    assert result.trace[-1].tolist() == [result.trace[-1, 0], result.cost]
    assert (np.diff(result.trace[:, 1]) < 0).all()
    assert (np.diff(result.trace[:, 0]) > 0).all()


@pytest.mark.parametrize("agent", AGENTS, ids=["random", "annealing", "symmetric"])
def test_the_same_seed_gives_the_same_and_the_budget_is_kept(agent: Agent) -> None:
    problem = SeedProblem(20, 4, 10)  # more than any of them reaches
    first, again, other = (agent.search(problem, evaluations=501, seed=seed) for seed in (1, 1, 2))
    assert first.rows.tolist() == again.rows.tolist()
    assert first.trace.tolist() == again.trace.tolist()
    assert first.rows.tolist() != other.rows.tolist()
    assert first.evaluations == 501
    assert not first.reached


def test_a_symmetry_is_kept() -> None:
    problem = SeedProblem(29, 7, 12)
    symmetry = Symmetry((6, 6, 3, 3, 2, 1, 1), (6, 6, 6, 3, 2, 2, 2, 1, 1))
    result = Annealing(symmetry).search(problem, evaluations=5_000, seed=0)
    row_image, column_image = symmetry.images(problem.num_checks, problem.n)
    moved = np.zeros_like(result.checks)
    moved[np.ix_(row_image, column_image)] = result.checks
    assert (moved == result.checks).all()


def test_drawn_symmetries_are_of_the_right_size_and_order() -> None:
    problem = SeedProblem(29, 7, 12)
    rng = np.random.default_rng(1)
    orders = set()
    for _ in range(300):
        symmetry = Symmetry.draw(rng, problem)
        order = np.lcm.reduce([*symmetry.row_cycles, *symmetry.column_cycles])
        orders.add(int(order))
        for image in symmetry.images(problem.num_checks, problem.n):
            moved = np.arange(len(image))
            for _ in range(order):
                moved = image[moved]
            assert (moved == np.arange(len(image))).all()
    assert {2, 3, 4, 5, 6} <= orders


def test_annealing_beats_random_sampling() -> None:
    """At 5,000 evaluations: six seeds each, and the costs do not even overlap."""
    problem = SeedProblem(36, 9, 12)
    sampled = [RandomSampling().search(problem, evaluations=5_000, seed=seed).cost for seed in range(6)]
    annealed = [Annealing().search(problem, evaluations=5_000, seed=seed).cost for seed in range(6)]
    assert max(annealed) < min(sampled)


def test_a_code_is_found_that_the_paper_needs_2137_qubits_for() -> None:
    problem = SeedProblem(29, 7, 12)
    result = Annealing(Symmetry.of_order(3, problem)).search(problem, evaluations=100_000, seed=2)
    assert problem.quantum_parameters == (1325, 49, 12)
    assert result.reached
    assert LinearCode(result.checks).k == 7


def test_a_search_can_be_stopped() -> None:
    asked = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 1

    result = Annealing().search(SeedProblem(30, 8, 12), evaluations=10**9, seed=1, stop=stop)
    assert result.evaluations < 10**6


def test_bad_arguments() -> None:
    problem = SeedProblem(10, 2, 3)
    with pytest.raises(InputError, match="evaluations must be an integer >= 1, got 0"):
        Annealing().search(problem, evaluations=0, seed=0)
    with pytest.raises(InputError, match="temperatures must fall"):
        Annealing(start_temperature=0.1, end_temperature=0.2)
    with pytest.raises(InputError, match="cycles of rows must be >= 1 and 8 rows in all, got 3\\^2"):
        Annealing(Symmetry((3, 3))).search(problem, evaluations=10, seed=0)
    with pytest.raises(InputError, match="found no matrix of 4 rows and 12 columns"):
        # Every column needs a one, and a symmetry of twelve gives each row twelve.
        Annealing(Symmetry((), (12,))).search(SeedProblem(12, 8, 2), evaluations=10, seed=0)


def test_a_matrix_can_be_looked_at_again() -> None:
    problem = SeedProblem(4, 1, 4)
    rows = pack_rows([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]])
    assert SearchResult.of(problem, rows, 7).reached
    with pytest.raises(InputError, match="at most 3 ones in a row"):
        SearchResult.of(problem, pack_rows([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 1]]), 7)
    with pytest.raises(InputError, match="must have 3 rows and 4 columns"):
        SearchResult.of(problem, rows[:2], 7)


def test_an_exhaustive_search_finds_what_there_is_and_only_that() -> None:
    """Against all sets of columns, for every shape of up to four rows and three ones in a row and a column."""
    agent = Exhaustive()
    assert isinstance(agent, Agent)
    for num_rows in (2, 3, 4):
        columns = [np.array(bits) for bits in itertools.product((0, 1), repeat=num_rows) if 1 <= sum(bits) <= 3]
        for size in range(num_rows + 1, 2 * num_rows + 1):
            best = 0
            for chosen in itertools.combinations_with_replacement(columns, size):
                matrix = np.array(chosen).T
                if matrix.sum(axis=1).max() <= 3 and rank(matrix) == num_rows:
                    basis = kernel(matrix)
                    words = np.array(list(itertools.product((0, 1), repeat=len(basis))))[1:] @ basis % 2
                    best = max(best, int(words.sum(axis=1).min()))
            for wanted in range(1, 7):
                try:
                    problem = SeedProblem(size, size - num_rows, wanted)
                except InputError:
                    assert wanted > best
                    continue
                assert agent.search(problem, evaluations=100_000, seed=0).reached == (wanted <= best)


def test_an_exhaustive_search_has_limits() -> None:
    result = Exhaustive().search(SeedProblem(13, 3, 7), evaluations=100, seed=0)
    assert (result.evaluations, result.reached) == (100, False)
    with pytest.raises(TooLargeError, match="goes up to 12 rows, got 23: take Annealing"):
        Exhaustive().search(SeedProblem(30, 7, 12), evaluations=100, seed=0)
