"""All groups of a small order, their automorphisms, and the pairs of supports that give different two-block codes.

Groups are made as chains of cyclic extensions, each group of order g from those of order g / p, and compared by an
invariant and a search for an isomorphism; so all soluble groups are found, and of the others A5 and its kin are named.
"""

import functools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import check_integer, import_extra
from quell.qec.codes.groups import Group

__all__ = ["automorphisms", "groups_of_order", "isomorphic", "some_automorphisms", "support_pairs"]

Images = NDArray[np.int32]

_MOST_CANDIDATES = 5_000_000
_MOST_GENERATORS = 6
_ROOM = 200_000_000
# The groups below order 180 that are no chains of cyclic extensions.
_INSOLUBLE = {
    60: ("<(0 1 2 3 4),(0 1 2)>",),
    120: ("<(0 1 2 3 4),(0 1)>", "<(0 1 2 3 4),(0 1 2)>xZ2"),
    168: ("<(0 1 2 3 4 5 6),(1 2)(3 5)>",),
}


def _kernels() -> Any:
    import_extra("numba", "search")
    return import_extra("quell.qec.search.group_kernels", "search")


def automorphisms(group: Group, *, most: int = _MOST_CANDIDATES) -> Images | None:
    """Returns all automorphisms, int32 (automorphisms, g), the image of each element; None if too many must be tried.

    Args:
        group: Of any kind.
        most: How many images of a set of generators are tried at most.

    Examples:
        >>> from quell.qec.codes.groups import Group
        >>> from quell.qec.search.groups import automorphisms
        >>> len(automorphisms(Group.abelian(12, 6)))
        384
    """
    return _isomorphisms(group, group, most, most)


