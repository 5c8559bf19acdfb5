"""The distance of a code, with a witness and the method that certifies it.

For CSS codes there are three exact methods: going through every logical operator, where there are few; the shortest
cycle that is not contractible, where no qubit is in more than two checks of a type (`plain_distance`); and for all
others the search among connected clusters (`cluster_search`), which is fast where checks are light. For classical codes
that search takes turns with sums of rows of generators (`classical_distance`) and of columns of checks (`column_sums`).
Light operators from random information sets (`information_sets`) bound what has to be searched. Where the time is too
short for a proof, the bounds reached come out, labelled.
"""

import importlib.util
import math
import time
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from quell.errors import InputError, check_integer, check_known
from quell.qec.codes.classical_distance import Codewords, RowSums
from quell.qec.codes.cluster_search import ClusterSearch
from quell.qec.codes.column_sums import ColumnSums
from quell.qec.codes.css import CSSCode
from quell.qec.codes.gf2 import row_reduce
from quell.qec.codes.information_sets import InformationSets
from quell.qec.codes.linear import LinearCode
from quell.qec.codes.plain_distance import lightest_product, shortest_cycle

__all__ = ["CodeDistance", "distance"]

Bits = NDArray[np.uint8]
Permutations = NDArray[np.intp]

_FEW, _FEW_LOGICALS = 14, 4  # dimensions in which all operators are gone through without compiled loops
_MOST = 22  # likewise, where there are no compiled loops
_ALL = 24  # dimensions in which nothing else is tried than to go through all
_FEASIBLE = 40  # dimensions in which that is tried among other things
_FIRST_SETS = 0.1  # seconds for information sets before anything else
_MOST_SETS = 200  # of them, at a time
_SLICE = 0.2  # seconds until the deadline, the progress and Ctrl-C are looked at
_PATIENCE = 20 * _SLICE  # of search, before a tenth of the time goes to information sets


@dataclass(frozen=True)
class CodeDistance:
    """What is known of the least weight of a logical operator, or of a codeword.

    Attributes:
        lower: No logical operator is lighter.
        upper: The weight of `witness`.
        basis: `"X"` or `"Z"`: what the witness is made of; None for a classical code.
        witness: uint8 (n,): a logical operator, or a codeword.
        method: How the bounds were found. A proof is by `"enumeration"`, `"shortest cycle"`, `"clusters"`,
            `"row sums"`, `"column sums"` or `"weight 1"`, or by one for each basis, as in
            `"shortest cycle, clusters"`. Otherwise it says which bound is by what, as in
            `"lower bound by clusters, upper bound by information sets"`.
        interrupted: Whether Ctrl-C ended the search.
    """

    lower: int
    upper: int
    basis: str | None
    witness: NDArray[np.uint8] = field(repr=False)
    method: str
    interrupted: bool = False

    @property
    def exact(self) -> bool:
        """Whether lower and upper meet, and so are the distance."""
        return self.lower == self.upper

    @property
    def distance(self) -> int | None:
        """The distance, where lower and upper meet; None otherwise."""
        return self.lower if self.exact else None


