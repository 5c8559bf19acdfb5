"""Which points a threshold fit may use, and the refusal of data without a crossing.

Finite-size scaling holds near the threshold and for large distances, and nobody knows beforehand how near and
how large. So every nested window of error rates around the crossing, every smallest distance and several
corrections are fitted, and each is weighted by the information criterion of Jay and Neil (arXiv:2008.01069):
chi-square + 2 per parameter + 2 per point left out (the middle term in its small-sample form).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import InputError, NoThresholdError
from quell.qec.analysis.intervals import per_round_probability
from quell.qec.analysis.points import Points

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Selection", "check_crossing", "rates_with_errors", "selections", "usable_points"]

MIN_DISTANCES = 3
MIN_RATES = 4
MIN_ERRORS = 10
MAX_WINDOWS = 6
# Both sides of the crossing must show their order by this many standard deviations.
MIN_SIGNIFICANCE = 2.0


@dataclass(frozen=True, eq=False)
class Selection:
    """One way to fit: which points, and 1/mu of the correction (None for none)."""

    mask: NDArray[np.bool_]
    min_distance: float
    window: tuple[float, float]
    omega: float | None

    @property
    def num_parameters(self) -> int:
        """p_th, nu, A, B, C and, with a correction, D. mu is averaged over, not fitted."""
        return 5 if self.omega is None else 6

    @property
    def dof(self) -> int:
        """Points less parameters."""
        return int(self.mask.sum()) - self.num_parameters


def rates_with_errors(points: Points, per_round: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Observed rates and their standard errors, half an error added so that no error bar vanishes."""
    smoothed = (points.errors + 0.5) / (points.shots + 1)
    sigma = np.sqrt(smoothed * (1 - smoothed) / points.shots)
    rate = points.errors / points.shots
    if not per_round:
        return rate, sigma
    slope = np.abs(1 - 2 * smoothed) ** (1 / points.rounds - 1) / points.rounds
    return per_round_probability(rate, points.rounds), sigma * slope


def usable_points(points: Points, window: tuple[float, float] | None, min_distance: float | None) -> Points:
    """Applies the caller's limits and leaves out error rates at which some distance saw too few errors.

    A rate is dropped for all distances or for none: dropping single points because they came out low
    would bias what is left.

    Raises:
        NoThresholdError: Too little remains.
    """
    mask = np.ones(len(points), dtype=bool)
    if window is not None:
        mask &= (points.p >= window[0]) & (points.p <= window[1])
    if min_distance is not None:
        mask &= points.distance >= min_distance
    _check_size(points.keep(mask), "the data")
    few = np.minimum(points.errors, points.shots - points.errors) < MIN_ERRORS
    mask &= ~np.isin(points.p, points.p[few & mask])
    kept = points.keep(mask)
    _check_size(kept, f"what is left after error rates with fewer than {MIN_ERRORS} errors at some distance")
    return kept


def _check_size(points: Points, what: str) -> None:
    distances, rates = np.unique(points.distance), np.unique(points.p)
    if len(distances) < MIN_DISTANCES:
        shown = ", ".join(f"{d:g}" for d in distances) or "none"
        raise NoThresholdError(
            f"a threshold needs at least {MIN_DISTANCES} distances; {what} has {len(distances)} ({shown}): "
            "sample more distances, or more shots"
        )
    if len(rates) < MIN_RATES:
        shown = ", ".join(f"{p:g}" for p in rates)
        raise NoThresholdError(
            f"a threshold needs at least {MIN_RATES} physical error rates; {what} has {len(rates)} "
            f"({shown}): "
            "sample more rates around the crossing, or more shots"
        )


