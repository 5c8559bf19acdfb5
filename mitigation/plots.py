"""Raw and mitigated probabilities side by side, each with its interval.

Nothing here touches pyplot: the function returns a `matplotlib.figure.Figure` that can be saved or shown by a notebook,
or draws on the Axes it is given.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import InputError, check_integer, import_extra
from quell.mitigation.intervals import share_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from quell.mitigation.result import Interval, MitigatedCounts

__all__ = ["plot_counts"]

# Grey against a dark blue: apart in lightness, so also in print and for colour-blind readers.
_RAW = "#b8bec6"
_MITIGATED = "#31688e"
_INK = "#333333"
_BAR = 0.38
_LONGEST_LABEL = 28


@functools.cache
def _figure_class() -> type[Figure]:
    """A figure that a notebook shows although pyplot never heard of it."""
    figure: type[Figure] = import_extra("matplotlib.figure", "plots").Figure

    def as_png(self: Figure) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144)
        return buffer.getvalue()

    return type("NotebookFigure", (figure,), {"_repr_png_": as_png})


def plot_counts(
    mitigated: MitigatedCounts,
    *,
    top: int = 16,
    reference: Mapping[Hashable, float] | None = None,
    intervals: Mapping[Hashable, Interval] | None = None,
    confidence: float = 0.95,
    num_resamples: int = 200,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Plots the most probable strings: raw and mitigated bars with intervals, and the ideal as an outline.

    Raw bars have the score interval of a share of the shots (Wilson 1927), mitigated ones that of a bootstrap over
    shots. Both say what the luck of the shots did, not whether the noise is what the method takes it for.

    Args:
        mitigated: What `mitigate` returned.
        top: At most how many strings: those with the largest raw, mitigated or ideal probability.
        reference: The ideal counts or probabilities, if they are known, under the same keys; scaled to sum to one.
        intervals: Those of `mitigated.intervals()`, if they are there already; None computes them.
        confidence: How often the intervals should hold the truth; also that of `intervals`, if they are given.
        num_resamples: As in `MitigatedCounts.intervals`.
        seed: As in `MitigatedCounts.intervals`.
        ax: Where to draw; None makes a new figure.

    Returns:
        The figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: `top` is no positive integer, or `reference` is no distribution under the same keys.

    Examples:
        >>> from quell.mitigation import Raw
        >>> from quell.mitigation.plots import plot_counts
        >>> mitigated = Raw().mitigate({"000": 870, "001": 60, "010": 40, "100": 30})
        >>> plot_counts(mitigated, num_resamples=20).axes[0].get_xlabel()
        'probability'
    """
    check_integer("top", top, minimum=1)
    ideal = None if reference is None else _shares(reference, mitigated)
    keys = _chosen(mitigated, ideal or {}, top)
    found = mitigated.intervals(num_resamples, confidence=confidence, seed=seed) if intervals is None else intervals
    raw = np.array([mitigated.raw.get(key, 0.0) for key in keys])
    after = np.array([mitigated.get(key, 0.0) for key in keys])
    # A string of the ideal that was neither measured nor found has nothing to draw an interval for.
    ends = [found.get(key, (0.0, 0.0)) for key in keys]
    low, high = np.array([end[0] for end in ends]), np.array([end[1] for end in ends])
    axes = _new_axes(len(keys)) if ax is None else ax
    places = np.arange(len(keys), dtype=np.float64)
    _bars(axes, places - _BAR / 2, raw, share_interval(raw, mitigated.shots, confidence), _RAW, "raw")
    name = f"mitigated ({mitigated.report.method})" if mitigated.report.changed else "left alone"
    _bars(axes, places + _BAR / 2, after, (low, high), _MITIGATED, name)
    if ideal is not None:
        values = np.array([ideal.get(key, 0.0) for key in keys])
        answers = values > 0
        outline = axes.barh(places[answers], values[answers], 2 * _BAR + 0.1, color="none", label="ideal", zorder=4)
        for bar in outline:
            bar.set(edgecolor=_INK, linewidth=1.1)
    _dress(axes, places, [_label(key) for key in keys], _heading(mitigated, len(keys), confidence))
    figure = axes.get_figure(root=True)
    if figure is None:
        raise InputError("ax must stand on a figure")
    return figure