def distance(
    code: CSSCode | LinearCode,
    basis: str | None = None,
    *,
    time_limit: float | None = None,
    progress: bool = False,
    seed: int = 0,
) -> CodeDistance:
    """Returns the distance of a code, or bounds on it if the time is short.

    If the code has `symmetries`, the search among clusters is shortened by them.

    Args:
        code: A CSS code or a classical code, with k of 1 at least.
        basis: `"X"` or `"Z"` for the least weight of logicals made of that; None for the smaller of the two. None for a
            classical code.
        time_limit: Seconds, about; None for as long as it takes. Ctrl-C ends the search as well: it returns the bounds
            reached, with `interrupted` set, and raises nothing.
        progress: Whether to show the bounds reached on stderr.
        seed: Of the random information sets. An exact distance does not depend on it; bounds and witnesses can.

    Raises:
        InputError: The code has k = 0, or an argument is outside its limits.
        MissingExtraError: numba is not installed, and is needed as there are more than 2^22 logical operators or
            codewords, and no shortest cycle.

    Examples:
        >>> from quell.qec.codes import CSSCode, distance
        >>> steane = [[1, 0, 1, 0, 1, 0, 1], [0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 1]]
        >>> found = distance(CSSCode(steane, steane))
        >>> found.distance, found.method, found.exact
        (3, 'enumeration', True)
    """
    if not isinstance(code, (CSSCode, LinearCode)):
        raise InputError(f"code must be a CSSCode or a LinearCode, got {type(code).__name__}")
    if code.k == 0:
        what = "logical qubit" if isinstance(code, CSSCode) else "codeword but zero"
        raise InputError(f"{code!r} has no {what}, and so no distance")
    seed = check_integer("seed", seed, minimum=0)
    deadline = None if time_limit is None else time.monotonic() + _seconds(time_limit)
    if isinstance(code, LinearCode):
        if basis is not None:
            raise InputError(f"basis must be None for a classical code, got {basis!r}")
    elif basis is not None:
        check_known("basis", basis, ("X", "Z"))
    sides = _sides(code, basis)
    interrupted = False
    with tqdm(disable=not progress, unit=" s", bar_format="{desc} [{elapsed}]") as bar:
        try:
            _close(sides, seed, deadline, bar)
        except KeyboardInterrupt:
            interrupted = True
    return _result(sides, interrupted)


class _Search(Protocol):
    """What raises a lower bound step by step."""

    lower: int

    @property
    def witness(self) -> Bits | None: ...

    def advance(self, below: int, deadline: float | None = None) -> bool: ...


class _Side:
    """The bounds on the logical operators of one basis, or on codewords, and the searches that improve them."""

    def __init__(self, basis: str | None, checks: Bits, duals: Bits, own: Bits, logicals: Bits) -> None:
        self.basis, self.checks, self.duals, self.own, self.logicals = basis, checks, duals, own, logicals
        self.symmetries: Permutations | None = None
        self.lower, self.proof = 1, ""
        self.witness = logicals[logicals.sum(axis=1).argmin()]
        self.source = "the given logicals"
        self.searches: dict[str, _Search] = {}
        self.spent: dict[str, float] = {}
        self.sets: InformationSets | None = None

    @property
    def upper(self) -> int:
        return int(self.witness.sum())

    def settle(self, witness: Bits, proof: str) -> None:
        self.witness, self.proof = witness, proof
        self.lower = self.upper

    def offer(self, witness: Bits | None, source: str) -> None:
        if witness is not None and witness.sum() < self.upper:
            self.witness, self.source = witness, source

    def look_at_sets(self, seconds: float, deadline: float | None) -> None:
        """Looks at so many random information sets as take about so many seconds, but always at as many."""
        if self.sets is None:
            return
        trials = int(min(max(seconds * 1e9 / self.sets.cost, 1), _MOST_SETS))
        chunk = max(1, int(_SLICE * 1e9 / self.sets.cost))
        for begin in range(0, trials, chunk):
            self.sets.look_at(min(chunk, trials - begin), self.lower)
            self.offer(self.sets.witness, "information sets")
            if _late(deadline):
                break

    def advance(self, below: int, deadline: float | None) -> None:
        """Gives a slice of time to the search that has had least."""
        name = min(self.searches, key=lambda each: self.spent[each])
        search = self.searches[name]
        begin = time.monotonic()
        search.advance(below, min(begin + _SLICE, math.inf if deadline is None else deadline))
        self.spent[name] += time.monotonic() - begin
        if isinstance(search, ColumnSums) and search.stuck:
            self.spent[name] = math.inf  # it has done what it can
        if search.lower > self.lower:
            self.lower, self.proof = search.lower, name
        self.offer(search.witness, name)


