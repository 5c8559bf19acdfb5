"""What a symmetry drawn at random does for the search for short seeds: annealing with and without, the same budget.

python benchmarks/code_search/symmetry.py [--seeds 8] [--evaluations 1000000]    (ten minutes)
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.qec import binomial_interval
from quell.qec.search import Agent, Annealing, SeedProblem, SymmetricAnnealing, Symmetry

PROBLEMS = [SeedProblem(*numbers) for numbers in ((29, 7, 12), (32, 8, 12), (36, 11, 10))]
AGENTS: dict[str, Agent] = {
    "annealing, 0.4 to 0.2": Annealing(Symmetry(), 0.4, 0.2),
    "annealing, 1.0 to 0.15": Annealing(),
    "symmetric annealing": SymmetricAnnealing(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    options = parser.parse_args()
    rows = []
    for problem in PROBLEMS:
        for name, agent in AGENTS.items():
            results = [
                agent.search(problem, evaluations=options.evaluations, seed=seed) for seed in range(options.seeds)
            ]
            reached = sum(result.reached for result in results)
            low, high = (float(value) for value in binomial_interval(reached, options.seeds))
            spent = sum(result.evaluations for result in results)
            costs = ", ".join(f"{result.cost:.1f}" for result in results if not result.reached)
            rows.append(
                [f"({problem.n}, {problem.k}, {problem.distance})", f"{problem.quantum_parameters}", name,
                 f"{reached}/{options.seeds} [{low:.0%}, {high:.0%}]",
                 f"{spent / reached:,.0f}" if reached else f"> {spent:,}", costs]
            )  # fmt: skip
    header = ["seed n, k, d", "quantum n, k, d", "agent", "target reached", "evaluations for each success",
              "costs of the others"]  # fmt: skip
    notes = "The same seeds for all; brackets hold 95 % intervals. Rows and columns of at most three ones."
    command = " ".join(["python benchmarks/code_search/symmetry.py", *sys.argv[1:]])
    write_table(Path(__file__).with_suffix(".md"), "Annealing with a symmetry, and without", command, header, rows,
                notes=notes)  # fmt: skip


if __name__ == "__main__":
    main()
