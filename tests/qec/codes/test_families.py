"""Families of codes against published parameters, theorems, each other, and the circuits' own lattices."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from quell.circuits import surface_lattice
from quell.errors import InputError, TooLargeError
from quell.qec.codes import (
    CSSCode,
    LinearCode,
    bivariate_bicycle,
    distance,
    generalized_bicycle,
    hamming_code,
    hypergraph_product,
    quasi_cyclic_code,
    repetition_code,
    ring_code,
    rotated_surface_code,
    unrotated_surface_code,
)
from quell.qec.codes.polynomials import parse_polynomial

pytest.importorskip("numba")


# Bravyi et al., arXiv:2308.07915, table 3. Distances above 12 take too long here.
@pytest.mark.parametrize(
    ("l", "m", "a", "b", "n", "k", "d"),
    [
        (6, 6, "x^3 + y + y^2", "y^3 + x + x^2", 72, 12, 6),
        (15, 3, "x^9 + y + y^2", "1 + x^2 + x^7", 90, 8, 10),
        (9, 6, "x^3 + y + y^2", "y^3 + x + x^2", 108, 8, 10),
        (12, 6, "x^3 + y + y^2", "y^3 + x + x^2", 144, 12, 12),
        (12, 12, "x^3 + y^2 + y^7", "y^3 + x + x^2", 288, 12, None),
        (30, 6, "x^9 + y + y^2", "y^3 + x^25 + x^26", 360, 12, None),
        (21, 18, "x^3 + y^10 + y^17", "y^5 + x^3 + x^19", 756, 16, None),
    ],
)
def test_bivariate_bicycle_codes_as_published(
    l: int,
    m: int,
    a: str,
    b: str,
    n: int,
    k: int,
    d: int | None,
) -> None:
    code = bivariate_bicycle(l, m, a, b)
    assert code.parameters == (n, k)
    assert {*code.x_weights, *code.z_weights} == {6}
    assert {*code.x_degrees, *code.z_degrees} == {3}
    assert code.symmetries is not None
    assert len(code.symmetries) == 2
    assert code.coordinates is not None
    assert len({tuple(place) for place in code.coordinates}) == n
    if d is not None:
        assert distance(code).distance == d


# Panteleev and Kalachev, arXiv:1904.02703, appendix B, codes A1 to A4.
@pytest.mark.parametrize(
    ("size", "a", "b", "k", "d"),
    [
        (127, "1 + x^15 + x^20 + x^28 + x^66", "1 + x^58 + x^59 + x^100 + x^121", 28, None),
        (63, "1 + x + x^14 + x^16 + x^22", "1 + x^3 + x^13 + x^20 + x^42", 28, None),
        (24, "1 + x^2 + x^8 + x^15", "1 + x^2 + x^12 + x^17", 6, 8),
        (23, "1 + x^5 + x^8 + x^12", "1 + x + x^5 + x^7", 2, 9),
    ],
)
def test_generalized_bicycle_codes_as_published(size: int, a: str, b: str, k: int, d: int | None) -> None:
    code = generalized_bicycle(size, a, b)
    assert code.parameters == (2 * size, k)
    if d is not None:
        assert distance(code).distance == d


def test_bicycle_checks_are_those_of_kronecker_products_of_cyclic_shifts() -> None:
    l, m = 4, 3
    x = np.kron(np.roll(np.eye(l, dtype=int), 1, axis=1), np.eye(m, dtype=int))
    y = np.kron(np.eye(l, dtype=int), np.roll(np.eye(m, dtype=int), 1, axis=1))
    a, b = (x @ x + y + x @ y @ y) % 2, (np.eye(l * m, dtype=int) + x.T + y.T) % 2
    code = bivariate_bicycle(l, m, "x^2 + y + xy^2", "1 + x^-1 + y^-1")
    assert np.array_equal(code.x_checks, np.hstack([a, b]))
    assert np.array_equal(code.z_checks, np.hstack([b.T, a.T]))
    assert code.symmetries is not None
    for image, shift in zip(code.symmetries, (x, y), strict=True):
        # Row g of a shift has its one at the element that g becomes.
        assert np.array_equal(image[: l * m], shift.argmax(axis=1))
        assert np.array_equal(image[l * m :], l * m + shift.argmax(axis=1))
    assert bivariate_bicycle(1, 1, "x", "y").symmetries is None
    assert generalized_bicycle(3, "1", "x").symmetries.shape == (1, 6)  # type: ignore[union-attr]


@given(st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), min_size=1, max_size=6), st.randoms())
def test_polynomials_are_read_as_written(terms: list[tuple[int, int]], random: Any) -> None:
    kept = [(i % 12, j % 6) for i, j in terms]
    assume(len(set(kept)) == len(kept))
    raised = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")

    def power(variable: str, exponent: int) -> str:
        options = [f"{variable}^{exponent}", f"{variable}**{exponent}", f"{variable}^({exponent})"]
        options += [f"{variable}{str(exponent).translate(raised)}"] + [variable] * (exponent == 1)
        return str(random.choice(options))

    written = [f"{power('x', i)}{random.choice(['', ' ', '*', ' * '])}{power('y', j)}" for i, j in terms]
    assert parse_polynomial("a", random.choice([" + ", "+"]).join(written), {"x": 12, "y": 6}) == kept


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((6, 6, "x + z", "y"), InputError, "a may have the variables x and y, got 'z' in 'x \\+ z'"),
        ((6, 6, "x", "  "), InputError, "b must have at least one term"),
        ((6, 6, "0", "x"), InputError, "a must have at least one term"),
        ((6, 6, "x + y + x^7", "y"), InputError, r"x and x\^7 in a are equal, as x\^6 = y\^6 = 1, and cancel"),
        ((6, 6, "x + + y", "y"), InputError, "a must be a sum of powers of x and y, got an empty term"),
        ((6, 6, "x +", "y"), InputError, "got an empty term"),
        ((6, 6, "x - y", "y"), InputError, "got 'x-y' in 'x - y': over GF\\(2\\) minus is plus"),
        ((6, 6, "2x", "y"), InputError, "got '2x'"),
        ((6, 6, "x^", "y"), InputError, r"got 'x\^'"),
        ((6, 6, "x^1.5", "y"), InputError, r"got 'x\^1.5'"),
        ((6, 6, "x^" + "9" * 5000, "y"), InputError, "must be a sum of powers"),
        ((6, 6, "x*", "y"), InputError, r"got 'x\*'"),
        ((6, 6, ["x"], "y"), InputError, "a must be a text such as"),
        ((0, 6, "x", "y"), InputError, "l must be an integer >= 1, got 0"),
        ((6, -1, "x", "y"), InputError, "m must be an integer >= 1, got -1"),
        ((6.5, 6, "x", "y"), InputError, "l must be an integer >= 1, got 6.5"),
        ((300, 100, "x", "y"), TooLargeError, "the code would have 60000 qubits, the limit is 20000"),
    ],
)
def test_bad_bicycles_say_what_is_wrong(arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bivariate_bicycle(*arguments)


def test_circulants_have_one_variable() -> None:
    with pytest.raises(InputError, match="a may have the variables x, got 'y'"):
        generalized_bicycle(5, "1 + y", "x")
    with pytest.raises(InputError, match="size must be an integer >= 1, got 0"):
        generalized_bicycle(0, "1", "x")


def test_products_as_published() -> None:
    # Toric code (Kitaev, quant-ph/9707021), and the product of the Hamming code with itself.
    toric = hypergraph_product(ring_code(4))
    assert (toric.parameters, distance(toric).distance, toric.max_weight, toric.max_degree) == ((32, 2), 4, 4, 2)
    assert toric.name == "hypergraph product of ring 4 and ring 4"
    hamming = hypergraph_product(hamming_code(3), name="named")
    assert (hamming.parameters, distance(hamming).distance, hamming.name) == ((58, 16), 3, "named")


def least_weight(checks: NDArray[np.uint8]) -> int | None:
    """The distance of a classical code, from every word; None where only zero is left."""
    words = np.array(list(itertools.product((0, 1), repeat=checks.shape[1])))[1:]
    weights = words[~(words @ checks.T % 2).any(axis=1)].sum(axis=1)
    return int(weights.min()) if len(weights) else None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5))
def test_products_have_the_parameters_of_the_theorem(seed: int, r1: int, n1: int, r2: int, n2: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = (rng.integers(0, 2, shape, dtype=np.uint8) for shape in ((r1, n1), (r2, n2)))
    codes = [LinearCode(each) for each in (one, two, one.T, two.T)]
    code = hypergraph_product(one, two)
    k1, k2, k1_t, k2_t = (each.k for each in codes)
    assert code.parameters == (n1 * n2 + r1 * r2, k1 * k2 + k1_t * k2_t)
    weights = [each.row_weights for each in codes]
    assert code.x_weights.tolist() == np.add.outer(weights[0], weights[3]).ravel().tolist()
    assert code.z_weights.tolist() == np.add.outer(weights[2], weights[1]).ravel().tolist()
    d1, d2, d1_t, d2_t = (least_weight(each.checks) for each in codes)
    candidates = [d for d in ((d1, d2) if k1 * k2 else ()) + ((d1_t, d2_t) if k1_t * k2_t else ()) if d is not None]
    if code.k:
        assert distance(code).distance == min(candidates)


def test_products_of_nothing_and_of_different_codes() -> None:
    free = LinearCode(np.zeros((0, 2)))
    assert hypergraph_product(free, repetition_code(3)).parameters == (6, 2)
    assert hypergraph_product(repetition_code(3), free).parameters == (6, 2)
    with pytest.raises(TooLargeError, match="the product would have 28561 qubits"):
        hypergraph_product(np.zeros((0, 169)))


def same_up_to_numbers(one: CSSCode, other: CSSCode) -> bool:
    """Whether two codes have the same checks on the same places."""

    def at_places(code: CSSCode, checks: NDArray[np.uint8]) -> list[list[tuple[float, ...]]]:
        assert code.coordinates is not None
        places = [tuple(place) for place in code.coordinates.tolist()]
        return sorted(sorted(places[qubit] for qubit in np.flatnonzero(row)) for row in checks)

    return all(at_places(one, getattr(one, each)) == at_places(other, getattr(other, each))
               for each in ("x_checks", "z_checks"))  # fmt: skip


@pytest.mark.parametrize("d", [2, 3, 4, 5])
@pytest.mark.parametrize(
    ("family", "lattice_of", "n"),
    [
        (rotated_surface_code, surface_lattice.rotated, lambda d: d**2),
        (unrotated_surface_code, surface_lattice.unrotated, lambda d: d**2 + (d - 1) ** 2),
    ],
)
def test_surface_codes_are_those_of_the_circuits(
    family: Callable[[int], CSSCode], lattice_of: Any, n: Callable[[int], int], d: int
) -> None:
    code = family(d)
    assert code.parameters == (n(d), 1)
    assert distance(code, "X").distance == distance(code, "Z").distance == d
    lattice = lattice_of(d, "stim", "stim")
    assert code.coordinates is not None
    assert code.coordinates.tolist() == [list(lattice.sites[qubit]) for qubit in lattice.data]
    number = {qubit: index for index, qubit in enumerate(lattice.data)}
    for kind, checks, logical in (("X", code.x_checks, code.logical_x), ("Z", code.z_checks, code.logical_z)):
        supports = [sorted(number[qubit] for qubit in check.data if qubit is not None)
                    for check in lattice.checks if check.kind == kind]  # fmt: skip
        assert [np.flatnonzero(row).tolist() for row in checks] == supports
        assert np.flatnonzero(logical[0]).tolist() == sorted(number[qubit] for qubit in lattice.logicals[kind])


def test_the_unrotated_surface_code_is_the_product_of_repetition_codes() -> None:
    for d in (2, 3, 6):
        assert same_up_to_numbers(unrotated_surface_code(d), hypergraph_product(repetition_code(d)))
    assert not same_up_to_numbers(unrotated_surface_code(3), hypergraph_product(ring_code(3)))


def test_classical_families() -> None:
    for n in (2, 3, 8):
        for code in (repetition_code(n), ring_code(n)):
            assert code.generator.tolist() == [[1] * n]
    assert (len(repetition_code(5).checks), len(ring_code(5).checks)) == (4, 5)
    for r in (2, 3, 4):
        code = hamming_code(r)
        assert code.parameters == (2**r - 1, 2**r - 1 - r)
        assert least_weight(code.checks) == 3
    # x^11 + x^10 + x^6 + x^5 + x^4 + x^2 + 1 makes the Golay code, [23, 12, 7], whose dual is its part of even weight.
    golay = quasi_cyclic_code([[(0, 2, 4, 5, 6, 10, 11)]], 23)
    assert golay.transposed.k == golay.k == 11
    assert distance(golay).distance == 8


def test_tables_of_circulants() -> None:
    code = quasi_cyclic_code([[0, None, (1, 2)], [-1, 5, []]], 3, name="table")
    unit = np.eye(3, dtype=int)
    by_one, by_two, zeros = np.roll(unit, 1, axis=1), np.roll(unit, 2, axis=1), np.zeros((3, 3), dtype=int)
    assert np.array_equal(code.checks, np.block([[unit, zeros, by_one + by_two], [zeros, by_two, zeros]]))
    assert code.name == "table"


@pytest.mark.parametrize(
    ("function", "arguments", "error", "message"),
    [
        (rotated_surface_code, (1,), InputError, "distance must be an integer >= 2, got 1"),
        (unrotated_surface_code, (2.5,), InputError, "distance must be an integer >= 2, got 2.5"),
        (rotated_surface_code, (142,), TooLargeError, "20164 qubits"),
        (unrotated_surface_code, (10**30,), TooLargeError, "the limit is 20000"),
        (repetition_code, (1,), InputError, "n must be an integer >= 2, got 1"),
        (ring_code, (1,), InputError, "n must be an integer >= 2, got 1"),
        (ring_code, (10**6,), TooLargeError, "the limit is 20000"),
        (hamming_code, (1,), InputError, "r must be an integer >= 2, got 1"),
        (hamming_code, (10**9,), TooLargeError, "the limit is 20000"),
        (quasi_cyclic_code, ([], 3), InputError, "shifts is empty"),
        (quasi_cyclic_code, ([[]], 3), InputError, "shifts is empty"),
        (quasi_cyclic_code, (5, 3), InputError, "shifts must be rows of blocks"),
        (quasi_cyclic_code, ([[0, 1], [0]], 3), InputError, "shifts is ragged: row 0 has 2 blocks and row 1 has 1"),
        (quasi_cyclic_code, ([[-2]], 3), InputError, "a shift of block 0 of row 0 must be an integer >= 0, got -2"),
        (quasi_cyclic_code, ([["x"]], 3), InputError, "a shift of block 0 of row 0 must be an integer"),
        (quasi_cyclic_code, ([[(1, 4)]], 3), InputError, "two shifts that are 1 modulo 3, and cancel"),
        (quasi_cyclic_code, ([[0]], 0), InputError, "size must be an integer >= 1, got 0"),
        (quasi_cyclic_code, ([[0]], 20_001), TooLargeError, "20001"),
    ],
)
def test_bad_families_say_what_is_wrong(function: Any, arguments: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        function(*arguments)
