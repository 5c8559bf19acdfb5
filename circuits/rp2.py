"""The RP² codes and the self-dual SRP codes that they are morphed to, as check matrices (Chen, Chen, Lu and Pan,
arXiv:2503.18657)."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from quell.circuits.rp2_lattice import antipode, check_kind
from quell.circuits.srp_morph import Morph, srp_morph
from quell.errors import check_integer
from quell.qec.codes import CSSCode

__all__ = ["rp2_code", "srp_code"]

Site = tuple[float, float]
Support = tuple[Site, ...]
Bits = NDArray[np.uint8]


def rp2_code(distance: int, *, for_cultivation: bool = False) -> CSSCode:
    """Returns the RP²-d code, [[d², 1, d]], for an odd distance.

    A rotated surface code whose whole boundary is identified with its antipode: (d² + 1)/2 checks of each type, of
    which one is the product of the others, and no open boundary. Logical X is the row y = 0, logical Z the column
    x = 0, of coordinates centred on (0, 0).

    Args:
        distance: Odd, at least 3.
        for_cultivation: Gives the Z checks the signs that the SRP code of this distance asks for. Without, all are +1.

    Raises:
        InputError: The distance is even or below 3; or, for cultivation, neither 3 nor 5.

    Examples:
        >>> from quell.circuits import rp2_code
        >>> from quell.qec.codes import distance
        >>> code = rp2_code(5)
        >>> code.n, code.k, distance(code).distance
        (25, 1, 5)
        >>> rp2_code(3, for_cultivation=True).z_signs.tolist()
        [-1, -1, -1, -1, 1]
    """
    distance = check_integer("distance", distance, minimum=3, odd=True)
    data, supports = _data(distance), _supports(distance)
    z_signs = None
    if for_cultivation:
        morph = srp_morph(distance)
        sites = (*data, *morph.plus, *morph.others)
        z_signs = _signs_of(_through(morph, sites, "Z", _rows(sites, supports["Z"])))
    return CSSCode(
        _rows(data, supports["X"]),
        _rows(data, supports["Z"]),
        z_signs=z_signs,
        logical_x=_rows(data, [[site for site in data if site[1] == 0]]),
        logical_z=_rows(data, [[site for site in data if site[0] == 0]]),
        coordinates=data,
        name=f"RP²-{distance}",
    )


def srp_code(distance: int) -> CSSCode:
    """Returns the SRP-d code for d = 3, [[15, 1, 3]], or d = 5, [[35, 1, 5]].

    It is self-dual: X and Z checks have the same supports, and X, Y and Z on all qubits are logicals. S or T on all
    qubits keeps the code if the stabilizer Z^s has the sign (-1)^(|s|/2) for every support s; those of X are free.

    Args:
        distance: 3 or 5. No rule for others is known.

    Raises:
        InputError: The distance is neither.

    Examples:
        >>> import numpy as np
        >>> from quell.circuits import srp_code
        >>> code = srp_code(3)
        >>> code.n, code.k, code.x_checks.sum(axis=1).tolist(), code.z_signs.tolist()
        (15, 1, [4, 4, 4, 4, 4, 6, 6], [1, 1, 1, 1, 1, -1, -1])
        >>> np.array_equal(code.x_checks, code.z_checks)
        True
    """
    morph = srp_morph(distance)
    sites = (*_data(distance), *morph.plus, *morph.others)
    before = [*_supports(distance)["X"], *((site,) for site in morph.plus)]
    # Those of Z become the same group.
    supports = _lightest_generators(_through(morph, sites, "X", _rows(sites, before)))
    everything = np.ones((1, len(sites)), dtype=np.uint8)
    return CSSCode(
        supports,
        supports,
        z_signs=_signs_of(supports),
        logical_x=everything,
        logical_z=everything,
        coordinates=sites,
        name=f"SRP-{distance}",
    )


def _data(distance: int) -> Support:
    line = range(-(distance // 2), distance // 2 + 1)
    return tuple((x, y) for y in line for x in line)


def _supports(distance: int) -> dict[str, list[Support]]:
    """The data qubits of the checks of each type: the four round a half-odd place, antipodes for those outside the
    square. Round a corner one is nowhere and two are the same, so that it has a check of two."""
    half = distance // 2
    line = range(-half - 1, half)
    places = [(x + 0.5, y + 0.5) for y in line for x in line][1:]
    supports: dict[str, list[Support]] = {"X": [], "Z": []}
    for x, y in [*places, (-half - 0.5, -half - 0.5), (half + 0.5, -half - 0.5)]:
        around = [(x + dx, y + dy) for dx in (-0.5, 0.5) for dy in (-0.5, 0.5)]
        inside = {antipode(site, distance): None for site in around if min(map(abs, site)) <= half}
        supports[check_kind((x, y))].append(tuple(inside))
    return supports


def _rows(sites: Sequence[Site], supports: Iterable[Iterable[Site]]) -> Bits:
    number = {site: index for index, site in enumerate(sites)}
    chosen = [[number[site] for site in support] for support in supports]
    rows = np.zeros((len(chosen), len(sites)), dtype=np.uint8)
    for row, columns in zip(rows, chosen, strict=True):
        row[columns] = 1
    return rows


def _through(morph: Morph, sites: Sequence[Site], kind: str, supports: Bits) -> Bits:
    """What operators of one type become under the gates of a morph: X spreads to targets, Z to controls."""
    number = {site: index for index, site in enumerate(sites)}
    images = supports.copy()
    for layer in morph.layers:
        for control, target in layer:
            source, spread = (control, target) if kind == "X" else (target, control)
            images[:, number[spread]] ^= images[:, number[source]]
    return images


def _signs_of(supports: Bits) -> NDArray[np.int8]:
    """The sign rule: (-1)^(|s|/2)."""
    return np.where(supports.sum(axis=1) // 2 % 2, -1, 1).astype(np.int8)


def _lightest_generators(supports: Bits) -> Bits:
    """Independent elements of the group of supports, the lightest first."""
    group = np.zeros((1, supports.shape[1]), dtype=np.uint8)
    known = set()
    for support in supports:
        if support.tobytes() not in known:
            group = np.concatenate([group, group ^ support])
            known = {row.tobytes() for row in group}
    order = np.lexsort((*(1 - group.T[::-1]), group.sum(axis=1)))
    chosen: list[NDArray[np.uint8]] = []
    reduced: list[tuple[int, int]] = []  # pivot bit and value, as integers
    for row in group[order][1:]:
        value = int.from_bytes(np.packbits(row).tobytes(), "big")
        for pivot, other in reduced:
            if value >> pivot & 1:
                value ^= other
        if value:
            reduced.append((value.bit_length() - 1, value))
            chosen.append(row)
        if 2 ** len(chosen) == len(group):
            break
    return np.array(chosen)
