"""Plots of sinter's statistics: error rates, the collapse onto one curve, the drift of a fit, and suppression.

Every point has its interval. Nothing here touches pyplot: each function returns a `matplotlib.figure.Figure`
that can be saved or shown by a notebook, or draws on the Axes it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from quell.errors import InputError
from quell.qec.analysis.averaging import ACCEPTED_P_VALUE
from quell.qec.analysis.crossings import Crossing
from quell.qec.analysis.intervals import binomial_interval, per_round_probability
from quell.qec.analysis.plot_style import (
    BAND,
    INK,
    MARKER_STYLE,
    MARKERS,
    figure_of,
    new_figure,
    ordered_colors,
    outside_legend,
    tidy,
)
from quell.qec.analysis.points import Points, read_points
from quell.qec.analysis.suppression import LambdaFit
from quell.qec.analysis.threshold_fit import ThresholdFit
from quell.qec.analysis.windows import rates_with_errors

if TYPE_CHECKING:
    import sinter
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

__all__ = ["plot_collapse", "plot_drift", "plot_error_rate", "plot_lambda"]


def _rates(
    points: Points, per: str, confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Rates, and the ends of their intervals."""
    if per not in ("shot", "round"):
        raise InputError(f"per must be 'shot' or 'round', got {per!r}")
    if per == "round" and np.isnan(points.rounds).any():
        raise InputError("per='round' needs 'r' or 'rounds' in the metadata of every task: use per='shot'")
    rate = points.errors / points.shots
    low, high = binomial_interval(points.errors, points.shots, confidence)
    if per == "shot":
        return rate, low, high
    return (
        per_round_probability(rate, points.rounds),
        per_round_probability(low, points.rounds),
        per_round_probability(high, points.rounds),
    )


def _use_log(points: Points, rate: NDArray[np.float64], scale: str) -> bool:
    """Logarithmic axes suit a sweep over more than a factor of 3 in p or 30 in the error rate."""
    if scale != "auto":
        return scale == "log"
    seen = rate[rate > 0]
    wide = len(seen) > 0 and seen.max() > 30 * seen.min()
    return bool(points.p.min() > 0 and (points.p.max() > 3 * points.p.min() or wide))


def plot_error_rate(
    stats: Iterable[sinter.TaskStats],
    *,
    fit: ThresholdFit | None = None,
    ax: Axes | None = None,
    per: Literal["shot", "round"] | None = None,
    scale: Literal["auto", "linear", "log"] = "auto",
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
    ignore: Sequence[str] = (),
) -> Figure:
    """Plots the logical error rate against the physical one, a curve for each distance.

    Args:
        stats: Rows of one group, as sinter reads them.
        fit: Draws this fit's curves in its window, and its threshold as a band as wide as the interval.
        ax: Where to draw; None makes a new figure.
        per: Which rate; None takes that of the fit, or per shot.
        scale: Both axes linear or logarithmic; "auto" takes what suits the range of the data.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        confidence: How often the error bars should hold the truth. On logarithmic axes a point without
            errors is an arrow down from its upper limit.
        ignore: Metadata keys that do not set groups apart.

    Returns:
        The figure.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DataError: The rows mix groups, or metadata is missing.
        InputError: An argument is out of range.

    Examples:
        >>> from quell.qec.analysis import plot_error_rate, sample_scaling_law
        >>> rows = sample_scaling_law(
        ...     threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 9], ps=[0.09, 0.1, 0.11],
        ...     shots=1000, seed=1)
        >>> plot_error_rate(rows).axes[0].get_ylabel()
        'logical error rate per shot'
    """
    if scale not in ("auto", "linear", "log"):
        raise InputError(f"scale must be 'auto', 'linear' or 'log', got {scale!r}")
    kind = per or (fit.per if fit is not None else "shot")
    points = read_points(stats, distance_key=distance_key, p_key=p_key, ignore=ignore)
    rate, low, high = _rates(points, kind, confidence)
    axes = new_figure().add_subplot() if ax is None else ax
    log = _use_log(points, rate, scale)
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    distances = np.unique(points.distance)
    draw_curves = fit is not None and fit.per == kind
    for i, (distance, color) in enumerate(zip(distances, ordered_colors(len(distances)), strict=True)):
        here = points.distance == distance
        joined = not (draw_curves and fit is not None and distance in fit.distances)
        ends = (low[here], high[here])
        _series(axes, points.p[here], rate[here], ends, f"{distance:g}", i, color, log, joined)
        if fit is not None and not joined:
            grid = np.linspace(*fit.window, 200)
            axes.plot(grid, fit.predict(distance, grid), color=color, linewidth=1.3)
    if fit is not None:
        _threshold_band(axes, fit)
    tidy(axes, "physical error rate p", f"logical error rate per {kind}")
    outside_legend(axes, "distance")
    return figure_of(axes)


