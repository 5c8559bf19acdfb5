"""From estimates to the points of a table, a fit or a plot: distance, physical error rate, and the better of two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quell.errors import DataError, InputError
from quell.qec.analysis.intervals import Estimate, per_round_probability, rounds_of
from quell.qec.analysis.points import number_in
from quell.qec.rare_events.estimate import RareEstimate

__all__ = ["RarePoint", "best_estimates", "rare_points", "rate_per_round"]


@dataclass(frozen=True)
class RarePoint:
    """An estimate with its place in a plot or a fit.

    Attributes:
        distance: The code distance.
        p: The physical error rate.
        rate: The logical error rate, per shot or per round as asked.
        source: The estimate.
    """

    distance: float
    p: float
    rate: Estimate
    source: RareEstimate


def rate_per_round(estimate: RareEstimate) -> Estimate | None:
    """The error rate per round; None if the metadata does not say how many rounds there are."""
    rounds = rounds_of(estimate)
    if rounds is None:
        return None
    rate = estimate.error_rate
    value, low, high = per_round_probability([rate.value, rate.low, rate.high], rounds)
    return Estimate(float(value), float(low), float(high), rate.confidence)


def best_estimates(estimates: Iterable[RareEstimate]) -> list[RareEstimate]:
    """The better estimate of each task, where a file has one by strata and one by splitting."""
    best: dict[str, RareEstimate] = {}
    for one in estimates:
        known = best.get(one.strong_id)
        if known is None or (one.trusted, -one.relative_error()) > (known.trusted, -known.relative_error()):
            best[one.strong_id] = one
    return list(best.values())


def rare_points(estimates: Iterable[RareEstimate], *, per: str, distance_key: str, p_key: str) -> list[RarePoint]:
    """Places estimates of one group, by distance and then by error rate.

    Raises:
        DataError: Metadata is missing, or two different tasks have the same distance and rate.
        InputError: `per` is neither shot nor round.
    """
    if per not in ("shot", "round"):
        raise InputError(f"per must be 'shot' or 'round', got {per!r}")
    owners: dict[tuple[float, float], str] = {}
    points = []
    for one in estimates:
        place = (number_in(one, distance_key), number_in(one, p_key))
        if owners.setdefault(place, one.strong_id) != one.strong_id:
            raise DataError(
                f"two different tasks have {distance_key}={place[0]:g} and {p_key}={place[1]:g}: tell them "
                "apart with another metadata key, or pass only one of them"
            )
        rate = one.error_rate if per == "shot" else rate_per_round(one)
        if rate is None:
            raise DataError("rates per round need 'r' or 'rounds' in the metadata of every task: or use per='shot'")
        points.append(RarePoint(*place, rate, one))
    return sorted(points, key=lambda point: (point.distance, point.p))
