"""The shortest hypergraph products of one classical code with itself, of check weight 6 and degree 3.

python benchmarks/code_search/seeds.py --rounds 0    (the table of what is in seeds/)
python benchmarks/code_search/seeds.py --seconds 60 --rounds 3    (searches on, three times a minute for each row)
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.qec.search import read_search, search_seeds

HERE = Path(__file__).parent
# Of arXiv:2502.14372, by reinforcement learning, and of simulated annealing before this search: (k, d), n and n.
PUBLISHED = {
    (4, 20): (1802, 1684), (9, 16): (1745, 1409), (16, 16): (1930, 1576), (25, 15): (2125, 1525),
    (36, 14): (2330, 1586), (49, 12): (2137, 1429), (64, 12): (2624, 1714), (81, 12): (3161, 2025),
    (100, 11): (3412, 2098), (121, 10): (3673, 2045), (144, 9): (3944, 2250), (100, 16): (6100, 3748),
    (529, 4): (9649, 3545), (169, 8): (4225, 2069), (196, 8): (4706, 2410), (225, 8): (5417, 2633),
    (256, 7): (6626, 2720), (289, 6): (6529, 2809), (324, 7): (6660, 3524), (361, 6): (8761, 3461),
    (400, 5): (6928, 3400), (441, 4): (7301, 3033), (484, 4): (7684, 3284), (576, 4): (12456, 3816),
    (625, 3): (6925, 3125),
}  # fmt: skip

NOTES = """Each seed is in `seeds/k-d.json` with the number of its restart, from which
`quell.qec.search.restart_seed` makes it again. Distances are exact: those of the seeds, by counting, and the product of
a matrix of independent rows with itself has the distance of its code. RL is the table of He and Liu (arXiv:2502.14372),
SA an annealing in the same class before this search. The class is products of one matrix of independent rows with
itself, rows and columns of at most three ones. "Seed n at least" is a bound within it
(`quell.qec.search.least_length`); n in brackets is that of the quantum code it would give; "proven" says that the seed
is as short as the bound. The last column leaves the class: two-block codes of `direct.jsonl`, of the same weight and
degree. Seconds are of one core, other work beside it."""


def file_of(k: int, distance: int) -> Path:
    return HERE / "seeds" / f"{k}-{distance}.json"


def copies(k: int, distance: int) -> tuple[int, str]:
    """The fewest qubits of two-block codes side by side, of the distance and with k logical qubits in all."""
    parts: dict[int, int] = {}
    for line in (HERE / "direct.jsonl").read_text().splitlines():
        code = json.loads(line)
        if "n" in code and code["lower"] >= distance:
            parts[code["k"]] = min(parts.get(code["k"], code["n"]), code["n"])
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    for wanted in range(1, k + 1):
        options = [(best[max(wanted - each, 0)], each, n) for each, n in parts.items()]
        best.append(min((before[0] + n, (*before[1], each)) for before, each, n in options))
    n, chosen = best[k]
    counts = Counter((parts[each], each) for each in chosen)
    return n, " + ".join(f"{count} [[{size}, {each}, ≥{distance}]]" for (size, each), count in sorted(counts.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each row in each round")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    for turn in range(options.rounds):
        for k, distance in PUBLISHED:
            path = file_of(k, distance)
            path.parent.mkdir(exist_ok=True)
            state = search_seeds(k, distance, seconds=options.seconds, save=path)
            if state.interrupted:
                return
            best = None if state.best is None else state.best.problem.n
            length = "none" if best is None else state.quantum_length(best)
            print(f"{turn}: [[{length}, {k}, {distance}]], seed n = {best}, at least {state.least}", flush=True)
    rows = []
    for (k, distance), (learned, annealed) in PUBLISHED.items():
        if not file_of(k, distance).exists():
            continue
        state = read_search(file_of(k, distance))
        if state.best is None:
            continue
        n = state.quantum_length(state.best.problem.n)
        total, parts = copies(k, distance)
        rows.append(
            [
                k, distance, learned, annealed, f"**{n}**" if n < annealed else n, state.best.problem.n,
                "proven" if state.optimal else f"{state.least} (n = {state.quantum_length(state.least)})",
                f"{state.evaluations:.1e}", f"{state.seconds:.0f}", state.best_restart, f"{total}: {parts}",
            ]
        )  # fmt: skip
    header = ["k", "d", "RL n", "SA n", "n", "seed n", "seed n at least", "evaluations", "seconds", "restart",
              "two-block codes side by side"]  # fmt: skip
    command = "python benchmarks/code_search/seeds.py --seconds 60 --rounds 6"
    write_table(HERE / "seeds.md", "Hypergraph products of one seed, weight 6, degree 3", command, header, rows,
                notes=NOTES)  # fmt: skip


if __name__ == "__main__":
    main()
