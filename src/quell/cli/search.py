"""`quell search`: the shortest low-weight code with a wanted number of logical qubits and distance."""

import sys
import time as clock
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from quell.cli.options import Count, Duration, Json, Workers, print_json
from quell.errors import InputError, QuellError, check_known

if TYPE_CHECKING:
    from quell.qec.search import CatalogueEntry

__all__ = ["search"]

FAMILIES = ("hypergraph-product", "two-block")


def search(
    *,
    k: Count,
    distance: Count,
    family: str = "hypergraph-product",
    max_weight: Count = 6,
    max_degree: Count = 3,
    agent: str | None = None,
    time: Duration | None = None,
    save: Path | None = None,
    seed: Count = 0,
    workers: Workers = None,
    json: Json = False,
) -> None:
    """Search for the shortest CSS code of low weight with k logical qubits and a distance, which is proven.

    Products are of one classical code with itself, whose checks are independent: k is a square. Two-block codes, with
    two or three elements of a group on either side, are gone through group by group: what the exhaustive agent finds
    first is as short as any of them. Interrupt it whenever you like: what was found is printed, and with --save the
    same command goes on. A search for two-block codes ends after the group at hand.

    quell search --k 49 --distance 12 --time 1m --save found.jsonl

    quell search --family two-block --k 12 --distance 12 --time 10m

    Args:
        k: Logical qubits; at least, for two-block codes.
        distance: At least.
        family: hypergraph-product or two-block.
        max_weight: The most qubits in a check.
        max_degree: The most checks of one type on a qubit.
        agent: annealing, random or learned for products; exhaustive, annealing or random for two-block codes.
            [default: the first]
        time: How long: 90s, 10m, 2h. It ends before if nothing shorter can exist. [default: 1m for products, 10m for
            two-block codes]
        save: A file to which the code is added, for `quell codes`. What is needed to go on stands beside it, in a file
            that ends in .state and has the settings in its name.
        seed: Of the random numbers.
    """
    from quell.qec.search.catalogue import add_entries

    check_known("family", family, FAMILIES)
    run = _seeds if family == "hypergraph-product" else _two_blocks
    seconds = time if time is not None else 60.0 if family == "hypergraph-product" else 600.0
    state_file = None
    if save is not None:
        # A file that cannot hold the code should be known before an hour of search, and not after it.
        add_entries(save, [])
        settings = f"{family}-{k}-{distance}-{max_weight}-{max_degree}-{agent or 'default'}-{seed}"
        state_file = save.with_name(f"{save.name}.{settings}.state")
    entry, about = run(k, distance, max_weight, max_degree, agent, seconds, state_file, seed, workers)
    if json:
        found = [] if entry is None else [{**entry.summary(), **about, "construction": entry.construction}]
        print_json({"results": found})
    elif entry is not None:
        _print(entry, about, save)
    if entry is None:
        so_far = "interrupted: " if about["interrupted"] else ""
        way_out = "the same command goes on" if save is not None else "give it more --time, or loosen the bounds"
        raise QuellError(f"{so_far}no [[n, {k}, {distance}]] code was found in {about['seconds']} s: {way_out}")
    if save is not None:
        add_entries(save, [entry])


def _print(entry: "CatalogueEntry", about: dict[str, Any], save: Path | None) -> None:
    print(f"[[{entry.n}, {entry.k}, {entry.lower}]]  {entry.name}")
    print(f"  weight {entry.max_weight}, degree {entry.max_degree}, k d²/n = {entry.efficiency:.2f}")
    print(f"  distance by {entry.d_method}")
    print(f"  {about['what']}")
    print(f"  found with: {entry.found_by}")
    print(f"  {about['seconds']} s, {about['work']}" + ("; interrupted" if about["interrupted"] else ""))
    if save is not None:
        print(f"  saved: quell codes show {entry.name} --file {save}")


def _seeds(
    k: int, distance: int, max_weight: int, max_degree: int, agent: str | None, seconds: float, state_file: Path | None,
    seed: int, workers: int | None,
) -> tuple["CatalogueEntry | None", dict[str, Any]]:  # fmt: skip
    from quell.qec.search import SeedSearch, search_seeds
    from quell.qec.search.catalogue import seed_entry

    with _Bar(seconds) as bar:

        def tell(state: SeedSearch) -> None:
            best = "nothing yet" if state.best is None else f"n = {state.quantum_length(state.best.problem.n)}"
            bar.tell(f"{best}, {state.evaluations:.1e} matrices")

        state = search_seeds(
            k, distance, max_weight=max_weight, max_degree=max_degree, agent=agent or "annealing", seconds=seconds,
            num_workers=workers, seed=seed, save=state_file, on_progress=tell,
        )  # fmt: skip
    least = state.quantum_length(state.least)
    about = {
        "what": "no product of one seed of independent checks within the bounds is shorter: proven"
        if state.optimal
        else f"a product of one seed of independent checks within the bounds has n >= {least}: proven",
        "work": f"{sum(state.restarts.values())} restarts, {state.evaluations:.2e} matrices",
        "least_n": least, "optimal": state.optimal, "evaluations": state.evaluations,
        "restarts": sum(state.restarts.values()), "seconds": round(state.seconds, 1), "interrupted": state.interrupted,
    }  # fmt: skip
    return None if state.best is None else seed_entry(state), about


def _two_blocks(
    k: int, distance: int, max_weight: int, max_degree: int, agent: str | None, seconds: float, state_file: Path | None,
    seed: int, workers: int | None,
) -> tuple["CatalogueEntry | None", dict[str, Any]]:  # fmt: skip
    from quell.qec.search import TwoBlockSearch, search_two_block
    from quell.qec.search.catalogue import found_entry

    if workers not in (None, 1):
        raise InputError(f"--workers is for hypergraph products, got {workers}: two-block codes take one core")
    with _Bar(seconds) as bar:

        def tell(state: TwoBlockSearch, group: str) -> None:
            bar.tell(f"{'nothing yet' if state.best is None else f'n = {state.best.n}'}, at {group}")

        state = search_two_block(
            k, distance, max_weight=max_weight, max_degree=max_degree, agent=agent or "exhaustive", seconds=seconds,
            seed=seed, save=state_file, on_progress=tell,
        )  # fmt: skip
    about = {
        "what": "no connected two-block code within the bounds, with two or three elements on either side, is shorter: "
        "all were looked through"
        if state.optimal
        else f"any code with these parameters has n >= {state.least}",
        "work": f"{len(state.done)} searches of groups",
        "least_n": state.least, "optimal": state.optimal, "searches": len(state.done),
        "seconds": round(state.seconds, 1), "interrupted": state.interrupted,
    }  # fmt: skip
    if state.best is None:
        return None, about
    command = (
        f"quell search --family two-block --k {k} --distance {distance} --max-weight {max_weight} "
        f"--max-degree {max_degree} --agent {state.agent} --seed {seed}"
    )
    return found_entry(state.best, found_by=command), about


class _Bar:
    """A bar of the time that is used up, with what there is so far beside it."""

    def __init__(self, seconds: float) -> None:
        self.began = clock.monotonic()
        self.seconds = seconds
        self.bar = tqdm(
            total=round(seconds), unit="s", leave=False, file=sys.stderr, disable=None,
            bar_format="{percentage:3.0f}%|{bar:20}| {n:.0f}/{total} s, {postfix}",
        )  # fmt: skip

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def tell(self, text: str) -> None:
        self.bar.n = min(clock.monotonic() - self.began, self.seconds)
        self.bar.set_postfix_str(text)
