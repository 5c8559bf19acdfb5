"""The catalogue: every code that is shipped is what it says, and what is not is caught."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quell.errors import DataError, InputError, StorageError, UnknownNameError
from quell.qec.codes import CSSCode, hamming_code, hypergraph_product
from quell.qec.search import (
    CatalogueEntry,
    SeedSearch,
    add_entries,
    catalogue,
    code_entry,
    found_entry,
    load_code,
    measure,
    read_catalogue,
    search_seeds,
    seed_entry,
    verify_entry,
    write_catalogue,
)

ENTRIES = {entry.name: entry for entry in catalogue()}
# The others' distances take minutes: `quell codes verify`, and benchmarks/code_search/verify.md.
QUICK = [entry for entry in ENTRIES.values() if entry.seed is not None or entry.n * entry.lower < 2200]
PUBLISHED = {"bb-72-12-6", "bb-90-8-10", "bb-108-8-10", "bb-144-12-12", "bb-288-12-18"}


def changed(name: str, **fields: Any) -> CatalogueEntry:
    return dataclasses.replace(ENTRIES[name], **fields)


def steane() -> CatalogueEntry:
    checks = hamming_code(3).checks
    supports = [np.flatnonzero(row).tolist() for row in checks]
    parts = {"checks": {"length": 7, "x": supports, "z": supports}}
    return code_entry("steane", CSSCode(checks, checks), parts, found_by="Steane 1996")


def test_the_catalogue_is_there() -> None:
    assert ENTRIES.keys() >= PUBLISHED
    assert len(QUICK) > 60
    for entry in ENTRIES.values():
        assert entry.distance is not None
        assert entry.max_weight <= 6
        assert entry.max_degree <= 3
        family, *numbers = entry.name.split("-")
        assert [int(number) for number in numbers[:3]] == [entry.n, entry.k, entry.lower]
        assert family in ("2b", "bb", "hgp")


@pytest.mark.parametrize("entry", QUICK, ids=[entry.name for entry in QUICK])
def test_quick_entries_are_verified(entry: CatalogueEntry) -> None:
    found = verify_entry(entry)
    assert (found.failures, found.unproven) == ((), "")
    assert found.verified


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=list(ENTRIES))
def test_of_the_others_all_but_the_lower_bound_is(entry: CatalogueEntry) -> None:
    if entry not in QUICK:
        found = verify_entry(entry, time_limit=1e-3)
        assert found.failures == ()
        assert found.upper == entry.upper


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 71}, "n is 72, not 71"),
        ({"k": 13}, "k is 12, not 13"),
        ({"max_weight": 5}, "max_weight is 6, not 5"),
        ({"max_degree": 2}, "max_degree is 3, not 2"),
        ({"lower": 7, "upper": 7}, "the distance is at most 6"),
        ({"lower": 5, "upper": 5}, "the witness has weight 6, not 5"),
        ({"lower": 3, "upper": 5}, "the distance is at least 6, by clusters, and at most 5 is claimed"),
        ({"witness": (0, 1, 2, 3, 4, 5)}, "the witness does not commute"),
        ({"witness": (0, 1, 2, 3, 4, 72)}, "the witness must name different qubits from 0 to 71"),
        ({"witness": (0, 0, 1, 2, 3, 4)}, "the witness must name different qubits"),
        ({"witness": ()}, "the witness must name different qubits"),
    ],
)
def test_a_false_claim_is_caught(fields: dict[str, Any], message: str) -> None:
    assert any(message in failure for failure in verify_entry(changed("bb-72-12-6", **fields)).failures)


def test_a_stabilizer_is_no_witness() -> None:
    code = load_code("bb-72-12-6")
    check = tuple(np.flatnonzero(code.x_checks[0]).tolist())
    found = verify_entry(changed("bb-72-12-6", witness=check, basis="X"))
    assert found.failures == ("the witness is a stabilizer, and no logical operator",)


@pytest.mark.parametrize("row", range(0, 22, 7))
def test_one_changed_edge_of_a_seed_is_caught(row: int) -> None:
    entry = ENTRIES["hgp-1325-49-12"]
    parts = entry.construction["hypergraph_product"]
    rows = list(parts["rows"])
    rows[row] = f"{int(rows[row], 16) ^ 1:x}"
    spoiled = dataclasses.replace(entry, construction={"hypergraph_product": {**parts, "rows": rows}})
    assert not verify_entry(spoiled).verified


def test_dependent_checks_of_a_seed_are_no_product_of_its_distance() -> None:
    """A ring twice over: the toric code, whose seed has distance 3 as well, but by another way."""
    ring = {"length": 3, "rows": ["3", "6", "5"]}
    code = hypergraph_product([[1, 1, 0], [0, 1, 1], [1, 0, 1]])
    entry = code_entry("toric", code, {"hypergraph_product": ring}, found_by="Kitaev 1997")
    found = verify_entry(entry)
    assert found.verified
    assert (entry.k, entry.lower, found.method) == (2, 3, "shortest cycle")


def test_what_makes_no_code_says_so() -> None:
    broken = {"checks": {"length": 3, "x": [[0, 1]], "z": [[1, 2]]}}
    with pytest.raises(DataError, match="X check 0 and Z check 0 do not commute"):
        verify_entry(changed("bb-72-12-6", construction=broken))
    outside = {"checks": {"length": 3, "x": [[0, 3]], "z": []}}
    with pytest.raises(DataError, match="checks must name qubits from 0 to 2"):
        verify_entry(changed("bb-72-12-6", construction=outside))
    with pytest.raises(DataError, match="makes no code"):
        verify_entry(changed("bb-72-12-6", construction={"bivariate_bicycle": {"l": 6}}))


def test_entries_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "codes.jsonl"
    write_catalogue(path, ENTRIES.values())
    assert {entry.name: entry for entry in read_catalogue(path)} == ENTRIES
    own = steane()
    add_entries(path, [own])
    add_entries(path, [dataclasses.replace(own, found_by="again")])
    again = {entry.name: entry for entry in read_catalogue(path)}
    assert len(again) == len(ENTRIES) + 1
    assert again["steane"].found_by == "again"
    assert verify_entry(again["steane"]).verified
    assert again["steane"].code.parameters == (7, 1)


def test_what_a_search_finds_becomes_an_entry() -> None:
    state = search_seeds(9, 8, max_restarts=10, seed=1)
    entry = seed_entry(state)
    assert verify_entry(entry).verified
    assert (entry.k, entry.lower) == (9, 8)
    # The product's own distance, without the theorem.
    direct = code_entry("x", entry.code, entry.construction, found_by="")
    assert direct.lower == direct.upper == 8
    with pytest.raises(InputError, match="found no code yet"):
        seed_entry(SeedSearch(9, 8))
    found = measure("Z9", (0, 1, 2), (0, 1, 5))
    assert found is not None
    assert verify_entry(found_entry(found, found_by="")).verified


def test_a_code_without_logical_qubits_is_none() -> None:
    with pytest.raises(InputError, match="no logical qubit"):
        code_entry("x", CSSCode([[1, 1]], [[1, 1]]), {}, found_by="")
    parts = {"checks": {"length": 2, "x": [[0, 1]], "z": [[0, 1]]}}
    assert any("k is 0" in failure for failure in verify_entry(changed("bb-72-12-6", construction=parts)).failures)


def test_names() -> None:
    assert load_code("bb-144-12-12").parameters == (144, 12)
    with pytest.raises(UnknownNameError, match="bb-144-12-12"):
        load_code("bb-144-12-21")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[]", "line 1: an entry has the keys name, n, k"),
        ("{}", "missing: basis, construction, d_method, found_by, k, lower, max_degree, .*; unknown: none"),
        ('{"d": 3}', "unknown: d"),
        ("n", "n must be of type int, got 'x'"),
        ("witness", "witness must hold numbers of qubits"),
        ("basis", "basis must be 'X' or 'Z', got 'Y'"),
        ("construction", "construction must be one of hypergraph_product, two_block, bivariate_bicycle, checks, got x"),
    ],
)
def test_files_that_are_no_catalogue(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "codes.jsonl"
    wrong: dict[str, Any] = {"n": "x", "witness": ["x"], "basis": "Y", "construction": {"x": {}}}
    if text in wrong:
        record = json.loads(json.dumps(dataclasses.asdict(steane())))
        text = json.dumps({**record, text: wrong[text]})
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_catalogue(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        read_catalogue(tmp_path / "none.jsonl")
    with pytest.raises(StorageError, match="cannot write"):
        write_catalogue(tmp_path / "none" / "x.jsonl", [])
    path = tmp_path / "binary.jsonl"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="it is not text"):
        read_catalogue(path)
