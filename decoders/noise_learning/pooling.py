"""What shots say of a fault, and what they say of its like: rates drawn towards their classes, no more than is due.

Classes lie within each other, as time translations lie within all translations. How much rates differ within a class is
learned from the shots as well: by the variances that make the estimates likeliest. What stands apart, as a bad gate
does, is let go its own way. Each fault's rate then has a prior from all other faults, in which the nearest count most
(hierarchical credibility, Jewell 1975; the best linear unbiased prediction of nested random effects), and the
posterior of the two gives the rate and its interval.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quell.decoders.noise_learning.closed_form import RateEstimates
from quell.decoders.noise_learning.structure import FaultStructure

__all__ = ["PooledRates", "pooled_rates"]

Floats = NDArray[np.float64]

# How far rates may scatter within their class: standard deviations over the mean, tried by coordinate descent.
_SCATTERS = np.array([0.0, 0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.65, 0.8, 1.0, 1.3])
_SWEEPS = 3
_ABOUT_AS_LIKELY = 0.5  # of a log-likelihood: within one standard error
_PASSES = 4
_FAR = 5.0  # standard errors from its class at which a rate is let go its own way
_POINTS = 256  # of the grid on which a posterior is worked out
_CHUNK = 4096
_TAIL = 0.025


@dataclasses.dataclass(frozen=True, eq=False)
class PooledRates:
    """Rates with their intervals.

    Attributes:
        rates: float64 (F,): posterior means, all above 0.
        intervals: float64 (F, 2): what holds the rate with 95 %, as much below as above.
        scatters: For faults of each size, float64 (levels,): how far rates scatter within each kind of class, as a
            share of their mean.
    """

    rates: Floats
    intervals: Floats
    scatters: dict[int, Floats]


def pooled_rates(
    structure: FaultStructure, estimates: RateEstimates, classes: NDArray[np.int64] | None = None
) -> PooledRates:
    """Draws rates towards those of their classes.

    Args:
        structure: The faults.
        estimates: What the shots say of each.
        classes: int64 (F, levels): the narrowest first, each within the next; None leaves each fault by itself.

    Examples:
        A hundred faults of one rate, from few shots: together they say what each alone does not.

        >>> import numpy as np, stim
        >>> from quell.decoders.noise_learning.closed_form import closed_form
        >>> from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
        >>> from quell.decoders.noise_learning.pooling import pooled_rates
        >>> from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of
        >>> dem = stim.DetectorErrorModel("repeat 100 { \\n error(.1) D0 \\n shift_detectors 1 \\n }")
        >>> structure = FaultStructure.of(dem)
        >>> counts = ParityCounts(ParitySets.of(structure))
        >>> counts.add(dem.compile_sampler(seed=5).sample(500, bit_packed=True)[0])
        >>> alone = pooled_rates(structure, closed_form(structure, counts))
        >>> together = pooled_rates(structure, closed_form(structure, counts), np.zeros((100, 1), dtype=np.int64))
        >>> [bool(np.abs(probabilities_of(each.rates) - 0.1).max() < 0.005) for each in (alone, together)]
        [False, True]
    """
    background = _background(estimates, classes)
    # A rate is about twice a probability: each of n shots with the fault adds 2/n to it, as one of n/2 trials would.
    means, variances = np.zeros(structure.num_faults), np.full(structure.num_faults, np.inf)
    scatters = {}
    if classes is not None:
        # Faults that flip as many detectors are as correlated, and their rates sums of as many channels'.
        for size in np.unique(structure.sizes):
            chosen = np.flatnonzero(structure.sizes == size)
            group = _Group(estimates, background, structure.nominal, _renumbered(classes[chosen]), chosen)
            best = max((group.priors(scale) for scale in group.scales()), key=lambda priors: priors.log_likelihood)
            means[chosen], variances[chosen] = best.means, best.variances
            scatters[int(size)] = best.scatters
    rates, intervals = _posterior(estimates.rates, background, estimates.effective_shots / 2, means, variances)
    return PooledRates(rates, intervals, scatters)


def _renumbered(classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Classes with the numbers 0, 1, … for those that are there."""
    return np.stack([np.unique(level, return_inverse=True)[1].reshape(-1) for level in classes.T], axis=1)


