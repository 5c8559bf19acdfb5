"""Where the qubits of the planar surface codes lie, and in which order their gates run.

Coordinates, qubit numbers and the default gate order are those of `stim.Circuit.generated`, so that circuits,
detectors and decoders made for one work for the other. The rule behind the orders: a fault on a check's
ancilla halfway through its gates spreads to the last two data qubits of the check, and in the rotated code
this pair must lie across the logical that it could help to complete (Tomita and Svore, arXiv:1404.3747).
"""

from typing import NamedTuple

__all__ = ["ORIENTATIONS", "ROTATED_ORDERS", "UNROTATED_ORDERS", "Check", "Lattice", "rotated", "unrotated"]

Site = tuple[int, int]

_STEPS: dict[str, Site] = {
    "N": (0, -1),
    "S": (0, 1),
    "E": (1, 0),
    "W": (-1, 0),
    "NE": (1, -1),
    "NW": (-1, -1),
    "SE": (1, 1),
    "SW": (-1, 1),
}

# Each order is a pair of walks round a check, y pointing south: first for the checks whose logical is a
# column, then for those whose logical is a row. A pair is valid if two checks that share two data qubits
# visit both in the same sequence, which mirror images keep.
_ROTATED_WALKS: dict[str, tuple[str, str]] = {
    "stim": ("SE SW NE NW", "SE NE SW NW"),
    "mirrored_x": ("SW SE NW NE", "SW NW SE NE"),
    "mirrored_y": ("NE NW SE SW", "NE SE NW SW"),
    "mirrored_xy": ("NW NE SW SE", "NW SW NE SE"),
    "hooks_along_logical": ("SE NE SW NW", "SE SW NE NW"),
}
_UNROTATED_WALKS: dict[str, tuple[str, str]] = {
    "stim": ("E S N W", "E S N W"),
    "mirrored_x": ("W S N E", "W S N E"),
    "mirrored_y": ("E N S W", "E N S W"),
    "mirrored_xy": ("W N S E", "W N S E"),
    "transposed": ("S E W N", "S E W N"),
}

ROTATED_ORDERS: tuple[str, ...] = tuple(sorted(_ROTATED_WALKS))
UNROTATED_ORDERS: tuple[str, ...] = tuple(sorted(_UNROTATED_WALKS))
ORIENTATIONS: tuple[str, ...] = ("exchanged", "stim")


class Check(NamedTuple):
    """A stabilizer: its ancilla, its type `"X"` or `"Z"`, and the data qubit it meets in each layer."""

    ancilla: int
    kind: str
    data: tuple[int | None, int | None, int | None, int | None]


class Lattice(NamedTuple):
    """The qubits of one surface code, by number.

    `sites` maps a qubit to its (x, y); `data` and `checks` are sorted by number; `logicals` maps `"X"` and
    `"Z"` to the data qubits of that logical.
    """

    sites: dict[int, Site]
    data: tuple[int, ...]
    checks: tuple[Check, ...]
    logicals: dict[str, tuple[int, ...]]


def rotated(distance: int, order: str, orientation: str) -> Lattice:
    """Returns the rotated code: data at odd coordinates, checks at even ones.

    Examples:
        >>> from quell.circuits.surface_lattice import rotated
        >>> lattice = rotated(3, "stim", "stim")
        >>> len(lattice.data), len(lattice.checks), lattice.logicals["Z"]
        (9, 8, (1, 3, 5))
    """

    def number(site: Site) -> int:
        x, y = site
        return x + (y - x % 2) // 2 * (2 * distance + 1)

    data = [(x, y) for y in range(1, 2 * distance, 2) for x in range(1, 2 * distance, 2)]
    columns, rows = [], []
    for y in range(0, 2 * distance + 1, 2):
        for x in range(0, 2 * distance + 1, 2):
            on_side, on_end = x in (0, 2 * distance), y in (0, 2 * distance)
            if (x + y) % 4 == 2 and not on_side:
                columns.append((x, y))
            elif (x + y) % 4 == 0 and not on_end:
                rows.append((x, y))
    column = [site for site in data if site[0] == 1]
    row = [site for site in data if site[1] == 1]
    numbers = {site: number(site) for site in [*data, *columns, *rows]}
    return _lattice(numbers, data, (columns, rows), (column, row), _ROTATED_WALKS[order], orientation)


def unrotated(distance: int, order: str, orientation: str) -> Lattice:
    """Returns the unrotated code on a grid of 2 distance - 1 sites a side: data where x + y is even.

    Examples:
        >>> from quell.circuits.surface_lattice import unrotated
        >>> lattice = unrotated(3, "stim", "stim")
        >>> len(lattice.data), len(lattice.checks), lattice.logicals["Z"]
        (13, 12, (0, 2, 4))
    """
    side = 2 * distance - 1
    grid = [(x, y) for y in range(side) for x in range(side)]
    numbers = {site: site[0] + site[1] * side for site in grid}
    data = [site for site in grid if sum(site) % 2 == 0]
    columns = [site for site in grid if site[0] % 2 == 1 and site[1] % 2 == 0]
    rows = [site for site in grid if site[0] % 2 == 0 and site[1] % 2 == 1]
    column = [site for site in data if site[0] == 0]
    row = [site for site in data if site[1] == 0]
    return _lattice(numbers, data, (columns, rows), (column, row), _UNROTATED_WALKS[order], orientation)


def _lattice(
    numbers: dict[Site, int],
    data: list[Site],
    check_sites: tuple[list[Site], list[Site]],
    logical_sites: tuple[list[Site], list[Site]],
    walks: tuple[str, str],
    orientation: str,
) -> Lattice:
    """Turns sites into numbers; `orientation` says which type has its logical in a column."""
    kinds = ("X", "Z") if orientation == "stim" else ("Z", "X")
    data_numbers = {site: numbers[site] for site in data}
    checks = []
    for kind, sites, walk in zip(kinds, check_sites, walks, strict=True):
        first, second, third, fourth = (_STEPS[step] for step in walk.split())
        for x, y in sites:
            met = (
                data_numbers.get((x + first[0], y + first[1])),
                data_numbers.get((x + second[0], y + second[1])),
                data_numbers.get((x + third[0], y + third[1])),
                data_numbers.get((x + fourth[0], y + fourth[1])),
            )
            checks.append(Check(numbers[x, y], kind, met))
    logicals = {kind: tuple(numbers[site] for site in sites) for kind, sites in zip(kinds, logical_sites, strict=True)}
    return Lattice(
        sites={number: site for site, number in sorted(numbers.items(), key=lambda item: item[1])},
        data=tuple(sorted(data_numbers.values())),
        checks=tuple(sorted(checks)),
        logicals=logicals,
    )
