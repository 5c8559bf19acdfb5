"""The inner loops over finite groups, compiled with numba: homomorphisms, and supports that give equal codes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quell.compiled_kernels import compiler

__all__ = ["homomorphisms", "invariant", "map_classes", "pair_orbits", "support_classes"]

Ints = NDArray[np.int64]

_compiled = compiler([Path(__file__)])


@_compiled
def homomorphisms(
    table: Ints, generators: Ints, target: Ints, choices: Ints, first: Ints, limit: int
) -> NDArray[np.int32]:
    """The isomorphisms of one group to another of the same order, `limit` at most.

    Args:
        table: int64 (g, g): of the group.
        generators: int64 (r,): of the group.
        target: int64 (g, g): the table of the other.
        choices: int64: the possible images of each generator, one after another.
        first: int64 (r + 1,): where those of each begin.
        limit: How many to return.

    Returns:
        int32 (found, g): the image of each element.
    """
    order, count = table.shape[0], generators.shape[0]
    # A tree that reaches every element by multiplication with generators from the right.
    reached = np.zeros(order, np.int64)
    parent = np.zeros(order, np.int64)
    by = np.zeros(order, np.int64)
    known = np.zeros(order, np.bool_)
    known[0] = True
    size = 1
    place = 0
    while place < size:
        for i in range(count):
            element = table[reached[place], generators[i]]
            if not known[element]:
                known[element] = True
                reached[size] = element
                parent[element] = reached[place]
                by[element] = i
                size += 1
        place += 1
    room = 64
    found = np.empty((room, order), np.int32)
    number = 0
    counter = first[:-1].copy()
    image = np.zeros(order, np.int64)
    hit = np.zeros(order, np.int64)
    turn = 0
    while True:
        turn += 1
        good = True
        image[0] = 0
        hit[0] = turn
        for place in range(1, order):
            element = reached[place]
            value = target[image[parent[element]], choices[counter[by[element]]]]
            if hit[value] == turn:
                good = False
                break
            hit[value] = turn
            image[element] = value
        if good:
            for element in range(order):
                for i in range(count):
                    if image[table[element, generators[i]]] != target[image[element], choices[counter[i]]]:
                        good = False
                        break
                if not good:
                    break
        if good:
            if number == room:
                longer = np.empty((2 * room, order), np.int32)
                longer[:room] = found
                found = longer
                room *= 2
            found[number] = image
            number += 1
            if number == limit:
                break
        i = count - 1
        while i >= 0:
            counter[i] += 1
            if counter[i] < first[i + 1]:
                break
            counter[i] = first[i]
            i -= 1
        if i < 0:
            break
    return found[:number]


@_compiled
def invariant(table: Ints, orders: Ints) -> np.uint64:
    """A number that isomorphic groups share: pairs hashed by the orders of both, their product and commutator."""
    order = table.shape[0]
    inverses = np.zeros(order, np.int64)
    for x in range(order):
        for y in range(order):
            if table[x, y] == 0:
                inverses[x] = y
    of_element = np.zeros(order, np.uint64)
    mix = np.uint64(0x9E3779B97F4A7C15)
    for x in range(order):
        total = np.uint64(orders[x])
        for y in range(order):
            product = table[x, y]
            commutator = table[table[inverses[x], inverses[y]], product]
            value = np.uint64(((orders[x] * 211 + orders[y]) * 211 + orders[product]) * 211 + orders[commutator])
            value = (value + mix) * np.uint64(0xBF58476D1CE4E5B9)
            value = (value ^ (value >> np.uint64(29))) * np.uint64(0x94D049BB133111EB)
            total += value ^ (value >> np.uint64(32))
        of_element[x] = total
    result = np.uint64(0)
    for x in range(order):
        # Squares and squares of squares tie elements together.
        square = table[x, x]
        value = of_element[x] + mix * of_element[square] + (mix ^ np.uint64(77)) * of_element[table[square, x]]
        value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        result += value ^ (value >> np.uint64(27))
    return result


@_compiled
def support_classes(table: Ints, inverses: Ints, three: bool) -> tuple[Ints, Ints]:
    """Sorts the sets {1, x} or {1, x, y} by which are g s h for group elements g and h.

    Returns:
        The class of each, int64 (g, g), [x, y] in any sequence, or [x, x] for two elements; −1 where there is none; and
        one (x, y) of each class, int64 (classes, 2), with y = x for two elements.
    """
    order = table.shape[0]
    classes = np.full((order, order), -1)
    chosen = np.empty((order * order, 2), np.int64)
    number = 0
    for x in range(1, order):
        for y in range(x + 1 if three else x, order if three else x + 1):
            if classes[x, y] >= 0:
                continue
            for base in range(3 if three else 2):
                if base == 0:
                    first, second = x, y
                elif base == 1:
                    first, second = inverses[x], table[inverses[x], y]
                else:
                    first, second = inverses[y], table[inverses[y], x]
                if not three:
                    second = first
                for h in range(order):
                    u = table[table[h, first], inverses[h]]
                    v = table[table[h, second], inverses[h]]
                    classes[u, v] = number
                    classes[v, u] = number
            chosen[number] = x, y
            number += 1
    return classes, chosen[:number].copy()


@_compiled
def map_classes(classes: Ints, chosen: Ints, images: NDArray[np.int32]) -> NDArray[np.int32]:
    """Where each map of elements, int32 (maps, g), takes each class, int32 (maps, classes)."""
    result = np.empty((images.shape[0], chosen.shape[0]), np.int32)
    for which in range(images.shape[0]):
        for each in range(chosen.shape[0]):
            result[which, each] = classes[images[which, chosen[each, 0]], images[which, chosen[each, 1]]]
    return result


@_compiled
def pair_orbits(
    left: NDArray[np.int32],
    right: NDArray[np.int32],
    left_inverse: NDArray[np.int32],
    right_inverse: NDArray[np.int32],
    swap: bool,
    allowed: NDArray[np.bool_],
) -> Ints:
    """One pair of classes of each orbit under automorphisms, inversion of both and, with `swap`, their exchange.

    Args:
        left: int32 (automorphisms, classes): where each takes the classes of a, the identity among them.
        right: Likewise for b.
        left_inverse: int32 (classes,): the class of the inverses.
        right_inverse: Likewise.
        swap: Whether a and b are taken from the same classes.
        allowed: bool (classes of a, classes of b): which pairs are of interest, the same throughout an orbit. It is
            used up.
    """
    pairs = np.empty((1024, 2), np.int64)
    number = 0
    for a in range(left.shape[1]):
        for b in range(right.shape[1]):
            if not allowed[a, b]:
                continue
            if number == pairs.shape[0]:
                longer = np.empty((2 * number, 2), np.int64)
                longer[:number] = pairs
                pairs = longer
            pairs[number] = a, b
            number += 1
            allowed[a, b] = False
            for which in range(left.shape[0]):
                u, v = left[which, a], right[which, b]
                allowed[u, v] = False
                allowed[left_inverse[u], right_inverse[v]] = False
                if swap:
                    allowed[v, u] = False
                    allowed[right_inverse[v], left_inverse[u]] = False
    return pairs[:number].copy()
