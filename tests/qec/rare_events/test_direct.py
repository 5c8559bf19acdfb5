"""Where plain sampling reaches too: strata and splitting against millions of shots, pooled over all codes."""

import math
from typing import Any

import pytest
import scipy.stats
import sinter
import stim

from quell import circuits
from quell.qec import rare_error_rates, sweep

from .truths import HERE, surface

CASES: list[tuple[str, stim.Circuit, str, int]] = [
    ("d = 3", surface(3, 3e-3), "pymatching", 200_000),
    ("d = 3, weak", surface(3, 1e-3, basis="x"), "pymatching", 1_000_000),
    ("d = 5", surface(5, 2e-3), "pymatching", 600_000),
    (
        "ours",
        circuits.rotated_surface_memory(3, 3, "X", circuits.NoiseModel.uniform_depolarizing(2e-3)),
        "pymatching",
        400_000,
    ),
    ("correlated", surface(3, 3e-3), "pymatching-correlated", 200_000),
]


@pytest.mark.parametrize("method", ["strata", "splitting"])
def test_rates_are_those_of_direct_sampling(method: str) -> None:
    """The sum of the squares of all deviations is taken for a chi-square, that is exceeded once in 10^7.

    The deviations of splitting are Student's t; their squares are cut to those of a normal of the same probability.
    """
    squares = 0.0
    options: Any = {"method": method, "target_relative_error": 0.1, "seed": 1, **HERE}
    for name, circuit, decoder, shots in CASES:
        (result,) = rare_error_rates(sinter.Task(circuit=circuit, json_metadata=name), decoder, **options)
        (stats,) = sweep(circuit, decoder, max_shots=shots, **HERE)
        assert stats.errors > 50
        assert result.method == method
        rate = result.error_rate
        quantile = 1.96 if method == "strata" else float(scipy.stats.t.ppf(0.975, 11))
        error = math.log(rate.high / rate.low) / 2 / quantile
        deviation = math.log(stats.errors / stats.shots / rate.value) / math.hypot(error, 1 / math.sqrt(stats.errors))
        if method == "splitting":
            deviation = float(scipy.stats.norm.isf(scipy.stats.t.sf(abs(deviation), 11)))
        squares += deviation**2
    assert scipy.stats.chi2.sf(squares, len(CASES)) > 1e-7
