"""RP² and SRP codes against the published supports, theorems about them, and whole groups."""

import json
from pathlib import Path

import numpy as np
import pytest
import stim
from numpy.typing import NDArray

from quell.circuits import rp2_code, srp_code
from quell.circuits.rp2_lattice import rp2_lattice
from quell.circuits.srp_morph import srp_morph
from quell.errors import InputError
from quell.qec.codes import CSSCode, distance
from quell.qec.codes.gf2 import in_row_space, kernel, rank

PUBLISHED = Path(__file__).parents[3] / "shared" / "data" / "rp2_codes.json"
Bits = NDArray[np.uint8]


@pytest.mark.parametrize("d", [3, 5, 7, 9, 11])
def test_rp2_codes_have_their_parameters(d: int) -> None:
    code = rp2_code(d)
    assert (code.n, code.k) == (d**2, 1)
    assert len(code.x_checks) == len(code.z_checks) == (d**2 + 1) // 2
    for checks in (code.x_checks, code.z_checks):
        assert rank(checks) == (d**2 - 1) // 2
        # One relation, the product of all; every qubit is in two checks: no boundary.
        assert np.array_equal(kernel(checks.T), np.ones((1, len(checks))))
        assert (checks.sum(axis=0) == 2).all()
        assert sorted(checks.sum(axis=1))[:2] == [2, 4]
    for basis in "XZ":
        assert distance(code, basis).distance == d
    assert code.coordinates is not None
    assert np.abs(code.coordinates).max() == d // 2


@pytest.mark.parametrize("d", [3, 5, 9])
def test_codes_and_circuits_have_the_same_checks(d: int) -> None:
    code, lattice = rp2_code(d), rp2_lattice(d)
    assert code.coordinates is not None
    places = [tuple(place) for place in code.coordinates]
    for kind, checks in (("X", code.x_checks), ("Z", code.z_checks)):
        supports = [{places[qubit] for qubit in np.flatnonzero(row)} for row in checks]
        assert supports == [set(check.data) for check in lattice.checks if check.kind == kind]


def test_large_codes_need_no_order_of_gates() -> None:
    assert distance(rp2_code(53)).distance == 53  # out of reach of the search for five layers


def test_shortest_cycles_and_enumeration_agree_on_rp2() -> None:
    for d in (3, 5):
        code = rp2_code(d)
        # A check twice is out of reach of the one method, and changes nothing for the other.
        doubled = CSSCode(code.x_checks, np.concatenate([code.z_checks, code.z_checks[:1]]))
        found = distance(doubled, "X")
        assert (found.distance, found.method) == (d, "enumeration")


