"""Distances against brute force, theorems and published codes."""

import itertools
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from quell.errors import InputError, MissingExtraError
from quell.qec.codes import CSSCode, LinearCode, bivariate_bicycle, distance, hypergraph_product
from quell.qec.codes.classical_distance import Codewords, RowSums, weight_divisor
from quell.qec.codes.cluster_search import ClusterSearch, cluster_distance
from quell.qec.codes.column_sums import ColumnSums
from quell.qec.codes.gf2 import in_row_space, kernel, rank
from quell.qec.codes.information_sets import InformationSets, light_operator

pytest.importorskip("numba")

Bits = NDArray[np.uint8]
STEANE = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
PUBLISHED = {  # Bravyi et al., arXiv:2308.07915, table 3
    6: (6, 6, "x^3 + y + y^2", "y^3 + x + x^2"),
    10: (15, 3, "x^9 + y + y^2", "1 + x^2 + x^7"),
    12: (12, 6, "x^3 + y + y^2", "y^3 + x + x^2"),
}


def span(rows: Bits) -> Bits:
    sums = np.zeros((1, rows.shape[1]), dtype=np.uint8)
    for row in rows:
        sums = np.concatenate([sums, sums ^ row])
    return sums


def random_css(rng: np.random.Generator, most: int = 13) -> CSSCode:
    """Random X checks, sparse or dense, and Z checks chosen from what commutes with them, light or not."""
    while True:
        n = int(rng.integers(4, most))
        x = (rng.random((int(rng.integers(1, n // 2 + 1)), n)) < rng.choice([0.2, 0.35, 0.5])).astype(np.uint8)
        commuting = span(kernel(x))
        commuting = commuting[np.argsort(commuting.sum(axis=1), kind="stable")][1:]
        if len(commuting):
            lightest = 1 + len(commuting) // int(rng.choice([1, 3, 8]))
            code = CSSCode(x, commuting[rng.integers(0, min(lightest, len(commuting)), int(rng.integers(1, n // 2)))])
            if code.k:
                return code


def lightest(own: Bits, others: Bits) -> int:
    """By going through all vectors, without any algebra but products."""
    n = own.shape[1]
    vectors = np.array(list(itertools.product((0, 1), repeat=n)), dtype=np.uint8)
    commuting = vectors[~((vectors.astype(np.int64) @ others.T) % 2).any(axis=1)]
    trivial = {row.tobytes() for row in span(own)}
    return min(int(row.sum()) for row in commuting if row.tobytes() not in trivial)


def bases(code: CSSCode) -> list[tuple[str, Bits, Bits, Bits]]:
    """Of each basis its name, its checks, those of the other basis, and the dual logicals."""
    return [("X", code.x_checks, code.z_checks, code.logical_z), ("Z", code.z_checks, code.x_checks, code.logical_x)]


def assert_logical(witness: Bits | None, weight: int, own: Bits, others: Bits) -> None:
    assert witness is not None
    assert witness.sum() == weight
    assert not (others.astype(np.int64) @ witness % 2).any()
    assert not in_row_space(witness[None], own)[0]


def all_operators(code: CSSCode, basis: str) -> Codewords:
    own, logicals = (code.x_checks, code.logical_x) if basis == "X" else (code.z_checks, code.logical_z)
    operators = Codewords(np.concatenate([kernel(kernel(own)), logicals]), rank(own))
    assert operators.advance(code.n)
    return operators


def test_clusters_and_operators_of_random_codes_against_brute_force() -> None:
    rng = np.random.default_rng(1)
    seen: set[tuple[int, bool]] = set()
    for _ in range(200):
        code = random_css(rng)
        for basis, own, others, duals in bases(code):
            d = lightest(own, others)
            for stabilizers in (None, own):
                for upper in (code.n + 1, d + 1):
                    lower, witness = cluster_distance(others, duals, upper, stabilizers=stabilizers)
                    assert lower == d
                    assert_logical(witness, d, own, others)
                assert cluster_distance(others, duals, d, stabilizers=stabilizers) == (d, None)
            everything = all_operators(code, basis)
            assert everything.lower == d
            assert_logical(everything.witness, d, own, others)
            light = light_operator(others, duals, 40)
            assert_logical(light, light.sum(), own, others)
            assert distance(code, basis).distance == d
            # The proof that all is even is there just when it is true.
            even = not (span(kernel(others)).sum(axis=1) % 2).any()
            assert ClusterSearch(others, duals).even == even
            seen.add((d, even))
        assert distance(code).distance == min(distance(code, basis).distance or 0 for basis in "XZ")
    assert {(1, False), (2, False), (2, True), (3, False), (4, False)} <= seen


def test_symmetries_change_nothing() -> None:
    rng = np.random.default_rng(2)
    distances = set()
    for _ in range(100):
        # Two commuting circulants side by side: shifts of both halves are symmetries.
        size = int(rng.integers(4, 15))
        shifts = np.array([np.roll(np.eye(size, dtype=np.uint8), shift, axis=1) for shift in range(size)])
        a, b = (np.bitwise_xor.reduce(shifts[rng.permutation(size)[: rng.integers(2, 5)]]) for _ in range(2))
        code = CSSCode(np.concatenate([a, b], axis=1), np.concatenate([b.T, a.T], axis=1))
        if code.k == 0:
            continue
        turn = (np.arange(size) + 1) % size
        symmetries = np.concatenate([turn, size + turn])[None]
        code = relabelled(CSSCode(code.x_checks, code.z_checks, symmetries=symmetries), rng)
        symmetries = code.symmetries
        for basis, own, others, duals in bases(code):
            d = all_operators(code, basis).lower
            distances.add(d)
            for stabilizers in (None, own):
                lower, witness = cluster_distance(others, duals, code.n + 1, symmetries, stabilizers=stabilizers)
                assert lower == d
                assert_logical(witness, d, own, others)
                assert cluster_distance(others, duals, d, symmetries, stabilizers=stabilizers) == (d, None)
    assert {2, 3, 4} <= distances, distances


def relabelled(code: CSSCode, rng: np.random.Generator) -> CSSCode:
    assert code.symmetries is not None
    order = rng.permutation(code.n)
    symmetries = np.argsort(order)[code.symmetries[:, order]]
    return CSSCode(code.x_checks[:, order], code.z_checks[:, order], symmetries=symmetries)


@pytest.mark.parametrize("d", PUBLISHED)
def test_published_bicycle_codes(d: int) -> None:
    code = relabelled(bivariate_bicycle(*PUBLISHED[d]), np.random.default_rng(d))
    for basis, own, others, duals in bases(code):
        found = distance(code, basis)
        assert (found.distance, found.method, found.basis) == (d, "clusters", basis)
        assert_logical(found.witness, d, own, others)
        # All ones are the sum of the checks, as each half's polynomial has three terms.
        search = ClusterSearch(others, duals, stabilizers=own)
        assert search.even
        while search.lower < d:
            assert search.advance(d)
        assert search.witness is None
        with_symmetries = ClusterSearch(others, duals, stabilizers=own, symmetries=code.symmetries)
        while with_symmetries.lower < d + 1 and with_symmetries.witness is None:
            with_symmetries.advance(d + 1)
        assert with_symmetries.lower == d
        assert with_symmetries.clusters < search.clusters


def test_hypergraph_products_have_the_distance_of_their_seeds() -> None:
    # Tillich and Zemor: for seeds of full rank it is the lesser of the two.
    rng = np.random.default_rng(3)
    methods = set()
    while (4, "clusters") not in methods:
        rows = int(rng.integers(3, 6))
        seed = rng.integers(0, 2, (rows, rows + int(rng.integers(2, 4))), dtype=np.uint8)
        if rank(seed) < rows:
            continue
        n, eye = seed.shape[1], np.eye(rows, dtype=np.uint8)
        x = np.concatenate([np.kron(seed, np.eye(n, dtype=np.uint8)), np.kron(eye, seed.T)], axis=1)
        z = np.concatenate([np.kron(np.eye(n, dtype=np.uint8), seed), np.kron(seed.T, eye)], axis=1)
        expected = int(span(kernel(seed))[1:].sum(axis=1).min())
        found = distance(CSSCode(x, z))
        assert found.distance == expected
        if expected > 1:
            methods.add((expected, found.method))


@pytest.mark.parametrize("d", [4, 5, 6])
def test_clusters_on_toric_codes_in_any_order(d: int) -> None:
    ring = np.eye(d, dtype=np.uint8) ^ np.roll(np.eye(d, dtype=np.uint8), 1, axis=1)
    toric = hypergraph_product(LinearCode(ring))
    rng = np.random.default_rng(d)
    for _ in range(10):
        order = rng.permutation(toric.n)
        code = CSSCode(toric.x_checks[:, order], toric.z_checks[:, order])
        for basis, own, others, duals in bases(code):
            # Few qubits to start from, and every operator can be moved by stabilizers.
            logical = code.logical_x if basis == "X" else code.logical_z
            assert not duals.any(axis=0).all()
            assert cluster_distance(others, duals, d, stabilizers=own) == (d, None)
            lower, witness = cluster_distance(others, duals, int(logical[0].sum()) + 1, stabilizers=own)
            assert lower == d
            assert_logical(witness, d, own, others)
            assert distance(code, basis).method == "shortest cycle"


def test_random_classical_codes_against_all_codewords() -> None:
    rng = np.random.default_rng(4)
    seen = set()
    for _ in range(300):
        n = int(rng.integers(2, 17))
        checks = (rng.random((int(rng.integers(1, n + 1)), n)) < rng.choice([0.15, 0.3, 0.5])).astype(np.uint8)
        code = LinearCode(checks)
        if not 0 < code.k <= 12:
            continue
        words = span(code.generator)[1:]
        d = int(words.sum(axis=1).min())
        found = distance(code)
        assert (found.distance, found.basis) == (d, None)
        assert found.witness.tobytes() in {word.tobytes() for word in words}
        assert found.witness.sum() == d
        for below in (n + 1, d):
            sums = RowSums(code.generator)
            while sums.lower < below and (sums.witness is None or sums.witness.sum() > sums.lower):
                before = sums.lower
                assert sums.advance(below)
                assert before <= sums.lower <= d
            assert sums.lower == d
        divisor = weight_divisor(code.generator)
        assert not (words.sum(axis=1) % divisor).any()
        seen.add((d, divisor))
    assert {1, 2, 4} == {divisor for _, divisor in seen}
    assert {1, 2, 3, 4, 5} <= {d for d, _ in seen}


def quadratic_residues(p: int) -> Bits:
    """Generator of the extended quadratic-residue code of length p + 1."""
    residues = np.zeros(p, dtype=np.uint8)
    residues[[i * i % p for i in range(1, p)]] = 1
    idempotent = residues if p % 8 == 7 else 1 - residues
    rows = np.array([np.roll(idempotent, shift) for shift in range(p)] + [np.ones(p, dtype=np.uint8)])
    extended = np.concatenate([rows, rows.sum(axis=1, dtype=np.uint8)[:, None] % 2], axis=1)
    return kernel(kernel(extended))


@pytest.mark.parametrize(("p", "d", "method"), [(23, 8, "enumeration"), (47, 12, "enumeration"), (71, 12, "row sums")])
def test_quadratic_residue_codes(p: int, d: int, method: str) -> None:
    # MacWilliams and Sloane, chapter 16: [24, 12, 8], [48, 24, 12] and [72, 36, 12].
    generator = quadratic_residues(p)
    assert generator.shape == ((p + 1) // 2, p + 1)
    assert weight_divisor(generator) == 4
    found = distance(LinearCode(kernel(generator)))
    assert (found.distance, found.method) == (d, method)
    # Without one column: odd words too, and one less.
    assert distance(LinearCode(kernel(generator[:, 1:]))).distance == d - 1


def test_bounds_when_the_time_is_short() -> None:
    # Bravyi et al. give 24 as an upper bound; without the symmetries the proof takes minutes.
    known = bivariate_bicycle(30, 6, "x^9 + y + y^2", "y^3 + x^25 + x^26")
    code = CSSCode(known.x_checks, known.z_checks)
    nothing = distance(code, "X", time_limit=0)
    assert nothing.lower == 1
    assert nothing.method == "no lower bound but 1, upper bound by information sets"
    begin = time.monotonic()
    found = distance(code, time_limit=0.5)
    assert time.monotonic() - begin < 10
    assert 8 < found.lower < found.upper
    assert (found.distance, found.exact, found.interrupted) == (None, False, False)
    assert found.method == "lower bound by clusters, upper bound by information sets"
    basis, own, others, _ = bases(code)["XZ".index(found.basis or "")]
    assert basis == found.basis
    assert_logical(found.witness, found.upper, own, others)
    # Classical codes likewise; of even ones the bound is even.
    rng = np.random.default_rng(5)
    checks = np.concatenate([rng.integers(0, 2, (150, 300), dtype=np.uint8), np.ones((1, 300), dtype=np.uint8)])
    found = distance(LinearCode(checks), time_limit=0.5)
    assert 4 <= found.lower < found.upper
    assert found.lower % 2 == found.upper % 2 == 0


@pytest.mark.alone
def test_ctrl_c_returns_the_bounds_reached(capsys: pytest.CaptureFixture[str]) -> None:
    known = bivariate_bicycle(30, 6, "x^9 + y + y^2", "y^3 + x^25 + x^26")
    code = CSSCode(known.x_checks, known.z_checks)
    distance(code, time_limit=0.1)  # compiled from here on
    timer = threading.Timer(1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    found = distance(code, progress=True)
    timer.join()
    assert found.interrupted
    assert 8 < found.lower < found.upper
    shown = capsys.readouterr()
    assert "8 <= distance <= " in shown.err
    assert shown.out == ""


def test_seeds_decide_on_what_is_found() -> None:
    code = bivariate_bicycle(*PUBLISHED[12])
    first, again = (light_operator(code.z_checks, code.logical_z, 3, seed=7) for _ in range(2))
    assert np.array_equal(first, again)
    assert len({light_operator(code.z_checks, code.logical_z, 3, seed=seed).tobytes() for seed in range(5)}) > 1
    sets = InformationSets(code.z_checks, code.logical_z)
    assert sets.weight == code.n + 1
    sets.look_at(1, stop_at=code.n + 1)
    assert sets.weight == code.n + 1  # light enough from the beginning


def test_without_compiled_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    # All 2^18 operators, as the qubits are in three checks.
    ring = bivariate_bicycle(9, 1, "1 + x + x^2", "1 + x + x^5")
    assert rank(ring.x_checks) + ring.k <= 22
    found = distance(ring)
    assert (found.method, found.exact) == ("enumeration", True)
    with pytest.raises(MissingExtraError, match=r"numba is not installed: this needs pip install 'quell\[search\]'"):
        distance(bivariate_bicycle(*PUBLISHED[6]))
    monkeypatch.undo()
    assert distance(ring).distance == found.distance


def test_codes_of_weight_one_and_without_checks() -> None:
    assert distance(LinearCode(np.zeros((0, 30)))).distance == 1
    bare = distance(CSSCode(np.ones((3, 30)), np.zeros((0, 30))))
    assert (bare.distance, bare.basis) == (1, "X")
    assert cluster_distance(np.zeros((0, 5), np.uint8), np.eye(5, dtype=np.uint8), 6)[0] == 1


def test_bad_input_says_what_is_wrong() -> None:
    steane, hamming = CSSCode(STEANE, STEANE), LinearCode(STEANE)
    with pytest.raises(InputError, match="has no logical qubit, and so no distance"):
        distance(CSSCode([[1, 1]], [[1, 1]]))
    with pytest.raises(InputError, match="has no codeword but zero, and so no distance"):
        distance(LinearCode([[1, 1], [0, 1]]))
    with pytest.raises(InputError, match="code must be a CSSCode or a LinearCode, got list"):
        distance(STEANE)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="unknown basis 'Y'"):
        distance(steane, "Y")
    with pytest.raises(InputError, match="basis must be None for a classical code, got 'X'"):
        distance(hamming, "X")
    for wrong in (-1, float("nan"), "1", True):
        with pytest.raises(InputError, match="time_limit must be a number of seconds >= 0, or None, got "):
            distance(steane, time_limit=wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="seed must be an integer >= 0, got -1"):
        distance(steane, seed=-1)
    checks, duals = steane.z_checks, steane.logical_z
    with pytest.raises(InputError, match="symmetries must be permutations of 7 qubits"):
        cluster_distance(checks, duals, 8, np.array([[0, 0, 1, 2, 3, 4, 5]]))
    with pytest.raises(InputError, match="takes a check to what is no sum of checks"):
        cluster_distance(checks, duals, 8, np.array([[1, 0, 2, 3, 4, 6, 5]]))
    # All checks of [[4, 2, 2]] stay, whatever the order of its qubits; one of its logical qubits as a gauge does not.
    with pytest.raises(InputError, match="takes a dual logical to what is none"):
        cluster_distance(np.ones((1, 4), np.uint8), np.array([[1, 1, 0, 0]], np.uint8), 5, np.array([[0, 2, 1, 3]]))
    with pytest.raises(InputError, match="stabilizers must have even overlaps with all checks and all duals"):
        cluster_distance(checks, duals, 8, stabilizers=duals)
    with pytest.raises(InputError, match="no operator anticommutes with any of 1 duals: they are sums of the checks"):
        light_operator(checks, checks[:1], 1)
    with pytest.raises(InputError, match="trials must be an integer >= 1, got 0"):
        light_operator(checks, duals, 0)


def bch_checks(degree: int, polynomial: int, powers: tuple[int, ...]) -> NDArray[np.uint8]:
    """Rows are the bits of the powers of a primitive element, and of their powers."""
    length, element, elements = (1 << degree) - 1, 1, []
    for _ in range(length):
        elements.append(element)
        element <<= 1
        element ^= polynomial if element >> degree else 0
    rows = [
        [elements[power * i % length] >> bit & 1 for i in range(length)] for power in powers for bit in range(degree)
    ]
    return np.array(rows, dtype=np.uint8)


@pytest.mark.parametrize(
    ("degree", "polynomial", "powers", "parameters", "d"),
    [
        (6, 0b1000011, (1, 3, 5), (63, 45), 7),
        (7, 0b10001001, (1, 3), (127, 113), 5),
        (10, 0b10000001001, (1, 3), (1023, 1003), 5),
    ],
)
def test_codes_of_high_rate_by_column_sums(
    degree: int, polynomial: int, powers: tuple[int, ...], parameters: tuple[int, int], d: int
) -> None:
    """Primitive BCH codes of designed distance 5 and 7, which is their distance."""
    code = LinearCode(bch_checks(degree, polynomial, powers))
    found = distance(code)
    assert code.parameters == parameters
    assert found.distance == d
    assert found.method in ("clusters", "column sums", "row sums")  # whichever is first
    assert not (code.checks.astype(int) @ found.witness % 2).any()


def test_column_sums_against_brute_force() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        n = int(rng.integers(2, 13))
        checks = rng.integers(0, 2, size=(int(rng.integers(1, n)), n)).astype(np.uint8)
        words = np.array([[i >> bit & 1 for bit in range(n)] for i in range(1, 1 << n)])
        weights = words[~(words @ checks.T % 2).any(axis=1)].sum(axis=1)
        sums = ColumnSums(checks)
        while sums.witness is None:
            assert sums.lower <= weights.min()
            assert sums.advance(n + 1)
        assert sums.lower == sums.witness.sum() == weights.min()
        assert not (checks.astype(int) @ sums.witness % 2).any()


def test_column_sums_know_when_they_cannot_go_on() -> None:
    sums = ColumnSums(np.random.default_rng(1).integers(0, 2, size=(200, 400)).astype(np.uint8))
    while not sums.stuck:
        sums.advance(100)
    assert sums.lower == 5  # sums of three columns of 400 are too many
    assert sums.witness is None
