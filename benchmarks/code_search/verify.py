"""Verifies every code of the catalogue, the slow ones too: each number is derived anew, and each distance proven again.

python benchmarks/code_search/verify.py [--time-limit 300]
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table
from tqdm import tqdm

from quell.qec.search import catalogue, verify_entry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--time-limit", type=float, default=300, help="seconds for each distance")
    options = parser.parse_args()
    rows = []
    for entry in tqdm(catalogue()):
        found = verify_entry(entry, options.time_limit)
        d = found.lower if found.lower == found.upper else f"{found.lower}–{found.upper}"
        verdict = "yes" if found.verified else "; ".join(found.failures)
        rows.append([entry.name, entry.n, entry.k, entry.lower, d, found.method, verdict, f"{found.seconds:.2f}"])
    verified = sum(row[6] == "yes" for row in rows)
    notes = f"{verified} of {len(rows)} codes are verified. Seconds of one core, for all numbers of a code."
    header = ["code", "n", "k", "d, as listed", "d, proven again", "by", "verified", "seconds"]
    command = " ".join(["python benchmarks/code_search/verify.py", *sys.argv[1:]])
    write_table(Path(__file__).with_suffix(".md"), "The catalogue, verified", command, header, rows, notes=notes)


if __name__ == "__main__":
    main()
