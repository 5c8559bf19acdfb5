"""Plots of post-selection: survival by stage, and error rate against attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import InputError
from quell.qec.analysis.plot_style import (
    INK,
    MARKER_STYLE,
    MARKERS,
    figure_of,
    new_figure,
    ordered_colors,
    outside_legend,
    tidy,
)
from quell.qec.analysis.post_selection import cuts, stage_survival
from quell.qec.analysis.post_selection_tables import proxy_warning

if TYPE_CHECKING:
    import sinter
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_attempts", "plot_survival"]

_DECADE = 10


def plot_attempts(
    stats: Mapping[str, sinter.TaskStats],
    *,
    published: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    ax: Axes | None = None,
    confidence: float = 0.95,
) -> Figure:
    """Plots the error rate of what is kept against the attempts that it takes, for every cut on the gap.

    Args:
        stats: Counts of post-selected circuits with gaps, by the label of their curve.
        published: Points (attempts, error rate) to draw beside them, by label.
        ax: Where to draw; None makes a new figure.
        confidence: How often each interval should hold the truth. A curve's intervals are a band; where no error was
            seen, a dotted line shows the upper limit alone.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DataError: Nothing was kept, or bins and kept shots do not add up.
        InputError: There is nothing to draw.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import plot_attempts
        >>> counts = collections.Counter(C0=90, E0=10, C40=899, E40=1)
        >>> stats = sinter.TaskStats(strong_id="a", decoder="any", json_metadata={}, shots=2000, discards=1000,
        ...                          errors=11, custom_counts=counts)
        >>> plot_attempts({"MSC-3": stats}).axes[0].get_xlabel()
        'attempts per kept state'
    """
    if not stats:
        raise InputError("stats holds no curve: pass {label: counts}")
    axes = new_figure().add_subplot() if ax is None else ax
    for index, ((label, counts), color) in enumerate(zip(stats.items(), ordered_colors(len(stats)), strict=True)):
        every = cuts(counts, confidence=confidence)
        attempts = np.array([cut.attempts.value for cut in every])
        rates = np.array([cut.error_rate.value for cut in every])
        low = np.array([cut.error_rate.low for cut in every])
        high = np.array([cut.error_rate.high for cut in every])
        seen = rates > 0
        if len(every) == 1:
            axes.errorbar(
                attempts,
                np.where(seen, rates, high),
                yerr=[np.where(seen, rates - low, high / 2), np.where(seen, high - rates, 0)],
                fmt=MARKERS[index % len(MARKERS)],
                color=color,
                label=label,
                **MARKER_STYLE,
            )
            continue
        axes.plot(attempts[seen], rates[seen], color=color, linewidth=1.4, label=label)
        axes.fill_between(attempts[seen], low[seen], high[seen], color=color, alpha=0.2, linewidth=0)
        if not seen.all():
            axes.plot(attempts[~seen], high[~seen], color=color, linewidth=1.0, linestyle=":")
    for index, (label, points) in enumerate((published or {}).items()):
        x, y = zip(*points, strict=True)
        marker = MARKERS[(index + len(stats)) % len(MARKERS)]
        axes.plot(x, y, marker, color=INK, markersize=6, fillstyle="none", label=label)
    axes.set_yscale("log")
    low_end, high_end = axes.get_xlim()
    if high_end > _DECADE * max(low_end, 1.0):
        axes.set_xscale("log")
    proxy = any(proxy_warning(counts) for counts in stats.values())
    tidy(axes, "attempts per kept state", f"logical error rate{' (S in place of T: optimistic)' if proxy else ''}")
    outside_legend(axes)
    return figure_of(axes)


def plot_survival(stats: Mapping[str, sinter.TaskStats], *, ax: Axes | None = None, confidence: float = 0.95) -> Figure:
    """Plots which part of the shots is left after each stage of post-selection.

    Args:
        stats: Counts of post-selected circuits, by the label of their curve.
        ax: Where to draw; None makes a new figure.
        confidence: How often each error bar should hold the truth.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DataError: There are no counts by stage.
        InputError: There is nothing to draw.

    Examples:
        >>> import collections, sinter
        >>> from quell.qec.analysis import plot_survival
        >>> counts = collections.Counter(kept_1=900, kept_2=800)
        >>> stats = sinter.TaskStats(
        ...     strong_id="a", decoder="any", json_metadata={}, shots=1000, discards=200, custom_counts=counts)
        >>> plot_survival({"MSC-3": stats}).axes[0].get_ylabel()
        'shots that are left'
    """
    if not stats:
        raise InputError("stats holds no curve: pass {label: counts}")
    axes = new_figure().add_subplot() if ax is None else ax
    most = 0
    for index, ((label, counts), color) in enumerate(zip(stats.items(), ordered_colors(len(stats)), strict=True)):
        left = stage_survival(counts, confidence=confidence)
        most = max(most, len(left))
        rates = np.array([each.rate.value for each in left])
        low = np.array([each.rate.low for each in left])
        high = np.array([each.rate.high for each in left])
        axes.errorbar(
            [each.stage for each in left],
            rates,
            yerr=[rates - low, high - rates],
            fmt=f"{MARKERS[index % len(MARKERS)]}-",
            color=color,
            linewidth=1.0,
            capsize=2,
            label=label,
            **MARKER_STYLE,
        )
    axes.set_yscale("log")
    axes.set_xticks(range(1, most + 1))
    tidy(axes, "stage", "shots that are left")
    outside_legend(axes)
    return figure_of(axes)
