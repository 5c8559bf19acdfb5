"""How far two distributions over bit strings are apart. The support is never cut before scoring."""

import math
from collections.abc import Hashable, Mapping

from quell.errors import InputError

__all__ = ["fidelity_ratio", "hellinger_fidelity", "total_variation"]


def _shares(name: str, weights: Mapping[Hashable, float]) -> dict[Hashable, float]:
    """Returns `weights` scaled to sum to one."""
    if not weights:
        raise InputError(f"{name} is empty: there is nothing to compare")
    for key, weight in weights.items():
        if not (0 <= weight < math.inf):
            raise InputError(f"{name} must hold non-negative numbers, got {weight!r} for {key!r}")
    total = math.fsum(weights.values())
    if total == 0:
        raise InputError(f"{name} sums to zero: there is nothing to compare")
    return {key: weight / total for key, weight in weights.items()}


def _both(
    p: Mapping[Hashable, float], q: Mapping[Hashable, float]
) -> tuple[dict[Hashable, float], dict[Hashable, float]]:
    """Returns both scaled to sum to one, once it is clear that their keys can be compared."""
    first, second = _shares("p", p), _shares("q", q)
    one, other = next(iter(first)), next(iter(second))
    lengths = (len(one), len(other)) if isinstance(one, str) and isinstance(other, str) else (0, 0)
    if isinstance(one, str) != isinstance(other, str) or lengths[0] != lengths[1]:
        raise InputError(f"p and q must have keys of one format, got {one!r} and {other!r}")
    return first, second


def hellinger_fidelity(p: Mapping[Hashable, float], q: Mapping[Hashable, float]) -> float:
    """Returns (Σ √(p q))² of two distributions over the same kind of key, between 0 and 1.

    The definition of `qiskit.quantum_info.hellinger_fidelity`. Counts are scaled to sum to one.

    Args:
        p: Probabilities or counts, by key.
        q: Probabilities or counts, by key.

    Raises:
        InputError: If one is empty, sums to zero, or holds a negative or infinite number.

    Examples:
        >>> from quell.mitigation import hellinger_fidelity
        >>> round(hellinger_fidelity({"0": 900, "1": 100}, {"0": 1.0}), 6)
        0.9
    """
    first, second = _both(p, q)
    return min(1.0, math.fsum(math.sqrt(share * second.get(key, 0.0)) for key, share in first.items()) ** 2)


def total_variation(p: Mapping[Hashable, float], q: Mapping[Hashable, float]) -> float:
    """Returns half the sum of |p - q| of two distributions, between 0 and 1.

    Args:
        p: Probabilities or counts, by key.
        q: Probabilities or counts, by key.

    Raises:
        InputError: If one is empty, sums to zero, or holds a negative or infinite number.

    Examples:
        >>> from quell.mitigation import total_variation
        >>> round(total_variation({"0": 900, "1": 100}, {"0": 1.0}), 6)
        0.1
    """
    first, second = _both(p, q)
    # Over a sorted list, so that the last digit does not follow the hash seed.
    keys = [*first, *(key for key in second if key not in first)]
    return min(1.0, math.fsum(abs(first.get(key, 0.0) - second.get(key, 0.0)) for key in keys) / 2)


def fidelity_ratio(mitigated: float, raw: float) -> float:
    """Returns (mitigated + 0.01) / (raw + 0.01), the improvement that the Q-Cluster paper reports.

    Tiny raw fidelities dominate its mean, so it is only worth printing beside the fidelities themselves.

    Source: arXiv:2504.10801.

    Examples:
        >>> from quell.mitigation import fidelity_ratio
        >>> round(fidelity_ratio(0.49, 0.24), 6)
        2.0
    """
    return (mitigated + 0.01) / (raw + 0.01)
