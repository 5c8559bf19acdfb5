"""Writes the catalogue that comes with quell from what the searches here have found.

python benchmarks/code_search/catalogue_entries.py

Taken are the published bivariate bicycle codes, measured anew; the hypergraph products of seeds/; and of direct.jsonl
the codes than which no other there is as short, with as many logical qubits and as great a distance.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from code_search.direct import HERE, RESULTS, read
from code_search.seeds import PUBLISHED, file_of

from quell.qec.codes import bivariate_bicycle
from quell.qec.search.catalogue import (
    CatalogueEntry,
    code_entry,
    found_entry,
    read_catalogue,
    seed_entry,
    write_catalogue,
)
from quell.qec.search.found_codes import FoundCode
from quell.qec.search.run import read_search

SHIPPED = HERE.parents[1] / "qec" / "search" / "catalogue.jsonl"
# Bravyi et al., arXiv:2308.07915, table 3: l, m, A, B and the name.
BICYCLES = (
    (6, 6, "x^3 + y + y^2", "y^3 + x + x^2", "bb-72-12-6"),
    (15, 3, "x^9 + y + y^2", "1 + x^2 + x^7", "bb-90-8-10"),
    (9, 6, "x^3 + y + y^2", "y^3 + x + x^2", "bb-108-8-10"),
    (12, 6, "x^3 + y + y^2", "y^3 + x + x^2", "bb-144-12-12"),
    (12, 12, "x^3 + y^2 + y^7", "y^3 + x + x^2", "bb-288-12-18"),
)


def bicycles() -> list[CatalogueEntry]:
    entries = []
    for l, m, a, b, name in BICYCLES:
        parts = {"bivariate_bicycle": {"l": l, "m": m, "a": a, "b": b}}
        code = bivariate_bicycle(l, m, a, b)
        entries.append(code_entry(name, code, parts, found_by="published: Bravyi et al., arXiv:2308.07915"))
    return entries


def seeds() -> list[CatalogueEntry]:
    states = (read_search(file_of(k, distance)) for k, distance in PUBLISHED)
    return [seed_entry(state) for state in states if state.best is not None]


def two_blocks() -> list[CatalogueEntry]:
    best, _ = read()
    codes = sorted(best.values(), key=lambda code: (code.n, -code.k, -code.lower))
    kept: list[FoundCode] = []
    for code in codes:
        weight = len(code.a) + len(code.b)
        if code.lower >= 3 and not any(
            other.n <= code.n and other.k >= code.k and other.lower >= code.lower
            and len(other.a) + len(other.b) <= weight
            for other in kept
        ):  # fmt: skip
            kept.append(code)
    return [
        found_entry(code, found_by=f"python benchmarks/code_search/direct.py --orders {code.n // 2}") for code in kept
    ]


def main() -> None:
    print(RESULTS, json.dumps({"codes": len(read()[0])}))
    entries = {entry.name: entry for entry in [*two_blocks(), *seeds(), *bicycles()]}
    write_catalogue(SHIPPED, entries.values())
    written = read_catalogue(SHIPPED)
    print(f"{len(written)} codes, {SHIPPED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
