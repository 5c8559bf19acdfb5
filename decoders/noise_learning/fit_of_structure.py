"""Whether a structure can explain the events at all: what learned rates alone do not show.

Every structure gets rates. If it is that of another circuit, or detectors come in another order, the closed forms turn
out below zero by more than chance; detectors that no error flips alone fire more or less often than all their errors
together say; and events that should come in pairs come one by one.
"""

import dataclasses
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.closed_form import RateEstimates
from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.structure import FaultStructure

__all__ = ["StructureFit", "deviations_limit", "fit_of"]

Floats = NDArray[np.float64]

_FALSE_ALARM = 1e-6  # of all faults together
_FEWEST_EXPECTED = 30.0  # coincidences that did not come: by chance they stay away in exp(-30) of all cases
_NOTABLE = 0.1  # of a detector's rate
_ALONE = 0.15  # more than in the structure, over all, and in half of all detectors
_MOST_NAMED = 4
_CHECK = (
    "check that the structure is of this circuit and basis, that detectors are in its order and bits in Stim's "
    '(bitorder="little"), and that observables are not among them (appended_observables)'
)


@dataclasses.dataclass(frozen=True, eq=False)
class StructureFit:
    """How far the events are from what a structure can explain.

    Attributes:
        limit: Standard errors that all faults together pass by chance once in a million cases.
        lowest: The lowest of the rates in closed form, in standard errors; about -4 where all is right.
        num_below_zero: How many errors have a rate below zero by more than `limit`.
        below_zero: The detectors of the worst of these errors, those of one error in a row, the worst first.
        unbalanced: int64: detectors that no error flips alone, and whose share of events is another than their errors
            together say, by more than `limit` and a tenth; the worst first.
        alone: The share of events, in terms of rates, that came without another that the structure has for them.
        alone_in_structure: What it is in the structure.
        out_of_order: Whether the first is larger by 0.15 and more, over all and for half of the detectors.
    """

    limit: float
    lowest: float
    num_below_zero: int
    below_zero: tuple[tuple[int, ...], ...]
    unbalanced: NDArray[np.int64]
    alone: float
    alone_in_structure: float
    out_of_order: bool

    @property
    def good(self) -> bool:
        """Whether nothing speaks against the structure."""
        return not (self.num_below_zero or len(self.unbalanced) or self.out_of_order)

    def notes(self) -> list[str]:
        """Returns what the structure does not explain, a sentence each; none where it is right."""
        found = []
        if self.num_below_zero:
            worst = ", ".join(" ".join(f"D{d}" for d in row) for row in self.below_zero)
            found.append(
                f"errors with rates below zero by more than {self.limit:.2g} standard errors: {self.num_below_zero} "
                f"(worst: {worst}, by {-self.lowest:.2g})"
            )
        if len(self.unbalanced):
            worst = ", ".join(f"D{d}" for d in self.unbalanced[:_MOST_NAMED])
            found.append(
                f"detectors that fire more or less often than the errors that flip them together say: "
                f"{len(self.unbalanced)} (worst: {worst})"
            )
        if self.out_of_order:
            found.append(
                f"events that come without those that should come with them: {self.alone:.0%} "
                f"(in the structure {self.alone_in_structure:.0%})"
            )
        return [*found, f"so the structure does not explain the events: {_CHECK}"] if found else []

    def to_json(self) -> dict[str, Any]:
        """Returns everything, as JSON takes it."""
        return {**dataclasses.asdict(self), "unbalanced": self.unbalanced.tolist(), "good": self.good}


def deviations_limit(weights: Floats, trials: int) -> float:
    """Returns how many standard errors so many trials pass by chance once in a million cases.

    Standard errors from blocks scatter themselves, and ratios to them have Student's distribution.

    Args:
        weights: float64 (B,): the shares of the shots that the blocks have.
        trials: How many ratios there are.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.noise_learning.fit_of_structure import deviations_limit
        >>> round(deviations_limit(np.full(32, 1 / 32), 1000), 2)
        8.34
    """
    from scipy.special import stdtrit

    freedom = max(float(weights.sum() ** 2 / (weights**2).sum()) - 1, 2.0)
    return float(-stdtrit(freedom, _FALSE_ALARM / max(trials, 1)))


