"""A mixture of bit-flip noise around a few strings, over a background: its likelihood and its fit by EM.

A shot belongs to answer k with probability `shares[k]`, or to the background. Around an answer each bit is flipped on
its own, with a rate of its own and one for each direction. The background is what fully mixed qubits give: every bit
close to a half, each with its own small bias. Rates of bits that the shots say little about are drawn towards the mean
of their direction, and that towards the mean of all.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

__all__ = ["BitFlipModel", "component_log_likelihoods", "fit", "highest_rates", "share_out", "string_log_likelihoods"]

Array = NDArray[np.float64]

# A flip rate beyond this cannot be told from a fully mixed qubit with a readout bias.
_RATE_LIMITS = (1e-9, 0.45)
# A bit's rate may be this high, plus this many times the rate that a quarter of the other bits stay below.
_OUTLIER = (0.15, 4.0)
# The bias that a fully mixed qubit's readout may show.
_BACKGROUND_LIMITS = (0.44, 0.56)
# How many shots' worth of belief a bit's rate has in the mean of its direction.
_PRIOR_SHOTS = 30.0


@dataclass(frozen=True)
class BitFlipModel:
    """Answers, their shares of the shots, and the noise around them.

    Attributes:
        centers: uint8 of shape (K, num_bits), the answers; column i is bit i.
        shares: float64 of shape (K,), the share of all shots that each answer explains.
        background: The share of the shots that belong to none.
        rates_0_to_1: float64 of shape (num_bits,), how often a 0 is read as 1.
        rates_1_to_0: float64 of shape (num_bits,), how often a 1 is read as 0.
        background_ones: float64 of shape (num_bits,), how often each bit is 1 in the background.
        log_likelihood: Of the shots the model was fitted to, in nats.
        converged: Whether the fit came to rest before its limit of steps.
    """

    centers: NDArray[np.uint8]
    shares: Array
    background: float
    rates_0_to_1: Array
    rates_1_to_0: Array
    background_ones: Array
    log_likelihood: float = -np.inf
    converged: bool = True

    @property
    def num_centers(self) -> int:
        """How many answers there are, K."""
        return len(self.centers)

    @property
    def mean_rate(self) -> float:
        """The mean flip rate of a bit, each direction as often as the answers call for it."""
        if not self.num_centers:
            return 0.0
        return float(np.average(self.center_rates.mean(axis=1), weights=self.shares))

    @property
    def center_rates(self) -> Array:
        """How often each bit of each answer is flipped, float64 of shape (K, num_bits)."""
        rates: Array = np.where(self.centers == 1, self.rates_1_to_0, self.rates_0_to_1)
        return rates

    def only(self, kept: NDArray[np.bool_]) -> "BitFlipModel":
        """Returns the model with some of its answers; what the others explained is shared out among the rest."""
        shares = self.shares[kept]
        return replace(
            self, centers=self.centers[kept], shares=shares * ((1 - self.background) / max(shares.sum(), 1e-12))
        )

    def plus(self, center: NDArray[np.uint8], share: float) -> "BitFlipModel":
        """Returns the model with one more answer, whose share all others pay for."""
        return replace(
            self,
            centers=np.vstack([self.centers, center[None]]),
            shares=np.append(self.shares * (1 - share), share),
            background=self.background * (1 - share),
        )


def component_log_likelihoods(bits: Array, ones: Array) -> Array:
    """Returns log P(string | component) for bits that are independent of each other.

    Args:
        bits: float64 of shape (num_strings, num_bits), zeros and ones.
        ones: float64 of shape (num_components, num_bits), how often each bit is 1.

    Returns:
        float64 of shape (num_strings, num_components), in nats.
    """
    ones = np.clip(ones, 1e-12, 1 - 1e-12)
    log_one, log_zero = np.log(ones), np.log1p(-ones)
    likelihoods: Array = bits @ (log_one - log_zero).T
    likelihoods += log_zero.sum(axis=1)
    return likelihoods


def share_out(bits: Array, model: BitFlipModel) -> tuple[Array, Array]:
    """Returns the probability that each string came from each answer, and each string's log-likelihood.

    Returns:
        float64 of shape (num_strings, K + 1), the last column for the background; float64 of shape (num_strings,).
    """
    ones = np.where(model.centers == 1, 1 - model.rates_1_to_0, model.rates_0_to_1)
    joint = component_log_likelihoods(bits, np.vstack([ones, model.background_ones]))
    joint += np.log(np.maximum(np.append(model.shares, model.background), 1e-300))
    largest = joint.max(axis=1, keepdims=True)
    joint -= largest
    np.exp(joint, out=joint)
    total = joint.sum(axis=1, keepdims=True)
    joint /= total
    likelihoods: Array = (largest + np.log(total))[:, 0]
    return joint, likelihoods


def string_log_likelihoods(bits: Array, model: BitFlipModel) -> Array:
    """Returns log P(string) under the whole model, float64 of shape (num_strings,), in nats."""
    return share_out(bits, model)[1]


def _rates(flips: Array, chances: Array, mean: float, highest: Array) -> Array:
    """Returns one direction's rates, drawn towards the direction's mean, and that towards `mean`."""
    direction = (flips.sum() + _PRIOR_SHOTS * mean) / (chances.sum() + _PRIOR_SHOTS)
    rates = (flips + _PRIOR_SHOTS * direction) / (chances + _PRIOR_SHOTS)
    limited: Array = np.clip(rates, _RATE_LIMITS[0], highest)
    return limited


def highest_rates(rates: Array) -> Array:
    """Returns how high each bit's rate may be: the worst bit of a device is a few times worse than the good ones.

    A bit far noisier than that is a bit on which answers differ.

    Args:
        rates: float64 of shape (num_bits,), how often each bit is flipped in either direction.
    """
    if len(rates) < 2:
        return np.full(len(rates), _RATE_LIMITS[1])
    others = np.array([np.quantile(np.delete(rates, bit), 0.25, method="lower") for bit in range(len(rates))])
    highest: Array = np.minimum(_OUTLIER[0] + _OUTLIER[1] * others, _RATE_LIMITS[1])
    return highest


def _step(bits: Array, weighted: Array, model: BitFlipModel, free_answers: bool) -> BitFlipModel:
    """Returns the model after one M-step; `weighted` holds the shots of each string that belong to each component."""
    totals = weighted.sum(axis=0)
    num_shots = totals.sum()
    ones = weighted.T @ bits
    background_ones = (ones[-1] + _PRIOR_SHOTS / 2) / (totals[-1] + _PRIOR_SHOTS)
    model = replace(
        model, background=float(totals[-1] / num_shots), background_ones=np.clip(background_ones, *_BACKGROUND_LIMITS)
    )
    if not model.num_centers:
        return model
    shots, ones, centers = totals[:-1, None], ones[:-1], model.centers
    chances_1, chances_0 = (shots * centers).sum(axis=0), (shots * (1 - centers)).sum(axis=0)
    lost, gained = ((shots - ones) * centers).sum(axis=0), (ones * (1 - centers)).sum(axis=0)
    mean = (lost.sum() + gained.sum() + 0.5) / (chances_1.sum() + chances_0.sum() + 1.0)
    highest = highest_rates((lost + gained + 0.5) / (chances_1 + chances_0 + 1.0))
    down, up = _rates(lost, chances_1, mean, highest), _rates(gained, chances_0, mean, highest)
    shares = shots[:, 0] / num_shots
    if free_answers:
        vote = ones * np.log((1 - down) / up) + (shots - ones) * np.log(down / (1 - up))
        # A bit that the shots do not decide stays what it was.
        centers = np.where(np.abs(vote) < 1e-9, centers, vote > 0).astype(np.uint8)
        if not np.array_equal(centers, model.centers):
            centers, owner = np.unique(centers, axis=0, return_inverse=True)
            shares = np.bincount(owner.ravel(), shares, len(centers))
    return replace(model, centers=centers, shares=shares, rates_0_to_1=up, rates_1_to_0=down)


def fit(
    bits: Array,
    weights: Array,
    model: BitFlipModel,
    *,
    max_steps: int,
    tolerance: float = 0.05,
    free_answers: bool = True,
    free_shares: bool = True,
) -> BitFlipModel:
    """Returns the model after expectation-maximisation from `model`.

    Args:
        bits: float64 of shape (num_strings, num_bits), zeros and ones.
        weights: float64 of shape (num_strings,), the shots that gave each string.
        model: Where to begin.
        max_steps: When to stop at the latest.
        tolerance: The gain in log-likelihood, in nats, below which a step counts as none.
        free_answers: Whether answers may change, bit by bit, to what their shots vote for.
        free_shares: Whether the answers' shares may change among each other.
    """
    before = -np.inf
    converged = False
    for step in range(max_steps):
        owners, likelihoods = share_out(bits, model)
        now = float(weights @ likelihoods)
        if step > 2 and now - before < tolerance:
            converged = True
            break
        before = now
        owners *= weights[:, None]
        stepped = _step(bits, owners, model, free_answers)
        if not free_shares:
            stepped = replace(stepped, shares=model.shares * ((1 - stepped.background) / model.shares.sum()))
        model = stepped
    final = float(weights @ string_log_likelihoods(bits, model))
    return replace(model, log_likelihood=final, converged=converged)
