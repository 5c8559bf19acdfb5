"""Minimum-weight perfect matching of a small complete graph, compiled with numba.

This is Edmonds' blossom algorithm (Paths, trees, and flowers, 1965). One alternating tree at a time grows from a vertex
without a mate until it reaches another one. Every vertex carries the sum of the duals of all blossoms around it, so
that the slack of an edge between two outermost blossoms is its doubled cost less two numbers. Groups of open events are
small and trees stay local; so each step simply looks through the tree.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quell.decoders.matching_compiled import compiled

__all__ = ["Ints", "perfect_matching"]

Ints: TypeAlias = NDArray[np.int64]

_FREE, _OUTER, _INNER = 0, 1, 2


class _State(NamedTuple):
    """A matching in the making. Blossoms are numbered after the n vertices, which count as blossoms too."""

    mate: Ints  # (n,)
    potential: Ints  # (n,): sum of the duals of the blossoms that hold the vertex, its own with them
    top: Ints  # (n,): outermost blossom
    best: Ints  # (n,): least doubled cost less potential of an edge to an outer vertex; as the tree was when it began
    best_from: Ints  # (n,): that outer vertex
    outer: Ints  # (n,): outer vertices, in the order in which they became so
    label: Ints  # (2n,): of outermost blossoms
    link: Ints  # (2n, 2): for inner ones, the edge that the tree took to them: outer vertex, inner vertex
    parent: Ints  # (2n,): the blossom around, or -1; -2 where the number is not in use
    base: Ints  # (2n,): the vertex whose mate is outside
    dual: Ints  # (2n,)
    size: Ints  # (2n,): number of children, which form a cycle; the first holds the base
    children: Ints  # (2n, n)
    edges: Ints  # (2n, n, 2): the edge from each child to the next one, as vertices
    stack: Ints  # (2n, 2)


@compiled
def perfect_matching(cost: Ints) -> Ints:
    """Returns the mate of each vertex in a perfect matching of least total cost.

    Args:
        cost: int64 (n, n): symmetric, n even. The diagonal is not used.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.matching_blossom import perfect_matching
        >>> perfect_matching(np.array([[0, 1, 4, 9], [1, 0, 1, 4], [4, 1, 0, 1], [9, 4, 1, 0]])).tolist()
        [1, 0, 3, 2]
    """
    n = len(cost)
    if n == 4:
        return _mates_of_four(cost)
    state = _State(
        np.full(n, -1, dtype=np.int64),
        np.empty(n, dtype=np.int64),
        np.arange(n),
        np.empty(n, dtype=np.int64),
        np.empty(n, dtype=np.int64),
        np.empty(n, dtype=np.int64),
        np.zeros(2 * n, dtype=np.int64),
        np.empty((2 * n, 2), dtype=np.int64),
        np.full(2 * n, -2, dtype=np.int64),
        np.arange(2 * n),
        np.zeros(2 * n, dtype=np.int64),
        np.zeros(2 * n, dtype=np.int64),
        np.empty((2 * n, n), dtype=np.int64),
        np.empty((2 * n, n, 2), dtype=np.int64),
        np.empty((2 * n, 2), dtype=np.int64),
    )
    state.parent[:n] = -1
    _start(state, cost)
    for root in range(n):
        if state.mate[root] < 0:
            _grow_tree(state, cost, root)
    return state.mate


@compiled
def _mates_of_four(cost: Ints) -> Ints:
    """Returns the best of the three perfect matchings of four vertices: in each, v ^ flip is the mate of v."""
    least, best = np.iinfo(np.int64).max, 0
    for flip in (1, 2, 3):
        rest = 2 if flip == 1 else 1
        total = cost[0, flip] + cost[rest, rest ^ flip]
        if total < least:
            least, best = total, flip
    mate = np.arange(4)
    for v in range(4):
        mate[v] = v ^ best
    return mate


@compiled
def _start(state: _State, cost: Ints) -> None:
    """Sets potentials that leave no slack negative, and mates along edges without slack."""
    n = len(cost)
    for v in range(n):
        least = cost[v, 0 if v else 1]
        for u in range(n):
            if u != v:
                least = min(least, cost[v, u])
        state.potential[v] = least
    for v in range(n):
        least = 2 * cost[v, 0 if v else 1] - state.potential[0 if v else 1]
        chosen = -1
        for u in range(n):
            if u != v:
                slack = 2 * cost[v, u] - state.potential[u]
                if slack < least or (slack == least and (chosen < 0 or state.mate[chosen] >= 0)):
                    least = slack
                    chosen = u
        state.potential[v] = least
        if state.mate[v] < 0 and state.mate[chosen] < 0:
            state.mate[v] = chosen
            state.mate[chosen] = v


@compiled
def _grow_tree(state: _State, cost: Ints, root: int) -> None:
    """Grows an alternating tree from a vertex without a mate until it has one."""
    n = len(cost)
    mate, potential, top, label, dual = state.mate, state.potential, state.top, state.label, state.dual
    label[:] = _FREE
    state.best[:] = np.iinfo(np.int64).max
    grown = 0  # sum of all changes of the duals in this tree
    num_outer = _make_outer(state, cost, top[root], 0, grown)
    while True:
        kind, step, first, second = _next_step(state, cost, num_outer, grown)
        if step > 0:
            grown += step
            for v in range(n):
                if label[top[v]] == _OUTER:
                    potential[v] += step
                elif label[top[v]] == _INNER:
                    potential[v] -= step
            for b in range(n, 2 * n):
                if state.parent[b] == -1:
                    if label[b] == _OUTER:
                        dual[b] += step
                    elif label[b] == _INNER:
                        dual[b] -= step
        if kind == 0:
            reached = top[second]
            if mate[state.base[reached]] < 0:
                _augment(state, first, second)
                return
            label[reached] = _INNER
            state.link[reached, 0], state.link[reached, 1] = first, second
            num_outer = _make_outer(state, cost, top[mate[state.base[reached]]], num_outer, grown)
        elif kind == 1:
            num_outer = _shrink(state, cost, first, second, num_outer, grown)
        else:
            num_outer = _expand(state, cost, first, num_outer, grown)


@compiled
def _next_step(state: _State, cost: Ints, num_outer: int, grown: int) -> tuple[int, int, int, int]:
    """Finds what happens first as the duals change.

    Returns:
        kind: 0 where the tree reaches a free blossom, 1 where two outer ones meet, 2 where an inner one falls apart.
        step: By how much the duals change until then.
        first: The outer vertex of the edge, or the blossom that falls apart.
        second: The other vertex of the edge.
    """
    n = len(cost)
    potential, top, label, outer = state.potential, state.top, state.label, state.outer
    step = np.iinfo(np.int64).max
    kind, first, second = 0, -1, -1
    for v in range(n):
        if label[top[v]] == _FREE:
            slack = state.best[v] - grown - potential[v]
            if slack < step:
                kind, step, first, second = 0, slack, state.best_from[v], v
    for a in range(num_outer):
        u = outer[a]
        for b in range(a):
            v = outer[b]
            if top[u] != top[v]:
                # Both ends rise, so that half of the slack is enough; costs are doubled to keep it whole.
                slack = (2 * cost[u, v] - potential[u] - potential[v]) // 2
                if slack < step:
                    kind, step, first, second = 1, slack, u, v
    for b in range(n, 2 * n):
        if state.parent[b] == -1 and label[b] == _INNER and state.dual[b] < step:
            kind, step, first, second = 2, state.dual[b], b, -1
    return kind, step, first, second


@compiled
def _make_outer(state: _State, cost: Ints, blossom: int, num_outer: int, grown: int) -> int:
    """Labels an outermost blossom as outer and looks along the edges of its vertices; returns how many are outer."""
    state.label[blossom] = _OUTER
    for u in range(len(cost)):
        if state.top[u] == blossom:
            num_outer = _look_around(state, cost, u, num_outer, grown)
    return num_outer


@compiled
def _look_around(state: _State, cost: Ints, u: int, num_outer: int, grown: int) -> int:
    """Adds a vertex to the outer ones."""
    state.outer[num_outer] = u
    for v in range(len(cost)):
        value = 2 * cost[u, v] - state.potential[u] + grown
        if value < state.best[v] and u != v:
            state.best[v] = value
            state.best_from[v] = u
    return num_outer + 1


@compiled
def _make_base(state: _State, blossom: int, vertex: int) -> None:
    """Mates a blossom's vertices among each other so that `vertex` is left for a mate outside."""
    stack = state.stack
    stack[0, 0], stack[0, 1] = blossom, vertex
    height = 1
    n = len(state.mate)
    while height:
        height -= 1
        b, v = stack[height]
        if b < n:
            continue
        state.base[b] = v
        child = v
        while state.parent[child] != b:
            child = state.parent[child]
        size = state.size[b]
        start = 0
        while state.children[b, start] != child:
            start += 1
        if start:
            # Turned so that the child with the base comes first.
            children, edges = state.children[b, :size].copy(), state.edges[b, :size].copy()
            for k in range(size):
                state.children[b, k] = children[(k + start) % size]
                state.edges[b, k] = edges[(k + start) % size]
            for k in range(1, size, 2):
                p, q = state.edges[b, k]
                state.mate[p], state.mate[q] = q, p
                stack[height, 0], stack[height, 1] = state.children[b, k], p
                stack[height + 1, 0], stack[height + 1, 1] = state.children[b, k + 1], q
                height += 2
        stack[height, 0], stack[height, 1] = child, v
        height += 1