def fit_of(structure: FaultStructure, counts: ParityCounts, estimates: RateEstimates) -> StructureFit:
    """Asks whether a structure explains the events.

    Args:
        structure: The faults.
        counts: Of the parities of their detectors.
        estimates: The closed forms.

    Examples:
        Two detectors that fire together, and a structure in which they do so only with a third one each.

        >>> import stim
        >>> from quell.decoders.noise_learning.closed_form import closed_form
        >>> from quell.decoders.noise_learning.fit_of_structure import fit_of
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 D2 \\n error(.1) D1 D2"))
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> truth = stim.DetectorErrorModel("error(.1) D0 D1 \\n error(.1) D2")
        >>> counts.add(truth.compile_sampler(seed=5).sample(10_000, bit_packed=True)[0])
        >>> sorted(fit_of(structure, counts, closed_form(structure, counts)).unbalanced.tolist())
        [0, 1, 2]
    """
    limit = deviations_limit(estimates.weights, structure.num_faults)
    # Where few coincidences are due and none came, the blocks are all alike, and say nothing of the uncertainty.
    missing = -estimates.rates * estimates.effective_shots / 2
    least = np.where(missing < _FEWEST_EXPECTED, np.maximum(missing, 0.0) * (2 / estimates.effective_shots) ** 2, 0.0)
    deviations = _ratio(estimates.rates, np.maximum(estimates.variances, least))
    below = np.flatnonzero(deviations < -limit)
    worst = below[np.argsort(deviations[below], kind="stable")]
    unbalanced, alone, given = _balance(structure, counts, estimates, limit)
    excess, overall = alone[0] - given[0], alone[1] - given[1]
    return StructureFit(
        limit=limit,
        lowest=float(deviations.min()),
        num_below_zero=len(below),
        below_zero=tuple(tuple(int(d) for d in row if d >= 0) for row in structure.detectors[worst[:_MOST_NAMED]]),
        unbalanced=unbalanced,
        alone=float(alone[1]),
        alone_in_structure=float(given[1]),
        out_of_order=bool(overall > _ALONE and np.median(excess) > _ALONE and len(excess) > 1),
    )


def _balance(
    structure: FaultStructure, counts: ParityCounts, estimates: RateEstimates, limit: float
) -> tuple[NDArray[np.int64], tuple[Floats, float], tuple[Floats, float]]:
    """Detectors whose errors do not add up; and the share of events that come alone, of each and of all detectors.

    The second is given for the shots, and for the structure.
    """
    sets, shots = counts.sets.sets, counts.effective_shots
    single = np.flatnonzero(sets[:, 1:].max(axis=1, initial=-1) < 0)
    detectors = sets[single, 0].astype(np.int64)
    # As in the closed forms.
    z = np.maximum(1 - 2 * counts.odd[:, single].sum(axis=0) / counts.num_shots, 1 / np.sqrt(shots))
    y = -np.log(z) - (1 - z**2) / (2 * shots * z**2)
    blocks = 1 - 2 * counts.odd[:, single] / np.maximum(counts.shots, 1e-300)[:, None]
    pulls = np.where(counts.shots[:, None] > 0, -(blocks - z) / z, 0.0)
    several, own = structure.sizes > 1, np.flatnonzero(structure.sizes == 1)

    def together(rates: Floats) -> Floats:
        """For each detector, the sum of the rates of what flips it with others."""
        found = np.zeros(structure.num_detectors)
        for column in structure.detectors.T:
            there = np.flatnonzero((column >= 0) & several)
            found += np.bincount(column[there], weights=rates[there], minlength=len(found))
        return np.asarray(found[detectors], dtype=np.float64)

    left, left_pulls = y - together(estimates.rates), pulls - np.stack([together(row) for row in estimates.influences])
    deviations = np.abs(_ratio(left, estimates.variance_of(left_pulls)))
    bound = ~np.isin(detectors, structure.detectors[own, 0])
    bound &= (np.abs(left) > _NOTABLE * np.maximum(y, 0.0)) & (np.abs(left) * shots / 2 > _FEWEST_EXPECTED)
    chosen = np.flatnonzero(bound & (deviations > limit))
    chosen = chosen[np.argsort(-deviations[chosen], kind="stable")]
    given = np.bincount(structure.detectors[own, 0], weights=structure.nominal[own], minlength=structure.num_detectors)
    given, rest = given[detectors], together(structure.nominal)
    seen = y * shots / 2 > _FEWEST_EXPECTED
    return detectors[chosen], _shares(left[seen], y[seen]), _shares(given[seen], (given + rest)[seen])


def _shares(part: Floats, whole: Floats) -> tuple[Floats, float]:
    """The share that a part is of each, and of all."""
    shares = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return shares, float(part.sum() / whole.sum()) if whole.sum() > 0 else 0.0


def _ratio(values: Floats, variances: Floats) -> Floats:
    """In standard errors; 0 where there are none."""
    return np.divide(values, np.sqrt(variances), out=np.zeros(len(values)), where=variances > 0)
