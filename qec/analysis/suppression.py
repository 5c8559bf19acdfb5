"""How fast errors fall with distance below threshold: the suppression factor Lambda.

The error rate is c Lambda^(-(d+1)/2), so two more in distance divide it by Lambda (Google Quantum AI,
arXiv:2102.06132). The fit is by maximum binomial likelihood and the interval from the likelihood ratio, so a
distance at which no error was seen counts for what it says: that errors are rare there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quell.errors import DataError, InputError, NoThresholdError, check_probability
from quell.qec.analysis.averaging import ACCEPTED_P_VALUE
from quell.qec.analysis.intervals import Estimate, check_confidence, finite_or_none, normal_quantile
from quell.qec.analysis.points import Points, read_points
from quell.qec.analysis.suppression_likelihood import Likelihood

if TYPE_CHECKING:
    import sinter
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LambdaFit", "LambdaPair", "fit_lambda", "fit_lambdas"]


@dataclass(frozen=True)
class LambdaPair:
    """Lambda from two distances alone: (rate at the smaller / rate at the larger)^(2 / difference).

    Attributes:
        distances: The smaller and the larger distance.
        factor: Lambda; infinite, with a lower limit, where the larger distance saw no error.
    """

    distances: tuple[float, float]
    factor: Estimate

    def to_json(self) -> dict[str, Any]:
        """Returns the pair as JSON has it; infinity becomes null."""
        return {"distances": list(self.distances), "lambda": self.factor.to_json()}


@dataclass(frozen=True)
class LambdaFit:
    """The suppression factor at one physical error rate.

    Attributes:
        factor: Lambda: what two more in distance divide the error rate by.
        prefactor: c of the law c Lambda^(-(d+1)/2).
        pairs: Lambda between successive distances.
        p: Physical error rate, or None where the metadata has none.
        per: Whether the rates are per "round" or per "shot".
        distances: Distances used.
        rates: Error rate at each distance, with intervals.
        chi2_per_dof: Deviance over degrees of freedom; nan for two distances.
        p_value: Probability of a larger deviance if the law holds; nan for two distances.
        group: Decoder and metadata that all points share.
        warnings: What a reader of the number should know.
    """

    factor: Estimate
    prefactor: Estimate
    pairs: tuple[LambdaPair, ...]
    p: float | None
    per: str
    distances: tuple[float, ...]
    rates: tuple[Estimate, ...]
    chi2_per_dof: float
    p_value: float
    group: str
    warnings: tuple[str, ...]

    def predict(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Returns the error rate of the law at any distance, float64."""
        power = (np.asarray(distance, dtype=np.float64) + 1) / 2
        return np.asarray(self.prefactor.value * self.factor.value**-power)

    def to_json(self) -> dict[str, Any]:
        """Returns the fit as JSON has it."""
        return {
            "lambda": finite_or_none(self.factor.value),
            "interval": [finite_or_none(self.factor.low), finite_or_none(self.factor.high)],
            "confidence": self.factor.confidence,
            "prefactor": self.prefactor.to_json(),
            "chi2_per_dof": finite_or_none(self.chi2_per_dof),
            "p_value": finite_or_none(self.p_value),
            "p": self.p,
            "per": self.per,
            "group": self.group,
            "pairs": [pair.to_json() for pair in self.pairs],
            "rates": [{"d": d, **rate.to_json()} for d, rate in zip(self.distances, self.rates, strict=True)],
            "warnings": list(self.warnings),
        }

    def __str__(self) -> str:
        """Returns the factor with its interval, and the warnings."""
        at = "" if self.p is None else f" at p={self.p:g}"
        first = f"Lambda {self.factor} ({100 * self.factor.confidence:g} %){at}, per {self.per}"
        return "\n".join([first, *(f"warning: {warning}" for warning in self.warnings)])