@compiled
def _augment(state: _State, first: int, second: int) -> None:
    """Mates along the tree's path from its root to the edge (first, second) that has reached a free blossom."""
    top, base, mate = state.top, state.base, state.mate
    _make_base(state, top[second], second)
    while True:
        outer = top[first]
        inner_vertex = mate[base[outer]]
        _make_base(state, outer, first)
        mate[first], mate[second] = second, first
        if inner_vertex < 0:
            return
        inner = top[inner_vertex]
        first, second = state.link[inner]
        _make_base(state, inner, second)


@compiled
def _above(state: _State, blossom: np.int64) -> np.int64:
    """Returns the next blossom on the way to the tree's root, or -1."""
    if state.label[blossom] == _INNER:
        return np.int64(state.top[state.link[blossom, 0]])
    vertex = state.mate[state.base[blossom]]
    return np.int64(-1 if vertex < 0 else state.top[vertex])


@compiled
def _shrink(state: _State, cost: Ints, first: int, second: int, num_outer: int, grown: int) -> int:
    """Makes a blossom of the cycle that an edge between two outer vertices closes; returns how many are outer."""
    n = len(cost)
    top, label, children, edges = state.top, state.label, state.children, state.edges
    new = n
    while state.parent[new] != -2:
        new += 1
    # The stack serves as a mark on each blossom between the first end and the root.
    marks = state.stack[:, 0]
    marks[:] = 0
    b = top[first]
    while b >= 0:
        marks[b] = 1
        b = _above(state, b)
    apex = top[second]
    while not marks[apex]:
        apex = _above(state, apex)
    length = 0
    b = top[first]
    while b != apex:
        length += 1
        b = _above(state, b)
    children[new, 0] = apex
    place = length
    b = top[first]
    while b != apex:
        children[new, place] = b
        place -= 1
        if label[b] == _INNER:
            edges[new, place, 0], edges[new, place, 1] = state.link[b, 0], state.link[b, 1]
        else:
            edges[new, place, 0], edges[new, place, 1] = state.mate[state.base[b]], state.base[b]
        b = _above(state, b)
    edges[new, length, 0], edges[new, length, 1] = first, second
    place = length + 1
    b = top[second]
    while b != apex:
        children[new, place] = b
        if label[b] == _INNER:
            edges[new, place, 0], edges[new, place, 1] = state.link[b, 1], state.link[b, 0]
        else:
            edges[new, place, 0], edges[new, place, 1] = state.base[b], state.mate[state.base[b]]
        place += 1
        b = _above(state, b)
    state.size[new] = place
    state.base[new] = state.base[apex]
    state.dual[new] = 0
    state.parent[new] = -1
    label[new] = _OUTER
    for k in range(place):
        state.parent[children[new, k]] = new
    for v in range(n):
        old = top[v]
        if state.parent[old] == new:
            top[v] = new
            if label[old] == _INNER:
                num_outer = _look_around(state, cost, v, num_outer, grown)
    return num_outer


