"""The one call: what it picks, and what it says of it."""

import os
import subprocess
import sys

import numpy as np
import pytest

from quell.errors import InputError, UnknownNameError
from quell.mitigation import MITIGATION_METHODS, Automatic, mitigate

from .simulate import drawn, porter_thomas, simulated


def test_sparse_answers_are_the_mixtures() -> None:
    counts, ideal = simulated(1, (0.6, 0.4), 0.1)
    mitigated = mitigate(counts)
    assert mitigated.report.method == "mixture"
    assert {center.key for center in mitigated.report.centers} == set(ideal)


@pytest.mark.parametrize("seed", range(3))
def test_broad_distributions_are_left_alone(seed: int) -> None:
    mitigated = mitigate(drawn(seed, porter_thomas(seed, 7), 7, 4096))
    assert mitigated.report.method == "raw"
    assert not mitigated.report.changed
    assert mitigated.report.reason
    assert dict(mitigated) == dict(mitigated.raw)


def test_uniform_counts_are_left_alone() -> None:
    assert not mitigate(drawn(4, np.full(256, 1 / 256), 8, 8192)).report.changed


@pytest.mark.parametrize("method", sorted(MITIGATION_METHODS))
def test_every_method_keeps_the_contract(method: str) -> None:
    counts, _ = simulated(5, (0.6, 0.4), 0.05, num_bits=6, shots=1000)
    mitigated = mitigate(counts, method)
    assert set(counts) <= set(mitigated)
    assert min(mitigated.values()) >= 0
    assert sum(mitigated.values()) == pytest.approx(1)
    intervals = mitigated.intervals(20)
    assert all(intervals[key].low <= value <= intervals[key].high for key, value in mitigated.items())


def test_what_was_picked_is_an_attribute() -> None:
    automatic = Automatic()
    automatic.mitigate({"0": 3, "1": 1})
    assert automatic.method_ == "raw"


def test_a_flip_rate_is_checked_and_its_neglect_is_told() -> None:
    counts, _ = simulated(6, (0.6, 0.4), 0.05, num_bits=6, shots=1000)
    assert any("not used" in note for note in mitigate(counts, flip_rate=0.05).report.notes)
    for wrong in (0.7, float("nan"), "x", [0.1]):
        with pytest.raises(InputError, match="flip_rate"):
            mitigate(counts, flip_rate=wrong)


def test_wrong_names_and_needless_rates_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'hammer'"):
        mitigate({"00": 9, "11": 1}, "hamer")
    with pytest.raises(InputError, match="takes no flip_rate"):
        mitigate({"00": 9, "11": 1}, "hammer", flip_rate=0.1)


def test_neither_key_order_nor_hash_seed_matters() -> None:
    script = (
        "import random; from quell.mitigation import mitigate\n"
        "from quell.mitigation import read_counts\n"
        "items = [(format(i * i % 64, '06b'), 1 + i * 37 % 101) for i in range(64)]\n"
        "counts = {'000000': 900, '111000': 500}\n"
        "for key, n in sorted(set(items)): counts[key] = counts.get(key, 0) + n\n"
        "keys = list({k for k in counts}); counts = {k: counts[k] for k in keys}\n"
        "m = mitigate(counts); print(m.report.method, sorted(m.items()), sorted(m.intervals(20).items()))\n"
    )
    printed = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert printed[0] == printed[1]
