"""Statistics as rows for a terminal or a JSON file: one row for each task, every rate with its interval."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from quell.qec.analysis.intervals import (
    Estimate,
    check_confidence,
    discard_rate,
    error_rate,
    error_rate_per_round,
    rounds_of,
)
from quell.qec.analysis.points import group_stats, merge_stats

if TYPE_CHECKING:
    import sinter

__all__ = ["align", "format_table", "show_cell", "sort_key", "table_rows"]


def sort_key(value: object) -> tuple[bool, float]:
    """Numbers in order, what is no number after them."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return not is_number, float(value) if isinstance(value, (int, float)) else 0.0


def _rows(stats: Iterable[sinter.TaskStats], distance_key: str, p_key: str, confidence: float) -> list[dict[str, Any]]:
    rows = []
    for group, members in group_stats(stats, distance_key=distance_key, p_key=p_key).items():
        part = []
        for task in merge_stats(members):
            metadata = task.json_metadata or {}
            rounds = rounds_of(task)
            part.append(
                {
                    "group": group,
                    "d": metadata.get(distance_key),
                    "p": metadata.get(p_key),
                    "rounds": rounds,
                    "shots": int(task.shots),
                    "errors": int(task.errors),
                    "discards": int(task.discards),
                    "error_rate": error_rate(task, confidence=confidence),
                    "error_rate_per_round": (
                        None if rounds is None else error_rate_per_round(task, rounds, confidence=confidence)
                    ),
                    "discard_rate": discard_rate(task, confidence=confidence),
                    "decoder": task.decoder,
                    "metadata": task.json_metadata,
                    "strong_id": task.strong_id,
                }
            )
        rows += sorted(part, key=lambda row: (sort_key(row["p"]), sort_key(row["d"])))
    return rows


def table_rows(
    stats: Iterable[sinter.TaskStats],
    *,
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
) -> list[dict[str, Any]]:
    """Returns one JSON-ready row for each task, by group, physical error rate and distance.

    Args:
        stats: Rows as sinter reads them; rows of one task are added up. Groups may be mixed.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        confidence: How often the intervals should hold the truth.

    Returns:
        Rows with the keys `group`, `d`, `p`, `rounds`, `shots`, `errors`, `discards`, `error_rate`,
        `error_rate_per_round`, `discard_rate`, `decoder`, `metadata` and `strong_id`. A rate is
        `{"value", "interval", "confidence"}`; what the metadata does not say is None.

    Raises:
        DataError: The metadata of a row is not a dict.
        InputError: `confidence` is not between 0 and 1.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import table_rows
        >>> stats = [sinter.TaskStats(
        ...     strong_id="a", decoder="pymatching", json_metadata={"d": 3, "p": 0.01}, shots=1000, errors=0)]
        >>> [row] = table_rows(stats)
        >>> row["d"], row["errors"], row["error_rate"]["value"], row["error_rate_per_round"]
        (3, 0, 0.0, None)
    """
    check_confidence(confidence)
    return [
        {key: value.to_json() if isinstance(value, Estimate) else value for key, value in row.items()}
        for row in _rows(stats, distance_key, p_key, confidence)
    ]


def show_cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)


def format_table(
    stats: Iterable[sinter.TaskStats],
    *,
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
) -> str:
    """Returns the statistics as aligned plain text, one block for each group.

    Raises:
        DataError: The metadata of a row is not a dict.
        InputError: `confidence` is not between 0 and 1.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import format_table
        >>> stats = [
        ...     sinter.TaskStats(strong_id=f"{d}", decoder="any", json_metadata={"d": d, "p": 0.01, "r": d},
        ...                      shots=100_000, errors=errors)
        ...     for d, errors in [(3, 2000), (5, 400)]
        ... ]
        >>> print(format_table(stats))
        decoder=any
        d     p  rounds   shots  errors  discards    error rate per shot (95 %)             per round (95 %)
        3  0.01       3  100000    2000         0  0.02000 [0.01914, 0.02088]  0.00676 [0.00646, 0.00706]
        5  0.01       5  100000     400         0  0.00400 [0.00362, 0.00440]  8.03e-04 [7.26e-04, 8.84e-04]
    """
    percent = f"{100 * check_confidence(confidence):g} %"
    heading = (
        distance_key,
        p_key,
        "rounds",
        "shots",
        "errors",
        "discards",
        f"error rate per shot ({percent})",
        f"per round ({percent})",
    )
    keys = ("d", "p", "rounds", "shots", "errors", "discards", "error_rate", "error_rate_per_round")
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for row in _rows(stats, distance_key, p_key, confidence):
        blocks.setdefault(row["group"], []).append(tuple(show_cell(row[key]) for key in keys))
    return align(heading, blocks)


def align(heading: tuple[str, ...], blocks: dict[str, list[tuple[str, ...]]]) -> str:
    """Returns cells as aligned plain text, each block under its name and the same heading."""
    widths = [
        max([len(heading[i]), *(len(line[i]) for lines in blocks.values() for line in lines)])
        for i in range(len(heading))
    ]
    text = []
    for name, lines in blocks.items():
        text.append(name)
        for line in (heading, *lines):
            text.append("  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)).rstrip())
        text.append("")
    return "\n".join(text).rstrip("\n")
