"""The average over fits of a scaling law that differ in window, smallest distance and correction.

Weights follow Jay and Neil (arXiv:2008.01069): exp(-(chi-square + 2 per parameter + 2 per point left out)/2),
the price of a parameter in the small-sample form of Hurvich and Tsai (1989). The interval is read from the
weighted sum of the fits' bootstrap distributions, so that fits which disagree widen it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quell.errors import NoThresholdError
from quell.qec.analysis.intervals import Estimate
from quell.qec.analysis.points import Points
from quell.qec.analysis.scaling import BatchFit, fit_batch
from quell.qec.analysis.threshold_fit import ScalingFit
from quell.qec.analysis.windows import Selection

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Averaged", "Candidate", "average", "evaluate"]

ACCEPTED_P_VALUE = 0.05
START_EXPONENT = 0.8
# Resamplings of the best fit alone, for its own statistical intervals.
NUM_BEST_SAMPLES = 400


@dataclass(frozen=True, eq=False)
class Candidate:
    """One fit with what the average needs of it."""

    selection: Selection
    p_th: float
    inverse_nu: float
    coefficients: tuple[float, ...]
    chi2: float
    p_value: float
    rate: NDArray[np.float64]
    per_round: bool
    summary: ScalingFit


@dataclass(frozen=True, eq=False)
class Averaged:
    """What the average comes to."""

    threshold: Estimate
    exponent: Estimate
    mu: Estimate | None
    best: Candidate
    coefficient_intervals: dict[str, tuple[float, float]]
    statistical_interval: tuple[float, float]
    systematic_spread: float
    correction_weight: float
    acceptable: bool
    summaries: tuple[ScalingFit, ...]


def _by_law(chosen: Sequence[Selection]) -> list[list[int]]:
    """Positions of the selections without and with a correction: the two laws have different columns."""
    plain = [i for i, selection in enumerate(chosen) if selection.omega is None]
    corrected = [i for i, selection in enumerate(chosen) if selection.omega is not None]
    return [part for part in (plain, corrected) if part]


def _fit_all(
    points: Points,
    errors: NDArray[np.float64],
    chosen: Sequence[Selection],
    start: tuple[NDArray[np.float64], NDArray[np.float64]],
    per_round: bool,
) -> BatchFit:
    """Fits selections of one law; errors (G, N) belong to them one by one."""
    omegas = [selection.omega for selection in chosen]
    return fit_batch(
        points,
        errors,
        np.stack([selection.mask for selection in chosen]),
        None if omegas[0] is None else np.array(omegas, dtype=np.float64),
        start,
        per_round=per_round,
    )


def _candidate(selection: Selection, fit: BatchFit, i: int, per_round: bool) -> Candidate:
    from scipy.special import gammaincc

    chi2 = float(fit.chi2[i])
    p_value = float(gammaincc(selection.dof / 2, chi2 / 2))
    p_th, inverse_nu = float(fit.p_th[i]), float(fit.inverse_nu[i])
    errors = np.sqrt(np.maximum(np.diagonal(fit.covariance[i]), 0))
    summary = ScalingFit(
        min_distance=selection.min_distance,
        window=selection.window,
        correction_exponent=selection.omega,
        threshold=p_th,
        threshold_error=float(errors[0]),
        nu=1 / inverse_nu,
        nu_error=float(errors[1]) / inverse_nu**2,
        chi2=chi2,
        dof=selection.dof,
        p_value=p_value,
        weight=0.0,
    )
    coefficients = tuple(float(value) for value in fit.coefficients[i])
    return Candidate(selection, p_th, inverse_nu, coefficients, chi2, p_value, fit.rate[i], per_round, summary)


def evaluate(
    points: Points,
    chosen: Sequence[Selection],
    crossing: float,
    *,
    per_round: bool,
    inside_only: bool = True,
) -> list[Candidate]:
    """Fits every selection; keeps those whose search came to rest, with curves that rise through a crossing.

    Args:
        points: The points to choose from.
        chosen: What to fit.
        crossing: Where the search begins.
        per_round: Whether rates are per round.
        inside_only: Whether the threshold must lie inside the window of its fit.

    Raises:
        NoThresholdError: No fit is left.
    """
    found: list[Candidate | None] = [None] * len(chosen)
    for part in _by_law(chosen):
        these = [chosen[i] for i in part]
        start = (np.full(len(part), crossing), np.full(len(part), START_EXPONENT))
        errors = np.broadcast_to(points.errors, (len(part), len(points)))
        fit = _fit_all(points, errors, these, start, per_round)
        for j, i in enumerate(part):
            low, high = chosen[i].window
            if not fit.converged[j] or fit.coefficients[j, 1] <= 0:
                continue
            if low < fit.p_th[j] < high or not inside_only:
                found[i] = _candidate(chosen[i], fit, j, per_round)
    kept = [candidate for candidate in found if candidate is not None]
    if not kept:
        raise NoThresholdError(
            "the curves cross, but no fit of the scaling law puts the threshold inside the sampled error "
            "rates: sample more rates on both sides of the crossing, or take more shots"
        )
    return kept


def _weights(candidates: Sequence[Candidate], num_points: int) -> NDArray[np.float64]:
    """The share of each fit in the average; the shares add up to 1.

    All values of 1/mu have the same prior weight, and so has the law without a correction: it is the limit of a
    correction that decays at once. A code with boundaries has one, so doubt should not favour the plain law.
    """
    criterion = []
    for candidate in candidates:
        selection = candidate.selection
        k, used = selection.num_parameters, int(selection.mask.sum())
        score = candidate.chi2 + 2 * k * used / (used - k - 1) + 2 * (num_points - used)
        criterion.append(score)
    score_array = np.array(criterion)
    weights = np.exp(-(score_array - score_array.min()) / 2)
    return np.asarray(weights / weights.sum())


def _stretch(candidate: Candidate, acceptable: bool) -> float:
    if acceptable:
        return 1.0
    return max(1.0, math.sqrt(candidate.chi2 / candidate.selection.dof))


def _resample(
    points: Points, drawn: Sequence[Candidate], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[NDArray[np.float64]]]:
    """Refits errors drawn from each candidate's own law: p_th, nu and coefficients by replicate."""
    rates = np.clip(np.stack([candidate.rate for candidate in drawn]), 0, 1)
    errors = rng.binomial(points.shots.astype(np.int64), rates).astype(np.float64)
    p_th, nu = np.empty(len(drawn)), np.empty(len(drawn))
    coefficients: list[NDArray[np.float64]] = [np.empty(0)] * len(drawn)
    for part in _by_law([candidate.selection for candidate in drawn]):
        these = [drawn[i] for i in part]
        start = (np.array([c.p_th for c in these]), np.array([c.inverse_nu for c in these]))
        chosen = [c.selection for c in these]
        fit = _fit_all(points, errors[part], chosen, start, these[0].per_round)
        p_th[part], nu[part] = fit.p_th, 1 / fit.inverse_nu
        for j, i in enumerate(part):
            coefficients[i] = fit.coefficients[j]
    return p_th, nu, coefficients


