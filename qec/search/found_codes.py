"""A two-block code that a search found: what it is made of, its parameters, and how sure its distance is."""

import dataclasses
import functools
import math
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError
from quell.qec.codes import CSSCode
from quell.qec.codes.cluster_search import cluster_distance
from quell.qec.codes.group_algebra import Group, two_block_code
from quell.qec.codes.information_sets import light_operator

__all__ = ["FoundCode", "best_of", "measure"]


@dataclasses.dataclass(frozen=True)
class FoundCode:
    """A two-block code and its parameters.

    Attributes:
        group: The text of the group, for `Group.parse`.
        a: Elements of the group, from the left.
        b: Elements, from the right.
        n: Qubits.
        k: Logical qubits.
        lower: No logical operator is lighter: proven.
        upper: The weight of `witness`.
        basis: What the witness is made of, `"X"` or `"Z"`.
        witness: The qubits of a logical operator, ascending.

    Examples:
        >>> from quell.qec.search.found_codes import measure
        >>> found = measure("Z6xZ6", (18, 1, 2), (3, 6, 12))
        >>> found
        <[[72, 12, 6]], weight 6: Z6xZ6, a = (18, 1, 2), b = (3, 6, 12)>
        >>> found.efficiency, found.code.parameters
        (6.0, (72, 12))
    """

    group: str
    a: tuple[int, ...]
    b: tuple[int, ...]
    n: int
    k: int
    lower: int
    upper: int
    basis: str
    witness: tuple[int, ...]

    @property
    def distance(self) -> int | None:
        """The distance, where it is known exactly; None otherwise."""
        return self.lower if self.lower == self.upper else None

    @property
    def efficiency(self) -> float:
        """k d²/n, with the proven lower bound for d."""
        return self.k * self.lower**2 / self.n

    @property
    def code(self) -> CSSCode:
        """The code, made again."""
        return two_block_code(_parse(self.group), self.a, self.b, name=f"{self.group} {self.a} {self.b}")

    def to_record(self) -> dict[str, Any]:
        """Returns what JSON can hold.

        Examples:
            >>> from quell.qec.search.found_codes import FoundCode, measure
            >>> found = measure("Z3", (0, 1), (0, 1))
            >>> FoundCode.from_record(found.to_record()) == found
            True
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "FoundCode":
        """Reads what `to_record` returned; further keys are left aside.

        Raises:
            DataError: A key is missing.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        missing = [name for name in names if name not in record]
        if missing:
            raise DataError(f"a record of a code must have {', '.join(names)}; {', '.join(missing)} is missing")
        values: dict[str, Any] = {
            name: tuple(record[name]) if isinstance(record[name], list) else record[name] for name in names
        }
        return cls(**values)

    def __repr__(self) -> str:
        """[[n, k, d]], the weight of the checks, and what it is made of."""
        d = self.lower if self.lower == self.upper else f"{self.lower}–{self.upper}"
        weight = len(self.a) + len(self.b)
        return f"<[[{self.n}, {self.k}, {d}]], weight {weight}: {self.group}, a = {self.a}, b = {self.b}>"


@functools.lru_cache(maxsize=64)
def _parse(spec: str) -> Group:
    return Group.parse(spec)


def measure(
    group: str,
    a: Iterable[int],
    b: Iterable[int],
    *,
    beyond: int = 0,
    time_limit: float | None = None,
    trials: int = 200,
    seed: int = 0,
) -> FoundCode | None:
    """Finds the distance of a two-block code, unless it turns out not to be beyond a given one.

    Args:
        group: Its text.
        a: Elements of the group.
        b: Likewise.
        beyond: None is returned as soon as an operator of this weight or less is known.
        time_limit: Seconds; what is not decided by then stays a bound. None for no limit.
        trials: Random information sets for the first upper bound.
        seed: Of these.

    Returns:
        The code; None if there is no logical qubit, or the distance is at most `beyond`.

    Examples:
        >>> from quell.qec.search.found_codes import measure
        >>> measure("Z12xZ6", (18, 1, 2), (3, 6, 12)).distance
        12
    """
    parsed = _parse(group)
    a, b = tuple(int(i) for i in a), tuple(int(i) for i in b)
    code = two_block_code(parsed, a, b)
    if code.k == 0:
        return None
    deadline = None if time_limit is None else time.monotonic() + time_limit
    sides = {
        "X": (code.z_checks, code.logical_z, code.x_checks),
        "Z": (code.x_checks, code.logical_x, code.z_checks),
    }
    if parsed.is_abelian:
        del sides["Z"]  # inversion of all elements exchanges X and Z
    witnesses: dict[str, NDArray[np.uint8]] = {}
    for basis, (checks, duals, _) in sides.items():
        witnesses[basis] = light_operator(checks, duals, trials, seed=seed, stop_at=beyond)
        if witnesses[basis].sum() <= beyond:
            return None
    lower = math.inf
    for basis, (checks, duals, own) in sides.items():
        upper = int(min(witness.sum() for witness in witnesses.values()))
        bound, lighter = cluster_distance(checks, duals, upper, code.symmetries, deadline, stabilizers=own)
        lower = min(lower, bound)
        if lighter is not None:
            witnesses[basis] = lighter
            if lighter.sum() <= beyond:
                return None
    basis = min(witnesses, key=lambda each: int(witnesses[each].sum()))
    support = np.flatnonzero(witnesses[basis])
    qubits = tuple(support.tolist())
    return FoundCode(group, a, b, code.n, code.k, int(lower), len(qubits), basis, qubits)


def best_of(codes: Iterable[FoundCode]) -> list[FoundCode]:
    """Returns for each n and k the first of the codes with the greatest proven distance, sorted by n and k.

    Examples:
        >>> from quell.qec.search.found_codes import best_of, measure
        >>> best_of([measure("Z3", (0, 1), (0, 1)), measure("Z5", (0, 1), (0, 2))])
        [<[[6, 2, 2]], weight 4: Z3, a = (0, 1), b = (0, 1)>, <[[10, 2, 3]], weight 4: Z5, a = (0, 1), b = (0, 2)>]
    """
    best: dict[tuple[int, int], FoundCode] = {}
    for code in codes:
        known = best.get((code.n, code.k))
        if known is None or (code.lower, code.upper) > (known.lower, known.upper):
            best[code.n, code.k] = code
    return [best[key] for key in sorted(best)]