def _sides(code: CSSCode | LinearCode, basis: str | None) -> list[_Side]:
    if isinstance(code, LinearCode):
        # A codeword is zero only if it is so on an information set: unit vectors stand for the dual logicals.
        _, columns = row_reduce(code.generator)
        units = np.zeros((code.k, code.n), np.uint8)
        units[np.arange(code.k), columns] = 1
        return [_Side(None, code.checks, units, np.zeros((0, code.n), np.uint8), code.generator)]
    sides = {
        "X": _Side("X", code.z_checks, code.logical_z, code.x_checks, code.logical_x),
        "Z": _Side("Z", code.x_checks, code.logical_x, code.z_checks, code.logical_z),
    }
    for side in sides.values():
        side.symmetries = code.symmetries
    return [sides[each] for each in basis or "XZ"]


def _begin(side: _Side, seed: int, deadline: float | None) -> None:
    """Settles what needs no compiled search, and otherwise starts the searches."""
    if side.basis is not None and (side.checks.sum(axis=0) <= 2).all():
        walk, finished = shortest_cycle(side.checks, side.duals, deadline)
        if walk is not None and finished:
            return side.settle(walk, "shortest cycle")
        return side.offer(walk, "shortest cycle")
    stabilizers, _ = row_reduce(side.own)
    rows = np.concatenate([stabilizers, side.logicals])
    plain = len(side.logicals) <= _FEW_LOGICALS and len(rows) <= _FEW
    if plain or (len(rows) <= _MOST and not importlib.util.find_spec("numba")):
        return side.settle(lightest_product(stabilizers, side.logicals), "enumeration")
    if len(rows) <= _ALL:
        side.searches = {"enumeration": Codewords(rows, len(stabilizers))}
    else:
        side.sets = InformationSets(side.checks, side.duals, seed)
        clusters = ClusterSearch(side.checks, side.duals, stabilizers=side.own, symmetries=side.symmetries)
        side.searches = {"clusters": clusters}
        if side.basis is None:
            side.searches["row sums"] = RowSums(side.logicals)
            side.searches["column sums"] = ColumnSums(side.checks)
        elif len(rows) <= _FEASIBLE:
            side.searches["enumeration"] = Codewords(rows, len(stabilizers))
    side.spent = dict.fromkeys(side.searches, 0.0)
    side.look_at_sets(_FIRST_SETS, deadline)
    return None


def _close(sides: list[_Side], seed: int, deadline: float | None, bar: "tqdm[NoReturn]") -> None:
    """Brings the bounds together, until they meet or the time is over."""
    for side in sides:
        _begin(side, seed, deadline)
    begin = time.monotonic()
    while not _late(deadline):
        upper = min(side.upper for side in sides)
        # What is not lighter than an operator of the other basis does not matter.
        side = min(sides, key=lambda each: each.lower)
        bar.set_description_str(f"{min(side.lower, upper)} <= distance <= {upper}")
        if side.lower >= upper or not side.searches:
            break
        side.advance(upper, deadline)
        if time.monotonic() - begin > _PATIENCE and side.lower < side.upper:
            side.look_at_sets(_SLICE / 10, deadline)


def _late(deadline: float | None) -> bool:
    return deadline is not None and time.monotonic() >= deadline


def _result(sides: list[_Side], interrupted: bool) -> CodeDistance:
    best = min(sides, key=lambda side: side.upper)
    lower = min(best.upper, *(side.lower for side in sides))
    proofs = ", ".join(dict.fromkeys(side.proof for side in sides if side.proof))
    if best.upper == 1:
        proofs = proofs or "weight 1"
    elif lower < best.upper:
        proofs = f"lower bound by {proofs}, " if proofs else "no lower bound but 1, "
        proofs += f"upper bound by {best.source}"
    return CodeDistance(lower, best.upper, best.basis, best.witness.copy(), proofs, interrupted)


def _seconds(time_limit: object) -> float:
    if isinstance(time_limit, (int, float)) and not isinstance(time_limit, bool) and time_limit >= 0:
        return float(time_limit)
    raise InputError(f"time_limit must be a number of seconds >= 0, or None, got {time_limit!r}")
