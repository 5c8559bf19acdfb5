"""Where the curves of successive distances cross, which drifts towards the threshold as distances grow.

The difference of two curves is fitted by a parabola in p; the interval holds every p at which that difference
is within its own error of zero (Fieller 1954), so it opens up by itself where the curves hardly differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from quell.errors import InputError, NoThresholdError
from quell.qec.analysis.intervals import Estimate, normal_quantile
from quell.qec.analysis.points import Points, read_points
from quell.qec.analysis.windows import rates_with_errors

if TYPE_CHECKING:
    import sinter
    from numpy.typing import NDArray

__all__ = ["Crossing", "crossings"]

NUM_GRID = 4001
MIN_SHARED_RATES = 3


@dataclass(frozen=True)
class Crossing:
    """Where the curves of two distances cross.

    Attributes:
        distances: The smaller and the larger distance.
        p: The physical error rate of the crossing, or None where the sampled rates hold none.
    """

    distances: tuple[float, float]
    p: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """Returns the crossing as JSON has it."""
        return {"distances": list(self.distances), "p": None if self.p is None else self.p.to_json()}


def crossings(
    stats: Iterable[sinter.TaskStats],
    *,
    distance_key: str = "d",
    p_key: str = "p",
    per: Literal["shot", "round"] = "shot",
    confidence: float = 0.95,
    ignore: Sequence[str] = (),
) -> list[Crossing]:
    """Finds the crossing of each distance's curve with that of the next larger distance.

    Args:
        stats: Rows as sinter reads them.
        distance_key: Metadata key of the code distance.
        p_key: Metadata key of the physical error rate.
        per: Which rate is compared.
        confidence: How often the interval should hold the crossing. An interval that reaches the end of the
            sampled rates is open there.
        ignore: Metadata keys that do not set groups apart.

    Returns:
        One entry for each pair of successive distances, smallest first.

    Raises:
        NoThresholdError: Fewer than two distances share three error rates.
        DataError: The rows mix groups, or metadata is missing.

    Examples:
        >>> from quell.qec.analysis import crossings, sample_scaling_law
        >>> rows = sample_scaling_law(
        ...     threshold=0.1, nu=1.5, coefficients=(0.15, 1.0, 0.5), distances=[5, 9, 13],
        ...     ps=[0.09, 0.095, 0.1, 0.105, 0.11], shots=1_000_000, seed=1)
        >>> for crossing in crossings(rows):
        ...     print(crossing.distances, crossing.p)
        (5.0, 9.0) 0.09992 [0.09942, 0.10043]
        (9.0, 13.0) 0.10015 [0.09957, 0.10072]
    """
    z = normal_quantile(confidence)
    points = read_points(stats, distance_key=distance_key, p_key=p_key, ignore=ignore)
    if per not in ("shot", "round"):
        raise InputError(f"per must be 'shot' or 'round', got {per!r}")
    if per == "round" and np.isnan(points.rounds).any():
        raise InputError("per='round' needs 'r' or 'rounds' in the metadata of every task: use per='shot'")
    distances = np.unique(points.distance)
    found = []
    for small, large in itertools.pairwise(distances):
        shared = _difference(points, small, large, per == "round")
        if len(shared[0]) >= MIN_SHARED_RATES:
            found.append(Crossing((float(small), float(large)), _root(*shared, z, confidence)))
    if not found:
        raise NoThresholdError(
            f"no two successive distances share {MIN_SHARED_RATES} physical error rates: sample all "
            "distances at the same rates"
        )
    return found


def _difference(
    points: Points, small: float, large: float, per_round: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """At the error rates both distances have: the larger's rate less the smaller's, and its error."""
    rate, sigma = rates_with_errors(points, per_round)
    first, second = points.distance == small, points.distance == large
    shared, i, j = np.intersect1d(points.p[first], points.p[second], return_indices=True)
    change = rate[second][j] - rate[first][i]
    return shared, change, np.hypot(sigma[first][i], sigma[second][j])


def _root(
    p: NDArray[np.float64],
    change: NDArray[np.float64],
    sigma: NDArray[np.float64],
    z: float,
    confidence: float,
) -> Estimate | None:
    """The p at which the fitted difference turns from negative to positive."""
    degree = min(2, len(p) - 2)
    scale = float(np.ptp(p))
    design = np.vander((p - p.mean()) / scale, degree + 1) / sigma[:, None]
    covariance = np.linalg.pinv(design.T @ design)
    beta = covariance @ (design.T @ (change / sigma))
    grid = np.linspace(p[0], p[-1], NUM_GRID)
    basis = np.vander((grid - p.mean()) / scale, degree + 1)
    fitted = basis @ beta
    error = np.sqrt(np.einsum("gi,ij,gj->g", basis, covariance, basis))
    turns = np.flatnonzero((fitted[:-1] < 0) & (fitted[1:] >= 0))
    if not len(turns):
        return None
    # A parabola turns upward through zero at most once.
    at = int(turns[0])
    value = grid[at] - fitted[at] * (grid[at + 1] - grid[at]) / (fitted[at + 1] - fitted[at])
    possible = np.abs(fitted) <= z * error
    possible[at : at + 2] = True
    left, right = at, at + 1
    while left > 0 and possible[left - 1]:
        left -= 1
    while right < NUM_GRID - 1 and possible[right + 1]:
        right += 1
    return Estimate(float(value), float(grid[left]), float(grid[right]), confidence)
