"""From sinter's statistics to the points of a fit: one per distance and physical error rate.

A fit compares like with like, so everything here refuses to mix decoders, noise models or bases in silence:
`group_stats` splits a file into parts that can each be fitted. Rows of one task (one strong id, sinter's
identity) are counts of the same experiment and are added up.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from quell.errors import DataError, InputError
from quell.qec.analysis.intervals import Described, rounds_of

if TYPE_CHECKING:
    import sinter
    from numpy.typing import NDArray

__all__ = ["Points", "group_stats", "merge_stats", "number_in", "read_points"]

Row = TypeVar("Row", bound=Described)

ROUND_KEYS = ("r", "rounds")


@dataclass(frozen=True, eq=False)
class Points:
    """Counts by distance and physical error rate, sorted by distance, then by rate.

    Attributes:
        distance: Code distances, float64, shape (num_points,).
        p: Physical error rates, float64, shape (num_points,).
        rounds: Rounds in a shot, float64; nan where the metadata does not say.
        shots: Shots that were kept (discards are left out), float64.
        errors: Logical errors among them, float64.
        group: What all points have in common, readable.
    """

    distance: NDArray[np.float64]
    p: NDArray[np.float64]
    rounds: NDArray[np.float64]
    shots: NDArray[np.float64]
    errors: NDArray[np.float64]
    group: str = ""

    def __len__(self) -> int:
        """Returns the number of points."""
        return len(self.distance)

    def keep(self, mask: NDArray[np.bool_]) -> Points:
        """Returns the points where `mask` is true."""
        return Points(
            self.distance[mask],
            self.p[mask],
            self.rounds[mask],
            self.shots[mask],
            self.errors[mask],
            self.group,
        )


def _metadata_of(stats: Described) -> dict[str, Any]:
    metadata = stats.json_metadata
    if metadata is None:
        return {}
    if not isinstance(metadata, dict):
        raise DataError(
            f"json_metadata must be a dict with keys such as 'd' and 'p', got {metadata!r}: "
            "give every sinter.Task such a dict"
        )
    return metadata


def _group_of(stats: Described, left_out: set[str]) -> str:
    rest = {key: value for key, value in _metadata_of(stats).items() if key not in left_out}
    words = [
        f"{key}={value if isinstance(value, str) else json.dumps(value, sort_keys=True)}"
        for key, value in sorted(rest.items())
    ]
    return ", ".join([f"decoder={stats.decoder}", *words])


def group_stats(
    stats: Iterable[Row],
    *,
    distance_key: str = "d",
    p_key: str = "p",
    ignore: Sequence[str] = (),
) -> dict[str, list[Row]]:
    """Splits statistics into groups that can each be fitted.

    Two rows are of one group when they agree in the decoder and in all metadata but the distance, the
    physical error rate, the rounds (`r`, `rounds`) and the keys in `ignore`.

    Args:
        stats: Rows as sinter reads them, or `RareEstimate`s.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        ignore: Metadata keys that say nothing new, for example a number of qubits that follows the distance.

    Returns:
        From a readable name such as `decoder=pymatching, noise=si1000` to the rows, in order of first sight.

    Raises:
        DataError: The metadata of a row is not a dict.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import group_stats
        >>> rows = [
        ...     sinter.TaskStats(strong_id=f"{b}{d}", decoder="any", json_metadata={"d": d, "p": 0.1, "b": b})
        ...     for b in "XZ" for d in (3, 5)
        ... ]
        >>> {name: len(group) for name, group in group_stats(rows).items()}
        {'decoder=any, b=X': 2, 'decoder=any, b=Z': 2}
    """
    left_out = {distance_key, p_key, *ROUND_KEYS, *ignore}
    groups: dict[str, list[Row]] = {}
    for row in stats:
        groups.setdefault(_group_of(row, left_out), []).append(row)
    return groups


def merge_stats(stats: Iterable[sinter.TaskStats]) -> list[sinter.TaskStats]:
    """Adds up the rows of each task, in order of first sight.

    A CSV of sinter holds one row for every batch, so a task that ran long has many.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import merge_stats
        >>> row = sinter.TaskStats(strong_id="a", decoder="pymatching", json_metadata={}, shots=10, errors=1)
        >>> [merged] = merge_stats([row, row])
        >>> merged.shots, merged.errors
        (20, 2)
    """
    merged: dict[str, sinter.TaskStats] = {}
    for row in stats:
        known = merged.get(row.strong_id)
        merged[row.strong_id] = (
            row
            if known is None
            else known.with_edits(
                shots=known.shots + row.shots,
                errors=known.errors + row.errors,
                discards=known.discards + row.discards,
                seconds=known.seconds + row.seconds,
                custom_counts=known.custom_counts + row.custom_counts,
            )
        )
    return list(merged.values())


def number_in(stats: Described, key: str) -> float:
    """Returns a number that the metadata must hold, or raises `DataError`."""
    metadata = _metadata_of(stats)
    value = metadata.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(
            f"the metadata must hold a number under {key!r}, got {metadata}: "
            "name the right key with distance_key= or p_key="
        )
    return float(value)


def _one_group(
    stats: list[sinter.TaskStats], distance_key: str, p_key: str, ignore: Sequence[str]
) -> tuple[str, list[sinter.TaskStats]]:
    groups = group_stats(stats, distance_key=distance_key, p_key=p_key, ignore=ignore)
    if len(groups) > 1:
        shown = "; ".join(list(groups)[:8]) + ("; ..." if len(groups) > 8 else "")
        raise DataError(
            f"the statistics mix {len(groups)} groups: {shown}. "
            "Fit each part of group_stats(stats), or name keys that do not matter with ignore="
        )
    return next(iter(groups.items()))


def read_points(
    stats: Iterable[sinter.TaskStats],
    *,
    distance_key: str = "d",
    p_key: str = "p",
    ignore: Sequence[str] = (),
    need_p: bool = True,
) -> Points:
    """Turns the statistics of one group into points; points without any kept shot are left out.

    Raises:
        DataError: There are no rows, several groups, a distance or rate that is missing or out of range, or
            two different tasks at one distance and rate.
        InputError: `distance_key` and `p_key` are the same.
    """
    if distance_key == p_key:
        raise InputError(f"distance_key and p_key must differ, got {p_key!r} for both")
    rows = list(stats)
    if not rows:
        raise DataError("there are no statistics: the list is empty")
    group, rows = _one_group(rows, distance_key, p_key, ignore)
    table: dict[tuple[float, float], tuple[float, int, int]] = {}
    for row in merge_stats(rows):
        distance = number_in(row, distance_key)
        p = number_in(row, p_key) if need_p or p_key in _metadata_of(row) else math.nan
        if distance < 1 or p < 0 or p > 1:
            raise DataError(f"need a distance >= 1 and a rate between 0 and 1, got {row.json_metadata}")
        # nan would differ from itself and hide that two tasks share a place
        place = (distance, -1.0 if math.isnan(p) else p)
        if place in table:
            raise DataError(
                f"two different tasks have {distance_key}={distance:g} and {p_key}={p:g}: tell them "
                "apart with another metadata key, or pass only one of them"
            )
        rounds = rounds_of(row)
        kept = row.shots - row.discards
        table[place] = (math.nan if rounds is None else rounds, kept, row.errors)
    places = sorted(place for place, (_, kept, _) in table.items() if kept > 0)
    if not places:
        raise DataError("there are no statistics: not one shot was kept")
    return Points(
        distance=np.array([distance for distance, _ in places]),
        p=np.array([math.nan if p < 0 else p for _, p in places]),
        rounds=np.array([table[place][0] for place in places]),
        shots=np.array([table[place][1] for place in places], dtype=np.float64),
        errors=np.array([table[place][2] for place in places], dtype=np.float64),
        group=group,
    )