def _slopes(points: Points, per_round: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """At each physical error rate, by how many sigmas the logical error rate grows with distance."""
    rate, sigma = rates_with_errors(points, per_round)
    at, significance = [], []
    for p in np.unique(points.p):
        here = points.p == p
        if here.sum() < 2:
            continue
        weight = sigma[here] ** -2
        log_distance = np.log(points.distance[here])
        log_distance -= np.average(log_distance, weights=weight)
        spread = float(np.sum(weight * log_distance**2))
        at.append(p)
        significance.append(float(np.sum(weight * log_distance * rate[here])) / np.sqrt(spread))
    return np.array(at), np.array(significance)


def check_crossing(points: Points, per_round: bool) -> float:
    """Returns roughly where the curves cross.

    Larger distances must do better at the lower error rates and worse at the higher ones, each side by
    2 standard deviations when its error rates are taken together.

    Raises:
        NoThresholdError: The data shows no crossing between two sampled error rates.
    """
    at, significance = _slopes(points, per_round)
    if len(at) < MIN_RATES:
        raise NoThresholdError(
            f"fewer than {MIN_RATES} physical error rates were sampled at two or more distances: "
            "sample all distances at the same rates"
        )
    # The split that best separates 'better with distance' from 'worse with distance'.
    total = np.concatenate([[0.0], np.cumsum(significance)])
    split = int(np.argmin(total))
    below = -total[split] / np.sqrt(max(split, 1))
    above = (total[-1] - total[split]) / np.sqrt(max(len(at) - split, 1))
    if split == 0 and above >= MIN_SIGNIFICANCE:
        raise NoThresholdError(
            f"no crossing: larger distances do worse at every sampled rate from p={at[0]:g} up, so the data lies "
            f"above the threshold: sample error rates below {at[0]:g}"
        )
    if split == len(at) and below >= MIN_SIGNIFICANCE:
        raise NoThresholdError(
            f"no crossing: larger distances do better at every sampled rate up to p={at[-1]:g}, so the data lies "
            f"below the threshold: sample error rates above {at[-1]:g}"
        )
    if min(below, above) < MIN_SIGNIFICANCE:
        lacking = "do better at the lowest" if below < above else "do worse at the highest"
        raise NoThresholdError(
            f"no crossing can be told from noise: that larger distances {lacking} error rates shows by less than "
            f"{MIN_SIGNIFICANCE:g} standard deviations: take more shots, sample further out, or use distances "
            "further apart"
        )
    left, right = -significance[split - 1], significance[split]
    if left <= 0 or right <= 0:
        return float((at[split - 1] + at[split]) / 2)
    return float(at[split - 1] + (at[split] - at[split - 1]) * left / (left + right))


def _windows(points: Points, crossing: float) -> list[tuple[float, float]]:
    """Nested windows: all error rates, then without the farthest from the crossing, down to four."""
    rates = np.unique(points.p)
    order = np.argsort(np.abs(rates - crossing), kind="stable")
    sizes = np.unique(np.round(np.geomspace(MIN_RATES, len(rates), MAX_WINDOWS)).astype(int))
    windows = []
    for size in sizes[::-1]:
        chosen = rates[order[:size]]
        if chosen.min() < crossing < chosen.max():
            windows.append((float(chosen.min()), float(chosen.max())))
    return windows


def selections(
    points: Points,
    crossing: float,
    *,
    omegas: Sequence[float | None],
    vary_window: bool,
    vary_distance: bool,
) -> list[Selection]:
    """Every choice of points and correction that leaves three distances and two degrees of freedom.

    Raises:
        NoThresholdError: There is none.
    """
    distances = np.unique(points.distance)
    smallest = distances[: len(distances) - MIN_DISTANCES + 1] if vary_distance else distances[:1]
    widest = (float(points.p.min()), float(points.p.max()))
    windows = _windows(points, crossing) if vary_window else [widest]
    found = []
    for min_distance in smallest:
        for window in windows or [widest]:
            mask = (points.distance >= min_distance) & (points.p >= window[0]) & (points.p <= window[1])
            if len(np.unique(points.distance[mask])) < MIN_DISTANCES:
                continue
            found += [Selection(mask, float(min_distance), window, omega) for omega in omegas]
    found = [selection for selection in found if selection.dof >= 2]
    if not found:
        raise NoThresholdError(
            f"{len(points)} points are too few for the scaling law: sample all distances at the same rates"
        )
    return found


def check_window(window: tuple[float, float]) -> tuple[float, float]:
    """Returns the window as two floats in order, or raises `InputError`."""
    if isinstance(window, str) or len(window) != 2 or not 0 <= window[0] < window[1] <= 1:
        raise InputError(f"window must be 'auto' or (low, high) with 0 <= low < high <= 1, got {window!r}")
    return float(window[0]), float(window[1])