def _shares(reference: Mapping[Hashable, float], mitigated: MitigatedCounts) -> dict[Hashable, float]:
    """Returns the ideal scaled to sum to one."""
    values = dict(reference)
    for key, value in values.items():
        if not 0 <= value < math.inf:
            raise InputError(f"reference must hold non-negative numbers, got {value!r} for {key!r}")
    total = math.fsum(values.values())
    if not total:
        raise InputError("reference must hold probabilities or counts, and it is empty or all zero")
    if not any(key in mitigated for key in values):
        mine, theirs = next(iter(mitigated)), next(iter(values))
        raise InputError(f"reference must have keys like those of the counts, {mine!r}, and has keys like {theirs!r}")
    return {key: value / total for key, value in values.items()}


def _chosen(mitigated: MitigatedCounts, ideal: Mapping[Hashable, float], top: int) -> list[Hashable]:
    """Returns the `top` largest strings, the most probable after mitigation first."""
    known = [*mitigated, *(key for key in ideal if key not in mitigated)]
    after = {key: mitigated.get(key, 0.0) for key in known}
    raw = {key: mitigated.raw.get(key, 0.0) for key in known}
    largest = sorted(known, key=lambda key: (-max(after[key], raw[key], ideal.get(key, 0.0)), str(key)))[:top]
    return sorted(largest, key=lambda key: (-after[key], -raw[key], str(key)))


def _new_axes(num_strings: int) -> Axes:
    height = 1.3 + 0.31 * max(3, num_strings)
    figure = _figure_class()(figsize=(7.0, height), layout="constrained", facecolor="white")
    return figure.add_subplot()


def _bars(
    axes: Axes,
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    color: str,
    label: str,
) -> None:
    axes.barh(places, values, _BAR, color=color, label=label, zorder=2)
    # Where even the upper end is zero, the caps of an interval would pass for a bar.
    seen = ends[1] > 0
    axes.errorbar(
        values[seen],
        places[seen],
        xerr=[(values - ends[0])[seen], (ends[1] - values)[seen]],
        fmt="none",
        ecolor=_INK,
        elinewidth=1.0,
        capsize=2,
        zorder=3,
    )


def _label(key: Hashable) -> str:
    """A key as it stands at the axis: long ones are shortened in the middle."""
    text = "".join(map(str, key)) if isinstance(key, tuple) else str(key)
    if len(text) <= _LONGEST_LABEL:
        return text
    part = _LONGEST_LABEL // 2 - 1
    return f"{text[:part]}…{text[-part:]}"


def _heading(mitigated: MitigatedCounts, num_shown: int, confidence: float) -> str:
    which = "all" if num_shown >= len(mitigated) else f"the {num_shown} most probable of"
    return f"{which} {len(mitigated)} strings, {mitigated.shots} shots, {100 * confidence:g} % intervals"


def _dress(axes: Axes, places: NDArray[np.float64], labels: list[str], heading: str) -> None:
    axes.set_yticks(places, labels, family="monospace", va="center")
    axes.set_ylim(len(places) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("probability", color=_INK)
    axes.set_title(heading, loc="left", fontsize=9, color="#666666", pad=22)
    axes.set_axisbelow(True)
    axes.grid(True, axis="x", color="#dddddd", linewidth=0.7)
    axes.tick_params(colors=_INK, labelsize=9, direction="in")
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#888888")
    # Above the axes, where it covers no bar however many there are.
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
        borderpad=0.2,
        handlelength=1.6,
    )
