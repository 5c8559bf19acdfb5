"""Proper edge colouring of bipartite graphs with as few colours as there can be: the largest degree (König, 1916)."""

from collections import Counter
from collections.abc import Hashable, Sequence

from quell.errors import InputError

__all__ = ["color_edges"]


def color_edges(edges: Sequence[tuple[Hashable, Hashable]]) -> list[int]:
    """Returns a colour for each edge, such that edges that share an end never share a colour.

    Edge by edge: where no colour is free at both ends, the two colours that are free at one of them change places on
    the path that starts at the second end, which never leads back to the first.

    Args:
        edges: Pairs of a left and a right end, each pair once. Left and right ends are different things even where
            they have the same name.

    Returns:
        Numbers from 0 up to the largest degree, which is not among them.

    Examples:
        >>> from quell.circuits.edge_coloring import color_edges
        >>> color_edges([("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 2)])
        [0, 1, 1, 0, 2]
    """
    if len(set(edges)) < len(edges):
        raise InputError("edges must be different, and one is given twice: leave it out")
    degrees = (Counter(left for left, _ in edges), Counter(right for _, right in edges))
    num_colors = max([0, *degrees[0].values(), *degrees[1].values()])
    # For each end, the other end of its edge of each colour.
    lefts: dict[Hashable, dict[int, Hashable]] = {end: {} for end in degrees[0]}
    rights: dict[Hashable, dict[int, Hashable]] = {end: {} for end in degrees[1]}
    for left, right in edges:
        at_left, at_right = lefts[left], rights[right]
        free = [color for color in range(num_colors) if color not in at_left]
        color = next((color for color in free if color not in at_right), None)
        if color is None:
            color = free[0]
            other = next(color for color in range(num_colors) if color not in at_right)
            _exchange(right, color, other, rights, lefts)
        at_left[color], at_right[color] = right, left
    return [next(color for color, end in lefts[left].items() if end == right) for left, right in edges]


def _exchange(
    start: Hashable,
    first: int,
    second: int,
    near: dict[Hashable, dict[int, Hashable]],
    far: dict[Hashable, dict[int, Hashable]],
) -> None:
    """Exchanges two colours on the path from a node that has the first of them and lacks the second."""
    path = [start]
    colors, sides = (first, second), (near, far)
    while (step := sides[(len(path) - 1) % 2][path[-1]].get(colors[(len(path) - 1) % 2])) is not None:
        path.append(step)
    for place in range(len(path) - 1):
        sides[place % 2][path[place]].pop(colors[place % 2])
        sides[(place + 1) % 2][path[place + 1]].pop(colors[place % 2])
    for place in range(len(path) - 1):
        sides[place % 2][path[place]][colors[(place + 1) % 2]] = path[place + 1]
        sides[(place + 1) % 2][path[place + 1]][colors[(place + 1) % 2]] = path[place]