def fit_lambda(
    stats: Iterable[sinter.TaskStats],
    *,
    p: float | None = None,
    per: Literal["round", "shot"] = "round",
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
    ignore: Sequence[str] = (),
) -> LambdaFit:
    """Fits the suppression factor at one physical error rate.

    The interval is that of the profile likelihood. Where three or more distances do not follow the law
    (p-value below 0.05) it is stretched by sqrt(chi2/dof), and a warning says so.

    Args:
        stats: Rows as sinter reads them.
        p: Which physical error rate to use; may be left out when there is only one, or none.
        per: Rates per round need `r` or `rounds` in the metadata; rates per shot need the same number of
            rounds at all distances.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        confidence: How often the intervals should hold the truth.
        ignore: Metadata keys that do not set groups apart.

    Raises:
        NoThresholdError: Fewer than two distances saw errors.
        DataError: The rows mix groups, metadata is missing, or the rounds cannot be compared.
        InputError: Several error rates and none chosen, or an argument out of range.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import fit_lambda
        >>> stats = [
        ...     sinter.TaskStats(strong_id=f"{d}", decoder="any", json_metadata={"d": d, "p": 0.002, "r": 10},
        ...                      shots=1_000_000, errors=errors)
        ...     for d, errors in [(3, 9_000), (5, 1_000), (7, 111)]
        ... ]
        >>> print(fit_lambda(stats))
        Lambda 9.06 [8.58, 9.57] (95 %) at p=0.002, per round
    """
    points = _read(stats, per, distance_key, p_key, ignore)
    rates = np.unique(points.p[~np.isnan(points.p)])
    if p is not None:
        wanted = check_probability("p", p)
        if wanted not in rates:
            shown = ", ".join(f"{rate:g}" for rate in rates) or "none"
            raise InputError(f"p must be one of the sampled error rates ({shown}), got {p:g}")
        points = points.keep(points.p == wanted)
    elif len(rates) > 1:
        shown = ", ".join(f"{rate:g}" for rate in rates)
        raise InputError(f"the statistics hold several error rates ({shown}): choose one with p=, or fit_lambdas")
    return _fit(points, per, check_confidence(confidence))


def fit_lambdas(
    stats: Iterable[sinter.TaskStats],
    *,
    per: Literal["round", "shot"] = "round",
    distance_key: str = "d",
    p_key: str = "p",
    confidence: float = 0.95,
    ignore: Sequence[str] = (),
) -> list[LambdaFit]:
    """Fits the suppression factor at every physical error rate, lowest first.

    Error rates at which fewer than two distances saw errors are left out; the arguments are those of
    `fit_lambda`.

    Raises:
        NoThresholdError: No error rate is left.
        DataError: The rows mix groups, metadata is missing, or the rounds cannot be compared.
        InputError: An argument is out of range.

    Examples:
        >>> import sinter
        >>> from quell.qec.analysis import fit_lambdas
        >>> stats = [
        ...     sinter.TaskStats(strong_id=f"{d}{p}", decoder="any", json_metadata={"d": d, "p": p, "r": 1},
        ...                      shots=100_000, errors=errors)
        ...     for d, p, errors in [(3, 0.01, 900), (5, 0.01, 300), (3, 0.02, 1600), (5, 0.02, 1000)]
        ... ]
        >>> for fit in fit_lambdas(stats):
        ...     print(fit)
        Lambda 3.00 [2.64, 3.42] (95 %) at p=0.01, per round
        Lambda 1.60 [1.48, 1.73] (95 %) at p=0.02, per round
    """
    confidence = check_confidence(confidence)
    points = _read(stats, per, distance_key, p_key, ignore)
    fits, refusal = [], None
    for p in np.unique(points.p):
        here = points.keep(np.isnan(points.p) if math.isnan(p) else points.p == p)
        try:
            fits.append(_fit(here, per, confidence))
        except NoThresholdError as error:
            refusal = error
    if refusal is not None and not fits:
        raise refusal
    return fits


