"""GF(2) algebra, CSS codes and distances against brute force."""

import copy
import dataclasses
import itertools
import pickle
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from numpy.typing import NDArray

from quell.circuits.rp2_lattice import surface_lattice
from quell.errors import InputError
from quell.qec.codes import CSSCode, distance
from quell.qec.codes.css import _odd_overlaps
from quell.qec.codes.gf2 import as_bits, in_row_space, inverse, kernel, multiply, rank, row_reduce, solve

Bits = NDArray[np.uint8]
STEANE = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]


def span(rows: Bits) -> set[bytes]:
    sums = {np.zeros(rows.shape[1], dtype=np.uint8).tobytes()}
    for row in rows:
        sums |= {(np.frombuffer(each, dtype=np.uint8) ^ row).tobytes() for each in sums}
    return sums


def random_bits(rng: np.random.Generator, rows: int, columns: int) -> Bits:
    return rng.integers(0, 2, (rows, columns), dtype=np.uint8)


def test_reduction_rank_kernel_and_membership_against_every_sum_of_rows() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        matrix = random_bits(rng, int(rng.integers(0, 7)), int(rng.integers(1, 9)))
        everything = span(matrix)
        assert 2 ** rank(matrix) == len(everything)
        reduced, pivots = row_reduce(matrix)
        assert span(reduced) == everything
        assert np.array_equal(reduced[:, pivots], np.eye(len(pivots)))
        vectors = np.array(list(itertools.product((0, 1), repeat=matrix.shape[1])), dtype=np.uint8)
        assert [row.tobytes() in everything for row in vectors] == in_row_space(vectors, matrix).tolist()
        orthogonal = vectors[((matrix.astype(int) @ vectors.T) % 2 == 0).all(axis=0)]
        assert span(kernel(matrix)) == {row.tobytes() for row in orthogonal}


def test_wide_matrices_cross_words() -> None:
    rng = np.random.default_rng(2)
    for columns in (63, 64, 65, 130):
        square = random_bits(rng, columns, columns)
        while rank(square) < columns:
            square = random_bits(rng, columns, columns)
        assert np.array_equal(inverse(square).astype(int) @ square % 2, np.eye(columns))
    wide = random_bits(rng, 40, 300)
    assert not (wide.astype(int) @ kernel(wide).T % 2).any()
    assert len(kernel(wide)) == 300 - rank(wide)


def one_column_at_a_time(matrix: Bits, columns: int) -> tuple[Bits, list[int]]:
    """Gauss and Jordan as in a textbook, without words or tables."""
    rows, pivots = matrix.copy(), []
    for column in range(columns):
        found = np.flatnonzero(rows[len(pivots) :, column])
        if len(found):
            top = len(pivots)
            rows[[top, top + found[0]]] = rows[[top + found[0], top]]
            others = rows[:, column].astype(bool)
            others[top] = False
            rows[others] ^= rows[top]
            pivots.append(column)
    return rows, pivots


