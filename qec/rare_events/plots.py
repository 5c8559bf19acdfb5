"""Plots of rare error rates, far below what plain sampling reaches, with what was plainly sampled in the same axes.

A filled marker is an estimate by strata, an open one an estimate by splitting, a dot was sampled. What has no
interval stands hollow and grey where the estimate would be, and no line goes through it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quell.errors import DataError, InputError, import_extra
from quell.qec.analysis.intervals import Estimate, binomial_interval, per_round_probability
from quell.qec.analysis.plot_style import INK, MARKER_STYLE, MARKERS, figure_of, new_figure, ordered_colors, tidy
from quell.qec.analysis.points import group_stats, read_points
from quell.qec.rare_events.estimate import RareEstimate
from quell.qec.rare_events.points import best_estimates, rare_points

if TYPE_CHECKING:
    import sinter
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_rare_error_rates"]

_GREY = "#8c8c8c"
_SAMPLED = "sampled"
_NO_INTERVAL = "no interval"
# How a method's marker differs from the filled one of its series.
_STYLES: dict[str, dict[str, Any]] = {
    "strata": {},
    "splitting": {"markerfacecolor": "white", "markeredgewidth": 1.3},
    _SAMPLED: {"marker": "o", "markersize": 4.0, "markeredgecolor": "white", "markeredgewidth": 0.6},
    _NO_INTERVAL: {"markerfacecolor": "none", "markeredgecolor": _GREY, "markeredgewidth": 0.8},
}


@dataclass(frozen=True)
class _Point:
    """What is drawn: `kind` is a method, `_SAMPLED` or `_NO_INTERVAL`."""

    distance: float
    p: float
    rate: Estimate
    kind: str


def plot_rare_error_rates(
    estimates: Iterable[RareEstimate],
    *,
    stats: Iterable[sinter.TaskStats] = (),
    x: Literal["p", "d"] = "p",
    per: Literal["shot", "round"] = "shot",
    ax: Axes | None = None,
    distance_key: str = "d",
    p_key: str = "p",
    ignore: Sequence[str] = (),
) -> Figure:
    """Plots logical error rates on a logarithmic axis, with intervals, a line for each distance or each error rate.

    Args:
        estimates: What `rare_error_rates` returned. Groups, such as decoders, get axes of their own.
        stats: What was sampled plainly; rows of other groups than the estimates' are left out.
        x: Against the physical error rate, a line for each distance; or against the distance, a line for each rate.
        per: Which rate.
        ax: Where to draw one group; None makes a new figure.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        ignore: Metadata keys that do not set groups apart.

    Returns:
        The figure. Where only an upper limit is known, an arrow points down from it.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DataError: There are no estimates, several groups for one `ax`, metadata is missing, or no row of `stats`
            belongs to the estimates.
        InputError: An argument is out of range.

    Examples:
        >>> from quell.qec import Estimate, RareEstimate, plot_rare_error_rates
        >>> estimates = [
        ...     RareEstimate(f"{p}", "any", {"d": 9, "p": p}, "splitting", Estimate(q, 0.9 * q, 1.1 * q))
        ...     for p, q in [(1e-4, 1e-11), (1e-3, 1e-6)]
        ... ]
        >>> plot_rare_error_rates(estimates).axes[0].get_ylabel()
        'logical error rate per shot'
    """
    if x not in ("p", "d"):
        raise InputError(f"x must be 'p' or 'd', got {x!r}")
    groups = group_stats(estimates, distance_key=distance_key, p_key=p_key, ignore=ignore)
    if not groups:
        raise DataError("there are no estimates: the list is empty")
    if ax is not None and len(groups) > 1:
        raise DataError(
            f"the estimates mix {len(groups)} groups: {'; '.join(groups)}. Pass one part of group_stats(estimates), "
            "or leave out ax= for a figure with axes for each"
        )
    sampled = group_stats(stats, distance_key=distance_key, p_key=p_key, ignore=ignore)
    if sampled and not groups.keys() & sampled.keys():
        raise DataError(
            f"the sampled rows belong to none of the estimates: they are {'; '.join(sampled)}, and the estimates "
            f"{'; '.join(groups)}. Name metadata keys that do not matter with ignore="
        )
    names = {"per": per, "distance_key": distance_key, "p_key": p_key}
    parts = {
        group: [
            *_estimated(members, **names),
            *_sampled(sampled.get(group, []), **names, ignore=ignore),
        ]
        for group, members in groups.items()
    }
    if ax is not None:
        axes = [ax]
    else:
        figure = new_figure(2.0 + 5.0 * len(parts))
        axes = list(figure.subplots(1, len(parts), sharey=True, squeeze=False)[0])
    everything = [point for part in parts.values() for point in part]
    for one, (group, points) in zip(axes, parts.items(), strict=True):
        _draw(one, points, everything, x)
        tidy(one, "physical error rate p" if x == "p" else "code distance d", "")
        if len(parts) > 1:
            one.set_title(group.replace(", ", "\n"), fontsize=8, color=INK, loc="left")
    axes[0].set_ylabel(f"logical error rate per {per}", color=INK)
    _legend(axes[-1], everything, x)
    return figure_of(axes[0])


def _estimated(members: list[RareEstimate], *, per: str, distance_key: str, p_key: str) -> list[_Point]:
    points = rare_points(best_estimates(members), per=per, distance_key=distance_key, p_key=p_key)
    return [_Point(q.distance, q.p, q.rate, q.source.method if q.source.trusted else _NO_INTERVAL) for q in points]


def _sampled(
    rows: list[sinter.TaskStats], *, per: str, distance_key: str, p_key: str, ignore: Sequence[str]
) -> list[_Point]:
    if not rows:
        return []
    points = read_points(rows, distance_key=distance_key, p_key=p_key, ignore=ignore)
    if per == "round" and np.isnan(points.rounds).any():
        raise DataError("rates per round need 'r' or 'rounds' in the metadata of every task: use per='shot'")
    ends = np.array([points.errors / points.shots, *binomial_interval(points.errors, points.shots)])
    if per == "round":
        ends = per_round_probability(ends, points.rounds)
    rates = [Estimate(*(float(end) for end in column)) for column in ends.T]
    return [
        _Point(float(distance), float(p), rate, _SAMPLED)
        for distance, p, rate in zip(points.distance, points.p, rates, strict=True)
    ]


def _series_of(point: _Point, x: str) -> tuple[float, float]:
    """The line to which a point belongs, and where it stands on it."""
    return (point.distance, point.p) if x == "p" else (point.p, point.distance)


def _looks(everything: list[_Point], x: str) -> dict[float, tuple[Any, str]]:
    """Colour and marker of each line, the same in all axes."""
    lines = sorted({_series_of(point, x)[0] for point in everything})
    colors = ordered_colors(len(lines))
    return {line: (color, MARKERS[i % len(MARKERS)]) for i, (line, color) in enumerate(zip(lines, colors, strict=True))}


def _draw(ax: Axes, points: list[_Point], everything: list[_Point], x: str) -> None:
    ax.set_yscale("log")
    places = [_series_of(point, x)[1] for point in everything]
    across = (min(places), max(places))
    if x == "p":
        ax.set_xscale("log")
        across = _decade(places)
    rates = [end for point in everything for end in (point.rate.value, point.rate.high) if 0 < end < 1]
    ax.update_datalim(list(zip(across, _decade(rates or [1.0]), strict=True)))
    if x == "d":
        distances = sorted({point.distance for point in everything})
        ax.set_xticks(distances, [f"{d:g}" for d in distances])
    for line, (color, marker) in _looks(everything, x).items():
        here = sorted((q for q in points if _series_of(q, x)[0] == line), key=lambda q: _series_of(q, x)[1])
        known = [q for q in here if q.kind in ("strata", "splitting") and q.rate.value > 0]
        ax.plot([_series_of(q, x)[1] for q in known], [q.rate.value for q in known], "-", color=color, linewidth=1.0)
        for point in here:
            _draw_point(ax, _series_of(point, x)[1], point, color, marker)


def _decade(values: list[float]) -> tuple[float, float]:
    """A range for a logarithmic axis that holds the values, and a decade at least: there may be only one."""
    low, high = min(values), max(values)
    widen = max(1.0, float(np.sqrt(10 * low / high)))
    return low / widen, high * widen


def _draw_point(ax: Axes, at: float, point: _Point, color: Any, marker: str) -> None:
    rate = point.rate
    style: dict[str, Any] = {**MARKER_STYLE, "marker": marker, "color": color, "linestyle": "none"}
    style |= {"markeredgecolor": color, **_STYLES[point.kind]}
    if point.kind == _NO_INTERVAL:
        if rate.value > 0:
            ax.plot([at], [rate.value], **style, zorder=2)
    elif rate.value > 0:
        reach = np.array([[rate.value - rate.low], [rate.high - rate.value]])
        above = point.kind == _SAMPLED  # it is the smaller marker
        ax.errorbar([at], [rate.value], yerr=reach, **style, elinewidth=1.1, capsize=2, zorder=4 if above else 3)
    else:
        ax.errorbar([at], [rate.high], yerr=0.5 * rate.high, uplims=True, fmt="none", ecolor=color)


def _legend(ax: Axes, everything: list[_Point], x: str) -> None:
    """Lines first, then, in grey, what the markers mean."""
    line_class = import_extra("matplotlib.lines", "plots").Line2D
    looks = _looks(everything, x)
    handles = [
        line_class([], [], marker=marker, color=color, linewidth=1.0, **MARKER_STYLE)
        for color, marker in looks.values()
    ]
    labels = [f"d = {line:g}" if x == "p" else f"p = {line:g}" for line in looks]
    for kind in _STYLES:
        if any(point.kind == kind for point in everything):
            style = {**MARKER_STYLE, "marker": "o", "color": INK, "linestyle": "none", "markeredgecolor": INK}
            handles.append(line_class([], [], **(style | _STYLES[kind])))
            labels.append(kind)
    ax.legend(
        handles, labels, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, frameon=False, fontsize=9
    )
