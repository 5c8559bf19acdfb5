"""The search for low-weight codes: problems, agents behind one interface, and what was found."""

from quell.qec.search.agents import Agent, Annealing, RandomSampling, SearchResult, Symmetry
from quell.qec.search.run import SEED_AGENTS, SeedSearch, restart_seed, search_seeds
from quell.qec.search.run_two_block import TWO_BLOCK_AGENTS, TwoBlockSearch, search_two_block
from quell.qec.search.seeds import (
    Evaluation,
    SeedProblem,
    evaluate,
    least_length,
    pack_rows,
    seed_bounds,
    unpack_rows,
)

__all__ = [
    "SEED_AGENTS",
    "TWO_BLOCK_AGENTS",
    "Agent",
    "Annealing",
    "Evaluation",
    "RandomSampling",
    "SearchResult",
    "SeedProblem",
    "SeedSearch",
    "Symmetry",
    "TwoBlockSearch",
    "evaluate",
    "least_length",
    "pack_rows",
    "restart_seed",
    "search_seeds",
    "search_two_block",
    "seed_bounds",
    "unpack_rows",
]
