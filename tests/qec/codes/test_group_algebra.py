import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quell.errors import InputError
from quell.qec.codes.group_algebra import Group, block_symmetries, two_block_code

SPECS = (
    "Z1", "Z7", "Z6xZ2", "Z2xZ2xZ3", "D1", "D4", "D5", "Dic3", "Q8", "Z7:Z3(2)", "Z5:Z4(2)", "Q8xZ3", "Z3[2:0,2]",
    "(Z3xZ3)[2:0,3,1]", "Z9[3:0,4]", "<(0 1 2 3),(0 1)>", "<(0 1 2),(1 2 3)>", "<(0 1)(2 3),(0 2)(1 3)>xZ3",
)  # fmt: skip

# A Latin square with an identity that is not associative.
LOOP = [[0, 1, 2, 3, 4], [1, 0, 3, 4, 2], [2, 4, 0, 1, 3], [3, 2, 4, 0, 1], [4, 3, 1, 2, 0]]


def shift(size, m, i, j):
    """x^i y^j on Z_size × Z_m as Bravyi et al. write it."""
    x = np.kron(np.roll(np.eye(size, dtype=int), 1, axis=1), np.eye(m, dtype=int))
    y = np.kron(np.eye(size, dtype=int), np.roll(np.eye(m, dtype=int), 1, axis=1))
    return np.linalg.matrix_power(x, i) @ np.linalg.matrix_power(y, j)


@pytest.mark.parametrize("spec", SPECS)
def test_groups_obey_the_axioms_and_are_made_again_from_their_text(spec):
    group = Group.parse(spec)
    table = group.table
    for x, y, z in itertools.product(range(group.order), repeat=3):
        assert table[table[x, y], z] == table[x, table[y, z]]
    every = np.arange(group.order)
    assert (table[0] == every).all()
    assert (table[:, 0] == every).all()
    assert (table[every, group.inverses] == 0).all()
    assert (table[group.inverses, every] == 0).all()
    assert len(group.subgroup(group.generators)) == group.order
    assert (Group.parse(group.spec).table == table).all()


@given(st.integers(1, 12), st.integers(1, 6), st.data())
@settings(max_examples=60, deadline=None)
def test_semidirect_products_obey_their_relations(n, m, data):
    r = data.draw(st.sampled_from([r for r in range(n) if pow(r, m, n) == 1 % n]))
    group = Group.semidirect(n, m, r)

    def power(element, exponent):
        result = 0
        for _ in range(exponent):
            result = group.table[result, element]
        return result

    x, y = (1 % n) * m, 1 % m
    assert power(x, n) == power(y, m) == 0
    assert group.table[group.table[y, x], group.inverses[y]] == power(x, r)
    i, j = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, m - 1))
    assert group.table[power(x, i), power(y, j)] == i * m + j


@pytest.mark.parametrize(
    ("spec", "orders"),  # how many elements have which order
    [
        ("Q8", {1: 1, 2: 1, 4: 6}),
        ("D4", {1: 1, 2: 5, 4: 2}),
        ("Dic3", {1: 1, 2: 1, 3: 2, 4: 6, 6: 2}),
        ("Z7:Z3(2)", {1: 1, 3: 14, 7: 6}),
        ("<(0 1 2 3 4),(0 1 2)>", {1: 1, 2: 15, 3: 20, 5: 24}),
        ("<(0 1 2 3 4 5 6),(1 2)(3 5)>", {1: 1, 2: 21, 3: 56, 4: 42, 7: 48}),
        ("Z9[3:0,4]", {1: 1, 3: 8, 9: 18}),
    ],
)
def test_known_counts_of_elements_by_order(spec, orders):
    assert dict(zip(*np.unique(Group.parse(spec).element_orders, return_counts=True), strict=True)) == orders


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Group([[0, 1, 2], [1, 2, 0]]), "must be square"),
        (lambda: Group([[1, 0], [0, 1]]), "element 0 must be the identity"),
        (lambda: Group(LOOP), "differ"),
        (lambda: Group.semidirect(7, 2, 2), "must be 1 modulo n"),
        (lambda: Group.extension(Group.cyclic(3), 2, [0], 0), "must make an automorphism"),
        (lambda: Group.extension(Group.cyclic(3), 2, [2], 1), "must be left in place"),
        (lambda: Group.permutations([(0, 1), (1, 2)]), "must be disjoint"),
        (lambda: Group.parse("Z3x"), "no group is called ''"),
        (lambda: Group.abelian(), "at least one"),
    ],
)
def test_what_is_no_group_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("size", "m", "a", "b", "k"),  # Bravyi et al., arXiv:2308.07915, table 3
    [
        (6, 6, [(3, 0), (0, 1), (0, 2)], [(0, 3), (1, 0), (2, 0)], 12),
        (15, 3, [(9, 0), (0, 1), (0, 2)], [(0, 0), (2, 0), (7, 0)], 8),
        (9, 6, [(3, 0), (0, 1), (0, 2)], [(0, 3), (1, 0), (2, 0)], 8),
        (12, 6, [(3, 0), (0, 1), (0, 2)], [(0, 3), (1, 0), (2, 0)], 12),
        (12, 12, [(3, 0), (0, 2), (0, 7)], [(0, 3), (1, 0), (2, 0)], 12),
    ],
)
def test_bivariate_bicycle_codes_are_two_block_codes(size, m, a, b, k):
    code = two_block_code(Group.abelian(size, m), [i * m + j for i, j in a], [i * m + j for i, j in b])
    first = sum(shift(size, m, i, j) for i, j in a) % 2
    second = sum(shift(size, m, i, j) for i, j in b) % 2
    assert (code.x_checks == np.hstack([first, second])).all()
    assert (code.z_checks == np.hstack([second.T, first.T])).all()
    assert code.k == k


