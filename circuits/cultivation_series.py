"""What true T costs: the exact series for the error rate of cultivation on RP² codes with T gates, by Wan and Zapirain
(arXiv:2609.18922), beside which the error rate of the S proxy has to be read."""

from fractions import Fraction

from quell.circuits.srp_morph import check_cultivation_distance
from quell.errors import InputError

__all__ = ["true_t_series"]

# Coefficients of x^k, x = p / (1 - p), from k = 2 and from k = 3.
_SERIES = {
    3: (2, ("131/450", "9874093/10800", "17172616651/540000", "27243842363149/24300000")),
    5: (3, ("10439/13500", "20300775541/51840000", "616219992737/1728000", "428120035103643799/20736000000")),
}
_SMALL = 0.1


def true_t_series(distance: int, p: float) -> float | None:
    """Returns the logical error rate of kept states with true T, under uniform depolarising noise of strength p.

    Of cultivation alone, with a noiseless projection at the end and no expansion, in the circuits as published:
    `cultivation(distance, as_published=True, gate="T")`. Without what these have beyond the protocol the leading
    terms are 33/100 x² + 10405939/10800 x³ at distance 3, 7 % above those of the series at p = 0.001, and 148/125 x³
    at distance 5, half as much again (benchmarks/cultivation/fault_distance.md).

    Args:
        distance: 3 or 5.
        p: Physical error rate, in [0, 1).

    Returns:
        The sum of the four known terms, or None where the last of them is more than a tenth of it, so that the
        terms that are not known may matter.

    Raises:
        InputError: The distance is not 3 or 5, or p is outside its limits.

    Examples:
        >>> from quell.circuits import true_t_series
        >>> print(f"{true_t_series(3, 0.002):.3g}, {true_t_series(5, 0.001):.3g}")
        9.08e-06, 1.55e-09
        >>> true_t_series(5, 0.02) is None
        True
    """
    distance = check_cultivation_distance(distance)
    if not 0 <= p < 1:
        raise InputError(f"p must be at least 0 and below 1, got {p!r}")
    first, coefficients = _SERIES[distance]
    x = p / (1 - p)
    terms = [float(Fraction(each)) * x ** (first + index) for index, each in enumerate(coefficients)]
    return sum(terms) if terms[-1] <= _SMALL * sum(terms) else None