def _background(estimates: RateEstimates, classes: NDArray[np.int64] | None) -> Floats:
    """float64 (F,): what adds to a fault's rate to make its variance, times shots: chance coincidences of events.

    The variance of one fault has few blocks behind it; classes lend theirs.
    """
    variances = estimates.variances * estimates.effective_shots / 2 - estimates.rates
    if classes is not None:
        own = max(len(estimates.weights) - 1, 1)
        for level in classes.T[:2]:
            members = np.bincount(level)
            mean = (np.bincount(level, weights=variances) / members)[level]
            others = own * np.minimum(members - 1, 1)[level]
            variances = (own * variances + others * mean) / (own + others)
    return np.asarray(np.maximum(variances, 0.0), dtype=np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class _Priors:
    """What all other faults say of each: mean and variance, infinite where they say nothing; and how likely all is."""

    means: Floats
    variances: Floats
    scatters: Floats
    log_likelihood: float


class _Group:
    """Faults that are drawn towards each other, by their numbers, and what the shots say of them."""

    def __init__(
        self,
        estimates: RateEstimates,
        background: Floats,
        nominal: Floats,
        classes: NDArray[np.int64],
        chosen: NDArray[np.int64],
    ) -> None:
        self.estimates, self.tree = estimates, _Tree(classes)
        self.rates, self.influences = estimates.rates[chosen], estimates.influences[:, chosen]
        self.background, self.nominal = background[chosen], np.maximum(nominal[chosen], 1e-12)
        self.widest = classes[:, -1]

    def scales(self) -> list[Floats]:
        """What rates are measured in: means of their widest classes, or the structure, if the shots bear it out."""
        least = 0.5 / self.estimates.effective_shots
        members = np.bincount(self.widest)
        plain = np.maximum(np.bincount(self.widest, weights=self.rates) / members, least / members)[self.widest]
        expected = (np.bincount(self.widest, weights=self.nominal) / members)[self.widest]
        return [plain] if np.allclose(self.nominal, expected, rtol=1e-6) else [plain, plain * self.nominal / expected]

    def priors(self, scale: Floats) -> _Priors:
        """Rates measured in `scale`, what all others say of each."""
        tree, shots = self.tree, self.estimates.effective_shots / 2  # each with the fault adds 2/n to its rate
        values = self.rates / scale
        prior = np.ones(len(scale))
        scatters = np.full(len(tree.parents), 0.3)
        apart = [np.zeros(len(parent)) for parent in tree.parents]
        for _ in range(_PASSES):
            # The variance at the rate that is expected, not at the one that was met: else low ones would count more.
            noise = (np.maximum(prior, 0.05) * scale + self.background) / shots / scale**2
            scatters = _likeliest(tree, values, noise, scatters, apart)
            levels = self.correlated(tree.up(values, noise, _spreads(scatters, apart)), noise, scale, scatters, apart)
            # Whether a fault stands apart is asked with the variance at its own rate: few events come in odd numbers.
            own = (np.maximum(values, prior) * scale + self.background) / shots / scale**2
            means, variances, apart = tree.down(levels, scatters, apart, own)
            prior = np.where(np.isfinite(variances), means, 1.0)
        likelihood = tree.log_likelihood(values, noise, _spreads(scatters, apart)) - float(np.log(scale).sum())
        return _Priors(means * scale, variances * scale**2, scatters, likelihood)

    def correlated(
        self,
        levels: list[tuple[Floats, Floats]],
        noise: Floats,
        scale: Floats,
        scatters: Floats,
        apart: list[Floats],
    ) -> list[tuple[Floats, Floats]]:
        """Means of classes with the variance that the blocks show: members that share detectors err together."""
        influences, independent = self.influences / scale, noise
        found = levels[:1]
        for (_, variance), (mean, spread), parent, scatter in zip(
            levels[:-1], levels[1:], self.tree.parents, _spreads(scatters, apart), strict=True
        ):
            share = spread[parent] / (variance + scatter)
            influences = np.stack([np.bincount(parent, weights=share * row) for row in influences])
            independent = np.bincount(parent, weights=share**2 * independent).astype(np.float64)
            excess = np.maximum(self.estimates.variance_of(influences) - independent, 0.0)
            found.append((mean, spread + excess))
        return found


def _spreads(scatters: Floats, apart: list[Floats]) -> list[Floats]:
    """The variance of each fault, and of each class, within its class."""
    return [scatter**2 + more for scatter, more in zip(scatters, apart, strict=True)]


def _likeliest(tree: "_Tree", values: Floats, noise: Floats, scatters: Floats, apart: list[Floats]) -> Floats:
    """The scatters that make the values likeliest, one level after another; of those about as likely, the largest."""
    scatters = scatters.copy()
    for _ in range(_SWEEPS):
        before = scatters.copy()
        for level in range(len(scatters)):
            tried = np.tile(scatters, (len(_SCATTERS), 1))
            tried[:, level] = _SCATTERS
            likelihoods = np.array([tree.log_likelihood(values, noise, _spreads(each, apart)) for each in tried])
            scatters = tried[int(np.flatnonzero(likelihoods >= likelihoods.max() - _ABOUT_AS_LIKELY)[-1])]
        if np.array_equal(before, scatters):
            break
    return scatters


class _Tree:
    """Faults in classes in wider classes: normal variables; means travel up, and what others know down."""

    def __init__(self, classes: NDArray[np.int64]) -> None:
        self.parents = [classes[:, 0]]
        for level in range(1, classes.shape[1]):
            parent = np.zeros(int(classes[:, level - 1].max()) + 1, dtype=np.int64)
            parent[classes[:, level - 1]] = classes[:, level]
            self.parents.append(parent)

    def up(self, values: Floats, noise: Floats, spreads: list[Floats]) -> list[tuple[Floats, Floats]]:
        """What each fault and each class is by what lies in it: mean and variance, for each level."""
        found = [(values, noise)]
        for parent, spread in zip(self.parents, spreads, strict=True):
            mean, variance = found[-1]
            weight = 1 / (variance + spread)
            total = np.bincount(parent, weights=weight)
            found.append((np.bincount(parent, weights=weight * mean) / total, 1 / total))
        return found

    def log_likelihood(self, values: Floats, noise: Floats, spreads: list[Floats]) -> float:
        """Of the values, every mean of the widest classes being as likely as every other."""
        levels = self.up(values, noise, spreads)
        found = 0.0
        for (mean, variance), (above, total), parent, spread in zip(
            levels[:-1], levels[1:], self.parents, spreads, strict=True
        ):
            weight = 1 / (variance + spread)
            found += 0.5 * float(np.log(weight).sum() - (weight * (mean - above[parent]) ** 2).sum())
            found += 0.5 * float(np.log(total).sum())
        return found

    def down(
        self, levels: list[tuple[Floats, Floats]], scatters: Floats, apart: list[Floats], noise: Floats
    ) -> tuple[Floats, Floats, list[Floats]]:
        """What all others say of each fault: mean and variance, infinite where there are no others.

        What stands apart from its class, further than chance, is let go: a variance of its own is added to the scatter,
        as large as its distance. It then neither follows its class nor draws it. Returns those variances as well.
        """
        top = len(levels) - 1
        means, precisions = np.zeros(len(levels[top][0])), np.zeros(len(levels[top][0]))
        found = list(apart)
        for level in range(top - 1, -1, -1):
            parent = self.parents[level]
            own_mean, own_variance = levels[level]
            weight = 1 / (own_variance + scatters[level] ** 2 + apart[level])
            # The parent by its other children, and by what it was told from above.
            siblings = np.bincount(parent)[parent] > 1
            share = weight / np.bincount(parent, weights=weight)[parent]
            above = 1 / levels[level + 1][1][parent]
            total = np.where(siblings, (1 - share) * above, 0.0)
            pull = np.where(siblings, above * (levels[level + 1][0][parent] - share * own_mean), 0.0)
            precision = np.maximum(total, 0.0) + precisions[parent]
            with np.errstate(divide="ignore", invalid="ignore"):
                means = np.where(precision > 0, (pull + precisions[parent] * means[parent]) / precision, 0.0)
                variance = 1 / precision + scatters[level] ** 2
                distance = np.where(precision > 0, (own_mean - means) ** 2, 0.0)
            chance = variance + (noise if level == 0 else own_variance)
            found[level] = np.where(distance > _FAR**2 * chance, distance, 0.0)
            variance = variance + found[level]
            precisions = 1 / variance
        return means, variance, found


def _posterior(
    rates: Floats, background: Floats, shots: float, means: Floats, variances: Floats
) -> tuple[Floats, Floats]:
    """Posterior means, float64 (F,), and intervals, float64 (F, 2).

    The prior of a rate is a gamma distribution, or w^(-1/2) where the others say nothing. What was met is as if a
    Poisson count with a known background had been: normal where it is large, and right where next to nothing was met.
    """
    found = np.empty(len(rates)), np.empty((len(rates), 2))
    for start in range(0, len(rates), _CHUNK):
        part = slice(start, start + _CHUNK)
        count = np.maximum(shots * (rates[part] + background[part]), 0.0)
        grid, density = _densities(count, background[part], shots, means[part], variances[part])
        mass = np.cumsum(density, axis=1)
        mass /= mass[:, -1:]
        found[0][part] = (np.diff(mass, axis=1, prepend=0.0) * grid).sum(axis=1)
        row, roots = np.arange(len(grid)), np.sqrt(grid)
        width = roots[:, 1] - roots[:, 0]
        before = mass - np.diff(mass, axis=1, prepend=0.0)
        for side, share in enumerate((_TAIL, 1 - _TAIL)):
            place = np.minimum((mass < share).sum(axis=1), _POINTS - 1)
            low, high = before[row, place], mass[row, place]
            step = np.clip((share - low) / np.maximum(high - low, 1e-300), 0.0, 1.0)
            found[1][part, side] = (roots[row, place] + (step - 0.5) * width) ** 2
    return found


def _densities(
    count: Floats, background: Floats, shots: float, means: Floats, variances: Floats
) -> tuple[Floats, Floats]:
    """A grid of rates for each fault, float64 (faults, points), and their probabilities, not normalised."""
    informed = np.isfinite(variances)
    variances = np.where(informed, variances, 1.0)
    means = np.maximum(means, np.sqrt(variances / 2))
    shape, slope = np.where(informed, means**2 / variances, 0.5), np.where(informed, means / variances, 0.0)
    # Where the density of the logarithm is highest, and how wide it is there.
    total, excess = shots + slope, (shots + slope) * background - count - shape
    root = np.sqrt(excess**2 + 4 * total * shape * background)
    other = 2 * shape * background / np.maximum(root + excess, 1e-300)
    mode = np.maximum(np.where(excess < 0, (root - excess) / (2 * total), other), 1e-300)
    curve = total * mode - count * mode * background / (mode + background + 1e-300) ** 2
    half = 1 / np.sqrt(curve)
    low, high = mode * np.maximum(1 - 7 * half, 0.0), mode * (1 + 7 * half) + 8 / total
    # In the square root of the rate, in which w^(-1/2) is flat.
    roots = np.sqrt(low)[:, None] + (np.sqrt(high) - np.sqrt(low))[:, None] * (np.arange(_POINTS) + 0.5) / _POINTS
    grid = roots**2
    with np.errstate(divide="ignore"):
        log = np.log(2 * roots) - shots * grid + count[:, None] * np.log(np.maximum(grid + background[:, None], 1e-300))
    log += (shape - 1)[:, None] * np.log(grid) - slope[:, None] * grid
    return grid, np.exp(log - log.max(axis=1, keepdims=True))
