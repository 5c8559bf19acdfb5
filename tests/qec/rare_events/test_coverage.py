"""How often the intervals hold the truth. A count is refused if true 95 % intervals would give it once in 10^6.

`benchmarks/rare_events/intervals.py` does this more often, on more codes.
"""

import pytest
import scipy.stats

from .truths import exact_rate, held, majority_failure, repetition, surface_data


def check(found: int, repetitions: int) -> None:
    assert scipy.stats.binom.cdf(found, repetitions, 0.95) > 1e-6, f"{found} of {repetitions}"


def test_intervals_of_strata() -> None:
    """A code with so many rounds that nearly no stratum is gone through from end to end."""
    circuit, truth = repetition([0.004] * 3, rounds=20), majority_failure(3, 0.004, rounds=20)
    check(held(circuit, truth, "strata", 50, target=0.2), 50)


def test_intervals_of_strata_with_uneven_faults() -> None:
    circuit = surface_data(3, 0.003)
    check(held(circuit, exact_rate(circuit.detector_error_model()), "strata", 30, target=0.2), 30)


def test_intervals_of_splitting(monkeypatch: pytest.MonkeyPatch) -> None:
    """With short chunks, so that a run that has reached its target ends soon; it is asked more often, too."""
    monkeypatch.setattr("quell.qec.rare_events.splitting._BLOCK_DECODES", 8_192)
    check(held(repetition([0.01] * 7), majority_failure(7, 0.01), "splitting", 20, target=0.4), 20)
