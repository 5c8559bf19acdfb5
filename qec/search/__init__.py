"""The search for low-weight codes: problems, agents behind one interface, and what was found."""

from quell.qec.search.agents import Agent, Annealing, RandomSampling, SearchResult, SymmetricAnnealing, Symmetry
from quell.qec.search.catalogue import (
    CatalogueEntry,
    Verification,
    add_entries,
    catalogue,
    code_entry,
    found_entry,
    load_code,
    read_catalogue,
    seed_entry,
    verify_entry,
    write_catalogue,
)
from quell.qec.search.exhaustive import Exhaustive
from quell.qec.search.found_codes import FoundCode, measure
from quell.qec.search.groups import groups_of_order
from quell.qec.search.run import SEED_AGENTS, SeedSearch, read_search, restart_seed, search_seeds
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
from quell.qec.search.two_block import (
    anneal_two_block,
    bicycle_text,
    random_two_block,
    scan_bicycle,
    scan_two_block,
)

__all__ = [
    "SEED_AGENTS",
    "TWO_BLOCK_AGENTS",
    "Agent",
    "Annealing",
    "CatalogueEntry",
    "Evaluation",
    "Exhaustive",
    "FoundCode",
    "RandomSampling",
    "SearchResult",
    "SeedProblem",
    "SeedSearch",
    "SymmetricAnnealing",
    "Symmetry",
    "TwoBlockSearch",
    "Verification",
    "add_entries",
    "anneal_two_block",
    "bicycle_text",
    "catalogue",
    "code_entry",
    "evaluate",
    "found_entry",
    "groups_of_order",
    "least_length",
    "load_code",
    "measure",
    "pack_rows",
    "random_two_block",
    "read_catalogue",
    "read_search",
    "restart_seed",
    "scan_bicycle",
    "scan_two_block",
    "search_seeds",
    "search_two_block",
    "seed_bounds",
    "seed_entry",
    "unpack_rows",
    "verify_entry",
    "write_catalogue",
]
