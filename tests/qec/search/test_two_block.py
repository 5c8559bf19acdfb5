import itertools
import json

import numpy as np
import pytest

from quell.errors import DataError, InputError
from quell.qec.codes import CSSCode
from quell.qec.codes.gf2 import in_row_space, multiply
from quell.qec.codes.group_algebra import Group, two_block_code
from quell.qec.search.found_codes import FoundCode, best_of, measure
from quell.qec.search.groups import automorphisms, groups_of_order, isomorphic, support_pairs
from quell.qec.search.two_block import (
    anneal_two_block,
    bicycle_text,
    random_two_block,
    scan_bicycle,
    scan_two_block,
)


def lightest(checks, own):
    """The least weight of a logical operator, by going through all that commutes with the checks."""
    n = checks.shape[1]
    vectors = (np.arange(2**n)[:, None] >> np.arange(n) & 1).astype(np.uint8)
    commuting = vectors[~(vectors @ checks.T % 2).any(axis=1)]
    logical = commuting[~in_row_space(commuting, own)]
    return int(logical.sum(axis=1).min())


def brute_distance(code):
    return min(lightest(code.z_checks, code.x_checks), lightest(code.x_checks, code.z_checks))


def check_witness(found):
    code = found.code
    witness = np.zeros((1, code.n), dtype=np.uint8)
    witness[0, list(found.witness)] = 1
    other, own = (code.z_checks, code.x_checks) if found.basis == "X" else (code.x_checks, code.z_checks)
    assert len(found.witness) == found.upper
    assert not multiply(other, witness.T).any()
    assert not in_row_space(witness, own)[0]


def is_connected(code):
    reached = {0}
    links = np.concatenate([code.x_checks, code.z_checks])
    while True:
        touched = links[:, sorted(reached)].any(axis=1)
        grown = set(np.flatnonzero(links[touched].any(axis=0)).tolist()) | reached
        if grown == reached:
            return len(reached) == code.n
        reached = grown


def test_all_groups_of_small_orders_are_found():
    # OEIS A000001
    counts = [1, 1, 1, 2, 1, 2, 1, 5, 2, 2, 1, 5, 1, 2, 1, 14, 1, 5, 1, 5, 2, 2, 1, 15, 2, 2, 5, 4, 1, 4, 1]
    assert [len(groups_of_order(order)) for order in range(1, 32)] == counts
    assert len(groups_of_order(36)) == 14
    assert len(groups_of_order(60)) == 13
    for group in groups_of_order(24):
        assert (Group.parse(group.spec).table == group.table).all()


@pytest.mark.parametrize(
    ("spec", "count"),
    [("Z12", 4), ("Z2xZ2xZ2", 168), ("Z3xZ3", 48), ("Q8", 24), ("D4", 8), ("D6", 12), ("<(0 1 2 3 4),(0 1 2)>", 120)],
)
def test_known_numbers_of_automorphisms(spec, count):
    group = Group.parse(spec)
    found = automorphisms(group)
    assert len(found) == count
    assert len(np.unique(found, axis=0)) == count
    for image in found:
        assert (image[group.table] == group.table[image][:, image]).all()


def test_groups_are_told_apart():
    assert isomorphic(Group.parse("D6"), Group.parse("D3xZ2"))
    assert isomorphic(Group.parse("Z35"), Group.parse("Z5xZ7"))
    assert not isomorphic(Group.parse("D6"), Group.parse("Dic3"))
    # The same numbers of elements of each order, and yet not isomorphic.
    assert not isomorphic(Group.parse("Z9xZ3"), Group.parse("Z9[3:0,4]"))


@pytest.mark.parametrize("spec", ["Z5", "Z6", "D3"])
@pytest.mark.parametrize("sizes", [(3, 3), (3, 2)])
def test_a_scan_finds_what_brute_force_finds(spec, sizes):
    group = Group.parse(spec)
    best = {}
    seen = {}
    for a in itertools.combinations(range(group.order), sizes[0]):
        for b in itertools.combinations(range(1, group.order), sizes[1] - 1):
            code = two_block_code(group, a, (0, *b))
            if code.k and is_connected(code):
                key = code.x_checks.tobytes()
                seen[key] = seen.get(key) or brute_distance(code)
                best[code.k] = max(best.get(code.k, 0), seen[key])
    assert {found.k: found.distance for found in scan_two_block(group, sizes)} == best


@pytest.mark.parametrize("spec", ["Z8", "Q8", "D4", "Z9", "D5", "(Z3xZ3)[2:0,3,1]"])
def test_pairs_of_supports_stand_for_all_connected_codes(spec):
    """The numbers of logical qubits of all codes occur among the pairs, and the pairs' codes are connected."""
    group = Group.parse(spec)
    rng = np.random.default_rng(1)
    found = set()
    for a, b in zip(*support_pairs(group), strict=True):
        code = two_block_code(group, a, b)
        found.add(code.k)
        assert is_connected(code)
    for _ in range(300):
        a, b = (rng.choice(group.order, size=3, replace=False) for _ in "ab")
        code = two_block_code(group, a, b)
        assert code.k in found or not is_connected(code)


