"""The threshold of a code family from a sweep over distances and physical error rates.

Finite-size scaling after Wang, Harrington and Preskill (quant-ph/0207088), averaged over the choices a person
would make by hand (window, smallest distance, correction) with the weights of Jay and Neil
(arXiv:2008.01069), so that the interval holds the systematic error of those choices as well.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quell.errors import InputError, NoThresholdError, check_integer
from quell.qec.analysis.averaging import Averaged, average, evaluate
from quell.qec.analysis.intervals import Estimate, check_confidence
from quell.qec.analysis.points import Points, read_points
from quell.qec.analysis.threshold_fit import ScalingFit, ThresholdFit
from quell.qec.analysis.windows import check_crossing, check_window, selections, usable_points

if TYPE_CHECKING:
    import sinter

__all__ = ["fit_threshold"]

# 1/mu: an open boundary is felt as 1/d, and the correction may decay up to twice as slowly or as fast.
CORRECTION_EXPONENTS = (0.5, 2**-0.5, 1.0, 2**0.5, 2.0)
# The plain law's threshold has drifted when it moved by this many standard errors.
DRIFT_SIGNIFICANCE = 3.0


def fit_threshold(
    stats: Iterable[sinter.TaskStats],
    *,
    distance_key: str = "d",
    p_key: str = "p",
    per: Literal["shot", "round"] = "shot",
    window: Literal["auto"] | tuple[float, float] = "auto",
    min_distance: Literal["auto"] | int = "auto",
    correction: Literal["auto"] | bool = "auto",
    correction_exponents: Sequence[float] = CORRECTION_EXPONENTS,
    confidence: float = 0.95,
    num_bootstrap: int = 1000,
    seed: int = 0,
    ignore: Sequence[str] = (),
) -> ThresholdFit:
    """Fits the threshold of one family of codes under one noise model and decoder.

    The law is P = A + B x + C x^2 (+ D d^(-1/mu)) with x = (p - p_th) d^(1/nu), fitted by maximum likelihood.
    The rule for what is chosen: every nested window of at least four error rates around the crossing, every
    smallest distance that leaves three distances, and the law without and with the correction (at each 1/mu
    in `correction_exponents`) is fitted. Fits with a chi-square p-value below 0.05 are set aside unless none
    passes, in which case errors are stretched by sqrt(chi2/dof). The rest get the weight
    exp(-(chi2 + 2 k n/(n - k - 1) + 2 m)/2) for k parameters, n points used and m points left out. The law
    without the correction, which is the limit of one that decays at once, counts as one more value of 1/mu.
    Threshold and exponent are the weighted means, and the interval is read from the weighted bootstrap
    distributions of all these fits: it holds the statistical error and the systematic spread together.

    Args:
        stats: Rows as sinter reads them; rows of one task are added up.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        per: Which rate is fitted. Rates per round suit only rounds that do not grow with the distance.
        window: "auto", or the range of error rates to use, not varied.
        min_distance: "auto", or the smallest distance to use, not varied.
        correction: "auto" for both laws, or only the law with (True) or without (False) the correction.
        correction_exponents: The values of 1/mu to average over, between 0 and 20.
        confidence: How often the intervals should hold the truth.
        num_bootstrap: Resamplings of the errors, at least 100.
        seed: Seed of the resampling.
        ignore: Metadata keys that do not set groups apart.

    Returns:
        The threshold, the exponent and everything they were made from.

    Raises:
        NoThresholdError: The data holds no crossing that can be told from noise; the message says what to do.
        DataError: The rows mix groups, or metadata is missing.
        InputError: An argument is out of range.

    Examples:
        >>> from quell.qec.analysis import fit_threshold, sample_scaling_law
        >>> rows = sample_scaling_law(
        ...     threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 7, 9, 11],
        ...     ps=[0.09, 0.095, 0.1, 0.105, 0.11], shots=100_000, seed=1)
        >>> fit = fit_threshold(rows, correction=False)
        >>> 0.099 < fit.threshold.low < 0.1 < fit.threshold.high < 0.101
        True
    """
    confidence = check_confidence(confidence)
    check_integer("num_bootstrap", num_bootstrap, minimum=100)
    omegas = _laws(correction, correction_exponents)
    limits = None if window == "auto" else check_window(window)
    smallest = None if min_distance == "auto" else check_integer("min_distance", min_distance, minimum=1)
    points = read_points(stats, distance_key=distance_key, p_key=p_key, ignore=ignore)
    warnings = _check_per(points, per)
    points = usable_points(points, limits, smallest)
    crossing = check_crossing(points, per == "round")
    chosen = selections(points, crossing, omegas=omegas, vary_window=limits is None, vary_distance=smallest is None)
    candidates = evaluate(points, chosen, crossing, per_round=per == "round")
    averaged = average(points, candidates, confidence=confidence, num_bootstrap=num_bootstrap, seed=seed)
    drift = drift_table(points, crossing, per_round=per == "round")
    warnings += _warnings(averaged, drift, points)
    return _report(points, averaged, drift, warnings, per)


def _laws(correction: object, exponents: Sequence[float]) -> list[float | None]:
    """The corrections to fit: None for the law without one, and 1/mu of the others."""
    if correction not in ("auto", True, False):
        raise InputError(f"correction must be 'auto', True or False, got {correction!r}")
    if correction is False:
        return [None]
    if isinstance(exponents, str) or not len(exponents) or not all(0 < power < 20 for power in exponents):
        raise InputError(f"correction_exponents must be numbers between 0 and 20, got {exponents!r}")
    plain: list[float | None] = [None] if correction == "auto" else []
    return plain + [float(power) for power in exponents]


def _check_per(points: Points, per: str) -> list[str]:
    if per not in ("shot", "round"):
        raise InputError(f"per must be 'shot' or 'round', got {per!r}")
    if per == "shot":
        return []
    if np.isnan(points.rounds).any():
        raise InputError("per='round' needs 'r' or 'rounds' in the metadata of every task: use per='shot'")
    if len(np.unique(points.rounds)) == 1:
        return []
    return [
        "rounds differ between points: rates per round then fall with the distance even at the "
        "threshold, which shifts their crossing; use per='shot'"
    ]


def drift_table(points: Points, crossing: float, *, per_round: bool) -> tuple[ScalingFit, ...]:
    """The plain law and the law with a 1/d correction at each smallest distance, over all error rates."""
    chosen = selections(points, crossing, omegas=[None, 1.0], vary_window=False, vary_distance=True)
    try:
        fits = evaluate(points, chosen, crossing, per_round=per_round, inside_only=False)
    except NoThresholdError:
        return ()
    return tuple(candidate.summary for candidate in fits)


def _drift_warning(drift: Sequence[ScalingFit]) -> list[str]:
    plain = [fit for fit in drift if fit.correction_exponent is None]
    if len(plain) < 2:
        return []
    first = plain[0]
    worst, most = first, 0.0
    for fit in plain[1:]:
        # The fits share points, so the error of the difference is the difference of the squared errors.
        error = math.sqrt(max(fit.threshold_error**2 - first.threshold_error**2, 1e-30))
        moved = abs(fit.threshold - first.threshold) / error
        if moved > most:
            worst, most = fit, moved
    if most < DRIFT_SIGNIFICANCE:
        return []
    return [
        f"finite-size drift: without a correction the threshold moves from {first.threshold:.5g} "
        f"(d >= {first.min_distance:g}) to {worst.threshold:.5g} (d >= {worst.min_distance:g}), "
        f"{most:.1f} times its statistical error; larger distances would settle it"
    ]


def _warnings(averaged: Averaged, drift: Sequence[ScalingFit], points: Points) -> list[str]:
    found = _drift_warning(drift)
    if not averaged.acceptable:
        found.append(
            "no fit has a chi-square p-value of 0.05: the scaling law does not describe the data, and "
            "errors are stretched by sqrt(chi2/dof); sample closer to the crossing, or larger distances"
        )
    corrected = [fit for fit in averaged.summaries if fit.correction_exponent is not None]
    slowest = min((fit.correction_exponent or 0.0 for fit in corrected), default=0.0)
    share = sum(fit.weight for fit in corrected if fit.correction_exponent == slowest)
    if share > 0.5 and len({fit.correction_exponent for fit in corrected}) > 1:
        found.append(
            f"the data favour the slowest correction that was tried, d^-{slowest:.3g}: the threshold may "
            "lie beyond the interval in the direction of the drift; larger distances would settle it"
        )
    found_low, found_high = averaged.threshold.low, averaged.threshold.high
    if found_low < points.p.min() or found_high > points.p.max():
        found.append(
            f"the interval reaches beyond the sampled error rates, {points.p.min():g} to {points.p.max():g}: the law "
            f"is extrapolated there; take more shots, or sample further out"
        )
    if len(np.unique(points.distance)) == 3:
        found.append("three distances can hardly show a drift with distance: a fourth, larger one would")
    return found


def _report(
    points: Points, averaged: Averaged, drift: tuple[ScalingFit, ...], warnings: Sequence[str], per: str
) -> ThresholdFit:
    best = averaged.best
    used = points.keep(best.selection.mask)
    names: dict[str, Any] = {
        "window": best.selection.window,
        "distances": tuple(int(d) if d == int(d) else float(d) for d in np.unique(used.distance)),
        "num_points": len(used),
    }
    values = dict(zip("ABCD", best.coefficients, strict=False))
    coefficients = {
        name: Estimate(value, *averaged.coefficient_intervals[name], averaged.threshold.confidence)
        for name, value in values.items()
    }
    if averaged.mu is not None and best.selection.omega is not None:
        coefficients["mu"] = averaged.mu
    return ThresholdFit(
        threshold=averaged.threshold,
        exponent=averaged.exponent,
        coefficients=coefficients,
        chi2_per_dof=best.chi2 / best.selection.dof,
        p_value=best.p_value,
        statistical_interval=averaged.statistical_interval,
        systematic_spread=averaged.systematic_spread,
        correction_weight=averaged.correction_weight,
        per="round" if per == "round" else "shot",
        group=points.group,
        fits=averaged.summaries,
        drift=drift,
        warnings=tuple(warnings),
        **names,
    )
