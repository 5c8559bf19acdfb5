"""The composite likelihood of fault rates: that of the patterns on all patches, as if patches were independent.

Its maximum is consistent though patches share detectors, and its variance is the sandwich of Godambe: the scatter
of the slopes of blocks of shots between two inverses of the curvature (Varin, Reid & Firth, Statistica Sinica 21, 5,
2011). Curvature here is Fisher's information; it is never written out, and solved with by conjugate gradients.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.patches import Patches, hadamard
from quell.decoders.noise_learning.structure import FaultStructure

__all__ = ["GammaPrior", "PatternLikelihood", "minimise", "solve"]

Operator = Callable[[torch.Tensor], torch.Tensor]

_DAMPING, _LEAST_DAMPING = 1e-3, 1e-9  # the curvature is about 1 in the roots of the rates
_PROBES, _FEWEST_REPEATS = 8, 1e-3
_LEAST_CURVATURE = 1e-12
_SHRINKS = 8  # of a step that does not go down, each to a quarter
_SETTLED = 1e-3  # nat, of all shots together: far below what they can tell apart
_TOLERANCE, _STEPS = 5e-3, 400  # of the conjugate gradients for an answer
_INNER_TOLERANCE, _INNER_STEPS = 1e-2, 60  # of the conjugate gradients for each step


class PatternLikelihood:
    """How badly rates fit the shots, per shot, with slopes and curvatures.

    Args:
        structure: The faults.
        counts: Of the parities of their detectors.
        design: float64 (F, J): the rates are `design @ x` for J unknowns x; None where the rates are the unknowns.

    Examples:
        >>> import numpy as np, stim, torch
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.pattern_likelihood import PatternLikelihood
        >>> from quell.decoders.noise_learning.structure import FaultStructure, rates_of
        >>> structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0"))
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(np.array([[1], [0], [0], [0]], dtype=np.uint8))
        >>> likelihood = PatternLikelihood(structure, counts)
        >>> [round(likelihood.at(torch.from_numpy(rates_of(np.array([p])))), 3) for p in (0.2, 0.25, 0.3)]
        [0.007, 0.0, 0.006]
    """

    def __init__(
        self, structure: FaultStructure, counts: ParityCounts, design: NDArray[np.float64] | None = None
    ) -> None:
        self.patches = Patches(structure, counts.sets)
        self.counts = counts
        self.design = None if design is None else torch.from_numpy(design)
        self._shares = self.patches.shares(counts.odd.sum(axis=0), counts.num_shots)
        self._probabilities: list[torch.Tensor] = []
        self._factors: list[torch.Tensor] = []
        self._precisions: list[torch.Tensor] = []

    def at(self, unknowns: torch.Tensor) -> float:
        """Goes to these unknowns, and returns the divergence (Kullback & Leibler, in nat) of the patterns from there.

        Args:
            unknowns: float64 (F,), or (J,).
        """
        rates = unknowns if self.design is None else self.design @ unknowns
        means = [torch.exp(-y) for y in self.patches.parities(rates)]
        self._probabilities = self.patches.probabilities_of(means)
        self._factors = [-mean / mean.shape[1] for mean in means]
        terms = list(zip(self.patches.weights, self._shares, self._probabilities, strict=True))
        self._precisions = [weight / model for weight, _, model in terms]
        return sum(
            float((weight * (torch.xlogy(share, share) - share * torch.log(model))).sum())
            for weight, share, model in terms
        )

    def slope(self, shares: list[torch.Tensor] | None = None) -> torch.Tensor:
        """Returns the slope of the divergence by the unknowns, where it went last.

        Args:
            shares: Of the patterns; None for those of all shots.
        """
        terms = zip(self._precisions, shares or self._shares, strict=True)
        return self._pulled_back([-precision * share for precision, share in terms])

    def block_slopes(self) -> Iterator[torch.Tensor]:
        """Yields the slope for each block of shots by itself; zero for those without shots."""
        for odd, shots in zip(self.counts.odd, self.counts.shots, strict=True):
            shares = self.patches.shares(odd, shots) if shots > 0 else None
            yield self.slope(shares) if shares else torch.zeros_like(self.slope())

    def curvature(self, direction: torch.Tensor) -> torch.Tensor:
        """Returns Fisher's information per shot, times a direction, where it went last."""
        moves = self.patches.parities(direction if self.design is None else self.design @ direction)
        terms = zip(self._factors, self._precisions, moves, strict=True)
        return self._pulled_back([precision * hadamard(factor * move) for factor, precision, move in terms])

    def influences(self, bend: torch.Tensor | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns the step of scoring from where it went last, float64 (n,), and how blocks differ in it, (B, n).

        Args:
            bend: float64 (n,): what else adds to the diagonal of the curvature.
        """
        diagonal = self.diagonal()
        more = torch.zeros_like(diagonal) if bend is None else bend

        def curvature(direction: torch.Tensor) -> torch.Tensor:
            return self.curvature(direction) + more * direction

        scale = 1 / (diagonal + more)
        weights = self.counts.shots / self.counts.num_shots
        blocks = [solve(curvature, -slope, scale, _TOLERANCE, _STEPS).numpy() for slope in self.block_slopes()]
        steps = np.where(weights[:, None] > 0, np.stack(blocks), 0.0)
        step = np.asarray(weights @ steps, dtype=np.float64)
        return step, np.where(weights[:, None] > 0, steps - step, 0.0)

    def repeats(self) -> float:
        """Returns how often the divergence counts each shot, on average over the unknowns, where it went last."""
        scale = 1 / self.diagonal()
        weights = self.counts.shots / self.counts.num_shots
        total, found, probes = self.slope(), 0.0, 0
        for slope, weight in zip(self.block_slopes(), weights, strict=True):
            if weight > 0 and probes < _PROBES:
                # Of a block whose size is this share, the slope scatters about the mean with the remaining share.
                apart = slope - total
                solved = solve(self.curvature, apart, scale, _INNER_TOLERANCE, _INNER_STEPS)
                found += weight * self.counts.effective_shots / (1 - weight) * float(apart @ solved)
                probes += 1
        return max(found / probes / len(scale), _FEWEST_REPEATS)

    def diagonal(self) -> torch.Tensor:
        """Returns the diagonal of the curvature, float64 (n,), where it went last; above 0."""
        if self.design is None:
            found = self.patches.information(self._probabilities)
        else:
            units = torch.eye(self.design.shape[1], dtype=torch.float64)
            found = torch.stack([unit @ self.curvature(unit) for unit in units])
        return found.clamp_min(_LEAST_CURVATURE)

    def _pulled_back(self, slopes: list[torch.Tensor]) -> torch.Tensor:
        """Slopes by the unknowns, from those by the probabilities of the patterns."""
        terms = zip(self._factors, slopes, strict=True)
        by_rates = self.patches.pulled_back([factor * hadamard(slope) for factor, slope in terms])
        return by_rates if self.design is None else self.design.T @ by_rates


def solve(operator: Operator, target: torch.Tensor, scale: torch.Tensor, tolerance: float, steps: int) -> torch.Tensor:
    """Solves `operator(x) = target` by conjugate gradients.

    Args:
        operator: Linear, symmetric, without negative eigenvalues.
        target: float64 (n,).
        scale: float64 (n,): about the inverse of the operator's diagonal.
        tolerance: How small what is left is to be, as a share of the target.
        steps: At most.

    Examples:
        >>> import torch
        >>> from quell.decoders.noise_learning.pattern_likelihood import solve
        >>> matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
        >>> target = torch.tensor([3.0, 4.0], dtype=torch.float64)
        >>> solve(lambda x: matrix @ x, target, torch.ones(2), 1e-9, 10).round(decimals=6).tolist()
        [1.0, 1.0]
    """
    found, left = torch.zeros_like(target), target.clone()
    step = scale * left
    size = first = float(left @ step)
    for _ in range(steps):
        if not size > tolerance**2 * first:
            break
        moved = operator(step)
        bend = float(step @ moved)
        if not bend > 0:
            break
        found += size / bend * step
        left -= size / bend * moved
        scaled = scale * left
        before, size = size, float(left @ scaled)
        step = scaled + size / before * step
    return found


class GammaPrior:
    """What was known of the unknowns before: of each its mean and its variance.

    It is laid on the logarithms of the unknowns, where the gamma density has its maximum at their mean.

    Args:
        means: float64 (F,), above 0.
        variances: float64 (F,), above 0; infinite where nothing was known.
        shots: How many shots count as much as the prior.

    Examples:
        >>> import numpy as np, torch
        >>> from quell.decoders.noise_learning.pattern_likelihood import GammaPrior
        >>> prior = GammaPrior(np.array([0.5]), np.array([0.01]), 1.0)
        >>> [bool(prior.loss(torch.tensor([x])) > prior.loss(torch.tensor([0.5]))) for x in (0.4, 0.6)]
        [True, True]
    """

    def __init__(self, means: NDArray[np.float64], variances: NDArray[np.float64], shots: float) -> None:
        self._slope = torch.from_numpy(means / variances / shots)
        self._shape = torch.from_numpy(means**2 / variances / shots)

    def loss(self, unknowns: torch.Tensor) -> float:
        """Returns minus the logarithm of its density, over the shots, but for a constant."""
        return float((self._slope * unknowns - torch.xlogy(self._shape, unknowns)).sum())

    def slope(self, unknowns: torch.Tensor) -> torch.Tensor:
        """Returns the slope of the loss by the unknowns."""
        return self._slope - self._shape / unknowns

    def curvature(self, unknowns: torch.Tensor) -> torch.Tensor:
        """Returns the second derivatives of the loss by the unknowns."""
        return self._shape / unknowns**2

    def root_curvature(self, unknowns: torch.Tensor) -> torch.Tensor:
        """Returns the second derivatives of the loss by the roots of the unknowns."""
        return 2 * self._slope + 2 * self._shape / unknowns


def minimise(
    likelihood: PatternLikelihood,
    start: torch.Tensor,
    prior: GammaPrior | None,
    max_iterations: int,
    progress: Callable[[], object],
) -> torch.Tensor:
    """Returns the unknowns that fit best, none below zero: float64, of the start's shape.

    Damped scoring in their square roots, in which counts are equally sure everywhere and zero is no boundary.

    Args:
        likelihood: Of the shots.
        start: Above 0.
        prior: Or None.
        max_iterations: Steps at most.
        progress: Called after each.

    Examples:
        >>> import numpy as np, stim, torch
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.pattern_likelihood import PatternLikelihood, minimise
        >>> from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
        >>> structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0"))
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(np.array([[1], [0], [0], [0]], dtype=np.uint8))
        >>> start = torch.from_numpy(structure.nominal)
        >>> found = minimise(PatternLikelihood(structure, counts), start, None, 50, lambda: None)
        >>> probabilities_of(found.numpy()).round(4).tolist()
        [0.25]
    """
    roots = start.sqrt()

    def loss(roots: torch.Tensor) -> float:
        return likelihood.at(roots**2) + (prior.loss(roots**2) if prior else 0.0)

    best, damping = loss(roots), _DAMPING
    for _ in range(max_iterations):
        slope = likelihood.slope()
        # What is pulled below zero goes there at once: its slope bends the divergence by its root.
        bend = 2 * slope.clamp_min(0.0) + damping
        if prior:
            slope = slope + prior.slope(roots**2)
            bend = bend + prior.root_curvature(roots**2)
        step = _step(likelihood, roots, slope, bend)
        trial, shrunk = loss(roots + step), 0
        while not trial < best and shrunk < _SHRINKS:
            step, shrunk = step / 4, shrunk + 1
            trial = loss(roots + step)
        if not trial < best:
            break
        roots, gain, best = roots + step, best - trial, trial
        damping = damping * 10 if shrunk else max(damping / 5, _LEAST_DAMPING)
        progress()
        if gain * likelihood.counts.effective_shots < _SETTLED:
            break
    return roots**2


def _step(likelihood: PatternLikelihood, roots: torch.Tensor, slope: torch.Tensor, bend: torch.Tensor) -> torch.Tensor:
    """A step of scoring in the roots, with `bend` added to the diagonal of the curvature."""

    def curvature(direction: torch.Tensor) -> torch.Tensor:
        return 2 * roots * likelihood.curvature(2 * roots * direction) + bend * direction

    scale = 1 / (4 * roots**2 * likelihood.diagonal() + bend)
    return solve(curvature, -2 * roots * slope, scale, _INNER_TOLERANCE, _INNER_STEPS)