def some_automorphisms(group: Group) -> Images:
    """Returns automorphisms, the identity at least, as many as there is room for: enough to find most equal codes.

    Examples:
        >>> from quell.qec.codes.groups import Group
        >>> from quell.qec.search.groups import some_automorphisms
        >>> len(some_automorphisms(Group.cyclic(12)))
        4
    """
    found = _isomorphisms(group, group, max(1, _ROOM // group.order**2), _MOST_CANDIDATES)
    identity = np.arange(group.order, dtype=np.int32)[None]
    if found is None or (found == identity).all(axis=1).any():
        return identity if found is None else found
    return np.concatenate([identity, found])


def isomorphic(first: Group, second: Group) -> bool:
    """Whether two groups are the same but for the numbers of their elements.

    Raises:
        TooLargeError: Too many images of generators would have to be tried.

    Examples:
        >>> from quell.qec.codes.groups import Group
        >>> from quell.qec.search.groups import isomorphic
        >>> isomorphic(Group.abelian(3, 4), Group.cyclic(12)), isomorphic(Group.dicyclic(2), Group.dihedral(4))
        (True, False)
    """
    if first.order != second.order or (np.sort(first.element_orders) != np.sort(second.element_orders)).any():
        return False
    found = _isomorphisms(first, second, 1, 1 << 62)
    return found is not None and len(found) > 0


def _isomorphisms(first: Group, second: Group, limit: int, most: int) -> Images | None:
    generators = _few_generators(first)
    orders = second.element_orders
    choices = [np.flatnonzero(orders == first.element_orders[g]) for g in generators]
    if math.prod(map(len, choices)) > most:
        return None
    if not all(map(len, choices)):
        return np.zeros((0, first.order), dtype=np.int32)
    starts = np.cumsum([0, *map(len, choices)])
    found: Images = _kernels().homomorphisms(
        first.table, np.array(generators, dtype=np.int64), second.table,
        np.concatenate([*choices, np.zeros(0, dtype=np.int64)]), starts, limit,
    )  # fmt: skip
    return found


def _few_generators(group: Group) -> tuple[int, ...]:
    """Generators, few of them and of orders that few elements have."""
    orders = group.element_orders
    frequency = np.bincount(orders)[orders]
    rng = np.random.default_rng(0)
    best: tuple[float, tuple[int, ...]] | None = None
    for count in range(min(len(group.generators), _MOST_GENERATORS) + 1):
        for _ in range(60 if count else 1):
            chosen = tuple(int(g) for g in rng.integers(group.order, size=count))
            cost = float(np.prod(frequency[list(chosen)].astype(float)))
            if (best is None or cost < best[0]) and len(group.subgroup(chosen)) == group.order:
                best = cost, chosen
        if best is not None:
            return best[1]
    return group.generators


@functools.cache
def groups_of_order(order: int) -> tuple[Group, ...]:
    """Returns the groups of an order, one of each kind, abelian ones first; each can be made again from its `spec`.

    Of the insoluble ones those of orders 60, 120 (two of three) and 168 are known. Extensions of a group whose
    automorphisms are too many are left out, such as those of the elementary abelian group of order 32; that can lose
    groups that have no other normal subgroup of that index.

    Examples:
        >>> from quell.qec.search.groups import groups_of_order
        >>> [len(groups_of_order(order)) for order in range(1, 17)]
        [1, 1, 1, 2, 1, 2, 1, 5, 2, 2, 1, 5, 1, 2, 1, 14]
    """
    order = check_integer("order", order, minimum=1)
    if order == 1:
        return (Group.cyclic(1),)
    kernels = _kernels()
    kinds: dict[int, list[Group]] = {}

    def add(group: Group) -> None:
        alike = kinds.setdefault(int(kernels.invariant(group.table, group.element_orders)), [])
        if not any(isomorphic(group, other) for other in alike):
            alike.append(group)

    for factors in _abelian_types(order):
        add(Group.abelian(*factors))
    seen: set[int] = set()
    for p in _primes(order):
        for base in groups_of_order(order // p):
            for group in _extensions(base, p):
                key = hash(group.table.tobytes())
                if key not in seen:
                    seen.add(key)
                    add(group)
    for spec in _INSOLUBLE.get(order, ()):
        add(Group.parse(spec))
    return tuple(sorted((group for alike in kinds.values() for group in alike), key=lambda g: not g.is_abelian))


def _abelian_types(order: int) -> list[tuple[int, ...]]:
    """Invariant factors, each divided by the next, of the abelian groups of an order."""
    found: list[tuple[int, ...]] = []

    def extend(rest: int, factors: tuple[int, ...]) -> None:
        if rest == 1:
            found.append(factors)
        for d in range(2, rest + 1):
            if rest % d == 0 and (not factors or factors[-1] % d == 0):
                extend(rest // d, (*factors, d))

    extend(order, ())
    return sorted(found, key=len)


def _primes(number: int) -> list[int]:
    return [p for p in range(2, number + 1) if number % p == 0 and all(p % q for q in range(2, p))]


def _extensions(base: Group, p: int) -> list[Group]:
    """Extensions of a group by Z_p, every kind of them at least once."""
    every = automorphisms(base)
    if every is None:
        return []
    generators = list(base.generators)
    names = {row.tobytes(): i for i, row in enumerate(every[:, generators])} if generators else {b"": 0}
    inner_images = np.array([base.table[base.table[base.inverses[h]], h] for h in range(base.order)])
    # Conjugate automorphisms, and those that differ by an inner one, give the same groups.
    rng = np.random.default_rng(0)
    movers = every[rng.integers(len(every), size=min(8, len(every)))]
    back = np.argsort(movers, axis=1)
    seen = np.zeros(len(every), dtype=np.bool_)
    found = []
    for start in range(len(every)):
        if seen[start]:
            continue
        seen[start] = True
        queue = [start]
        for which in queue:  # grows while it is gone through
            sigma = every[which]
            others = [tau[sigma[back_tau]] for tau, back_tau in zip(movers, back, strict=True)]
            others += [inner_images[h][sigma] for h in generators]
            for other in others:
                name = names[np.ascontiguousarray(other[generators], dtype=np.int32).tobytes()]
                if not seen[name]:
                    seen[name] = True
                    queue.append(name)
        sigma = every[start]
        power = np.arange(base.order)
        for _ in range(p):
            power = sigma[power]
        fitting = np.flatnonzero((inner_images == power).all(axis=1) & (sigma == np.arange(base.order)))
        found += [Group.extension(base, p, sigma[generators].tolist(), int(n)) for n in fitting]
    return found


def support_pairs(group: Group, sizes: tuple[int, int] = (3, 3)) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Returns one pair of supports (a, b) for every kind of connected two-block code of a group.

    Codes are of one kind if multiplication of a or b from either side, an automorphism of the group, inversion of both
    or, where |a| = |b|, an exchange of a and b turns one into the other: their parameters agree, but for an exchange of
    X and Z. Of a group with too many automorphisms only some are used, and codes of one kind can be returned twice. A
    code is connected if the differences within a, and those within b, generate subgroups A and B with A B = G; any
    other falls apart, over abelian groups into codes of smaller groups.

    Args:
        group: G.
        sizes: (|a|, |b|), each 2 or 3.

    Returns:
        intp (pairs, |a|) and (pairs, |b|); the first of each support is the identity, 0.

    Examples:
        >>> from quell.qec.codes.groups import Group
        >>> from quell.qec.search.groups import support_pairs
        >>> first, second = support_pairs(Group.cyclic(7))
        >>> len(first), first[0].tolist(), second[0].tolist()
        (5, [0, 1, 2], [0, 1, 2])
    """
    kernels = _kernels()
    if group.order < max(sizes):
        return np.zeros((0, sizes[0]), dtype=np.intp), np.zeros((0, sizes[1]), dtype=np.intp)
    maps = some_automorphisms(group)
    sides = []
    for size in sizes:
        classes, chosen = kernels.support_classes(group.table, group.inverses, size == 3)
        moved = kernels.map_classes(classes, chosen, maps)
        inverse = kernels.map_classes(classes, chosen, group.inverses[None].astype(np.int32))[0]
        sides.append((chosen, moved, inverse))
    (left, left_maps, left_inverse), (right, right_maps, right_inverse) = sides
    # Inner automorphisms move no class, so that many maps are equal.
    joint = np.unique(np.concatenate([left_maps, right_maps], axis=1), axis=0)
    pairs = kernels.pair_orbits(
        np.ascontiguousarray(joint[:, : len(left)]), np.ascontiguousarray(joint[:, len(left) :]),
        left_inverse, right_inverse, sizes[0] == sizes[1], _connected(group, left, right),
    )  # fmt: skip
    return _with_identity(left[pairs[:, 0]], sizes[0]), _with_identity(right[pairs[:, 1]], sizes[1])


def _with_identity(chosen: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    return np.concatenate([np.zeros((len(chosen), 1), dtype=np.intp), chosen[:, : size - 1]], axis=1)


def _connected(group: Group, left: NDArray[np.intp], right: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Of which pairs of classes the subgroups A and B have A B = G."""
    sides = []
    for chosen in (left, right):
        subgroups = np.array([np.isin(np.arange(group.order), group.subgroup(pair.tolist())) for pair in chosen])
        different, which = np.unique(subgroups, axis=0, return_inverse=True)
        sides.append((different, which.reshape(-1)))
    (first, of_left), (second, of_right) = sides
    common = first.astype(np.int64) @ second.T.astype(np.int64)
    product = first.sum(axis=1)[:, None] * second.sum(axis=1)[None]
    return np.asarray((product == common * group.order)[of_left[:, None], of_right[None]])