@compiled
def _expand(state: _State, cost: Ints, blossom: int, num_outer: int, grown: int) -> int:
    """Takes an inner blossom apart, and keeps in the tree what leads to its base; returns how many are outer."""
    n = len(cost)
    top, label, size = state.top, state.label, state.size[blossom]
    children, edges = state.children[blossom], state.edges[blossom]
    for k in range(size):
        state.parent[children[k]] = -1
        label[children[k]] = _FREE
    for v in range(n):
        if top[v] == blossom:
            child = v
            while state.parent[child] != -1:
                child = state.parent[child]
            top[v] = child
    state.parent[blossom] = -2
    label[blossom] = _FREE
    place = 0
    while children[place] != top[state.link[blossom, 1]]:
        place += 1
    # Children 1 and 2, 3 and 4 and so on are mates: from an odd place the way to the base is up.
    way = 1 if place % 2 else -1
    label[children[place]] = _INNER
    state.link[children[place]] = state.link[blossom]
    while place % size:
        place += way
        outer = children[place]
        edge = place if way > 0 else place - 1
        inner = children[(place + way) % size]
        label[inner] = _INNER
        state.link[inner, 0] = edges[edge, 0 if way > 0 else 1]
        state.link[inner, 1] = edges[edge, 1 if way > 0 else 0]
        num_outer = _make_outer(state, cost, outer, num_outer, grown)
        place += way
    return num_outer
