"""What stands apart from its class, as a bad qubit does: means of classes do not show it.

Each error is compared with those that differ from it in time alone, and these together, but for what stood apart, with
the rest of the widest class that they are in. Whatever stands furthest apart is taken out before others are
compared with the rest, so that one bad qubit does not make the good ones stand apart from it.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.closed_form import DEVIATIONS, RateEstimates
from quell.decoders.noise_learning.drift import Drift
from quell.decoders.noise_learning.fit_of_structure import deviations_limit
from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of

__all__ = ["Outlier", "outliers_of"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_NOTABLE = 0.25  # of the rest's mean
_MOST = 100  # of one class


@dataclasses.dataclass(frozen=True)
class Outlier:
    """Errors that differ in time alone, or one error, with another probability than the rest of their class.

    Attributes:
        such_as: The detectors that one of them flips.
        coordinates: Of these detectors.
        size: How many sets of detectors they are.
        probability: What was learned; of several, their mean, of the shots alone.
        interval: What holds it with 95 %.
        class_probability: The mean of the rest of the class.
        deviations: How far they are from the rest, in standard errors; below 0 where they are rarer.
    """

    such_as: tuple[int, ...]
    coordinates: tuple[tuple[float, ...], ...]
    size: int
    probability: float
    interval: tuple[float, float]
    class_probability: float
    deviations: float


def outliers_of(
    structure: FaultStructure,
    estimates: RateEstimates,
    classes: Ints,
    rates: Floats,
    intervals: Floats,
    drift: Drift | None = None,
) -> tuple[Outlier, ...]:
    """Returns what stands apart from its class by far more than chance, the furthest first.

    That is: further than a false alarm in a million structures goes, and by more than a quarter; from the mean of the
    rest, and from this mean times what the structure says of the ratio.

    Args:
        structure: The faults.
        estimates: What the shots say of each.
        classes: int64 (F, levels): the narrowest first.
        rates: float64 (F,): what was learned.
        intervals: float64 (F, 2): what holds the rates with 95 %.
        drift: How far rates have gone since.

    Examples:
        >>> import numpy as np, stim
        >>> from quell.decoders.noise_learning.closed_form import closed_form
        >>> from quell.decoders.noise_learning.outliers import outliers_of
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> dem = stim.DetectorErrorModel("error(.2) D9 \\n repeat 9 { \\n error(.1) D0 \\n shift_detectors 1 \\n }")
        >>> structure = FaultStructure.of(stim.DetectorErrorModel("\\n".join(f"error(.1) D{d}" for d in range(10))))
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(dem.compile_sampler(seed=5).sample(10_000, bit_packed=True)[0])
        >>> found, one_class = closed_form(structure, counts), np.zeros((10, 1), dtype=np.int64)
        >>> [one.such_as for one in outliers_of(structure, found, one_class, found.rates, np.zeros((10, 2)))]
        [(9,)]
    """
    numbers = np.arange(structure.num_faults)
    drift = Drift.none(structure.num_faults) if drift is None else drift
    learned = _Learned(structure, rates, intervals, drift)
    found = _apart(_Units(structure, estimates, numbers, numbers, classes[:, 0]), learned)
    if classes.shape[1] > 1:
        # What happened once does not make its like stand apart.
        others = np.setdiff1d(numbers, [fault for _, fault in found])
        units = _Units(structure, estimates, others, classes[others, 0], classes[others, -1])
        found += _apart(units, learned)
    return tuple(sorted((one for one, _ in found), key=lambda one: -abs(one.deviations)))


@dataclasses.dataclass(frozen=True, eq=False)
class _Learned:
    """What is known of each fault by now."""

    structure: FaultStructure
    rates: Floats
    intervals: Floats
    drift: Drift


class _Units:
    """Means of the chosen faults that have one number, and the wider classes that the means are in."""

    def __init__(
        self, structure: FaultStructure, estimates: RateEstimates, chosen: Ints, numbers: Ints, wider: Ints
    ) -> None:
        _, first, units = np.unique(numbers, return_index=True, return_inverse=True)
        self.first, self.wider = chosen[first], wider[first]
        self.size = np.bincount(units).astype(np.float64)
        self.rates = np.bincount(units, weights=estimates.rates[chosen])
        self.nominal = np.bincount(units, weights=structure.nominal[chosen])
        self.pulls = np.stack([np.bincount(units, weights=row) for row in estimates.influences[:, chosen]])
        self.estimates = estimates

    def deviations(self, chosen: Ints) -> Floats:
        """How far each of some units of one class is from the others, in standard errors."""
        size, rates, nominal, pulls = self.size[chosen], self.rates[chosen], self.nominal[chosen], self.pulls[:, chosen]
        others = size.sum() - size
        mean = np.maximum((rates.sum() - rates) / others, 0.0)
        others_nominal = np.maximum(nominal.sum() - nominal, 0.0) / others
        ratio = np.divide(nominal / size, others_nominal, out=np.ones(len(size)), where=others_nominal > 0)
        found = []
        for scale in (1.0, ratio):
            expected, pull = scale * mean, pulls / size - scale * (pulls.sum(axis=1, keepdims=True) - pulls) / others
            # Where nothing was seen the blocks are all alike; what is expected has Poisson's scatter at least.
            least = np.maximum(expected, 0.5 / self.estimates.effective_shots) / size
            variance = np.maximum(self.estimates.variance_of(pull), 2 / self.estimates.effective_shots * least)
            apart = rates / size - expected
            found.append(np.where(np.abs(apart) > _NOTABLE * expected, apart / np.sqrt(variance), 0.0))
        nearer = np.where(np.abs(found[0]) < np.abs(found[1]), found[0], found[1])
        return np.where(found[0] * found[1] > 0, nearer, 0.0)


def _apart(units: _Units, learned: _Learned) -> list[tuple[Outlier, int]]:
    limit = deviations_limit(units.estimates.weights, 2 * learned.structure.num_faults)
    order = np.argsort(units.wider, kind="stable")
    found = []
    for members in np.split(order, np.flatnonzero(np.diff(units.wider[order])) + 1):
        left, taken = members, []
        for _ in range(_MOST):
            if len(left) < 2:
                break
            deviations = units.deviations(left)
            # Of two that differ from each other alone, the larger.
            place = int(np.lexsort((units.rates[left] / units.size[left], np.abs(deviations).round(6)))[-1])
            if abs(deviations[place]) <= limit:
                break
            taken.append((int(left[place]), float(deviations[place])))
            left = np.delete(left, place)
        mean = max(float(units.rates[left].sum() / units.size[left].sum()), 0.0)
        found += [_outlier(units, learned, unit, apart, mean) for unit, apart in taken]
    return found


def _outlier(units: _Units, learned: _Learned, unit: int, apart: float, mean: float) -> tuple[Outlier, int]:
    structure, drift = learned.structure, learned.drift
    size, fault = float(units.size[unit]), int(units.first[unit])
    if size == 1:
        rate, (low, high) = learned.rates[fault], learned.intervals[fault]
    else:
        rate = units.rates[unit] / size * drift.factors[fault]
        spread = np.sqrt(units.estimates.variance_of(units.pulls[:, unit : unit + 1] / size)[0])
        spread *= DEVIATIONS * drift.factors[fault]
        below, above = np.abs(drift.factor_ends[fault] / drift.factors[fault] - 1) * rate
        low, high = rate - np.hypot(spread, below), rate + np.hypot(spread, above)
    low, middle, high, others = _probabilities(low, rate, high, mean * drift.factors[fault])
    such_as = tuple(int(d) for d in structure.detectors[fault] if d >= 0)
    coordinates = tuple(tuple(structure.coordinates.get(d, [])) for d in such_as)
    return Outlier(such_as, coordinates, int(size), middle, (low, high), others, apart), fault


def _probabilities(*rates: float) -> list[float]:
    found: list[float] = probabilities_of(np.maximum(np.array(rates), 0.0)).tolist()
    return found
