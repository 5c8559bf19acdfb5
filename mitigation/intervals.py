"""How far a measured share of the shots may be from the truth: the score interval of Wilson (1927)."""

from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quell.errors import InputError

__all__ = ["share_interval"]


def share_interval(
    share: ArrayLike, shots: int, confidence: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the ends of the interval of a probability of which `share` was found in `shots` shots.

    Source: E. B. Wilson, Journal of the American Statistical Association 22, 209 (1927).

    Args:
        share: Shares of the shots between 0 and 1, float64 of any shape.
        shots: How many shots were taken.
        confidence: How often such an interval should hold the truth, between 0 and 1.

    Returns:
        The lower and the upper ends, float64 of the shape of `share`.

    Raises:
        InputError: If `confidence` is not between 0 and 1.

    Examples:
        >>> from quell.mitigation.intervals import share_interval
        >>> low, high = share_interval(0.25, 100)
        >>> round(float(low), 3), round(float(high), 3)
        (0.175, 0.343)
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, got {confidence!r}")
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = np.asarray(share, dtype=np.float64)
    middle = p + z**2 / (2 * shots)
    half = z * np.sqrt(p * (1 - p) / shots + z**2 / (4 * shots**2))
    scale = 1 + z**2 / shots
    # The ends meet 0 and 1 exactly only without rounding.
    return np.clip((middle - half) / scale, 0, p), np.clip((middle + half) / scale, p, 1)
