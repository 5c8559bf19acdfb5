"""How many faults happen in a shot, and which ones, given how many.

The number is the sum of independent coins of different bias; given the number, the set has a probability
proportional to the product of its odds (the conditional Bernoulli distribution; Chen, Dempster and Liu,
Biometrika 81, 1994).
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["AliasTable", "FaultSampler", "IndependentSampler", "fault_number_distribution", "log_no_fault"]

_LEAST_ACCEPTED = 0.05  # of the draws with replacement; with fewer, drawing fault by fault is faster


def fault_number_distribution(odds: NDArray[np.float64], largest: int) -> NDArray[np.float64]:
    """Returns the probabilities of 0…largest faults: float64 (largest + 1,).

    Examples:
        >>> import numpy as np
        >>> from quell.qec.rare_events.fault_counts import fault_number_distribution
        >>> fault_number_distribution(np.array([1.0, 1.0, 1 / 3]), 3)
        array([0.1875, 0.4375, 0.3125, 0.0625])
    """
    found = np.zeros(largest + 1)
    found[0] = 1
    for probability in odds / (1 + odds):
        flipped = probability * found[:-1]
        found *= 1 - probability
        found[1:] += flipped
    return found


def log_no_fault(odds: NDArray[np.float64]) -> float:
    """Returns the logarithm of the probability that nothing happens."""
    return float(-np.log1p(odds).sum())


class AliasTable:
    """Draws indices in proportion to weights, each in constant time (Walker 1977; Vose 1991).

    Attributes:
        threshold: float64 (n,): the chance that a uniformly drawn index stands.
        other: int32 (n,): what it is replaced by if not.
    """

    def __init__(self, weights: NDArray[np.float64]) -> None:
        size = len(weights)
        scaled = (weights / weights.sum() * size).tolist()
        self.threshold = np.ones(size)
        self.other = np.arange(size, dtype=np.int32)
        small = [index for index in range(size) if scaled[index] < 1]
        large = [index for index in range(size) if scaled[index] >= 1]
        while small and large:
            low, high = small.pop(), large.pop()
            self.threshold[low] = scaled[low]
            self.other[low] = high
            scaled[high] -= 1 - scaled[low]
            (small if scaled[high] < 1 else large).append(high)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.int32]:
        """Returns indices, int32 of that shape."""
        position = rng.random(shape) * len(self.other)
        index = position.astype(np.int32)
        keep = position - index < self.threshold[index]
        return np.where(keep, index, self.other[index])


class FaultSampler:
    """Draws sets of exactly w faults from their conditional distribution.

    Args:
        odds: float64 (faults,).

    Examples:
        >>> import numpy as np
        >>> from quell.qec.rare_events.fault_counts import FaultSampler
        >>> sampler = FaultSampler(np.array([0.1, 0.1, 0.3]))
        >>> sampler.draw(2, 4, np.random.default_rng(0)).shape
        (4, 2)
    """

    def __init__(self, odds: NDArray[np.float64]) -> None:
        self._odds = odds
        self._table = AliasTable(odds)
        self._suffix: NDArray[np.float64] | None = None
        self._accepted: dict[int, float] = {}

    def draw(self, num_faults: int, shots: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """Returns int32 (shots, num_faults), distinct within a row."""
        if num_faults > len(self._odds):
            raise AssertionError(f"{num_faults} faults out of {len(self._odds)}")
        accepted = self._acceptance(num_faults)
        if accepted < _LEAST_ACCEPTED:
            return self._draw_one_by_one(num_faults, shots, rng)
        rows = [np.zeros((0, num_faults), np.int32)]
        missing = shots
        while missing > 0:
            drawn = self._table.draw((int(missing / accepted * 1.05) + 8, num_faults), rng)
            # With replacement, but for repetitions the probability is the product of the odds: so repetitions go.
            inside = np.sort(drawn, axis=1)
            distinct = ~(inside[:, 1:] == inside[:, :-1]).any(axis=1)
            rows.append(drawn[distinct][:missing])
            missing -= len(rows[-1])
        return np.concatenate(rows)

    def _acceptance(self, num_faults: int) -> float:
        if num_faults not in self._accepted:
            relative = self._odds / self._odds.sum() * num_faults  # of which the sums stay within range
            log_sets = math.log(fault_number_distribution(relative, num_faults)[-1]) - log_no_fault(relative)
            log_orders = math.lgamma(num_faults + 1) - num_faults * math.log(max(1, num_faults))
            self._accepted[num_faults] = math.exp(log_sets + log_orders)
        return self._accepted[num_faults]

    def _draw_one_by_one(self, num_faults: int, shots: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """Decides fault by fault, knowing how much weight the faults after it have for every number still missing."""
        odds = self._odds / self._odds.mean()
        if self._suffix is None or self._suffix.shape[1] <= num_faults:
            suffix = np.full((len(odds) + 1, num_faults + 1), -np.inf)
            suffix[:, 0] = 0
            for fault in range(len(odds) - 1, -1, -1):
                suffix[fault, 1:] = np.logaddexp(suffix[fault + 1, 1:], np.log(odds[fault]) + suffix[fault + 1, :-1])
            self._suffix = suffix
        drawn = np.zeros((shots, num_faults), np.int32)
        missing = np.full(shots, num_faults)
        for fault, value in enumerate(odds):
            after, here = self._suffix[fault + 1], self._suffix[fault]
            log_taken = np.log(value) + after[np.maximum(missing - 1, 0)] - here[missing]
            take = (missing > 0) & (rng.random(shots) < np.exp(np.minimum(log_taken, 0)))
            drawn[take, num_faults - missing[take]] = fault
            missing -= take
        return drawn


class IndependentSampler:
    """Draws sets of faults as they happen: each with its own probability, whatever the others do.

    Args:
        odds: float64 (faults,).

    Examples:
        >>> import numpy as np
        >>> from quell.qec.rare_events.fault_counts import IndependentSampler
        >>> IndependentSampler(np.array([1e9, 1e-9])).draw(2, np.random.default_rng(0))
        array([[0],
               [0]], dtype=int32)
    """

    def __init__(self, odds: NDArray[np.float64]) -> None:
        # A Poisson number of drawings with replacement hits each fault at least once with just its probability.
        rates = np.log1p(odds)
        self._mean = float(rates.sum())
        self._table = AliasTable(rates)
        self._size = len(odds)

    def draw(self, shots: int, rng: np.random.Generator) -> NDArray[np.int32]:
        """Returns int32 (shots, most faults in a shot), padded with the number of faults that there are."""
        drawn = rng.poisson(self._mean, shots)
        shot = np.repeat(np.arange(shots), drawn)
        fault = self._table.draw((int(drawn.sum()),), rng)
        pairs = np.unique(shot * np.int64(self._size) + fault)
        shot, fault = pairs // self._size, (pairs % self._size).astype(np.int32)
        number = np.bincount(shot, minlength=shots)
        place = np.arange(len(shot)) - np.repeat(np.cumsum(number) - number, number)
        sets = np.full((shots, int(number.max(initial=0))), self._size, np.int32)
        sets[shot, place] = fault
        return sets
