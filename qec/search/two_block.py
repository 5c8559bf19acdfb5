"""The search for two-block codes: every code of a group, the bivariate bicycle codes, random codes, annealing.

Checks of weight 6 and qubits in three checks of each type come from supports of three elements (Bravyi et al.,
arXiv:2308.07915; Lin and Pryadko, arXiv:2306.16400). Of all codes of a group few are different (see `support_pairs`),
and of those most are done with by their rank or by one light operator. What is left has its distance proven, so that
the best distance for a number of logical qubits is the best that there is.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import InputError, check_integer, import_extra
from quell.qec.codes.group_algebra import Group
from quell.qec.search.found_codes import FoundCode, best_of, measure
from quell.qec.search.groups import some_automorphisms, support_pairs

__all__ = ["anneal_two_block", "bicycle_text", "random_two_block", "scan_bicycle", "scan_two_block"]

Supports = NDArray[np.int64]
Drawn = tuple[tuple[int, ...], tuple[int, ...], int, int]

_FEW, _MORE = 2, 60  # information sets: for every code, and for those that are left
_UNDECIDED = 2  # as many codes of one k may run out of time before the search leaves that k
_TRIED = 100  # codes of which a random search tries to prove the distance
_PROOF_SECONDS = 60.0
_BATCH = 256


def _kernels(name: str) -> Any:
    import_extra("numba", "search")
    return import_extra(f"quell.qec.search.{name}", "search")


def scan_two_block(
    group: Group,
    sizes: tuple[int, int] = (3, 3),
    *,
    better_than: Mapping[int, int] | None = None,
    time_limit: float | None = None,
    seed: int = 0,
) -> list[FoundCode]:
    """Looks through all connected two-block codes of a group; for each k, returns one of the greatest distance.

    Args:
        group: With a `spec`.
        sizes: (|a|, |b|), each 2 or 3.
        better_than: For some k, a distance that is known; only what is greater is looked for.
        time_limit: Seconds for one proof of a distance; None for no limit. A k of which proofs run out of time may be
            returned with bounds, and then the distance is not known to be the best.
        seed: Of the upper bounds; with all distances proven the result does not depend on it but for which of equals
            is returned.

    Examples:
        >>> from quell.qec.codes.group_algebra import Group
        >>> from quell.qec.search.two_block import scan_two_block
        >>> [(code.n, code.k, code.distance) for code in scan_two_block(Group.parse("D6"))]
        [(24, 2, 4), (24, 4, 4)]
    """
    a, b = support_pairs(group, sizes)
    return _best(group, a, b, better_than or {}, time_limit, seed)


def scan_bicycle(
    l: int,
    m: int,
    *,
    better_than: Mapping[int, int] | None = None,
    time_limit: float | None = None,
    seed: int = 0,
) -> list[FoundCode]:
    """Looks through the codes A = x^a + y^b + y^c, B = y^d + x^e + x^f over Z_l × Z_m; for each k, one of the best.

    Exponents may be 0, as in the published [[90, 8, 10]], but no two terms of a polynomial are equal. Unlike
    `scan_two_block` this keeps codes that fall apart into equal ones. x^i y^j is element i m + j; `bicycle_text` writes
    the polynomials.

    Args:
        l: The order of x.
        m: The order of y.
        better_than: As for `scan_two_block`.
        time_limit: Likewise.
        seed: Likewise.

    Examples:
        >>> from quell.qec.search.two_block import bicycle_text, scan_bicycle
        >>> best = max(scan_bicycle(6, 6), key=lambda code: code.efficiency)
        >>> best.n, best.k, best.distance
        (72, 12, 6)
        >>> bicycle_text(6, 6, best.a), bicycle_text(6, 6, best.b)
        ('x^3 + y^4 + y^5', 'y^3 + x^4 + x^5')
    """
    l, m = check_integer("l", l, minimum=2), check_integer("m", m, minimum=2)
    group = Group.abelian(l, m)
    # x^0 and y^0 are both 1, and would cancel.
    left = [(m * i, j, k) for i in range(l) for j in range(m) for k in range(j + 1, m) if i or j]
    right = [(i, m * j, m * k) for i in range(m) for j in range(l) for k in range(j + 1, l) if i or j]
    kernels = _kernels("group_kernels")
    classes, chosen = kernels.support_classes(group.table, group.inverses, True)
    firsts = [_first_of_class(group, classes, each, len(chosen)) for each in (left, right)]
    allowed = (firsts[0] >= 0)[:, None] & (firsts[1] >= 0)[None]
    maps = some_automorphisms(group)
    moved = kernels.map_classes(classes, chosen, maps)
    inverse = kernels.map_classes(classes, chosen, group.inverses[None].astype(np.int32))[0]
    pairs = kernels.pair_orbits(moved, moved, inverse, inverse, True, allowed)
    a = np.array(left, dtype=np.int64)[firsts[0][pairs[:, 0]]]
    b = np.array(right, dtype=np.int64)[firsts[1][pairs[:, 1]]]
    return _best(group, a, b, better_than or {}, time_limit, seed)


def _first_of_class(
    group: Group, classes: Supports, supports: Sequence[tuple[int, ...]], number: int
) -> NDArray[np.intp]:
    """The first support of each class; −1 where there is none."""
    every = np.array(supports, dtype=np.intp).reshape(-1, 3)
    back = group.inverses[every[:, 0]]
    which = classes[group.table[back, every[:, 1]], group.table[back, every[:, 2]]]
    firsts = np.full(number, -1, dtype=np.intp)
    firsts[which[::-1]] = np.arange(len(every))[::-1]
    return firsts


def bicycle_text(l: int, m: int, elements: Sequence[int]) -> str:
    """Writes elements of Z_l × Z_m, i m + j, as a sum of x^i y^j.

    Examples:
        >>> from quell.qec.search.two_block import bicycle_text
        >>> bicycle_text(12, 6, [18, 1, 0, 7])
        'x^3 + y + 1 + x y'
    """

    def power(letter: str, exponent: int) -> str:
        return f"{letter}^{exponent}" if exponent > 1 else letter * exponent

    terms = (" ".join(filter(None, (power("x", i // m % l), power("y", i % m)))) for i in elements)
    return " + ".join(term or "1" for term in terms)


def _best(
    group: Group, a: Supports, b: Supports, better_than: Mapping[int, int], time_limit: float | None, seed: int
) -> list[FoundCode]:
    """For each k, a code of the greatest distance among these, if beyond what is known."""
    known = np.zeros(2 * group.order + 1, dtype=np.int64)
    for k, d in better_than.items():
        if 0 <= k < len(known):
            known[k] = d
    ks = np.full(len(a), -1, dtype=np.int64)
    rng = np.random.default_rng(seed)
    left = np.arange(len(a))
    bounds = np.zeros(len(a), dtype=np.int64)
    for trials in (_FEW, _MORE):
        part, found = ks[left], np.zeros(len(left), dtype=np.int64)
        _upper_bounds(group, a[left], b[left], trials, known, rng, part, found)
        ks[left], bounds[left] = part, found
        left = left[(part > 0) & (found > known[part])]
    codes = []
    for k in np.unique(ks[left]).tolist():
        chosen = left[ks[left] == k]
        chosen = chosen[np.argsort(-bounds[chosen], kind="stable")]
        codes += _best_of_k(group, a, b, chosen, bounds, int(known[k]), time_limit)
    best = best_of(codes)
    proven = {code.k: code.lower for code in best}
    # What ran out of time may be better than what was proven.
    open_ones = [code for code in codes if code.distance is None and code.upper > proven[code.k] and code not in best]
    return sorted([*best, *open_ones], key=lambda code: (code.k, code.lower))


def _upper_bounds(
    group: Group, a: Supports, b: Supports, trials: int, stop_at: Supports, rng: np.random.Generator,
    ks: Supports, bounds: Supports,
) -> None:  # fmt: skip
    _kernels("two_block_kernels").upper_bounds(
        np.array(group.table, dtype=np.int64), np.array(group.inverses, dtype=np.int64),
        np.ascontiguousarray(a, dtype=np.int64), np.ascontiguousarray(b, dtype=np.int64),
        not group.is_abelian, trials, stop_at, rng, ks, bounds,
    )  # fmt: skip


def _best_of_k(
    group: Group,
    a: Supports,
    b: Supports,
    chosen: NDArray[np.intp],
    bounds: Supports,
    known: int,
    time_limit: float | None,
) -> list[FoundCode]:
    """Proves distances in the sequence of falling upper bounds, until no bound is above the best that is proven."""
    codes: list[FoundCode] = []
    reached, undecided = int(known), 0
    for index in chosen:
        if bounds[index] <= reached or undecided == _UNDECIDED:
            break
        found = measure(group.spec, a[index], b[index], beyond=reached, time_limit=time_limit)
        if found is not None:
            codes.append(found)
            undecided += found.distance is None
            reached = max(reached, found.lower)
    return codes


def random_two_block(
    groups: Sequence[Group],
    evaluations: int,
    seed: int,
    *,
    sizes: tuple[int, int] = (3, 3),
    stop: Callable[[], bool] | None = None,
    report: Callable[[FoundCode], None] | None = None,
) -> list[FoundCode]:
    """Draws groups and supports at random, and proves the distances of the most promising codes.

    Args:
        groups: To draw from, each with a `spec`.
        evaluations: How many codes to draw; k and an upper bound on the distance are found of each.
        seed: Of the random numbers.
        sizes: (|a|, |b|).
        stop: Asked now and then; the search ends when it says True.
        report: Told each code with a distance that was proven.

    Returns:
        Codes of proven distance, the one with the greatest k d²/n first.

    Examples:
        >>> from quell.qec.codes.group_algebra import Group
        >>> from quell.qec.search.two_block import random_two_block
        >>> random_two_block([Group.abelian(6, 6)], 3000, seed=1)[0]
        <[[72, 12, 6]], weight 6: Z6xZ6, a = (14, 8, 23), b = (8, 19, 15)>
    """
    return _search(groups, evaluations, seed, sizes, stop, report, temperature=None)


def anneal_two_block(
    groups: Sequence[Group],
    evaluations: int,
    seed: int,
    *,
    sizes: tuple[int, int] = (3, 3),
    temperature: float = 1.0,
    stop: Callable[[], bool] | None = None,
    report: Callable[[FoundCode], None] | None = None,
) -> list[FoundCode]:
    """Simulated annealing over codes: a step replaces one element of a or b; what is sought is a great k d²/n.

    Chains start on the groups in turn, and the temperature of each falls from `temperature`, in units of k d²/n, to a
    twentieth of it. Other arguments, and what is returned, are as for `random_two_block`.

    Examples:
        >>> from quell.qec.codes.group_algebra import Group
        >>> from quell.qec.search.two_block import anneal_two_block
        >>> anneal_two_block([Group.abelian(6, 6)], 2000, seed=1)[0].efficiency
        6.0
    """
    if not temperature > 0:
        raise InputError(f"temperature must be above 0, got {temperature}")
    return _search(groups, evaluations, seed, sizes, stop, report, temperature)


def _search(
    groups: Sequence[Group],
    evaluations: int,
    seed: int,
    sizes: tuple[int, int],
    stop: Callable[[], bool] | None,
    report: Callable[[FoundCode], None] | None,
    temperature: float | None,
) -> list[FoundCode]:
    evaluations = check_integer("evaluations", evaluations, minimum=1)
    if not groups or not all(group.spec and group.order >= max(sizes) for group in groups):
        raise InputError(f"groups must be one or more with a spec, each with at least {max(sizes)} elements")
    rng = np.random.default_rng(seed)
    scores: dict[tuple[str, tuple[int, ...], tuple[int, ...]], tuple[float, int]] = {}
    for place, group in enumerate(groups):
        share = evaluations // len(groups) + (place < evaluations % len(groups))
        if temperature is None:
            drawn = _random_codes(group, share, sizes, rng, stop)
        else:
            drawn = _chain(group, share, sizes, rng, temperature, stop)
        for a, b, k, bound in drawn:
            scores[group.spec, a, b] = k * bound**2 / (2 * group.order), k
    found: list[FoundCode] = []
    reached: dict[tuple[str, int], int] = {}
    for spec, a, b in sorted(scores, key=lambda key: -scores[key][0])[:_TRIED]:
        if found and stop is not None and stop():
            break
        k = scores[spec, a, b][1]
        code = measure(spec, a, b, beyond=reached.get((spec, k), 1), time_limit=_PROOF_SECONDS)
        if code is not None:
            reached[spec, k] = code.lower
            found.append(code)
            if report is not None:
                report(code)
    return sorted(best_of(found), key=lambda code: -code.efficiency)


def _random_codes(
    group: Group, share: int, sizes: tuple[int, int], rng: np.random.Generator, stop: Callable[[], bool] | None
) -> Iterator[Drawn]:
    for begin in range(0, share, _BATCH):
        if stop is not None and stop():
            return
        count = min(_BATCH, share - begin)
        a, b = (np.argsort(rng.random((count, group.order)), axis=1)[:, :size] for size in sizes)
        ks, bounds = _measure_roughly(group, a, b, rng)
        for index in np.flatnonzero(ks):
            yield tuple(a[index].tolist()), tuple(b[index].tolist()), int(ks[index]), int(bounds[index])


def _chain(
    group: Group,
    share: int,
    sizes: tuple[int, int],
    rng: np.random.Generator,
    temperature: float,
    stop: Callable[[], bool] | None,
) -> Iterator[Drawn]:
    """One chain of simulated annealing; yields what has a logical qubit."""
    current: list[NDArray[np.int64]] = []
    score = -math.inf
    for step in range(share):
        if step % _BATCH == 0 and stop is not None and stop():
            return
        if current:
            new = [support.copy() for support in current]
            which = int(rng.integers(2))
            outside = np.setdiff1d(np.arange(group.order), new[which])
            if len(outside):
                new[which][rng.integers(sizes[which])] = rng.choice(outside)
        else:
            new = [rng.choice(group.order, size=size, replace=False) for size in sizes]
        ks, bounds = _measure_roughly(group, new[0][None], new[1][None], rng)
        k, bound = int(ks[0]), int(bounds[0])
        if k:
            yield tuple(new[0].tolist()), tuple(new[1].tolist()), k, bound
        gain = k * bound**2 / (2 * group.order) - score
        # The temperature falls geometrically, to a twentieth.
        if gain >= 0 or rng.random() < math.exp(gain / (temperature * 20 ** (-step / share))):
            current, score = new, score + gain if math.isfinite(score) else k * bound**2 / (2 * group.order)


def _measure_roughly(group: Group, a: Supports, b: Supports, rng: np.random.Generator) -> tuple[Supports, Supports]:
    ks, bounds = np.full(len(a), -1, dtype=np.int64), np.zeros(len(a), dtype=np.int64)
    _upper_bounds(group, a, b, _FEW, np.zeros(2 * group.order + 1, dtype=np.int64), rng, ks, bounds)
    return ks, bounds
