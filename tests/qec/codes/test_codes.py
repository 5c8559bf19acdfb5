"""GF(2) algebra, CSS codes and distances against brute force."""

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quell.circuits.rp2_lattice import surface_lattice
from quell.errors import InputError, TooLargeError
from quell.qec.codes import CSSCode, distance
from quell.qec.codes.gf2 import as_bits, in_row_space, inverse, kernel, rank, row_reduce

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
    with pytest.raises(ValueError, match="read-only"):
        given.x_checks[0, 0] = 0


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[1, 1], [1]], [[1, 1]]), {}, "x_checks is ragged: row 0 has 2 entries and row 1 has 1"),
        (([[1, 2]], [[1, 1]]), {}, "x_checks must hold 0 and 1 only, got 2 in row 0, column 1"),
        (([[1, 1, 0]], [[1, 1]]), {}, "x_checks must have 2 columns, got 3"),
        (([], []), {}, "x_checks must be a matrix"),
        (([1, 1], [[1, 1]]), {}, "x_checks must be a matrix, got 1 dimensions"),
        (([[1, 1, 0]], [[0, 1, 1]]), {}, "X check 0 and Z check 0 do not commute: they share 1 qubit, 1"),
        ((STEANE, STEANE), {"logical_x": []}, "logical_x must have k = 1 rows, got 0"),
        ((STEANE, STEANE), {"logical_x": [[1, 0, 0, 0, 0, 0, 0]]}, "logical X 0 and Z check 0 do not commute"),
        ((STEANE, STEANE), {"logical_z": STEANE[:1]}, "logical_z must be independent"),
        ((STEANE, STEANE), {"z_signs": [1, 1]}, "z_signs must hold"),
        ((STEANE, STEANE), {"z_signs": [1, 1, 0]}, "z_signs must hold"),
        (([[1, 1], [1, 1]], [[1, 1]]), {"x_signs": [1, -1]}, "x_signs contradict each other: checks 0, 1 multiply"),
        ((STEANE, STEANE), {"coordinates": [[0, 0]]}, r"coordinates must have the shape \(7, 2\)"),
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


def test_distances_out_of_reach_say_so() -> None:
    with pytest.raises(InputError, match="has no logical qubit"):
        distance(CSSCode([[1, 1]], [[1, 1]]))
    rng = np.random.default_rng(4)
    x = random_bits(rng, 25, 60)
    with pytest.raises(TooLargeError, match=r"operators of X to go through, the limit is 2\^22"):
        distance(CSSCode(x, kernel(x)[:20]), "X")
    with pytest.raises(InputError, match="basis"):
        distance(CSSCode(STEANE, STEANE), "Y")


def test_matrices_are_checked() -> None:
    with pytest.raises(InputError, match="must be square"):
        inverse([[1, 0]])
    with pytest.raises(InputError, match="singular: its rank is 1, below 2"):
        inverse([[1, 1], [1, 1]])
    assert as_bits("m", [], 3).shape == (0, 3)
