"""Searches the orders of gates for RP² codes, five layers each, and computes the circuit distance that each leaves.

python benchmarks/rp2/schedules.py    (a minute)
"""

import itertools
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import stim

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.circuits import NoiseModel
from quell.circuits.rp2_lattice import CodeLattice, PlacedCheck, antipode, check_kind, rp2_lattice
from quell.circuits.rp2_memory import _Writer
from quell.circuits.rp2_schedule import _Search

HERE = Path(__file__).parent
DISTANCES = (3, 5, 7, 9, 11, 13)
NOISE = NoiseModel.uniform_depolarizing(0.001)
CORNERS = ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5))
NAMES = ("SW", "NW", "SE", "NE")
LAYERS = range(1, 6)
SEAMS = 20
FEW_SEAMS = 4

Walk = tuple[int, ...]
Pair = tuple[Walk, Walk]


def images(pair: Pair) -> Iterator[Pair]:
    """The pairs of walks, for X and for Z checks, that are the same but for a symmetry of the square or for time."""
    turn = (1, 3, 0, 2)  # by a quarter, which exchanges X and Z
    transpose = (0, 2, 1, 3)
    for reverse in (False, True):
        x, z = (walk[::-1] if reverse else walk for walk in pair)
        for flipped in (False, True):
            if flipped:
                x, z = (tuple(transpose[c] for c in walk) for walk in (x, z))
            for _ in range(4):
                x, z = tuple(turn[c] for c in z), tuple(turn[c] for c in x)
                yield x, z


def search(distance: int, pair: Pair, seed: int | None = None) -> CodeLattice | None:
    """A conflict-free order in five layers: given walks in the bulk, any on the seam and at the corners."""
    published = rp2_lattice(distance)
    kinds, data, choices = [], [], []
    rng = random.Random(seed)
    for check in published.checks:
        qubits: tuple[tuple[float, float], ...] = check.data
        if len(qubits) == 4:
            places = [antipode((check.site[0] + dx, check.site[1] + dy), distance) for dx, dy in CORNERS]
            inside = min(check.site) > -distance / 2
            walk = pair["XZ".index(check.kind)] if inside else (0, 1, 2, 3)
            qubits = tuple(places[corner] for corner in walk)
        else:
            inside = False
        given = [tuple(layer for layer in LAYERS if layer != rest) for rest in reversed(LAYERS)]
        free = list(itertools.permutations(LAYERS, len(qubits)))
        if seed is not None and not inside:
            rng.shuffle(free)
        kinds.append(check.kind)
        data.append(qubits)
        choices.append(given if inside else free)
    found = _Search(kinds, data).solve(choices)
    if found is None:
        return None
    checks = []
    for check, qubits, layers in zip(published.checks, data, found, strict=True):
        order = sorted(range(len(qubits)), key=layers.__getitem__)
        checks.append(PlacedCheck(check.site, check.kind, tuple(qubits[i] for i in order), tuple(sorted(layers))))
    return CodeLattice(distance, published.data, tuple(checks), published.logicals)


def distance_of(lattice: CodeLattice, basis: str, rounds: int) -> tuple[int, bool]:
    """The least number of faults that flip the logical and no check of its basis, and whether that is exact.

    The part of a Pauli error that checks of one basis see is an error of the depolarizing channel too, so that the
    other checks can be left out. Where every fault flips two checks or fewer of this basis, the search in the graph is
    a search of everything; otherwise it gives an upper bound.
    """
    circuit = NOISE.apply(_Writer(lattice, basis).write(rounds))
    sites = circuit.get_detector_coordinates()
    seen = set()
    exact = True
    model = stim.DetectorErrorModel()
    for error in circuit.detector_error_model().flattened():
        if error.type != "error":
            continue
        targets = [
            target
            for target in error.targets_copy()
            if target.is_logical_observable_id() or check_kind((sites[target.val][0], sites[target.val][1])) == basis
        ]
        exact &= sum(target.is_relative_detector_id() for target in targets) <= 2
        key = " ".join(map(str, targets))
        if key and key not in seen:
            seen.add(key)
            model.append("error", 0.001, targets)
    return len(model.shortest_graphlike_error()), exact


def distances_of(lattice: CodeLattice, rounds: int) -> list[str]:
    found = [distance_of(lattice, basis, rounds) for basis in "XZ"]
    return [str(weight) if exact else f"≤ {weight}" for weight, exact in found]


def rank(texts: list[str]) -> tuple[int, int]:
    """Greater distances first; of equal ones, exact before bounds."""
    return sum(int(text.removeprefix("≤ ")) for text in texts), sum("≤" not in text for text in texts)


def arrows(walk: Walk) -> str:
    return " ".join(NAMES[corner] for corner in walk)


def classes() -> list[tuple[Pair, int]]:
    """One pair of walks for each class of images, and how many images it has."""
    walks = list(itertools.permutations(range(4)))
    left = set(itertools.product(walks, walks))
    found = []
    while left:
        pair = min(left)
        same = set(images(pair))
        left -= same
        found.append((pair, len(same)))
    return found


def main() -> None:
    rows: list[list[object]] = []
    for distance in DISTANCES:
        for rounds in (distance, 2 * distance):
            rows.append(["published", distance, rounds, *distances_of(rp2_lattice(distance), rounds), 1])
    every = classes()
    possible = [(pair, size) for pair, size in every if search(5, pair) is not None]
    for pair, size in possible:
        title = f"X {arrows(pair[0])}, Z {arrows(pair[1])}; {size} images"
        for distance in DISTANCES[:5]:
            lattices = [search(distance, pair, seed) for seed in range(SEAMS if distance <= 7 else FEW_SEAMS)]
            found = [distances_of(lattice, distance) for lattice in lattices if lattice is not None]
            best = max(found, key=rank)
            rows.append([title, distance, distance, *best, len(found)])
    total, held = sum(size for _, size in every), sum(size for _, size in possible)
    notes = f"""\
Circuit distance in memories of both bases under uniform depolarizing noise. Every fault is cut down to what checks of
the kept basis see of it, which is a fault of that noise too. Where each then flips two checks or fewer, the shortest
cycle of the graph is the exact answer; "≤" where a check on the seam leaves faults that flip more. No circuit can
exceed d.

Searched: every pair of walks (sequence of corners, for X checks and for Z checks in the bulk), {total} in all,
{len(every)} classes under the symmetries of the square and of time; the checks on the seam and at the corners are free.
By exhaustion at d = 5, {held} pairs in {len(possible)} classes have a conflict-free order in five layers. Of each
class, {SEAMS} orders of the seam were measured at d <= 7 and {FEW_SEAMS} above; the best is shown.

Why a closed surface forgives hook errors: in the published order every fault in the bulk moves an error chain by
(dx, dy, dt) with |dx| <= 1 and |dy - dt| <= 1 (up to sign, and for X errors), hook errors (0, 2, 1) included, and a
closed chain comes back to its own time. With the same walk for X and Z, steps (0, 2, 1) and (-1, 1, -1) add up to three
steps in space for two faults: the distance falls to about two thirds. This argument is for the bulk; the distances in
the table include the seam.
"""
    header = ["order", "d", "rounds", "X memory", "Z memory", "orders measured"]
    write_table(HERE / "schedules.md", "Circuit distance of RP² memories by the order of their gates",
                "python benchmarks/rp2/schedules.py", header, rows, notes=notes.strip())  # fmt: skip


if __name__ == "__main__":
    main()
