"""How long proofs of distances take: published bicycle codes, a hypergraph product and classical codes, on one core.

python benchmarks/code_search/distance.py    (four minutes)
"""

import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.qec.codes import CSSCode, LinearCode, bivariate_bicycle, distance, hypergraph_product
from quell.qec.codes.gf2 import in_row_space, kernel, multiply

HERE = Path(__file__).parent
BICYCLES = (
    (6, 6, "x^3 + y + y^2", "y^3 + x + x^2", 6, True),
    (15, 3, "x^9 + y + y^2", "1 + x^2 + x^7", 10, True),
    (9, 6, "x^3 + y + y^2", "y^3 + x + x^2", 10, True),
    (12, 6, "x^3 + y + y^2", "y^3 + x + x^2", 12, True),
    (12, 12, "x^3 + y^2 + y^7", "y^3 + x + x^2", 18, True),
    (30, 6, "x^9 + y + y^2", "y^3 + x^25 + x^26", 24, False),
)
NOTES = """One core; distances of both bases together, light operators from information sets included. Exact: every
lighter weight was looked through, and the witness commutes with the checks and is no sum of them, which is checked here
again. All checks of these bicycle codes sum to the vector of ones, so that odd weights need no search. Arxiv:2308.07915
gives the distances up to [[288, 12, 18]], and for [[360, 12]] the upper bound 24. The hypergraph product is of the code
of 16 bits with itself, whose distance is that of the product."""


def measured(code: CSSCode | LinearCode, known: str, symmetries: str) -> tuple[str, ...]:
    begin = time.process_time()
    found = distance(code)
    seconds = time.process_time() - begin
    if isinstance(code, CSSCode):
        own, others = (code.x_checks, code.z_checks) if found.basis == "X" else (code.z_checks, code.x_checks)
        assert not in_row_space(found.witness[None], own)[0]
        name = f"[[{code.n}, {code.k}, {found.distance}]]"
    else:
        others, name = code.checks, f"[{code.n}, {code.k}, {found.distance}]"
    assert found.exact
    assert not multiply(others, found.witness[:, None]).any()
    assert found.witness.sum() == found.distance
    print(name, symmetries, f"{seconds:.3f}", flush=True)
    return name, known, symmetries, found.method, f"{seconds:.3f}" if seconds < 10 else f"{seconds:.0f}"


def quadratic_residues(p: int) -> LinearCode:
    """The extended code of length p + 1, for p that is 7 modulo 8."""
    residues = np.zeros(p, np.uint8)
    residues[[i * i % p for i in range(1, p)]] = 1
    rows = np.array([np.roll(residues, shift) for shift in range(p)] + [np.ones(p, np.uint8)])
    return LinearCode(kernel(np.concatenate([rows, rows.sum(axis=1, dtype=np.uint8)[:, None] % 2], axis=1)))


def seed(n: int, k: int, rng: np.random.Generator) -> LinearCode:
    """The best of random codes with three bits in every check, of full rank, and three checks at most for every bit."""
    best, most = None, 0
    for _ in range(3000):
        places = rng.permutation(np.repeat(np.arange(n), 3))[: 3 * (n - k)].reshape(n - k, 3)
        checks = np.zeros((n - k, n), np.uint8)
        checks[np.arange(n - k)[:, None], places] = 1
        code = LinearCode(checks)
        if code.rank == n - k and (found := distance(code).distance or 0) > most:
            best, most = code, found
    assert best is not None
    return best


def main() -> None:
    distance(bivariate_bicycle(6, 6, "x^3 + y + y^2", "y^3 + x + x^2"))  # compiles
    distance(quadratic_residues(71))
    rows = []
    for l, m, a, b, known, both in BICYCLES:
        code = bivariate_bicycle(l, m, a, b)
        rows.append(measured(code, f"{'' if both else '≤ '}{known}", "translations"))
        if both:
            rows.append(measured(CSSCode(code.x_checks, code.z_checks), f"{known}", "none"))
    small = seed(16, 4, np.random.default_rng(1))
    rows.append(measured(hypergraph_product(small), str(distance(small).distance), "none"))
    for p, known in ((47, 12), (71, 12), (79, 16), (103, 20)):
        rows.append(measured(quadratic_residues(p), str(known), ""))
    write_table(
        HERE / "distance.md",
        "Distances: how long a proof takes",
        "python benchmarks/code_search/distance.py",
        ("code", "published", "symmetries", "method", "CPU seconds"),
        rows,
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