def _series(
    ax: Axes,
    x: NDArray[np.float64],
    rate: NDArray[np.float64],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    label: str,
    index: int,
    color: tuple[float, float, float, float],
    log: bool,
    joined: bool,
) -> None:
    seen = rate > 0 if log else np.ones(len(rate), dtype=bool)
    marker = MARKERS[index % len(MARKERS)]
    ax.errorbar(
        x[seen],
        rate[seen],
        yerr=[(rate - ends[0])[seen], (ends[1] - rate)[seen]],
        fmt=marker,
        color=color,
        **MARKER_STYLE,
        elinewidth=1.1,
        capsize=2,
        linestyle="-" if joined else "none",
        linewidth=1.0,
        label=label,
        zorder=3,
    )
    if not seen.all():
        limit = ends[1][~seen]
        ax.errorbar(x[~seen], limit, yerr=0.5 * limit, uplims=True, fmt="none", color=color, elinewidth=1.1)


def _threshold_band(ax: Axes, fit: ThresholdFit) -> None:
    ax.axvspan(fit.threshold.low, fit.threshold.high, color=BAND, alpha=0.15, linewidth=0, zorder=0)
    label = f"threshold\n{fit.threshold}"
    ax.axvline(fit.threshold.value, color=BAND, linewidth=1.2, linestyle="--", zorder=1, label=label)


def plot_collapse(
    stats: Iterable[sinter.TaskStats],
    fit: ThresholdFit,
    *,
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
    ignore: Sequence[str] = (),
) -> Figure:
    """Plots all curves against x = (p - p_th) d^(1/nu), where they should fall on one, and the residuals.

    Only what the best fit used is drawn. The correction, if the fit has one, is taken off the data.

    Args:
        stats: The rows that were fitted.
        fit: Their fit.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        confidence: How often the error bars should hold the truth.
        ignore: Metadata keys that do not set groups apart.

    Returns:
        A figure with the collapse above and the residuals, in standard errors, below.

    Raises:
        MissingExtraError: matplotlib is not installed.
        DataError: The rows mix groups, metadata is missing, or no row lies where the fit was made.

    Examples:
        >>> from quell.qec.analysis import fit_threshold, plot_collapse, sample_scaling_law
        >>> rows = sample_scaling_law(
        ...     threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 9, 13],
        ...     ps=[0.09, 0.095, 0.1, 0.105, 0.11], shots=100_000, seed=1)
        >>> len(plot_collapse(rows, fit_threshold(rows)).axes)
        2
    """
    points = read_points(stats, distance_key=distance_key, p_key=p_key, ignore=ignore)
    used = (points.p >= fit.window[0]) & (points.p <= fit.window[1]) & np.isin(points.distance, fit.distances)
    if not used.any():
        raise InputError("none of the rows lies in the window of the fit: pass the rows that were fitted")
    points = points.keep(used)
    rate, low, high = _rates(points, fit.per, confidence)
    _, sigma = rates_with_errors(points, fit.per == "round")
    x = fit.scaled(points.distance, points.p)
    shift = fit.correction(points.distance)
    pull = (rate - fit.predict(points.distance, points.p)) / sigma
    figure = new_figure(7.0, 5.6)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    distances = np.unique(points.distance)
    for i, (distance, color) in enumerate(zip(distances, ordered_colors(len(distances)), strict=True)):
        here = points.distance == distance
        ends = (low - shift)[here], (high - shift)[here]
        _series(top, x[here], (rate - shift)[here], ends, f"{distance:g}", i, color, False, False)
        bottom.plot(x[here], pull[here], MARKERS[i % len(MARKERS)], color=color, **MARKER_STYLE)
    grid = np.linspace(x.min(), x.max(), 300)
    a, b, c = (fit.coefficients[name].value for name in "ABC")
    top.plot(grid, a + b * grid + c * grid**2, color=INK, linewidth=1.1, zorder=1, label="scaling law")
    power = fit.fits[0].correction_exponent
    taken_off = "" if power is None else f" less $D\\,d^{{-{power:.3g}}}$"
    tidy(top, "", f"logical error rate per {fit.per}{taken_off}")
    bottom.axhspan(-2, 2, color="#000000", alpha=0.06, linewidth=0)
    bottom.axhline(0, color=INK, linewidth=0.8)
    reach = 1.1 * max(3.0, float(np.abs(pull).max()))
    bottom.set_ylim(-reach, reach)
    tidy(bottom, r"$x = (p - p_{\mathrm{th}})\, d^{1/\nu}$", "residual / $\\sigma$")
    outside_legend(top, "distance")
    return figure


