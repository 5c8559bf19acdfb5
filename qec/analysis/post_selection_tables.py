"""Post-selection as rows for a terminal or a JSON file: what every stage leaves, and what every cut costs and gains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from quell.errors import InputError
from quell.qec.analysis.intervals import check_confidence
from quell.qec.analysis.points import merge_stats
from quell.qec.analysis.post_selection import Cut, cuts, stage_survival
from quell.qec.analysis.tables import show_cell

if TYPE_CHECKING:
    import sinter

__all__ = ["check_gaps", "format_post_selection", "post_selection_rows", "proxy_warning"]

_STEP_DB = 5.0


def post_selection_rows(
    stats: Iterable[sinter.TaskStats], *, gaps: Sequence[float] | None = None, confidence: float = 0.95
) -> list[dict[str, Any]]:
    """Returns one JSON-ready row for each task: survival by stage, and error rates by cut.

    Args:
        stats: Counts of post-selected circuits; rows of one task are added up.
        gaps: The cuts to list, in dB. None lists every 5 dB, and nothing past the first cut without errors.
        confidence: How often each interval should hold the truth.

    Returns:
        Rows with the keys `metadata`, `decoder`, `strong_id`, `shots`, `kept`, `errors`, `stages`, `cuts` and
        `warning`. Without any kept shot `cuts` is empty. The warning is None, or says that gate S stands in for T:
        where the metadata have `"gate": "S"`.

    Raises:
        DataError: Bins and kept shots do not add up, or there are no stages.
        InputError: A cut keeps nothing, or `confidence` is not between 0 and 1.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import post_selection_rows
        >>> counts = collections.Counter(kept_1=1000, C0=90, E0=10, C40=900)
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={}, shots=2000, discards=1000,
        ...                          errors=10, custom_counts=counts)
        >>> [row] = post_selection_rows([stats])
        >>> row["stages"][0]["rate"]["value"], [cut["gap_db"] for cut in row["cuts"]]
        (0.5, [0.0, 20.0])
    """
    return [
        {
            "metadata": row.json_metadata,
            "decoder": row.decoder,
            "strong_id": row.strong_id,
            "shots": int(row.shots),
            "kept": int(row.shots - row.discards),
            "errors": int(row.errors),
            "stages": [each.to_json() for each in stage_survival(row, confidence=confidence)],
            "cuts": [cut.to_json() for cut in _listed(row, gaps, confidence)],
            "warning": proxy_warning(row),
        }
        for row in merge_stats(stats)
    ]


def format_post_selection(
    stats: Iterable[sinter.TaskStats], *, gaps: Sequence[float] | None = None, confidence: float = 0.95
) -> str:
    """Returns the same as aligned plain text, two blocks for each task.

    Raises:
        DataError: Bins and kept shots do not add up, or there are no stages.
        InputError: A cut keeps nothing, or `confidence` is not between 0 and 1.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import format_post_selection
        >>> counts = collections.Counter(kept_1=1000, C0=90, E0=10, C40=900)
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={"d": 3}, shots=2000, discards=1000,
        ...                          errors=10, custom_counts=counts)
        >>> print(format_post_selection([stats]))
        d=3, decoder=any: 2000 shots
        stage  left  part of all (95 %)
            1  1000  0.500 [0.478, 0.522]
        gap >= (dB)  kept  attempts (95 %)       errors  logical error rate (95 %)
                  0  1000  2.000 [1.916, 2.092]      10  0.0100 [0.0050, 0.0175]
                 20   900  2.22 [2.12, 2.33]          0  0.0000 [0.0000, 0.0033]
    """
    percent = f"{100 * check_confidence(confidence):g} %"
    blocks = []
    for row in merge_stats(stats):
        metadata = row.json_metadata if isinstance(row.json_metadata, dict) else {}
        about = [f"{key}={show_cell(value)}" for key, value in metadata.items()]
        blocks.append(", ".join([*about, f"decoder={row.decoder}"]) + f": {row.shots} shots")
        left = [
            (str(each.stage), str(each.kept), str(each.rate)) for each in stage_survival(row, confidence=confidence)
        ]
        blocks.append(_aligned(("stage", "left", f"part of all ({percent})"), left, text=(2,)))
        cut = [
            (f"{each.gap:g}", str(each.kept), str(each.attempts), str(each.errors), str(each.error_rate))
            for each in _listed(row, gaps, confidence)
        ]
        heading = ("gap >= (dB)", "kept", f"attempts ({percent})", "errors", f"logical error rate ({percent})")
        blocks.append(_aligned(heading, cut, text=(2, 4)) if cut else "nothing was kept")
        blocks += [warning for warning in [proxy_warning(row)] if warning]
        blocks.append("")
    return "\n".join(blocks).rstrip("\n")


def check_gaps(gaps: Sequence[float]) -> None:
    """Refuses cuts that mean nothing.

    Raises:
        InputError: A gap is not a number >= 0.

    Examples:
        >>> from quell.qec.analysis.post_selection_tables import check_gaps
        >>> check_gaps([0, -5])
        Traceback (most recent call last):
        quell.errors.InputError: gaps must be numbers >= 0, in dB, got -5
    """
    for gap in gaps:
        if not gap >= 0:
            raise InputError(f"gaps must be numbers >= 0, in dB, got {gap}")


def proxy_warning(stats: sinter.TaskStats) -> str | None:
    """Returns what has to be said beside an error rate for which gate S stands in for T.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis.post_selection_tables import proxy_warning
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={"gate": "S"}, shots=1)
        >>> proxy_warning(stats)
        'gate S stands in for T: logical error rates are optimistic'
    """
    metadata = stats.json_metadata
    if isinstance(metadata, dict) and metadata.get("gate") == "S":
        return "gate S stands in for T: logical error rates are optimistic"
    return None


def _aligned(heading: tuple[str, ...], lines: Sequence[tuple[str, ...]], text: tuple[int, ...]) -> str:
    """Aligns numbers to the right and what is wider than a number to the left."""
    widths = [max(len(line[column]) for line in (heading, *lines)) for column in range(len(heading))]

    def row(line: tuple[str, ...]) -> str:
        cells = zip(range(len(line)), line, widths, strict=True)
        return "  ".join(cell.ljust(w) if column in text else cell.rjust(w) for column, cell, w in cells).rstrip()

    return "\n".join(map(row, (heading, *lines)))


def _listed(stats: sinter.TaskStats, gaps: Sequence[float] | None, confidence: float) -> list[Cut]:
    if stats.shots == stats.discards:
        return []
    every = cuts(stats, confidence=confidence)
    if gaps is None:
        wanted = [step * _STEP_DB for step in range(int(every[-1].gap / _STEP_DB) + 1)]
    else:
        check_gaps(gaps)
        wanted = list(gaps)
        if any(gap > every[-1].gap for gap in wanted):
            raise InputError(
                f"a cut at {max(wanted):g} dB keeps none of the {stats.shots - stats.discards:,} shots that "
                f"post-selection kept: the largest gap among them is in the bin from {every[-1].gap:g} dB"
            )
    chosen: list[Cut] = []
    for gap in wanted:
        cut = next(each for each in every if each.gap >= gap - 1e-9)
        if not chosen or cut != chosen[-1]:
            chosen.append(cut)
        if gaps is None and not cut.errors:
            break
    return chosen
