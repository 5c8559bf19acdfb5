"""Light codewords against all codewords, bounds against codes that attain them, and what is refused."""

import itertools

import numpy as np
import pytest
import scipy.optimize
from numpy.typing import NDArray

from quell.errors import InputError, TooLargeError
from quell.qec.codes.gf2 import kernel, rank
from quell.qec.search import Annealing, SeedProblem, evaluate, least_length, pack_rows, seed_bounds, unpack_rows
from quell.qec.search import seed_kernels as kernels
from quell.qec.search.seeds import trees_bound


def random_matrix(rng: np.random.Generator, rows: int, columns: int, ones: int) -> NDArray[np.uint8]:
    matrix = np.zeros((rows, columns), dtype=np.uint8)
    for row in matrix:
        row[rng.choice(columns, size=ones, replace=False)] = 1
    return matrix


def codewords(checks: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """All codewords but zero, by multiplying out."""
    basis = kernel(checks)
    chosen = np.array(list(itertools.product((0, 1), repeat=len(basis))), dtype=np.int64)[1:]
    return (chosen @ basis % 2).astype(np.uint8)


def connected(word: NDArray[np.uint8], checks: NDArray[np.uint8]) -> bool:
    """Whether the columns of a word hang together through checks."""
    support = np.flatnonzero(word)
    reached, frontier = {support[0]}, [support[0]]
    while frontier:
        touching = checks[checks[:, frontier.pop()] == 1]
        new = [j for j in support if j not in reached and touching[:, j].any()]
        reached.update(new)
        frontier += new
    return len(reached) == len(support)


# Few codewords: all in Gray order. Many, and a small distance: clusters. Many, and a greater one: information sets.
@pytest.mark.parametrize(
    ("rows", "columns", "below", "all_words"), [(9, 15, 9, True), (10, 22, 4, False), (14, 24, 12, True)]
)
def test_light_codewords_are_those_of_multiplying_out(rows: int, columns: int, below: int, all_words: bool) -> None:
    rng = np.random.default_rng(1)
    for _ in range(8):
        checks = random_matrix(rng, rows, columns, 3)
        counts, lightest = np.zeros(below, dtype=np.int64), np.zeros(1, dtype=np.uint64)
        k = kernels.count_light(pack_rows(checks), columns, below, counts, lightest)
        assert k == columns - rank(checks)
        words = codewords(checks)
        if not all_words:
            words = words[np.argsort(words.sum(axis=1))[:200]]
            words = words[[connected(word, checks) for word in words]]
        weights = words.sum(axis=1)
        if all_words:
            assert counts.tolist() == [int((weights == weight).sum()) for weight in range(below)]
        else:
            # A walk ends where all checks are satisfied, so of connected sums of lighter ones some are left out.
            least = min(int(weights.min()), below)
            assert (counts[:least] == 0).all()
            if least < below:
                assert counts[least] == (weights == least).sum()
        if weights.min() < below:
            found = unpack_rows(lightest, columns)[0]
            assert found.sum() == weights.min()
            assert not (checks @ found % 2).any()


def test_the_whole_word_can_be_used() -> None:
    ring = np.eye(64, dtype=np.uint8) + np.roll(np.eye(64, dtype=np.uint8), 1, axis=1)
    found = evaluate(SeedProblem(64, 1, 64), pack_rows(ring[:63]))
    assert (found.cost, found.distance, found.k) == (0, 64, 1)


def test_a_cost_is_what_it_says() -> None:
    # Three rows for columns 0-1, 1-2, 3-4: words 111000, 000110, 000001 and sums.
    checks = [[1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 0]]
    problem = SeedProblem(6, 2, 3)
    found = evaluate(problem, pack_rows([*checks, [0, 0, 0, 1, 1, 0]]))
    # Of weight 1 one, of weight 2 one, and one dimension too many.
    assert found.counts.tolist() == [0, 1, 1]
    assert found.cost == 1.5 + 1 + 5
    assert (found.distance, found.k) == (1, 3)


def test_codes_attain_the_bounds() -> None:
    # Distance 3: [I | 1 + x], n = 2 k.
    size = 6
    eye = np.eye(size, dtype=np.uint8)
    matrix = np.concatenate([eye, eye ^ np.roll(eye, 1, axis=1)], axis=1)
    assert least_length(size, 3, 3, 3)[0] == 2 * size
    assert evaluate(SeedProblem(2 * size, size, 3), pack_rows(matrix)).cost == 0
    # Distance 4: three rows with a column of their own, two without, and a column for each pair of either.
    pairs = list(itertools.product(range(3), (3, 4)))
    columns = [[row == i for row in range(5)] for i in range(3)] + [[row in pair for row in range(5)] for pair in pairs]
    assert least_length(4, 4, 3, 3)[0] == 9
    assert evaluate(SeedProblem(9, 4, 4), pack_rows(np.array(columns).T)).cost == 0


def test_no_small_code_is_below_the_bounds() -> None:
    """All sets of columns of up to four rows, at most 3 ones in a row."""
    for num_rows in (2, 3, 4):
        best: dict[int, int] = {}
        columns = [np.array(bits) for bits in itertools.product((0, 1), repeat=num_rows)][1:]
        for size in range(1, 8 if num_rows < 4 else 7):
            for chosen in itertools.combinations_with_replacement(columns, size):
                matrix = np.array(chosen).T
                if matrix.sum(axis=1).max() <= 3 and rank(matrix) == num_rows and size > num_rows:
                    weight = int(codewords(matrix).sum(axis=1).min())
                    best[size - num_rows] = max(best.get(size - num_rows, 0), weight)
        for k, distance in best.items():
            for wanted in range(1, distance + 1):
                assert least_length(k, wanted, 3, 3)[0] <= num_rows + k


def test_proposals_stay_within_the_bounds_and_reach_everything() -> None:
    rng = np.random.default_rng(2)
    fixed_rows, fixed_columns = np.arange(4, dtype=np.int64), np.arange(6, dtype=np.int64)
    rows, new = np.zeros(4, dtype=np.uint64), np.zeros(4, dtype=np.uint64)
    assert kernels.fill_rows(rng, rows, 6, 3, 2, fixed_rows, fixed_columns)
    edges = np.zeros((4, 6), dtype=np.int64)
    for _ in range(2000):
        assert kernels.propose(rng, rows, new, 6, 3, 2, fixed_rows, fixed_columns)
        rows[:] = new
        matrix = unpack_rows(rows, 6)
        assert matrix.sum(axis=1).min() >= 1
        assert matrix.sum(axis=1).max() <= 3
        assert matrix.sum(axis=0).min() >= 1
        assert matrix.sum(axis=0).max() <= 2
        edges += matrix
    assert (edges > 400).all()
    assert (edges < 1600).all()


@pytest.mark.parametrize("top", [1, 2, 3, 6, 7, 8, 9, 17])
def test_columns_are_counted_in_parallel(top: int) -> None:
    rows = np.full(top, 0b111, dtype=np.uint64)
    rows[0] = 0b110
    for bound in (1, 2, 3, 5, 6, 7, 8, 9, 16, 17):
        assert kernels.within_bounds(rows, 3, 3, bound) == (top <= bound and top > 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 1, 2), "n must be an integer >= 2, got 1"),
        ((10, 0, 2), "k must be an integer >= 1, got 0"),
        ((10, 2, 0), "distance must be an integer >= 1, got 0"),
        ((10, 2, 3, 1), "max_row must be an integer >= 2, got 1"),
        ((51, 26, 3), "n must be at least 52, as rows of at most 3 give n <= 2"),
        ((29, 2, 20), "at least 30, as the Griesmer bound asks for it"),
        ((20, 4, 4, 3, 1), "with one 1 in a column, two columns of a row are a codeword"),
        ((8, 4, 4), "at least 9, as rows of at most 3 give n <= 9/5"),
    ],
)
def test_impossible_problems_say_why(arguments: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SeedProblem(*arguments)


def test_more_than_a_word_is_refused() -> None:
    with pytest.raises(TooLargeError, match="n must be <= 64, one machine word, got 65"):
        SeedProblem(65, 2, 3)
    with pytest.raises(TooLargeError, match="got 65"):
        pack_rows(np.ones((2, 65), dtype=np.uint8))


def test_bounds_of_a_product() -> None:
    assert seed_bounds(8, 4) == [(4, 4)]
    assert seed_bounds(5, 3) == [(2, 3), (3, 2)]
    with pytest.raises(InputError, match="max_weight must be >= 3, got 2"):
        seed_bounds(2, 3)
    with pytest.raises(InputError, match="max_degree must be an integer >= 2, got 1"):
        seed_bounds(6, 1)


def test_what_annealing_finds_is_above_the_bounds_and_often_on_them() -> None:
    """k = 16 with distance 7, and what is one shorter is refused."""
    for n, k, distance in ((50, 20, 5), (48, 21, 4), (45, 17, 6)):
        problem = SeedProblem(n, k, distance)
        results = (Annealing().search(problem, evaluations=200_000, seed=seed) for seed in range(6))
        assert any(result.reached for result in results)
        with pytest.raises(InputError, match=rf"n must be at least {n}, as rows of at most 3 give"):
            SeedProblem(n - 1, k, distance)


def test_the_ratios_are_the_optimum_of_a_linear_program() -> None:
    """Rows and columns by their levels, as many as there may be: no prices can give less."""
    for distance in range(3, 9):
        for max_row in (3, 4):
            assert float(trees_bound(distance, max_row)) == pytest.approx(most_columns(distance, max_row), abs=1e-9)


def most_columns(distance: int, max_row: int) -> float:
    """The most columns for each row, if rows of each level and columns of each kind come in any amounts."""
    top = (distance - 3) // 2
    levels = [*range(top + 1), top + 1]  # the last are the rest
    kinds = [
        kind
        for ones in range(2, 7)
        for kind in itertools.combinations_with_replacement(levels, ones)
        if (kind[-1] == top + 1 and (ones > 2 or kind[0] >= top))
        or (kind[-1] <= top and 1 + sum(level + 1 for level in kind) >= distance)
    ]
    # Unknowns: rows of each level, columns of each kind that are no ways down.
    gain = [1.0] * (top + 1) + [0.0] + [1.0] * len(kinds)
    room = np.zeros((len(levels), len(gain)))
    for level in levels:
        room[level, level] = -(max_row if level == top + 1 else max_row - 1)
        if level < top:
            room[level, level + 1] = 1
        for place, kind in enumerate(kinds):
            room[level, len(levels) + place] = kind.count(level)
    rows = np.array([[1.0] * len(levels) + [0.0] * len(kinds)])
    found = scipy.optimize.linprog(-np.array(gain), A_ub=room, b_ub=np.zeros(len(levels)), A_eq=rows, b_eq=[1.0])
    return float(-found.fun)
