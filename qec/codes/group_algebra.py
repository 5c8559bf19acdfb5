"""Two-block codes from group algebras: CSS codes whose checks commute by construction, over any finite group.

Two elements a and b of the algebra over GF(2) act on it from the left and from the right, and so commute: H_X =
[L(a) | R(b)] and H_Z = [R(b)ᵀ | L(a)ᵀ] (Lin and Pryadko, arXiv:2306.16400). Over cyclic groups these are the
generalised bicycle codes (Kovalev and Pryadko, arXiv:1212.6703), over Z_l × Z_m the bivariate bicycle codes (Bravyi et
al., arXiv:2308.07915).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer
from quell.qec.codes.css import CSSCode
from quell.qec.codes.groups import Group

__all__ = ["Group", "block_symmetries", "two_block_code"]


def two_block_code(group: Group, a: Sequence[int], b: Sequence[int], *, name: str = "") -> CSSCode:
    """The code of 2 |G| qubits whose checks have weight |a| + |b|, and |a| or |b| of them, of each type, on each qubit.

    X check g acts on the qubits a_i g of the first block, 0 to |G|−1, and g b_j of the second; Z check g on the qubits
    g b_j⁻¹ of the first block and a_i⁻¹ g of the second.

    Args:
        group: G.
        a: The group elements that a is the sum of.
        b: Likewise.
        name: Of the code.

    Returns:
        A code with `symmetries`: generators of those permutations that come from multiplication from the left and the
        right. Over an abelian group these are the translations; over others there may be none.

    Raises:
        InputError: a or b is empty, or holds an element twice (the two would cancel) or one outside the group.

    Examples:
        >>> from quell.qec.codes.group_algebra import Group, two_block_code
        >>> group = Group.abelian(6, 6)  # x^i y^j is element 6 i + j
        >>> gross_sibling = two_block_code(group, [18, 1, 2], [3, 6, 12])
        >>> gross_sibling.parameters, gross_sibling.x_weights[0], gross_sibling.z_degrees[0]
        ((72, 12), np.int64(6), np.int64(3))
    """
    left, right = _elements("a", group, a), _elements("b", group, b)
    size = group.order
    x_checks = np.zeros((size, 2 * size), dtype=np.uint8)
    z_checks = np.zeros_like(x_checks)
    every = np.arange(size)
    for element in left:
        x_checks[every, group.table[element]] = 1
        z_checks[every, size + group.table[group.inverses[element]]] = 1
    for element in right:
        x_checks[every, size + group.table[:, element]] = 1
        z_checks[every, group.table[:, group.inverses[element]]] = 1
    return CSSCode(x_checks, z_checks, name=name, symmetries=block_symmetries(group, left, right))


def _elements(name: str, group: Group, elements: Sequence[int]) -> list[int]:
    found = [check_integer(f"an element of {name}", element, minimum=0) for element in elements]
    if not found:
        raise InputError(f"{name} must hold at least one element of the group, got none")
    if max(found) >= group.order:
        raise InputError(f"an element of {name} must be below the order of the group, {group.order}, got {max(found)}")
    twice = [element for element in found if found.count(element) > 1]
    if twice:
        raise InputError(f"{name} must hold different elements, got {twice[0]} {len(twice)} times: two of them cancel")
    return found


def block_symmetries(group: Group, a: Sequence[int], b: Sequence[int]) -> NDArray[np.intp] | None:
    """Generators of the permutations that multiply the blocks from the left or the right and keep the checks.

    First block u → h u t, second v → h' v t', X check g → h' g t, Z check g → h g t'; that needs h a = a h' and
    b t' = t b as sets. So pairs (h, h') and pairs (t, t') are found apart.

    Returns:
        intp (G, 2 |G|), the image of each qubit; None if only the identity keeps them.

    Examples:
        >>> from quell.qec.codes.group_algebra import Group, block_symmetries
        >>> block_symmetries(Group.cyclic(3), [0, 1], [0, 1])
        array([[1, 2, 0, 4, 5, 3]])
    """
    table = group.table
    rows = []
    for first, second in _pair_generators(group, a):
        rows.append(np.concatenate([table[first], group.order + table[second]]))
    for first, second in _pair_generators(group, b):
        rows.append(np.concatenate([table[:, first], group.order + table[:, second]]))
    rows = [row for row in rows if (row != np.arange(2 * group.order)).any()]
    unique = np.unique(np.array(rows, dtype=np.intp).reshape(-1, 2 * group.order), axis=0)
    return unique if len(unique) else None


def _pair_generators(group: Group, support: Sequence[int]) -> list[tuple[int, int]]:
    """Generators of the pairs (h, h') with h s = s h' for the set s: greedily, each outside what those before make."""
    table, inverses, size = group.table, group.inverses, group.order
    wanted = np.sort(np.asarray(support))
    pairs: list[tuple[int, int]] = []
    for h in range(size):
        moved = np.sort(table[h, wanted])
        # h s_0 is some s_j h'
        for h_prime in {int(table[inverses[s], table[h, wanted[0]]]) for s in wanted}:
            if (np.sort(table[wanted, h_prime]) == moved).all():
                pairs.append((h, h_prime))
    chosen: list[tuple[int, int]] = []
    made = {(0, 0)}
    for pair in pairs:
        if pair in made:
            continue
        chosen.append(pair)
        grown = list(made)
        for h, h_prime in grown:  # grows while it is gone through
            for g, g_prime in chosen:
                product = (int(table[h, g]), int(table[h_prime, g_prime]))
                if product not in made:
                    made.add(product)
                    grown.append(product)
    return chosen
