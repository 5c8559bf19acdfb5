"""The planar surface codes as check matrices (Bravyi and Kitaev, quant-ph/9811052; Bombin and Martin-Delgado,
quant-ph/0605094), placed as `stim.Circuit.generated` places them."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from quell.errors import check_integer
from quell.qec.codes.css import CSSCode
from quell.qec.codes.families import check_size

__all__ = ["rotated_surface_code", "unrotated_surface_code"]

Site = tuple[int, int]


def rotated_surface_code(distance: int) -> CSSCode:
    """Returns the rotated surface code, [[d², 1, d]].

    Qubits lie at odd coordinates, from (1, 1) to (2d - 1, 2d - 1), and are numbered row by row, x counting fastest;
    checks, whose centres have even coordinates, likewise. Logical X is the column x = 1, logical Z the row y = 1, as
    in `quell.circuits.rotated_surface_memory`.

    Args:
        distance: At least 2.

    Raises:
        InputError: The distance is below 2.
        TooLargeError: There would be more than 20,000 qubits.

    Examples:
        >>> from quell.qec.codes import distance, rotated_surface_code
        >>> code = rotated_surface_code(5)
        >>> code.parameters, distance(code).distance, code.coordinates[:2].tolist()
        ((25, 1), 5, [[1.0, 1.0], [3.0, 1.0]])
    """
    distance = check_integer("distance", distance, minimum=2)
    check_size("the code", distance**2)
    data = [(x, y) for y in range(1, 2 * distance, 2) for x in range(1, 2 * distance, 2)]
    even = [(x, y) for y in range(0, 2 * distance + 1, 2) for x in range(0, 2 * distance + 1, 2)]
    ends = (0, 2 * distance)
    x_sites = [(x, y) for x, y in even if (x + y) % 4 == 2 and x not in ends]
    z_sites = [(x, y) for x, y in even if (x + y) % 4 == 0 and y not in ends]
    steps = ((1, 1), (1, -1), (-1, 1), (-1, -1))
    return _code(data, x_sites, z_sites, steps, 1, f"rotated surface code {distance}")


def unrotated_surface_code(distance: int) -> CSSCode:
    """Returns the unrotated surface code, [[d² + (d - 1)², 1, d]].

    Qubits lie where x + y is even, from (0, 0) to (2d - 2, 2d - 2), and are numbered row by row, x counting fastest; X
    checks lie where x is odd and y even, Z checks where x is even and y odd. Logical X is the column x = 0, logical Z
    the row y = 0, as in `quell.circuits.unrotated_surface_memory`.

    Args:
        distance: At least 2.

    Raises:
        InputError: The distance is below 2.
        TooLargeError: There would be more than 20,000 qubits.

    Examples:
        >>> from quell.qec.codes import unrotated_surface_code
        >>> unrotated_surface_code(3)
        <unrotated surface code 3: [[13, 1]] CSS code, 6 X and 6 Z checks>
    """
    distance = check_integer("distance", distance, minimum=2)
    check_size("the code", distance**2 + (distance - 1) ** 2)
    grid = [(x, y) for y in range(2 * distance - 1) for x in range(2 * distance - 1)]
    data = [(x, y) for x, y in grid if (x + y) % 2 == 0]
    x_sites = [(x, y) for x, y in grid if (x % 2, y % 2) == (1, 0)]
    z_sites = [(x, y) for x, y in grid if (x % 2, y % 2) == (0, 1)]
    steps = ((1, 0), (0, 1), (-1, 0), (0, -1))
    return _code(data, x_sites, z_sites, steps, 0, f"unrotated surface code {distance}")


def _code(
    data: Sequence[Site], x_sites: Sequence[Site], z_sites: Sequence[Site], steps: Sequence[Site], edge: int, name: str
) -> CSSCode:
    number = {site: index for index, site in enumerate(data)}

    def rows(supports: Iterable[Iterable[Site]]) -> NDArray[np.uint8]:
        bits = [[number[site] for site in support if site in number] for support in supports]
        matrix = np.zeros((len(bits), len(data)), dtype=np.uint8)
        for row, support in zip(matrix, bits, strict=True):
            row[support] = 1
        return matrix

    def around(sites: Sequence[Site]) -> NDArray[np.uint8]:
        return rows([(x + dx, y + dy) for dx, dy in steps] for x, y in sites)

    return CSSCode(
        around(x_sites),
        around(z_sites),
        logical_x=rows([[site for site in data if site[0] == edge]]),
        logical_z=rows([[site for site in data if site[1] == edge]]),
        coordinates=data,
        name=name,
    )
