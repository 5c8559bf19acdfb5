"""What shots that a model has not seen say about it: the judge between answers that explain the same counts.

The shots are split in two at random, with a fixed seed. Whoever predicts the second half from the first is scored by
the mean log-probability of the shots it has not seen. The yardstick is a model without structure, which knows each
string only by how often it was seen: a Dirichlet prior over all 2^n strings, its strength fitted to the first half.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["split", "unstructured_log_likelihoods"]

Array = NDArray[np.float64]


def split(weights: Array, seed: int = 0) -> tuple[Array, Array]:
    """Returns the shots of each string in two random halves; shots are drawn without replacement.

    Args:
        weights: float64 of shape (num_strings,), whole numbers.
        seed: Of the draw.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.predictive import split
        >>> first, second = split(np.array([6.0, 3.0, 1.0]))
        >>> (first + second).tolist()
        [6.0, 3.0, 1.0]
    """
    whole = np.rint(weights).astype(np.int64)
    first = np.random.default_rng(seed).binomial(whole, 0.5).astype(np.float64)
    return first, weights - first


def unstructured_log_likelihoods(first: Array, num_bits: int) -> Array:
    """Returns log P(string) for a shot to come, from how often each string was seen and nothing else.

    The strength of the prior, in shots spread evenly over all strings, is the one that makes `first` likeliest.

    Args:
        first: float64 of shape (num_strings,), the shots that gave each string; zeros allowed.
        num_bits: The length of the strings.

    Returns:
        float64 of shape (num_strings,), in nats. No string gets minus infinity.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.predictive import unstructured_log_likelihoods
        >>> np.exp(unstructured_log_likelihoods(np.array([500.0, 500.0]), 1)).round(3).tolist()
        [0.5, 0.5]
    """
    from scipy.special import gammaln

    num_shots = first.sum()
    seen = first[first > 0]
    log_num_strings = num_bits * math.log(2)
    best = (-math.inf, 1.0)
    for strength in np.geomspace(0.01, max(1e3, 1e3 * num_shots), 60):
        log_share = math.log(strength) - log_num_strings
        share = math.exp(log_share)
        # Γ(share + c) / Γ(share) is share · Γ(share + c) / Γ(1 + share), also where share underflows.
        evidence = gammaln(strength) - gammaln(strength + num_shots)
        evidence += float((log_share + gammaln(share + seen) - gammaln(1 + share)).sum())
        best = max(best, (float(evidence), float(strength)))
    strength = best[1]
    log_prior = math.log(strength) - log_num_strings
    predicted: Array = np.logaddexp(np.log(np.maximum(first, 1e-300)), log_prior) - math.log(num_shots + strength)
    return predicted