def _read(stats: Iterable[sinter.TaskStats], per: str, distance_key: str, p_key: str, ignore: Sequence[str]) -> Points:
    if per not in ("shot", "round"):
        raise InputError(f"per must be 'shot' or 'round', got {per!r}")
    points = read_points(stats, distance_key=distance_key, p_key=p_key, ignore=ignore, need_p=False)
    if per == "round" and np.isnan(points.rounds).any():
        raise DataError("rates per round need 'r' or 'rounds' in the metadata of every task: or use per='shot'")
    if per == "shot" and len(np.unique(points.rounds)) > 1:
        shown = ", ".join(f"{rounds:g}" for rounds in np.unique(points.rounds))
        raise DataError(
            f"rates per shot cannot be compared between different numbers of rounds ({shown}): use per='round'"
        )
    return points


def _fit(points: Points, per: str, confidence: float) -> LambdaFit:
    from scipy.special import gammaincc

    seen = points.errors > 0
    p = None if math.isnan(points.p[0]) else float(points.p[0])
    at = "" if p is None else f" at p={p:g}"
    if seen.sum() < 2:
        raise NoThresholdError(
            f"Lambda needs errors at two distances or more, got errors at {int(seen.sum())} of {len(points)} "
            f"distances{at}: take more shots, or add smaller distances"
        )
    shot_rate = points.errors / points.shots
    saturated = shot_rate + 2 * np.sqrt(shot_rate / points.shots) >= 0.5
    if saturated.any():
        raise NoThresholdError(
            f"Lambda says nothing where shots are as good as random: the error rate per shot is {shot_rate.max():.3g} "
            f"at d={points.distance[saturated][0]:g}{at}; take lower error rates or fewer rounds"
        )
    likelihood = Likelihood(points, per == "round")
    slope, offset = likelihood.best()
    dof = len(points) - 2
    chi2 = likelihood.deviance(slope, offset)
    p_value = float(gammaincc(dof / 2, chi2 / 2)) if dof else math.nan
    poor = dof > 0 and p_value < ACCEPTED_P_VALUE
    stretch = max(1.0, chi2 / dof) if poor else 1.0
    rise = normal_quantile(confidence) ** 2 * stretch
    low, high = likelihood.slope_interval(rise)
    least, most = likelihood.offset_interval(rise)
    warnings = []
    if poor:
        warnings.append(
            f"the rates do not fall by one factor (p-value {p_value:.2g}): see the pairs, or leave out "
            "the smallest distance; the interval is stretched by sqrt(chi2/dof)"
        )
    if shot_rate[-1] >= shot_rate[0]:
        warnings.append(
            f"no suppression: the error rate per shot rises with the distance, from {shot_rate[0]:.3g} to "
            f"{shot_rate[-1]:.3g}; this is above the threshold, where a rate per round still falls if the rounds grow"
        )
    return LambdaFit(
        factor=Estimate(math.exp(slope), math.exp(low), math.exp(high), confidence),
        prefactor=Estimate(math.exp(offset), math.exp(least), math.exp(most), confidence),
        pairs=tuple(_pairs(points, per, confidence)),
        p=p,
        per=per,
        distances=tuple(float(d) for d in points.distance),
        rates=likelihood.rates(confidence),
        chi2_per_dof=chi2 / dof if dof else math.nan,
        p_value=p_value,
        group=points.group,
        warnings=tuple(warnings),
    )


def _pairs(points: Points, per: str, confidence: float) -> list[LambdaPair]:
    pairs = []
    for i in range(len(points) - 1):
        mask = np.zeros(len(points), dtype=bool)
        mask[i : i + 2] = True
        two = points.keep(mask)
        if not two.errors.any():
            continue
        distances = (float(two.distance[0]), float(two.distance[1]))
        pairs.append(LambdaPair(distances, Likelihood(two, per == "round").ratio(confidence)))
    return pairs
