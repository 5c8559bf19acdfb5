"""Volumes of circuits small enough to count by hand."""

import pytest
import stim

from quell.circuits import cultivation, stage_volumes, volume_per_attempt
from quell.errors import CircuitError, InputError

# Layers: both qubits, both, both (the last of qubit 1), qubit 0 alone and on its own again.
SMALL = (
    "R 0 1\nTICK\nCX 0 1\nTICK\nM 1\nDETECTOR(0, 0, 0, 1) rec[-1]\nTICK\nTICK\nM 0\nDETECTOR(0, 0, 1, 2) rec[-1]\nTICK"
)


def test_qubits_count_from_preparation_to_measurement() -> None:
    assert stage_volumes(stim.Circuit(SMALL)) == [pytest.approx(6 / 6), pytest.approx(2 / 6), 0]
    # Prepared again, an ancilla has cost nothing in between.
    assert stage_volumes(stim.Circuit("R 0\nTICK\nM 0\nTICK\nTICK\nR 0\nTICK\nM 0\nTICK")) == [pytest.approx(4 / 6)]


def test_a_rejected_attempt_stops() -> None:
    assert volume_per_attempt(stim.Circuit(SMALL), [0.5, 0.25]) == pytest.approx(1 + 0.5 / 3)
    with pytest.raises(InputError, match="parts between 0 and 1"):
        volume_per_attempt(stim.Circuit(SMALL), [2, 0.5])
    with pytest.raises(InputError, match="alive must hold 2 stages of this circuit, got 1"):
        volume_per_attempt(stim.Circuit(SMALL), [0.5])


def test_a_round_of_the_surface_code_costs_its_qubits() -> None:
    # Data is there for six layers a round, and so is every ancilla.
    longer, shorter = (sum(stage_volumes(cultivation(3, 7, rounds=rounds))) for rounds in (5, 4))
    assert longer - shorter == pytest.approx(97)


def test_other_ways_to_prepare_and_measure_count_too_and_what_is_noiseless_does_not() -> None:
    assert stage_volumes(stim.Circuit("R 0\nTICK\nM 0")) == [pytest.approx(2 / 6)]
    assert stage_volumes(stim.Circuit("RY 0\nTICK\nMR 0\nTICK\nMY 0")) == [pytest.approx(3 / 6)]
    assert stage_volumes(stim.Circuit("R 0 1\nTICK\nMPP[noiseless] Z0*Z1")) == [pytest.approx(2 / 6)]
    assert stage_volumes(stim.Circuit("R[noiseless] 0\nTICK\nH 0\nTICK\nM 0")) == [0]


def test_what_cannot_be_counted_is_refused() -> None:
    with pytest.raises(CircuitError, match="flatten it"):
        stage_volumes(stim.Circuit("REPEAT 2 {\nH 0\n}"))
    back = "M 0\nDETECTOR(0, 0, 0, 2) rec[-1]\nDETECTOR(0, 0, 0, 1) rec[-1]"
    with pytest.raises(CircuitError, match="detector 1 is of stage 1 and comes after one of stage 2"):
        stage_volumes(stim.Circuit(back))
