"""What a threshold fit reports: the threshold with its interval, and every fit that went into it.

Nothing here computes; `fit_threshold` fills these in. The tables are there so that a threshold which moves
with the smallest distance can be seen to move.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quell.qec.analysis.intervals import Estimate, normal_quantile

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ScalingFit", "ThresholdFit"]


@dataclass(frozen=True)
class ScalingFit:
    """One fit of the scaling law to one choice of points.

    Attributes:
        min_distance: Smallest distance used.
        window: Lowest and highest physical error rate used.
        correction_exponent: 1/mu of the term D d^(-1/mu), or None without that term.
        threshold: p_th.
        threshold_error: Its standard error, from the curvature of the likelihood.
        nu: Critical exponent.
        nu_error: Its standard error.
        chi2: Pearson's chi-square.
        dof: Degrees of freedom.
        p_value: Probability of a larger chi-square if the law holds.
        weight: Share in the average; 0 in tables that are not averaged.
    """

    min_distance: float
    window: tuple[float, float]
    correction_exponent: float | None
    threshold: float
    threshold_error: float
    nu: float
    nu_error: float
    chi2: float
    dof: int
    p_value: float
    weight: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Returns the fit as JSON has it; its intervals are statistical only, of 95 % from the standard errors."""
        return {
            "min_distance": self.min_distance,
            "window": list(self.window),
            "correction_exponent": self.correction_exponent,
            "threshold": _from_standard_error(self.threshold, self.threshold_error).to_json(),
            "exponent": _from_standard_error(self.nu, self.nu_error).to_json(),
            "chi2_per_dof": self.chi2 / self.dof,
            "p_value": self.p_value,
            "weight": self.weight,
        }


def _from_standard_error(value: float, error: float) -> Estimate:
    reach = normal_quantile(0.95) * error if math.isfinite(error) else math.inf
    return Estimate(value, value - reach, value + reach)


@dataclass(frozen=True)
class ThresholdFit:
    """A threshold, with the fits it was averaged from.

    Attributes:
        threshold: p_th; the interval holds statistical error and systematic spread.
        exponent: The critical exponent nu, likewise.
        coefficients: A, B, C and, if the best fit has a correction, D and mu. They belong to the best fit,
            and the intervals of A to D are statistical only.
        chi2_per_dof: Of the best fit.
        p_value: Of the best fit.
        window: Lowest and highest physical error rate of the best fit.
        distances: Distances of the best fit.
        num_points: Points of the best fit.
        statistical_interval: That of the best fit alone, without any doubt about window and correction.
        systematic_spread: Weighted standard deviation of the threshold among the fits.
        correction_weight: Share of the fits with a correction in the average, between 0 and 1.
        per: Whether the rates are per "shot" or per "round".
        group: Decoder and metadata that all points share.
        fits: All fits that were averaged, heaviest first.
        drift: Fits over all error rates for each smallest distance, without a correction and with 1/d.
        warnings: What a reader of the number should know.
    """

    threshold: Estimate
    exponent: Estimate
    coefficients: dict[str, Estimate]
    chi2_per_dof: float
    p_value: float
    window: tuple[float, float]
    distances: tuple[float, ...]
    num_points: int
    statistical_interval: tuple[float, float]
    systematic_spread: float
    correction_weight: float
    per: str
    group: str
    fits: tuple[ScalingFit, ...]
    drift: tuple[ScalingFit, ...]
    warnings: tuple[str, ...]

    def scaled(self, distance: ArrayLike, p: ArrayLike) -> NDArray[np.float64]:
        """Returns x = (p - p_th) d^(1/nu) of the best fit, float64, broadcast over both arguments."""
        best = self.fits[0]
        shift = np.asarray(p, dtype=np.float64) - best.threshold
        return np.asarray(shift * np.asarray(distance, dtype=np.float64) ** (1 / best.nu))

    def correction(self, distance: ArrayLike) -> NDArray[np.float64]:
        """Returns D d^(-1/mu) of the best fit; zero where it has no correction."""
        d = np.asarray(distance, dtype=np.float64)
        power = self.fits[0].correction_exponent
        if power is None:
            return np.zeros_like(d)
        return np.asarray(self.coefficients["D"].value * d**-power)

    def predict(self, distance: ArrayLike, p: ArrayLike) -> NDArray[np.float64]:
        """Returns the logical error rate of the best fit, per shot or per round as `per` says.

        Args:
            distance: Code distances.
            p: Physical error rates, broadcast against the distances; the law holds inside `window`.
        """
        x = self.scaled(distance, p)
        a, b, c = (self.coefficients[name].value for name in "ABC")
        return np.asarray(a + b * x + c * x * x + self.correction(distance))

    def to_json(self) -> dict[str, Any]:
        """Returns the fit as JSON has it."""
        confidence = self.threshold.confidence
        return {
            "threshold": self.threshold.value,
            "interval": [self.threshold.low, self.threshold.high],
            "confidence": confidence,
            "exponent": self.exponent.to_json(),
            "chi2_per_dof": self.chi2_per_dof,
            "p_value": self.p_value,
            "coefficients": {name: estimate.to_json() for name, estimate in self.coefficients.items()},
            "statistical_interval": list(self.statistical_interval),
            "systematic_spread": self.systematic_spread,
            "correction_weight": self.correction_weight,
            "per": self.per,
            "group": self.group,
            "window": list(self.window),
            "distances": list(self.distances),
            "num_points": self.num_points,
            "fits": [fit.to_json() for fit in self.fits if fit.weight >= 0.01],
            "drift": [fit.to_json() for fit in self.drift],
            "warnings": list(self.warnings),
        }

    def table(self) -> str:
        """Returns how the threshold moves with the smallest distance and the correction, as aligned text."""
        heading = ("d >=", "correction", "threshold", "+-", "nu", "+-", "chi2/dof", "p-value")
        lines = [
            (
                f"{fit.min_distance:g}",
                "none" if fit.correction_exponent is None else f"d^-{fit.correction_exponent:g}",
                f"{fit.threshold:.5f}",
                f"{fit.threshold_error:.5f}",
                f"{fit.nu:.3f}",
                f"{fit.nu_error:.3f}",
                f"{fit.chi2 / fit.dof:.2f}",
                f"{fit.p_value:.3f}",
            )
            for fit in self.drift
        ]
        widths = [max(map(len, column)) for column in zip(heading, *lines, strict=True)]
        rows = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in (heading, *lines)]
        return "\n".join(rows)

    def __str__(self) -> str:
        """Returns the threshold with its interval, what it is made of, and the warnings."""
        percent = f"{100 * self.threshold.confidence:g} %"
        lines = [
            f"threshold {self.threshold} ({percent}), nu {self.exponent}, chi2/dof {self.chi2_per_dof:.2f}",
            f"averaged over {len(self.fits)} fits, which spread by {self.systematic_spread:.2g}; "
            f"{100 * self.correction_weight:.0f} % of the weight has a finite-size correction",
            f"heaviest of them: {Estimate(self.fits[0].threshold, *self.statistical_interval)}, statistical only, "
            f"d >= {self.fits[0].min_distance:g}, p from {self.fits[0].window[0]:g} to {self.fits[0].window[1]:g}, "
            f"{'without' if self.fits[0].correction_exponent is None else 'with'} a correction",
            *(f"warning: {warning}" for warning in self.warnings),
        ]
        return "\n".join(lines)