def test_the_kinds_of_codes_over_the_cyclic_group_of_seven_by_hand():
    """Of triples up to translation there are two Fano planes, which inversion exchanges and doubling keeps, and three
    arithmetic progressions, which doubling turns around: so two kinds of pairs of planes, one mixed, two others."""
    assert len(support_pairs(Group.cyclic(7))[0]) == 5


def test_measured_distances_of_small_codes_over_nonabelian_groups():
    rng = np.random.default_rng(2)
    checked = 0
    for spec in ("D3", "D4", "Q8") * 12:
        group = Group.parse(spec)
        a, b = (rng.choice(group.order, size=int(rng.integers(2, 4)), replace=False).tolist() for _ in "ab")
        code = two_block_code(group, a, b)
        found = measure(spec, a, b)
        assert (found is None) == (code.k == 0)
        if found is not None:
            assert (found.n, found.k, found.distance) == (code.n, code.k, brute_distance(code))
            check_witness(found)
            checked += 1
    assert checked >= 10


def test_measuring_ends_where_the_distance_is_not_beyond_what_is_wanted():
    gross = "Z12xZ6", (18, 1, 2), (3, 6, 12)
    assert measure(*gross, beyond=12) is None
    assert measure(*gross, beyond=11).distance == 12
    assert measure("Z5", (0, 1), (0,)) is None


@pytest.mark.parametrize(
    ("spec", "a", "b", "parameters"),
    [
        ("Z6xZ6", (18, 1, 2), (3, 6, 12), (72, 12, 6)),  # arXiv:2308.07915
        ("Z15xZ3", (27, 1, 2), (0, 6, 21), (90, 8, 10)),
        ("Z9xZ6", (18, 1, 2), (3, 6, 12), (108, 8, 10)),
        ("Z12xZ6", (18, 1, 2), (3, 6, 12), (144, 12, 12)),
        ("Z12xZ12", (36, 2, 7), (3, 12, 24), (288, 12, 18)),
    ],
)
def test_published_parameters(spec, a, b, parameters):
    found = measure(spec, a, b)
    assert (found.n, found.k, found.distance) == parameters
    check_witness(found)


def test_the_scan_of_bivariate_bicycle_codes_finds_the_published_ones():
    small = scan_bicycle(6, 6)
    assert {found.k: found.distance for found in small}[12] == 6
    found = {each.k: each for each in scan_bicycle(12, 6)}
    assert {k: each.distance for k, each in found.items()} == {4: 14, 8: 12, 12: 12, 16: 8, 24: 6, 32: 4, 64: 2}
    for each in found.values():
        check_witness(each)
    assert {each.k: each.distance for each in scan_bicycle(15, 3)}[8] == 10
    assert scan_bicycle(6, 6, better_than={each.k: each.distance for each in small}) == []


def test_a_scan_of_bivariate_bicycle_codes_against_all_candidates():
    size, m = 4, 3
    best = {}
    supports_a = [(m * i, j, k) for i in range(size) for j, k in itertools.combinations(range(m), 2) if i or j]
    supports_b = [(i, m * j, m * k) for i in range(m) for j, k in itertools.combinations(range(size), 2) if i or j]
    for a, b in itertools.product(supports_a, supports_b):
        found = measure(f"Z{size}xZ{m}", a, b)
        if found is not None:
            best[found.k] = max(best.get(found.k, 0), found.distance)
    scanned = scan_bicycle(size, m)
    assert {found.k: found.distance for found in scanned} == best
    for found in scanned:
        assert bicycle_text(size, m, found.a).count("+") == 2


def test_random_and_annealed_searches_repeat_themselves_and_report():
    groups = [Group.parse("Z6xZ6"), Group.parse("Z7:Z3(2)")]
    for search in (random_two_block, anneal_two_block):
        reported = []
        first = search(groups, 300, seed=3, report=reported.append)
        assert first == search(groups, 300, seed=3)
        assert set(first) <= set(reported)
        assert [found.efficiency for found in first] == sorted((found.efficiency for found in first), reverse=True)
        for found in first:
            check_witness(found)
            assert found.distance is not None
        assert search(groups, 10_000, seed=3, stop=lambda: True) == []
    with pytest.raises(InputError, match="temperature must be above 0"):
        anneal_two_block(groups, 10, seed=0, temperature=0.0)
    with pytest.raises(InputError, match="groups must be one or more"):
        random_two_block([Group.cyclic(2)], 10, seed=0)


def test_records_can_be_read_again():
    found = measure("Z7:Z3(2)", (0, 1, 7), (0, 3, 4))
    record = json.loads(json.dumps(found.to_record()))
    again = FoundCode.from_record({**record, "more": 1})
    assert again == found
    assert isinstance(again.code, CSSCode)
    assert (again.code.x_checks == found.code.x_checks).all()
    assert best_of([found, again]) == [found]
    del record["witness"]
    with pytest.raises(DataError, match="witness is missing"):
        FoundCode.from_record(record)
