"""Looks through all bivariate bicycle codes A = x^a + y^b + y^c, B = y^d + x^e + x^f of some sizes, by exact distance.

python benchmarks/code_search/bicycle_scan.py    (two minutes)
"""

import sys
import time
from math import comb
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.qec.search.two_block import bicycle_text, scan_bicycle

HERE = Path(__file__).parent
SIZES = ((6, 6), (15, 3), (9, 6), (12, 6), (12, 12))
NOTES = """One core. Candidates that an automorphism of Z_l × Z_m, a translation, inversion or an exchange turns into
each other are measured once. Distances are proven, with a logical operator of that weight at hand; where a proof took
longer than 10 s, what is proven and the weight of the lightest operator known stand instead, and k d²/n is that of what
is proven. Some codes of great k fall apart into equal ones, such as [[144, 24, 6]]."""


def main() -> None:
    scan_bicycle(3, 3)  # compiles
    rows = []
    for l, m in SIZES:
        start = time.perf_counter()
        codes = scan_bicycle(l, m, time_limit=10)
        seconds = time.perf_counter() - start
        candidates = ((l - 1) * comb(m, 2) + comb(m - 1, 2)) * ((m - 1) * comb(l, 2) + comb(l - 1, 2))
        best = max(code.efficiency for code in codes)
        for place, code in enumerate(codes):
            d = code.distance if code.distance is not None else f"{code.lower}–{code.upper}"
            scanned = (f"{l}, {m}", f"{candidates:,}", f"{seconds:.1f}") if place == 0 else ("", "", "")
            mark = " **best**" if code.efficiency == best else ""
            polynomials = (bicycle_text(l, m, code.a), bicycle_text(l, m, code.b))
            rows.append((*scanned, f"[[{code.n}, {code.k}, {d}]]", f"{code.efficiency:.2f}{mark}", *polynomials))
    write_table(
        HERE / "bicycle_scan.md",
        "Bivariate bicycle codes: the best distance for each k",
        "python benchmarks/code_search/bicycle_scan.py",
        ("l, m", "candidates", "seconds", "code", "k d²/n", "A", "B"),
        rows,
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