def plot_drift(fit: ThresholdFit, *, crossings: Iterable[Crossing] = (), ax: Axes | None = None) -> Figure:
    """Plots how the fitted threshold moves with the smallest distance, without and with a correction.

    Args:
        fit: The fit whose `drift` is drawn, with its interval as a band.
        crossings: Crossings of successive distances, drawn at the smaller distance.
        ax: Where to draw; None makes a new figure.

    Returns:
        The figure. Error bars of the fits are at the confidence of `fit`.

    Raises:
        MissingExtraError: matplotlib is not installed.

    Examples:
        >>> from quell.qec.analysis import fit_threshold, plot_drift, sample_scaling_law
        >>> rows = sample_scaling_law(
        ...     threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 9, 13],
        ...     ps=[0.09, 0.095, 0.1, 0.105, 0.11], shots=100_000, seed=1)
        >>> plot_drift(fit_threshold(rows)).axes[0].get_xlabel()
        'smallest distance used'
    """
    from quell.qec.analysis.intervals import normal_quantile

    z = normal_quantile(fit.threshold.confidence)
    axes = new_figure().add_subplot() if ax is None else ax
    dark, middle, light = ordered_colors(3)
    found = [(crossing.distances[0], crossing.p) for crossing in crossings]
    met = [(d, p) for d, p in found if p is not None]
    if met:
        yerr = [[p.value - p.low for _, p in met], [p.high - p.value for _, p in met]]
        axes.errorbar(
            [d + 0.15 for d, _ in met],
            [p.value for _, p in met],
            yerr=yerr,
            fmt="^",
            color=light,
            capsize=2,
            label="crossing with the\nnext distance",
        )
    for corrected, color, marker, label in (
        (False, dark, "o", "no correction"),
        (True, middle, "s", "with a $1/d$ correction"),
    ):
        part = [f for f in fit.drift if (f.correction_exponent is not None) == corrected]
        # Hollow: the law does not describe these points, so the number means little.
        for accepted in (True, False):
            some = [f for f in part if (f.p_value >= ACCEPTED_P_VALUE) == accepted]
            if some:
                axes.errorbar(
                    [f.min_distance - 0.15 * corrected for f in some],
                    [f.threshold for f in some],
                    yerr=[z * f.threshold_error for f in some],
                    fmt=marker,
                    color=color,
                    markerfacecolor=color if accepted else "white",
                    capsize=2,
                    markersize=5,
                    label=label if accepted else f"{label},\nrejected (p < {ACCEPTED_P_VALUE:g})",
                )
    axes.axhspan(fit.threshold.low, fit.threshold.high, color=BAND, alpha=0.15, linewidth=0, zorder=0)
    axes.axhline(
        fit.threshold.value,
        color=BAND,
        linestyle="--",
        linewidth=1.2,
        zorder=1,
        label=f"reported\n{fit.threshold}",
    )
    smallest = sorted({f.min_distance for f in fit.drift} | {d for d, _ in met})
    axes.set_xticks(smallest, [f"{d:g}" for d in smallest])
    tidy(axes, "smallest distance used", "fitted threshold $p_{\\mathrm{th}}$")
    outside_legend(axes)
    return figure_of(axes)


def plot_lambda(lambda_fits: LambdaFit | Iterable[LambdaFit], *, ax: Axes | None = None) -> Figure:
    """Plots the error rate against the distance with the fitted exponential fall, a line for each fit.

    Args:
        lambda_fits: One fit or several, for example those of `fit_lambdas`.
        ax: Where to draw; None makes a new figure.

    Returns:
        The figure. A distance without errors is an arrow down from its upper limit.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: There is no fit, or some are per shot and some per round.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import fit_lambda, plot_lambda
        >>> stats = [
        ...     sinter.TaskStats(strong_id=f"{d}", decoder="any", json_metadata={"d": d, "p": 0.01, "r": 1},
        ...                      shots=100_000, errors=errors)
        ...     for d, errors in [(3, 900), (5, 300)]
        ... ]
        >>> plot_lambda(fit_lambda(stats)).axes[0].get_ylabel()
        'logical error rate per round'
    """
    fits = [lambda_fits] if isinstance(lambda_fits, LambdaFit) else list(lambda_fits)
    kinds = {fit.per for fit in fits}
    if len(kinds) != 1:
        shown = ", ".join(sorted(kinds)) or "none"
        shown = ", ".join(sorted(kinds)) or "none"
        raise InputError(f"need at least one fit, all per shot or all per round, got {shown}")
    axes = new_figure().add_subplot() if ax is None else ax
    axes.set_yscale("log")
    distances = sorted({d for fit in fits for d in fit.distances})
    for i, (fit, color) in enumerate(zip(fits, ordered_colors(len(fits)), strict=True)):
        name = fit.group if fit.p is None else f"p = {fit.p:g}"
        rate = np.array([estimate.value for estimate in fit.rates])
        ends = np.array([e.low for e in fit.rates]), np.array([e.high for e in fit.rates])
        label = f"{name}\n$\\Lambda$ = {fit.factor}"
        _series(axes, np.array(fit.distances), rate, ends, label, i, color, True, False)
        grid = np.linspace(min(fit.distances) - 0.4, max(fit.distances) + 0.4, 50)
        axes.plot(grid, fit.predict(grid), color=color, linewidth=1.2)
    axes.set_xticks(distances, [f"{d:g}" for d in distances])
    tidy(axes, "code distance d", f"logical error rate per {next(iter(kinds))}")
    outside_legend(axes)
    return figure_of(axes)
