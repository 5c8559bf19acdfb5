"""Error rates per round, and their ratios on the same shots, with 95 % intervals.

An observable is wrong at the end if an odd number of rounds flipped it, so a rate e per round makes a rate
P = (1 - (1 - 2e)^R) / 2 per shot of R rounds. Intervals of ratios are paired: of two decoders on the same shots only
those shots tell which only one of them decoded wrongly (delta method on the table of two by two). For the variance two
shots are added to either kind, or few would look like none.
"""

import math

SIGMAS = 1.96
ADDED = 2

Interval = tuple[float, float]


def per_round(per_shot: float, rounds: int) -> float:
    return (1 - math.copysign(abs(1 - 2 * per_shot) ** (1 / rounds), 1 - 2 * per_shot)) / 2


def relative_slope(per_shot: float, rounds: int) -> float:
    """By which share the rate per round grows for each unit of the rate per shot."""
    return float((1 - 2 * per_shot) ** (1 / rounds - 1) / rounds / per_round(per_shot, rounds))


def ratio_per_round(errors: int, alone: int, both: int, shots: int, rounds: int) -> tuple[float, Interval]:
    """The rate per round of a decoder over that of another, from their errors and those of both."""
    if not errors or not alone or 2 * (max(errors, alone) + ADDED) >= shots:
        return math.nan, (0.0, math.inf)
    found = per_round(errors / shots, rounds) / per_round(alone / shots, rounds)
    p, q, pq = (errors + ADDED) / shots, (alone + ADDED) / shots, both / shots
    a, b = relative_slope(p, rounds), relative_slope(q, rounds)
    variance = a * a * p * (1 - p) + b * b * q * (1 - q) - 2 * a * b * (pq - p * q)
    spread = math.exp(SIGMAS * math.sqrt(max(variance, 0.0) / shots))
    return found, (found / spread, found * spread)


def rate_per_round(errors: int, shots: int, rounds: int) -> tuple[float, Interval]:
    """One decoder's."""
    p = errors / shots
    if not errors or p >= 0.5:
        return math.nan, (0.0, 0.5)
    found = per_round(p, rounds)
    spread = math.exp(SIGMAS * relative_slope(p, rounds) * math.sqrt(p * (1 - p) / shots))
    return found, (found / spread, found * spread)
