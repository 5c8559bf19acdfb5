"""Estimates of rare events as rows for a terminal or a JSON file, with their methods and what they assume."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from quell.qec.analysis.intervals import Estimate, rounds_of
from quell.qec.analysis.points import group_stats
from quell.qec.analysis.tables import align, show_cell, sort_key
from quell.qec.rare_events.estimate import RareEstimate
from quell.qec.rare_events.points import rate_per_round

__all__ = ["format_rare_table", "rare_table_rows"]


def _rows(estimates: Iterable[RareEstimate], distance_key: str, p_key: str) -> list[dict[str, Any]]:
    rows = []
    for group, members in group_stats(estimates, distance_key=distance_key, p_key=p_key).items():
        part = []
        for one in members:
            metadata = one.json_metadata or {}
            part.append(
                {
                    "group": group,
                    "d": metadata.get(distance_key),
                    "p": metadata.get(p_key),
                    "rounds": rounds_of(one),
                    "method": one.method,
                    "shots": one.shots,
                    "error_rate": one.error_rate,
                    "error_rate_per_round": rate_per_round(one),
                    "acceptance": one.acceptance,
                    "trusted": one.trusted,
                    "reason": one.reason,
                    "assumes": one.assumes,
                    "seconds": round(one.seconds, 3),
                    "decoder": one.decoder,
                    "metadata": one.json_metadata,
                    "strong_id": one.strong_id,
                    "details": one.details,
                }
            )
        rows += sorted(part, key=lambda row: (sort_key(row["p"]), sort_key(row["d"])))
    return rows


def rare_table_rows(
    estimates: Iterable[RareEstimate], *, distance_key: str = "d", p_key: str = "p"
) -> list[dict[str, Any]]:
    """Returns one JSON-ready row for each estimate, by group, physical error rate and distance.

    Args:
        estimates: Of any groups.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.

    Returns:
        Rows with the keys of `table_rows` that apply, and `method`, `acceptance`, `trusted`, `reason`, `assumes` and
        `details`. A rate is `{"value", "interval", "confidence"}`; the interval is [0, 1] where `trusted` is false.

    Raises:
        DataError: The metadata of an estimate is not a dict.

    Examples:
        >>> from quell.qec import Estimate, RareEstimate, rare_table_rows
        >>> one = RareEstimate("ab12", "pymatching", {"d": 9, "p": 5e-4}, "strata", Estimate(2.1e-7, 1.9e-7, 2.3e-7))
        >>> [row] = rare_table_rows([one])
        >>> row["d"], row["method"], row["error_rate"]["interval"]
        (9, 'strata', [1.9e-07, 2.3e-07])
    """
    return [
        {key: value.to_json() if isinstance(value, Estimate) else value for key, value in row.items()}
        for row in _rows(estimates, distance_key, p_key)
    ]


def format_rare_table(estimates: Iterable[RareEstimate], *, distance_key: str = "d", p_key: str = "p") -> str:
    """Returns the estimates as aligned plain text, one block for each group, and below it what they take for granted.

    Where there is no interval there is no number either, but a note that says why. `shots` are those of a run, which
    the error rates of a curve share.

    Raises:
        DataError: The metadata of an estimate is not a dict.

    Examples:
        >>> from quell.qec import Estimate, RareEstimate, format_rare_table
        >>> one = RareEstimate(
        ...     "ab12", "pymatching", {"d": 9, "p": 5e-4, "r": 9}, "strata", Estimate(2.1e-7, 1.9e-7, 2.3e-7),
        ...     shots=90_000, assumes="the detector error model stands for the circuit")
        >>> print(format_rare_table([one]))
        decoder=pymatching
        d       p  rounds  method  shots       error rate per shot (95 %)                 per round (95 %)
        9  0.0005       9  strata  90000  2.10e-07 [1.90e-07, 2.30e-07]  2.33e-08 [2.11e-08, 2.56e-08]
        <BLANKLINE>
        assumed:
          the detector error model stands for the circuit
    """
    rows = _rows(estimates, distance_key, p_key)
    percents = sorted({f"{100 * row['error_rate'].confidence:g} %" for row in rows}) or ["95 %"]
    percent = " or ".join(percents)
    heading = [distance_key, p_key, "rounds", "method", "shots", f"error rate per shot ({percent})",
               f"per round ({percent})", f"kept ({percent})"]  # fmt: skip
    keys = ["d", "p", "rounds", "method", "shots", "error_rate", "error_rate_per_round", "acceptance"]
    if all(row["acceptance"] is None for row in rows):
        heading.pop()
        keys.pop()
    reasons: dict[str, int] = {}
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for row in rows:
        shown = dict(row)
        if not row["trusted"]:
            number = reasons.setdefault(row["reason"], len(reasons) + 1)
            shown |= {"error_rate": f"no interval ({number})", "error_rate_per_round": None}
        blocks.setdefault(row["group"], []).append(tuple(show_cell(shown[key]) for key in keys))
    text = [align(tuple(heading), blocks)]
    if reasons:
        text.append("\n".join(f"({number}) {reason}" for reason, number in reasons.items()))
    assumed = dict.fromkeys(part for row in rows for part in row["assumes"].split("; ") if part)
    if assumed:
        text.append("\n  ".join(["assumed:", *assumed]))
    return "\n\n".join(text)
