"""Where the qubits of the RP² codes and of the surface code round them lie, and in which layers their gates run.

An RP²-d code is a rotated surface code without a boundary: whatever lies one step outside the d x d square of data
qubits is the antipodal data qubit inside (Chen, Chen, Lu and Pan, arXiv:2503.18657). Data qubits have whole
coordinates centred on (0, 0), checks half-odd ones; a check at (x, y) is of type X where x - y is even and of type Z
where it is odd, in the RP² codes and in every surface code centred on the same point, so that one grows into another.
"""

from typing import NamedTuple

from quell.circuits.rp2_schedule import five_layers
from quell.errors import check_integer

__all__ = ["CodeLattice", "PlacedCheck", "antipode", "check_kind", "rp2_lattice", "surface_lattice"]

Site = tuple[float, float]

# Steps from a check to its data qubits, in the order of its gates.
_WALKS = {
    "X": ((-0.5, -0.5), (-0.5, 0.5), (0.5, -0.5), (0.5, 0.5)),
    "Z": ((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5)),
}
# The checks across the seam meet the far side first, and both sides from the high end.
_BOTTOM_WALK = ((0.5, -0.5), (-0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
_LEFT_WALK = ((-0.5, 0.5), (-0.5, -0.5), (0.5, 0.5), (0.5, -0.5))

# A data qubit on the seam has four checks in some order and five layers to meet them in; every check of weight 4
# rests in one of the five. Rows from top to bottom, checks from left to right; the corners have two gates each.
_RESTS = {
    3: ("352", "544", "24"),
    5: ("35252", "45442", "35555", "55544", "2434"),
}
_LOW_CORNER_LAYERS = (1, 3)
_HIGH_CORNER_LAYERS = (4, 5)


class PlacedCheck(NamedTuple):
    """A check: where its ancilla lies, its type, its data qubits in the order of their gates, and the layer of each
    gate, counted from 1."""

    site: Site
    kind: str
    data: tuple[Site, ...]
    layers: tuple[int, ...]


class CodeLattice(NamedTuple):
    """Data qubits and checks by place, and the data qubits of the logicals X and Z."""

    distance: int
    data: tuple[Site, ...]
    checks: tuple[PlacedCheck, ...]
    logicals: dict[str, tuple[Site, ...]]

    def layers(self, kinds: str = "XZ") -> list[list[tuple[Site, Site]]]:
        """The gates of one round of checks, layer by layer, as pairs (control, target) of CX."""
        depth = max(layer for check in self.checks for layer in check.layers)
        gates: list[list[tuple[Site, Site]]] = [[] for _ in range(depth)]
        for check in self.checks:
            if check.kind in kinds:
                for qubit, layer in zip(check.data, check.layers, strict=True):
                    gates[layer - 1].append((check.site, qubit) if check.kind == "X" else (qubit, check.site))
        return gates

    def ancillas(self, kind: str) -> list[Site]:
        """Where the ancillas of one type lie."""
        return [check.site for check in self.checks if check.kind == kind]


def check_kind(site: Site) -> str:
    """Returns the type of the check at `site`.

    Examples:
        >>> from quell.circuits.rp2_lattice import check_kind
        >>> check_kind((-0.5, -0.5)), check_kind((0.5, -0.5))
        ('X', 'Z')
    """
    return "X" if (site[0] - site[1]) % 2 == 0 else "Z"


def antipode(site: Site, distance: int) -> Site:
    """Returns the place that `site` is identified with: itself inside the square, its antipode one step outside.

    Examples:
        >>> from quell.circuits.rp2_lattice import antipode
        >>> antipode((1, 1), 3), antipode((-2, 1), 3), antipode((0, -2), 3)
        ((1, 1), (1, -1), (0, 1))
    """
    half = distance // 2
    x, y = site
    if abs(x) > half:
        return (half if x < 0 else -half, -y)
    if abs(y) > half:
        return (-x, half if y < 0 else -half)
    return (x, y)


def rp2_lattice(distance: int) -> CodeLattice:
    """Returns the RP² code of an odd distance, its gates in five layers.

    The orders of gates are those of the published cultivation circuits at distance 3 and 5, and a valid order found
    by search at other distances.

    Examples:
        >>> from quell.circuits.rp2_lattice import rp2_lattice
        >>> lattice = rp2_lattice(3)
        >>> len(lattice.data), len(lattice.checks), len(lattice.layers())
        (9, 10, 5)
    """
    distance = check_integer("distance", distance, minimum=3, odd=True)
    half = distance // 2
    line = range(-half, half + 1)
    places: list[tuple[Site, str, tuple[Site, ...]]] = []
    for y in range(-half - 1, half):
        for x in range(-half - 1, half):
            site = (x + 0.5, y + 0.5)
            if x < -half and y < -half:
                continue
            walk = _BOTTOM_WALK if y < -half else _LEFT_WALK if x < -half else _WALKS[check_kind(site)]
            data = tuple(antipode((site[0] + dx, site[1] + dy), distance) for dx, dy in walk)
            places.append((site, check_kind(site), data))
    edge = half + 0.5
    places.append(((-edge, -edge), "X", ((half, half), (-half, -half))))
    places.append(((edge, -edge), "Z", ((half, -half), (-half, half))))
    fixed: list[tuple[int, ...] | None] = [None] * (len(places) - 2)
    if distance in _RESTS:
        rests = _published_rests(distance)
        fixed = [tuple(layer for layer in range(1, 6) if layer != rests[site]) for site, _, _ in places[:-2]]
    layers = five_layers(
        [kind for _, kind, _ in places],
        [data for _, _, data in places],
        [*fixed, _LOW_CORNER_LAYERS, _HIGH_CORNER_LAYERS],
    )
    assert layers is not None  # tried for every distance up to 51
    checks = [PlacedCheck(*place, each) for place, each in zip(places, layers, strict=True)]
    return CodeLattice(
        distance,
        tuple((x, y) for y in line for x in line),
        tuple(checks),
        {"X": tuple((x, 0) for x in line), "Z": tuple((0, y) for y in line)},
    )


def surface_lattice(distance: int) -> CodeLattice:
    """Returns the rotated surface code centred on (0, 0), its gates in four layers.

    Z checks lie on the boundaries at the bottom and the top, X checks on those at the left and the right.

    Examples:
        >>> from quell.circuits.rp2_lattice import surface_lattice
        >>> lattice = surface_lattice(7)
        >>> len(lattice.data), len(lattice.checks), len(lattice.layers())
        (49, 48, 4)
    """
    distance = check_integer("distance", distance, minimum=3, odd=True)
    half = distance // 2
    line = range(-half, half + 1)
    checks = []
    for y in range(-half - 1, half + 1):
        for x in range(-half - 1, half + 1):
            site = (x + 0.5, y + 0.5)
            kind = check_kind(site)
            on_side, on_end = x in (-half - 1, half), y in (-half - 1, half)
            if (on_side and on_end) or (on_side and kind == "Z") or (on_end and kind == "X"):
                continue
            steps = [
                ((site[0] + dx, site[1] + dy), layer)
                for layer, (dx, dy) in enumerate(_WALKS[kind], 1)
                if abs(site[0] + dx) <= half and abs(site[1] + dy) <= half
            ]
            checks.append(PlacedCheck(site, kind, tuple(q for q, _ in steps), tuple(layer for _, layer in steps)))
    return CodeLattice(
        distance,
        tuple((x, y) for y in line for x in line),
        tuple(checks),
        {"X": tuple((x, 0) for x in line), "Z": tuple((0, y) for y in line)},
    )


def _published_rests(distance: int) -> dict[Site, int]:
    edge = distance // 2 + 0.5
    rests = {}
    for row, digits in enumerate(_RESTS[distance]):
        y = edge - 1 - row
        first = -edge + (1 if y == -edge else 0)
        rests.update({(first + column, y): int(digit) for column, digit in enumerate(digits)})
    return rests
