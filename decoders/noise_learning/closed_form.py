"""Rates of all faults in closed form, from parities of their detectors and of subsets of these.

For a set A of detectors let z be the mean of (-1)^(number of its events), and y = -log z. Independent faults of rates w
make y the sum of the w of those that flip an odd number of A's detectors. Summed over the subsets A of a fault's
detectors S with the signs (-1)^(|A|+1), and divided by 2^(|S|-1), y gives the rates of all faults that flip all of S
together; take away those of the larger ones, and S's own is left. For two detectors this is the p_ij of Google Quantum
AI, Nature 595, 383 (2021), for one it is the boundary, for more the hyperedges.
"""

import dataclasses
import functools

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.structure import FaultStructure

__all__ = ["DEVIATIONS", "RateEstimates", "closed_form"]

DEVIATIONS = 2.04  # of 95 %, for a variance from 32 blocks


@dataclasses.dataclass(frozen=True, eq=False)
class RateEstimates:
    """Rates of faults as the shots alone say them, each by itself: unbiased, and where there is little, below zero.

    Attributes:
        rates: float64 (F,).
        influences: float64 (B, F): by how much each block of shots pulls each rate, so that the rates would differ by
            this if a block stood for all shots.
        weights: float64 (B,): the share of the shots that each block has; they sum to 1.
        effective_shots: As `ParityCounts` has it.
    """

    rates: NDArray[np.float64]
    influences: NDArray[np.float64]
    weights: NDArray[np.float64]
    effective_shots: float

    @functools.cached_property
    def variances(self) -> NDArray[np.float64]:
        """float64 (F,): of the rates, from the scatter of the blocks."""
        return self.variance_of(self.influences)

    def variance_of(self, influences: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the variance of any linear combination of the rates, from its influences (B, …)."""
        used = self.weights > 0
        count = max(int(used.sum()), 2)
        weighted = self.weights[used].reshape(-1, *[1] * (influences.ndim - 1)) * influences[used]
        return np.asarray((weighted**2).sum(axis=0) * count / (count - 1), dtype=np.float64)


def closed_form(structure: FaultStructure, counts: ParityCounts, *, now: bool = False) -> RateEstimates:
    """Returns the rates of all faults.

    Args:
        structure: The faults.
        counts: Of the parities of their detectors, from at least one shot in each of two blocks.
        now: Whether rates are those after the last shot, if they drifted in straight lines, and not those on average.
            The counts must have ages, and not all the same one.

    Examples:
        A fault of its own, and one that flips both detectors.

        >>> import stim
        >>> from quell.decoders.noise_learning.closed_form import closed_form
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
        >>> dem = stim.DetectorErrorModel("error(.1) D0 \\n error(.2) D0 D1")
        >>> structure = FaultStructure.of(dem)
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(dem.compile_sampler(seed=5).sample(1_000_000, bit_packed=True)[0])
        >>> probabilities_of(closed_form(structure, counts).rates).round(2).tolist()
        [0.1, 0.2]
    """
    weights = counts.shots / counts.num_shots
    z, blocks = _signs_now(counts) if now else _signs_on_average(counts)
    # Below this the sign of z is not sure; its logarithm is then as good as unknown, which its influences say too.
    z = np.maximum(z, 1 / np.sqrt(counts.effective_shots))
    pulls = np.where(counts.shots[:, None] > 0, -(blocks - z) / z, 0.0)
    # The mean of the logarithm lies below the logarithm of the mean.
    of_y = RateEstimates(z, pulls, weights, counts.effective_shots)
    bias = of_y.variances / 2 if now else (1 - z**2) / (2 * counts.effective_shots * z**2)
    solve = _Inversion(structure, counts.sets.subsets)
    return RateEstimates(solve((-np.log(z) - bias)[None])[0], solve(pulls), weights, counts.effective_shots)


def _signs_on_average(counts: ParityCounts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The z of all sets, float64 (A,), and those of each block of shots, (B, A)."""
    z = 1 - 2 * counts.odd.sum(axis=0) / counts.num_shots
    return z, 1 - 2 * counts.odd / np.maximum(counts.shots, 1e-300)[:, None]


def _signs_now(counts: ParityCounts) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Likewise, but for the ends of straight lines through z over time."""
    if counts.odd_ages is None:
        raise ValueError("these counts have no ages")
    mean, square = counts.ages.sum(axis=0) / counts.num_shots
    odd, odd_age = counts.odd.sum(axis=0) / counts.num_shots, counts.odd_ages.sum(axis=0) / counts.num_shots
    slope = (odd_age - mean * odd) / (square - mean**2)
    now = odd - mean * slope
    # By how much a block pulls the end of the line is linear in what it has over the line, and in the ages of that.
    shots, (ages, squares) = np.maximum(counts.shots, 1e-300)[:, None], counts.ages.T[:, :, None]
    over = counts.odd - shots * now - ages * slope
    over_age = counts.odd_ages - ages * now - squares * slope
    pulls = (square * over - mean * over_age) / (square - mean**2) / shots
    return 1 - 2 * now, 1 - 2 * (now + pulls)


class _Inversion:
    """The linear map from the y of all sets to the rates of all faults."""

    def __init__(self, structure: FaultStructure, subsets: NDArray[np.int32]) -> None:
        self.subsets = subsets
        self.sizes = structure.sizes
        whole = subsets[np.arange(len(subsets)), (1 << self.sizes) - 1]
        fault_of = np.full(int(subsets.max()) + 2, -1, dtype=np.int64)  # the last is for no set at all
        fault_of[whole] = np.arange(len(subsets))
        inner = fault_of[subsets]
        larger, mask = np.nonzero((inner >= 0) & (inner != np.arange(len(subsets))[:, None]))
        self.pairs = [
            (inner[larger[chosen], mask[chosen]], larger[chosen])
            for size in range(int(self.sizes.max()), 1, -1)
            if (chosen := self.sizes[larger] == size).any()
        ]

    def __call__(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """float64 (rows, F), from float64 (rows, A)."""
        rates = np.zeros((len(y), len(self.subsets)))
        for mask in range(1, self.subsets.shape[1]):
            there = np.flatnonzero(self.subsets[:, mask] >= 0)
            sign = 1 if mask.bit_count() % 2 else -1
            rates[:, there] += sign * y[:, self.subsets[there, mask]]
        rates /= 2.0 ** (self.sizes - 1)
        # From the largest faults down, so that what is taken away is each fault's own rate.
        for smaller, larger in self.pairs:
            for row in rates:
                row -= np.bincount(smaller, weights=row[larger], minlength=len(row))
        return rates
