"""The suppression factor Lambda from rates that plain sampling cannot reach: a weighted line through their logarithms.

The law is that of `fit_lambda`, c Lambda^(-(d+1)/2). There are no counts here whose likelihood could be used, but
intervals, whose logarithms are the errors. They can be so narrow that no simple law fits them; then every distance is
given the same further error, just large enough (DerSimonian and Laird 1986), so that the narrowest does not decide.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from quell.errors import DataError, NoThresholdError
from quell.qec.analysis.averaging import ACCEPTED_P_VALUE
from quell.qec.analysis.intervals import Estimate, check_confidence, normal_quantile
from quell.qec.analysis.points import group_stats
from quell.qec.analysis.suppression import LambdaFit, LambdaPair
from quell.qec.rare_events.estimate import RareEstimate
from quell.qec.rare_events.points import RarePoint, best_estimates, rare_points

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["fit_rare_lambdas"]

# Of a logarithm: an error rate whose strata were all counted out still has the rounding of its sum.
_LEAST_ERROR = 1e-6


@dataclass(frozen=True)
class _Line:
    """A weighted line y = offset - slope x, with the standard errors of both."""

    slope: float
    offset: float
    slope_error: float
    offset_error: float
    chi2: float

    @staticmethod
    def through(x: NDArray[np.float64], y: NDArray[np.float64], error: NDArray[np.float64]) -> _Line:
        weight = error**-2.0
        total = weight.sum()
        centre = (weight * x).sum() / total
        spread = (weight * (x - centre) ** 2).sum()
        slope = -(weight * (x - centre) * y).sum() / spread
        offset = (weight * y).sum() / total + slope * centre
        chi2 = (((y - offset + slope * x) / error) ** 2).sum()
        errors = math.sqrt(1 / spread), math.sqrt(1 / total + centre**2 / spread)
        return _Line(float(slope), float(offset), *errors, float(chi2))


def fit_rare_lambdas(
    estimates: Iterable[RareEstimate],
    *,
    per: Literal["round", "shot"] = "round",
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
    ignore: Sequence[str] = (),
) -> list[LambdaFit]:
    """Fits the suppression factor at every physical error rate, lowest first.

    Where three or more distances do not follow the law (p-value below 0.05), a further error is added to all of them
    until chi2 is the number of degrees of freedom, and the interval is Student's; a warning says how large it is.
    Fits at several error rates are not independent if one run served a whole curve.

    Args:
        estimates: Of one group; where a task has several, the narrowest interval is used.
        per: Rates per round need `r` or `rounds` in the metadata; rates per shot need the same number of
            rounds at all distances.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        confidence: How often the intervals should hold the truth.
        ignore: Metadata keys that do not set groups apart.

    Returns:
        One fit for each error rate with two distances or more. What has no interval, or only an upper limit, is left
        out, and a warning says so.

    Raises:
        NoThresholdError: No error rate has two distances with intervals.
        DataError: The estimates mix groups, metadata is missing, or the rounds cannot be compared.
        InputError: An argument is out of range.

    Examples:
        >>> from quell.qec import Estimate, RareEstimate, fit_rare_lambdas
        >>> estimates = [
        ...     RareEstimate(f"{d}", "any", {"d": d, "p": 1e-4, "r": 1}, "strata", Estimate(q, 0.9 * q, 1.11 * q))
        ...     for d, q in [(5, 4e-8), (7, 4e-10), (9, 4e-12)]
        ... ]
        >>> [fit] = fit_rare_lambdas(estimates)
        >>> print(fit)
        Lambda 100.0 [92.8, 107.7] (95 %) at p=0.0001, per round
    """
    confidence = check_confidence(confidence)
    rows = best_estimates(estimates)
    if not rows:
        raise DataError("there are no estimates: the list is empty")
    groups = group_stats(rows, distance_key=distance_key, p_key=p_key, ignore=ignore)
    if len(groups) > 1:
        raise DataError(
            f"the estimates mix {len(groups)} groups: {'; '.join(groups)}. "
            "Fit each part of group_stats(estimates), or name keys that do not matter with ignore="
        )
    [group] = groups
    points = rare_points(rows, per=per, distance_key=distance_key, p_key=p_key)
    if per == "shot":
        _check_same_rounds(rows)
    fits, refusal = [], None
    for p in sorted({point.p for point in points}):
        try:
            fits.append(_fit([point for point in points if point.p == p], per, confidence, group))
        except NoThresholdError as error:
            refusal = error
    if refusal is not None and not fits:
        raise refusal
    return fits


def _check_same_rounds(rows: list[RareEstimate]) -> None:
    rounds = {(row.json_metadata or {}).get("r", (row.json_metadata or {}).get("rounds")) for row in rows}
    if len(rounds) > 1:
        raise DataError(
            f"rates per shot cannot be compared between different numbers of rounds "
            f"({', '.join(sorted(map(str, rounds)))}): use per='round'"
        )


def _fit(points: list[RarePoint], per: str, confidence: float, group: str) -> LambdaFit:
    p = points[0].p
    used = [point for point in points if point.source.trusted and point.rate.low > 0]
    warnings = _left_out(points)
    if len(used) < 2:
        raise NoThresholdError(
            f"Lambda needs intervals at two distances or more, got {len(used)} of {len(points)} at p={p:g}: "
            "let the runs go on, or add smaller distances"
        )
    x = np.array([(point.distance + 1) / 2 for point in used])
    y = np.log([point.rate.value for point in used])
    errors = np.array([_log_error(point.rate) for point in used])
    line = _Line.through(x, y, errors)
    dof = len(used) - 2
    chi2, p_value = line.chi2, math.nan
    quantile = normal_quantile(confidence)
    if dof:
        from scipy.special import gammaincc, stdtrit

        p_value = float(gammaincc(dof / 2, chi2 / 2))
        if p_value < ACCEPTED_P_VALUE:
            further = _further_error(x, y, errors)
            line = _Line.through(x, y, np.hypot(errors, further))
            quantile = float(stdtrit(dof, 0.5 + confidence / 2))
            warnings.append(
                f"the rates do not fall by one factor (p-value {p_value:.2g}): see the pairs, or leave out the "
                f"smallest distance; every rate was given a further error of {further:.2g} of itself"
            )
    if y[-1] >= y[0]:
        warnings.append("no suppression: the error rate does not fall with the distance")
    return LambdaFit(
        factor=_estimate(line.slope, quantile * line.slope_error, confidence),
        prefactor=_estimate(line.offset, quantile * line.offset_error, confidence),
        pairs=tuple(_pair(*two, confidence) for two in itertools.pairwise(used)),
        p=p,
        per=per,
        distances=tuple(point.distance for point in used),
        rates=tuple(point.rate for point in used),
        chi2_per_dof=chi2 / dof if dof else math.nan,
        p_value=p_value,
        group=group,
        warnings=tuple(warnings),
    )


def _left_out(points: list[RarePoint]) -> list[str]:
    untrusted = [f"d={point.distance:g}" for point in points if not point.source.trusted]
    limits = [f"d={point.distance:g}" for point in points if point.source.trusted and not point.rate.low > 0]
    return [
        *([f"{', '.join(untrusted)} left out: no interval"] if untrusted else []),
        *([f"{', '.join(limits)} left out: only an upper limit is known; let the run go on"] if limits else []),
    ]


def _log_error(rate: Estimate) -> float:
    """The standard error of the logarithm, from the longer side of the interval."""
    longer = max(rate.high / rate.value, rate.value / rate.low)
    return max(_LEAST_ERROR, math.log(longer) / normal_quantile(rate.confidence))


def _further_error(x: NDArray[np.float64], y: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """The error that, added to all, makes chi2 the number of degrees of freedom."""
    low, high = 0.0, float(np.ptp(y)) + float(errors.max())
    for _ in range(60):
        middle = (low + high) / 2
        if _Line.through(x, y, np.hypot(errors, middle)).chi2 > len(x) - 2:
            low = middle
        else:
            high = middle
    return high


def _estimate(log_value: float, error: float, confidence: float) -> Estimate:
    return Estimate(math.exp(log_value), math.exp(log_value - error), math.exp(log_value + error), confidence)


def _pair(small: RarePoint, large: RarePoint, confidence: float) -> LambdaPair:
    power = 2 / (large.distance - small.distance)
    log_factor = power * math.log(small.rate.value / large.rate.value)
    error = power * math.hypot(_log_error(small.rate), _log_error(large.rate))
    factor = _estimate(log_factor, normal_quantile(confidence) * error, confidence)
    return LambdaPair((small.distance, large.distance), factor)