def greatest_common_divisor(p, q):
    """Of polynomials over GF(2), bit i the coefficient of x^i."""
    while q:
        while p.bit_length() >= q.bit_length():
            p ^= q << (p.bit_length() - q.bit_length())
        p, q = q, p
    return p


@given(st.integers(3, 24), st.data())
@settings(max_examples=60, deadline=None)
def test_generalised_bicycle_codes_have_the_dimension_of_their_common_divisor(size, data):
    a, b = (data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4, unique=True)) for _ in "ab")
    polynomials = [sum(1 << i for i in support) for support in (a, b)]
    divisor = greatest_common_divisor(greatest_common_divisor(*polynomials), (1 << size) | 1)
    assert two_block_code(Group.cyclic(size), a, b).k == 2 * (divisor.bit_length() - 1)


@given(st.sampled_from([spec for spec in SPECS if spec not in ("Z1", "D1")]), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None)
def test_symmetries_keep_the_checks(spec, seed):
    group = Group.parse(spec)
    rng = np.random.default_rng(seed)
    a, b = (rng.choice(group.order, size=min(3, group.order), replace=False).tolist() for _ in "ab")
    code = two_block_code(group, a, b)
    symmetries = block_symmetries(group, a, b)
    if symmetries is None:
        assert not group.is_abelian
        return
    for row in symmetries:
        assert sorted(row) == list(range(code.n))
        for checks in (code.x_checks, code.z_checks):
            moved = np.zeros_like(checks)
            moved[:, row] = checks
            assert {line.tobytes() for line in moved} == {line.tobytes() for line in checks}
    if group.is_abelian:
        # the first qubit of each block reaches all of its block
        for block in range(2):
            reached = {block * group.order}
            while (grown := reached | {int(row[q]) for row in symmetries for q in reached}) != reached:
                reached = grown
            assert len(reached) == group.order


def test_pairs_of_symmetries_are_all_there_are():
    """Over S3, against all pairs (h, h') with h a = a h' and (t, t') with t b = b t'."""
    group, a, b = Group.dihedral(3), [0, 1, 2], [0, 2, 4]
    table = group.table
    pairs = list(itertools.product(range(6), repeat=2))

    def is_pair(h, g, s):
        return {table[h, x] for x in s} == {table[x, g] for x in s}

    every = {
        tuple(np.concatenate([table[table[h], t], 6 + table[table[g], u]]).tolist())
        for (h, g), (t, u) in itertools.product(pairs, repeat=2)
        if is_pair(h, g, a) and is_pair(t, u, b)
    }
    made = {tuple(range(12))}
    generators = block_symmetries(group, a, b)
    while (grown := made | {tuple(np.array(row)[list(p)].tolist()) for row in generators for p in made}) != made:
        made = grown
    assert made == every
    assert math.log2(len(every)) > 1


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([], [0], "at least one"),
        ([0, 1, 0], [0], "two of them cancel"),
        ([0], [0, 6], "below the order"),
        ([0], [-1], ">= 0"),
    ],
)
def test_wrong_supports_are_refused(a, b, message):
    with pytest.raises(InputError, match=message):
        two_block_code(Group.dihedral(3), a, b)