@pytest.mark.parametrize("density", [0.5, 0.02])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (64, 64), (300, 200), (200, 300), (520, 130), (7, 640)])
def test_reduction_is_that_of_a_textbook(rows: int, columns: int, density: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(3):
        matrix = (rng.random((rows, columns)) < density).astype(np.uint8)
        matrix[rows // 2] = matrix[0]
        expected, pivots = one_column_at_a_time(matrix, columns)
        reduced, found = row_reduce(matrix)
        assert found == pivots
        assert np.array_equal(reduced, expected[: len(pivots)])
        assert rank(matrix) == rank(matrix.T) == len(pivots)


def test_products_and_ranks_of_products() -> None:
    rng = np.random.default_rng(6)
    for rows, inner, columns in ((1, 1, 1), (3, 0, 5), (0, 3, 5), (5, 3, 0), (300, 9, 70), (70, 130, 300)):
        first, second = random_bits(rng, rows, inner), random_bits(rng, inner, columns)
        assert np.array_equal(multiply(first, second), first.astype(int) @ second % 2)
    # [1 | A] has the rank of its rows, and so has its transpose: their product has it too.
    left = np.concatenate([np.eye(700, dtype=np.uint8), random_bits(rng, 700, 500)], axis=1)
    right = np.concatenate([np.eye(700, dtype=np.uint8), random_bits(rng, 700, 600)], axis=1)
    assert rank(multiply(left.T, right)) == 700
    with pytest.raises(InputError, match="first must have 3 columns, got 2"):
        multiply([[1, 1]], [[1], [0], [1]])


def test_solutions_solve_and_where_there_are_none_brute_force_finds_none() -> None:
    rng = np.random.default_rng(7)
    for _ in range(100):
        matrix = random_bits(rng, int(rng.integers(1, 7)), int(rng.integers(1, 9)))
        targets = np.array(list(itertools.product((0, 1), repeat=len(matrix))), dtype=np.uint8)
        solutions, solvable = solve(matrix, targets)
        vectors = np.array(list(itertools.product((0, 1), repeat=matrix.shape[1])), dtype=np.uint8)
        reached = {row.tobytes() for row in (vectors.astype(int) @ matrix.T % 2).astype(np.uint8)}
        assert [row.tobytes() in reached for row in targets] == solvable.tolist()
        assert np.array_equal((solutions.astype(int) @ matrix.T % 2)[solvable], targets[solvable])
        assert not solutions[~solvable].any()
    # More targets than a word holds, beside a matrix that ends inside one.
    matrix, errors = random_bits(rng, 90, 100), random_bits(rng, 150, 100)
    syndromes = multiply(errors, matrix.T)
    solutions, solvable = solve(matrix, syndromes)
    assert solvable.all()
    assert np.array_equal(multiply(solutions, matrix.T), syndromes)
    with pytest.raises(InputError, match="targets must have 90 columns, got 89"):
        solve(matrix, syndromes[:, 1:])


def random_css(rng: np.random.Generator) -> CSSCode:
    """Random X checks, and Z checks chosen from what commutes with them."""
    n = int(rng.integers(3, 9))
    x = random_bits(rng, int(rng.integers(1, 4)), n)
    free = kernel(x)
    chosen = random_bits(rng, int(rng.integers(1, 4)), len(free)).astype(int) @ free % 2
    return CSSCode(x, chosen)


def brute_force(own: Bits, others: Bits) -> int:
    known = span(own)
    for weight in range(1, own.shape[1] + 1):
        for support in itertools.combinations(range(own.shape[1]), weight):
            operator = np.zeros(own.shape[1], dtype=np.uint8)
            operator[list(support)] = 1
            if not (others.astype(int) @ operator % 2).any() and operator.tobytes() not in known:
                return weight
    raise AssertionError


def test_distances_of_random_codes_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(3)
    methods = []
    while len(methods) < 300:
        code = random_css(rng)
        pairing = code.logical_x.astype(int) @ code.logical_z.T % 2
        assert np.array_equal(pairing, np.eye(code.k))
        if code.k == 0:
            continue
        for basis, own, others in (("X", code.x_checks, code.z_checks), ("Z", code.z_checks, code.x_checks)):
            found = distance(code, basis)
            methods.append(found.method)
            assert found.distance == brute_force(own, others) == found.witness.sum()
            assert not (others.astype(int) @ found.witness % 2).any()
            assert not in_row_space(found.witness[None], own)[0]
    assert set(methods) == {"enumeration", "shortest cycle"}


def test_both_methods_agree_on_surface_codes() -> None:
    for d in (3, 5):
        lattice = surface_lattice(d)
        number = {site: index for index, site in enumerate(lattice.data)}
        checks = {kind: [[0] * len(number) for _ in lattice.ancillas(kind)] for kind in "XZ"}
        rows = {kind: iter(checks[kind]) for kind in "XZ"}
        for check in lattice.checks:
            row = next(rows[check.kind])
            for site in check.data:
                row[number[site]] = 1
        code = CSSCode(checks["X"], checks["Z"])
        assert (code.k, distance(code, "X").distance, distance(code, "Z").distance) == (1, d, d)
        # A check twice puts qubits into three checks, and so out of reach of the other method.
        doubled = CSSCode(checks["X"], [*checks["Z"], checks["Z"][3]])
        found = distance(doubled, "X")
        assert (found.distance, found.method) == (d, "enumeration")


def test_steane_code_and_given_logicals() -> None:
    code = CSSCode(STEANE, STEANE, name="Steane")
    assert repr(code) == "<Steane: [[7, 1]] CSS code, 3 X and 3 Z checks>"
    given = CSSCode(STEANE, STEANE, logical_x=[[1, 1, 1, 0, 0, 0, 0]], z_signs=[1, -1, 1])
    assert (given.logical_z.astype(int) @ given.logical_x.T % 2).tolist() == [[1]]
    assert given.z_signs.tolist() == [1, -1, 1]
    assert given.parameters == (7, 1)
    assert given.x_weights.tolist() == given.z_weights.tolist() == [4, 4, 4]
    assert given.x_degrees.tolist() == given.z_degrees.tolist() == [1, 1, 2, 1, 2, 2, 3]


def test_codes_cannot_be_changed_but_copied_with_changes() -> None:
    code = CSSCode(STEANE, STEANE)
    with pytest.raises(ValueError, match="read-only"):
        code.x_checks[0, 0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        code.k = 2  # type: ignore[misc]
    other = dataclasses.replace(code, z_signs=np.array([1, 1, -1], dtype=np.int8), name="turned")
    assert (other.name, other.k, other.z_signs.tolist()) == ("turned", 1, [1, 1, -1])
    assert code.z_signs.tolist() == [1, 1, 1]


def test_copies_and_unpickled_codes_cannot_be_changed_either() -> None:
    code = CSSCode(STEANE, STEANE, coordinates=np.zeros((7, 2)), symmetries=[range(7)])
    for logicals_known in (False, True):
        if logicals_known:
            assert code.logical_x.sum() == code.logical_z.sum() == 3
        for other in (pickle.loads(pickle.dumps(code)), copy.copy(code), copy.deepcopy(code)):
            assert ("logical_x" in vars(other)) == logicals_known
            for field in dataclasses.fields(CSSCode):
                value = getattr(other, field.name)
                assert np.array_equal(value, getattr(code, field.name))
                assert not (isinstance(value, np.ndarray) and value.flags.writeable)


def test_logicals_found_late_are_those_given_early() -> None:
    rng = np.random.default_rng(9)
    for _ in range(50):
        code = random_css(rng)
        assert "logical_x" not in vars(code)
        same = CSSCode(code.x_checks, code.z_checks, logical_x=code.logical_x, logical_z=code.logical_z)
        assert np.array_equal(same.logical_z, code.logical_z)
        # No sum of logicals is a sum of checks.
        assert rank(np.concatenate([code.x_checks, code.logical_x])) == rank(code.x_checks) + code.k
        assert len(dataclasses.replace(code, name="named").logical_x) == code.k
    with pytest.raises(AttributeError, match="'CSSCode' object has no attribute 'logical_y'"):
        code.logical_y  # type: ignore[attr-defined]  # noqa: B018


def test_symmetries_are_those_that_brute_force_finds() -> None:
    x, z = [[1, 1, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 0]], [[0, 0, 1, 1, 0], [1, 1, 0, 0, 0]]
    kept = []
    for image in itertools.permutations(range(5)):
        # Rows as sets of qubits, whose images must be the same sets as often.
        def rows(checks: list[list[int]], image: tuple[int, ...]) -> list[list[int]]:
            return sorted(sorted(image[q] for q in np.flatnonzero(row)) for row in checks)

        keeps = all(rows(checks, image) == rows(checks, tuple(range(5))) for checks in (x, z))
        if keeps:
            kept.append(image)
        else:
            with pytest.raises(InputError, match="symmetry 0 maps"):
                CSSCode(x, z, symmetries=[image])
    assert len(kept) == 4
    code = CSSCode(x, z, symmetries=kept)
    assert code.symmetries is not None
    assert (code.symmetries.shape, code.symmetries.dtype) == ((4, 5), np.intp)
    assert CSSCode(x, z, symmetries=[]).symmetries.shape == (0, 5)  # type: ignore[union-attr]
    assert (code.max_weight, code.max_degree, CSSCode([], STEANE).max_degree) == (4, 3, 3)


def test_the_parity_of_overlaps_is_the_same_by_either_way() -> None:
    rng = np.random.default_rng(10)
    for density in (0.01, 0.5):
        first, second = ((rng.random((rows, 90)) < density).astype(np.uint8) for rows in (40, 50))
        expected = np.argwhere(first.astype(int) @ second.T % 2)
        assert np.array_equal(_odd_overlaps(first, second), expected)


def test_matrices_may_be_sparse_and_checks_absent() -> None:
    code = CSSCode(scipy.sparse.csr_matrix(STEANE), scipy.sparse.csr_matrix(STEANE))
    assert np.array_equal(code.x_checks, STEANE)
    assert CSSCode([], STEANE).parameters == CSSCode(STEANE, np.zeros(0)).parameters == (7, 4)
    assert CSSCode(np.zeros((0, 3)), np.zeros((0, 3))).parameters == (3, 3)


def test_random_codes_of_many_logicals_pair_them() -> None:
    rng = np.random.default_rng(8)
    x = random_bits(rng, 70, 300)
    code = CSSCode(x, multiply(random_bits(rng, 80, 230), kernel(x)))
    assert code.k == 300 - rank(code.x_checks) - rank(code.z_checks) >= 150
    assert np.array_equal(code.logical_x.astype(int) @ code.logical_z.T % 2, np.eye(code.k))
    assert not (code.z_checks.astype(int) @ code.logical_x.T % 2).any()
    assert not (code.x_checks.astype(int) @ code.logical_z.T % 2).any()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[1, 1], [1]], [[1, 1]]), {}, "x_checks is ragged: row 0 has 2 entries and row 1 has 1"),
        (([[1, 2]], [[1, 1]]), {}, "x_checks must hold 0 and 1 only, got 2 in row 0, column 1"),
        (([[1, 1, 0]], [[1, 1]]), {}, "x_checks must have 2 columns, got 3"),
        (([np.ones(2), np.ones(1)], [[1, 1]]), {}, "x_checks is ragged: row 0 has 2 entries and row 1 has 1"),
        (([[1, 1], 3], [[1, 1]]), {}, "x_checks is ragged: row 0 has 2 entries and row 1 has a number"),
        (([[[1], [1, 1]]], [[1, 1]]), {}, "x_checks must be a matrix of 0 and 1: "),
        (([[], []], [[1, 1, 0]]), {}, "x_checks must have 3 columns, got 0"),
        ((np.zeros((0, 5)), [[1, 1, 0]]), {}, "x_checks must have 3 columns, got 5"),
        (([[1, 1]], 5), {}, "z_checks must be a matrix, got 0 dimensions"),
        (([], []), {}, "x_checks must be a matrix"),
        (([1, 1], [[1, 1]]), {}, "x_checks must be a matrix, got 1 dimensions"),
        (([[1, 1, 0]], [[0, 1, 1]]), {}, "X check 0 and Z check 0 do not commute: they share 1 qubit, 1"),
        ((STEANE, STEANE), {"logical_x": []}, "logical_x must have k = 1 rows, got 0"),
        ((STEANE, STEANE), {"logical_x": [[1, 0, 0, 0, 0, 0, 0]]}, "logical X 0 and Z check 0 do not commute"),
        ((STEANE, STEANE), {"logical_z": STEANE[:1]}, "logical_z must be independent"),
        (([], [[0, 0, 1]]), {"logical_x": [[1, 0, 0], [1, 0, 0]], "logical_z": [[1, 0, 0], [0, 1, 0]]},
         "logical_x must be independent"),
        (([], [[0, 0, 1]]), {"logical_x": [[1, 0, 0], [0, 1, 0]], "logical_z": [[1, 0, 1], [1, 0, 0]]},
         "logical_z must be independent"),
        (([], [[0, 0, 1]]), {"logical_x": [[1, 0, 0], [0, 1, 0]], "logical_z": [[0, 1, 0], [1, 0, 0]]},
         "logical X 0 and logical Z 0 must anticommute"),
        ((STEANE, STEANE), {"z_signs": [1, 1]}, "z_signs must hold"),
        ((STEANE, STEANE), {"z_signs": [1, 1, 0]}, "z_signs must hold"),
        (([[1, 1], [1, 1]], [[1, 1]]), {"x_signs": [1, -1]}, "x_signs contradict each other: checks 0, 1 multiply"),
        ((STEANE, STEANE), {"x_signs": [[1], [1, 1]]}, "x_signs must hold"),
        ((STEANE, STEANE), {"coordinates": [[0, 0], [1]]}, r"coordinates must hold one \(x, y\) for each of 7 qubits"),
        ((STEANE, STEANE), {"coordinates": "ab"}, "coordinates must hold one"),
        ((STEANE, STEANE), {"coordinates": [[0, 0]]}, r"coordinates must have the shape \(7, 2\)"),
        ((STEANE, STEANE), {"symmetries": [range(6)]}, "symmetries must hold permutations of 7 qubits"),
        ((STEANE, STEANE), {"symmetries": [[0, 1], [1]]}, "symmetries must hold permutations of 7 qubits"),
        ((STEANE, STEANE), {"symmetries": np.zeros((1, 7))}, "symmetries must hold permutations of 7 qubits"),
        ((STEANE, STEANE), {"symmetries": [range(7), [0] * 7]}, "symmetry 1 is no permutation"),
        ((STEANE, STEANE), {"symmetries": [range(7), [1, 0, 2, 3, 4, 5, 6]]}, "symmetry 1 maps X check 0 to what is"),
        (([], STEANE), {"symmetries": [[1, 0, 2, 3, 4, 5, 6]]}, "symmetry 0 maps Z check 0 to what is no Z check"),
        (
            ([[1, 1, 1, 1]], [[1, 1, 1, 1]]),
            {"logical_x": [[1, 1, 0, 0], [1, 0, 1, 0]], "logical_z": [[1, 1, 0, 0], [1, 0, 1, 0]]},
            "logical X 0 and logical Z 0 must anticommute",
        ),
    ],
)  # fmt: skip
def test_bad_codes_say_what_is_wrong(arguments: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CSSCode(*arguments, **options)


def test_distances_of_nothing_and_of_an_unknown_basis_say_so() -> None:
    with pytest.raises(InputError, match="has no logical qubit"):
        distance(CSSCode([[1, 1]], [[1, 1]]))
    with pytest.raises(InputError, match="basis"):
        distance(CSSCode(STEANE, STEANE), "Y")


def test_matrices_are_checked() -> None:
    with pytest.raises(InputError, match="must be square"):
        inverse([[1, 0]])
    with pytest.raises(InputError, match="singular: its rank is 1, below 2"):
        inverse([[1, 1], [1, 1]])
    assert as_bits("m", [], 3).shape == (0, 3)