@pytest.mark.skipif(not PUBLISHED.exists(), reason="the published codes are not here")
@pytest.mark.parametrize("d", [3, 5])
def test_supports_and_signs_are_the_published_ones(d: int) -> None:
    data = json.loads(PUBLISHED.read_text())
    published, code = data[f"RP2-{d}"], rp2_code(d, for_cultivation=True)
    assert code.coordinates is not None
    place = {tuple(where): index for index, where in enumerate(code.coordinates)}
    number = {qubit: place[tuple(where)] for qubit, where in ((int(q), w) for q, w in published["coords"].items())}

    def supports(rows: Bits) -> set[frozenset[int]]:
        return {frozenset(np.flatnonzero(row).tolist()) for row in rows}

    for name, checks in (("X_checks", code.x_checks), ("Z_checks", code.z_checks)):
        assert supports(checks) == {frozenset(number[q] for q in support) for support in published[name]}
    signs = dict(zip(map(frozenset, map(np.flatnonzero, code.z_checks)), code.z_signs, strict=True))
    for support, sign in zip(published["Z_checks"], published["Z_check_signs_after_sign_correction"], strict=True):
        assert signs[frozenset(number[q] for q in support)] == sign
    assert supports(code.logical_x) == {frozenset(number[q] for q in published["logical_X"])}
    # SRP: the same group, whatever generators stand in the file.
    published, code = data[f"SRP-{d}"], srp_code(d)
    assert code.coordinates is not None
    scale = srp_morph(d).others[0][1] / max(where[1] for where in published["coords"].values())
    far = {tuple(w): (w[0], w[1] * scale) if abs(w[1]) > d // 2 else tuple(w) for w in published["coords"].values()}
    place = {tuple(where): index for index, where in enumerate(code.coordinates)}
    theirs = np.zeros((len(published["check_supports_same_for_X_and_Z"]), code.n), dtype=np.uint8)
    for row, support in zip(theirs, published["check_supports_same_for_X_and_Z"], strict=True):
        row[[place[far[tuple(published["coords"][str(q)])]] for q in support]] = 1
    assert rank(theirs) == len(theirs) == len(code.x_checks)
    assert in_row_space(theirs, code.x_checks).all()


def group(supports: Bits) -> Bits:
    every = np.zeros((1, supports.shape[1]), dtype=np.uint8)
    for support in supports:
        every = np.concatenate([every, every ^ support])
    return every


@pytest.mark.parametrize(("d", "n", "lightest"), [(3, 15, 3), (5, 35, 9)])
def test_srp_codes_are_self_dual_and_of_their_distance(d: int, n: int, lightest: int) -> None:
    code = srp_code(d)
    assert (code.n, code.k) == (n, 1)
    assert np.array_equal(code.x_checks, code.z_checks)
    every = group(code.x_checks)
    assert len(every) == 2 ** ((n - 1) // 2)
    logicals = every ^ 1
    assert logicals.sum(axis=1).min() == distance(code).distance == d
    assert (logicals.sum(axis=1) == d).sum() == lightest


@pytest.mark.parametrize("d", [3, 5])
def test_the_sign_rule_holds_on_the_whole_group(d: int) -> None:
    code = srp_code(d)
    every = np.zeros((1, code.n), dtype=np.uint8)
    signs = np.ones(1, dtype=np.int8)
    for support, sign in zip(code.z_checks, code.z_signs, strict=True):
        every = np.concatenate([every, every ^ support])
        signs = np.concatenate([signs, signs * sign])
    weights = every.sum(axis=1, dtype=np.int64)
    assert (weights % 2 == 0).all()
    assert np.array_equal(signs, 1 - 2 * (weights // 2 % 2))


@pytest.mark.parametrize("d", [3, 5])
def test_transversal_s_keeps_the_code_with_these_signs_and_not_with_others(d: int) -> None:
    code = srp_code(d)

    def stays(signs: NDArray[np.int8]) -> bool:
        stabilizers = [pauli(row, "X") for row in code.x_checks]
        stabilizers += [pauli(row, "Z") * int(sign) for row, sign in zip(code.z_checks, signs, strict=True)]
        tableau = stim.Tableau.from_stabilizers(stabilizers, allow_underconstrained=True)
        simulator = stim.TableauSimulator()
        simulator.do_tableau(tableau, list(range(code.n)))
        simulator.s(*range(code.n))
        return all(simulator.peek_observable_expectation(each) == 1 for each in stabilizers)

    assert stays(code.z_signs)
    assert not stays(np.abs(code.z_signs))


def pauli(row: Bits, kind: str) -> stim.PauliString:
    return stim.PauliString("".join(kind if bit else "_" for bit in row))


@pytest.mark.parametrize("d", [3, 5])
def test_the_morph_turns_one_code_into_the_other_with_its_signs(d: int) -> None:
    rp2, srp, morph = rp2_code(d, for_cultivation=True), srp_code(d), srp_morph(d)
    assert srp.coordinates is not None
    number = {tuple(where): index for index, where in enumerate(srp.coordinates)}
    gates = stim.Circuit()
    for layer in morph.layers:
        gates.append("CX", [number[site] for pair in layer for site in pair])
    before = [pauli(np.append(row, np.zeros(2 * d, dtype=np.uint8)), "X") for row in rp2.x_checks]
    before += [
        pauli(np.append(row, np.zeros(2 * d, dtype=np.uint8)), "Z") * int(sign)
        for row, sign in zip(rp2.z_checks, rp2.z_signs, strict=True)
    ]
    one = stim.PauliString(srp.n)
    for site in morph.plus:
        one[number[site]] = "X"
        before.append(one.copy())
        one[number[site]] = "I"
    for site in morph.others:
        one[number[site]] = "Z"
        before.append(one * (-1 if morph.others_state else 1))
        one[number[site]] = "I"
    tableau = stim.Tableau.from_stabilizers(
        [each.after(gates) for each in before], allow_underconstrained=True, allow_redundant=True
    )
    simulator = stim.TableauSimulator()
    simulator.do_tableau(tableau, list(range(srp.n)))
    for row, sign in zip(srp.z_checks, srp.z_signs, strict=True):
        assert simulator.peek_observable_expectation(pauli(row, "Z")) == sign
        assert simulator.peek_observable_expectation(pauli(row, "X")) == 1


def test_other_distances_are_refused() -> None:
    with pytest.raises(InputError, match="distance must be odd and >= 3, got 4"):
        rp2_code(4)
    with pytest.raises(InputError, match="distance must be 3 or 5, got 7"):
        srp_code(7)
    with pytest.raises(InputError, match="distance must be 3 or 5, got 7"):
        rp2_code(7, for_cultivation=True)