def _shares(weights: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Splits `total` resamplings in proportion to the weights, by largest remainders."""
    exact = weights * total
    shares = np.floor(exact).astype(np.int64)
    rest = total - int(shares.sum())
    shares[np.argsort(shares - exact, kind="stable")[:rest]] += 1
    return shares


def _mu(candidates: Sequence[Candidate], weights: NDArray[np.float64], confidence: float) -> Estimate | None:
    """mu of the corrected fits: its weighted mean and quantiles over the exponents that were tried."""
    corrected = [i for i, c in enumerate(candidates) if c.selection.omega is not None]
    if not corrected:
        return None
    mus = np.array([1 / (candidates[i].selection.omega or math.nan) for i in corrected])
    share = weights[corrected] / weights[corrected].sum()
    order = np.argsort(mus)
    cumulative = np.cumsum(share[order])
    tails = (1 - confidence) / 2, 1 - (1 - confidence) / 2
    low, high = (mus[order][min(int(np.searchsorted(cumulative, t)), len(mus) - 1)] for t in tails)
    return Estimate(float(share @ mus), float(low), float(high), confidence)


def average(
    points: Points, candidates: Sequence[Candidate], *, confidence: float, num_bootstrap: int, seed: int
) -> Averaged:
    """Weighs the fits and reads the intervals from their bootstrap distributions."""
    acceptable = [c for c in candidates if c.p_value >= ACCEPTED_P_VALUE]
    pool = acceptable or list(candidates)
    weights = _weights(pool, len(points))
    best = pool[int(np.argmax(weights))]
    rng = np.random.default_rng(seed)
    tails = [(1 - confidence) / 2, 1 - (1 - confidence) / 2]
    drawn = [c for c, n in zip(pool, _shares(weights, num_bootstrap), strict=True) for _ in range(n)]
    p_th, nu, _ = _resample(points, drawn, rng)
    stretch = np.array([_stretch(c, bool(acceptable)) for c in drawn])
    centres = np.array([c.p_th for c in drawn])
    nu_centres = np.array([1 / c.inverse_nu for c in drawn])
    p_moves, nu_moves = (p_th - centres) * stretch, (nu - nu_centres) * stretch

    def mean(values: Sequence[float]) -> float:
        return float(weights @ np.array(values))

    value = mean([c.p_th for c in pool])
    # A resampled fit may run away; what it says then is that the data leave the end of the interval open.
    low, high = np.quantile(np.clip(centres + p_moves, 0, 1), tails)
    nu_low, nu_high = np.quantile(nu_centres + nu_moves, tails)
    alone, _, samples = _resample(points, [best] * NUM_BEST_SAMPLES, rng)
    within = best.p_th + _stretch(best, bool(acceptable)) * np.quantile(alone - best.p_th, tails)
    spread = np.quantile(np.stack(samples), tails, axis=0)
    summaries = [replace(c.summary, weight=float(w)) for c, w in zip(pool, weights, strict=True)]
    return Averaged(
        threshold=Estimate(value, float(low), float(high), confidence),
        exponent=Estimate(mean([1 / c.inverse_nu for c in pool]), float(nu_low), float(nu_high), confidence),
        mu=_mu(pool, weights, confidence),
        best=best,
        coefficient_intervals={name: (float(a), float(b)) for name, a, b in zip("ABCD", *spread, strict=False)},
        statistical_interval=(float(within[0]), float(within[1])),
        systematic_spread=math.sqrt(mean([(c.p_th - value) ** 2 for c in pool])),
        correction_weight=mean([float(c.selection.omega is not None) for c in pool]),
        acceptable=bool(acceptable),
        summaries=tuple(sorted(summaries, key=lambda fit: -fit.weight)),
    )
