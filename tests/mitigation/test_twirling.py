"""Twirled circuits do the same as the one they come from, and their counts add up exactly."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit, transpile
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import Operator, Statevector

from quell.errors import InputError
from quell.mitigation import read_counts
from quell.mitigation.twirling import merge_twirled, pauli_twirl, twirl_measurements


def entangling() -> QuantumCircuit:
    circuit = QuantumCircuit(3, name="mixed")
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.t(1)
    circuit.ecr(1, 2)
    circuit.cz(2, 0)
    circuit.iswap(0, 1)
    circuit.rzz(0.3, 1, 2)
    return circuit


def test_twirled_circuits_are_the_same_unitary() -> None:
    circuit = entangling()
    circuit.metadata = {"experiment": 7}
    versions = pauli_twirl(circuit, 12, seed=3)
    assert len(versions) == 12
    assert all(Operator(version).equiv(Operator(circuit)) for version in versions)
    assert len({str(version.draw()) for version in versions}) > 6
    assert versions[4].name == "mixed-twirl-4"
    assert versions[4].metadata == {"experiment": 7}


def test_the_seed_decides() -> None:
    assert pauli_twirl(entangling(), 3, seed=3) == pauli_twirl(entangling(), 3, seed=3)
    assert pauli_twirl(entangling(), 3, seed=3) != pauli_twirl(entangling(), 3, seed=4)


def test_with_a_target_the_paulis_are_written_in_its_gates() -> None:
    backend = GenericBackendV2(3, basis_gates=["cz", "id", "rz", "sx", "x"], seed=1)
    transpiled = transpile(entangling(), backend, seed_transpiler=1)
    for version in pauli_twirl(transpiled, 4, seed=0, target=backend.target):
        assert set(version.count_ops()) <= {"cz", "id", "rz", "sx", "x"}
        assert version.count_ops()["cz"] == transpiled.count_ops()["cz"]
        assert Operator(version).equiv(Operator(transpiled))


def test_each_pauli_is_drawn_about_equally_often() -> None:
    circuit = QuantumCircuit(2)
    circuit.cz(0, 1)
    before = [version.data[0].operation.name for version in pauli_twirl(circuit, 1600, seed=11)]
    counted = [before.count(name) for name in ("id", "x", "y", "z")]
    assert sum(counted) == 1600
    # Binomial(1600, 1/4) has a standard deviation of 17.3; 100 is over 5.7 of them, for four counts below 1e-6.
    assert max(abs(count - 400) for count in counted) < 100


def outcome(circuit: QuantumCircuit) -> str:
    """The one string that a circuit without superposition gives."""
    bits = ["0"] * circuit.num_clbits
    bare = QuantumCircuit(circuit.num_qubits)
    for item in circuit.data:
        if item.operation.name != "measure":
            bare.append(item.operation, [circuit.find_bit(qubit).index for qubit in item.qubits])
    state = Statevector(bare).probabilities()
    index = int(state.argmax())
    for item in circuit.data:
        if item.operation.name == "measure":
            bit = circuit.find_bit(item.clbits[0]).index
            bits[bit] = str(index >> circuit.find_bit(item.qubits[0]).index & 1)
    return "".join(reversed(bits))


def test_measurement_flips_are_made_and_undone() -> None:
    circuit = QuantumCircuit(4, 5)
    circuit.x([0, 3])
    circuit.cx(0, 1)
    circuit.barrier()
    circuit.measure([0, 1, 2, 3], [4, 0, 1, 2])
    versions, flips = twirl_measurements([circuit] * 20, seed=6)
    assert flips.shape == (20, 5)
    assert flips.dtype == np.uint8
    assert not flips[:, 3].any()
    assert 0 < flips[:, 4].sum() < 20
    counts = [{outcome(version): 10} for version in versions]
    assert len({key for one in counts for key in one}) > 4
    assert merge_twirled(counts, flips) == {outcome(circuit): 200}
    again, same = twirl_measurements([circuit] * 20, seed=6)
    np.testing.assert_array_equal(flips, same)
    assert again == versions
    assert circuit.count_ops()["x"] == 1 + 1


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 1), min_size=5, max_size=5),
            st.dictionaries(st.integers(0, 31).map(lambda k: format(k, "05b")), st.integers(1, 99), min_size=1),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_merging_is_addition_after_exclusive_or(runs: list[tuple[list[int], dict[str, int]]]) -> None:
    expected: dict[str, int] = {}
    for flips, counts in runs:
        mask = sum(flip << bit for bit, flip in enumerate(flips))
        for key, count in counts.items():
            right = format(int(key, 2) ^ mask, "05b")
            expected[right] = expected.get(right, 0) + count
    merged = merge_twirled([counts for _, counts in runs], [flips for flips, _ in runs])
    assert merged == expected
    assert list(merged) == sorted(merged)


@pytest.mark.parametrize(
    ("counts", "options", "expected"),
    [
        ([{"0 1": 3}, {"1 1": 4, "0 1": 1}], {}, {"0 1": 4, "1 1": 4}),
        ([{"0x1": 3}, {"0x3": 4}], {"num_bits": 2}, {"0x1": 3, "0x3": 4}),
        ([{1: 3}, {1: 4}], {"num_bits": 2, "flips": [[0, 0], [0, 1]]}, {1: 3, 3: 4}),
        ([{"10": 3}, {"10": 4}], {"bit_order": "big", "flips": [[0, 0], [1, 0]]}, {"00": 4, "10": 3}),
        ([read_counts({"01": 2}), {"01": 5}], {}, {"01": 7}),
    ],
)
def test_keys_keep_their_format(counts: Any, options: Any, expected: Any) -> None:
    assert merge_twirled(counts, **options) == expected


def test_wide_counts_are_merged() -> None:
    ones, zeros = "1" * 127, "0" * 127
    assert merge_twirled([{ones: 5}, {zeros: 6}], [[0] * 127, [1] * 127]) == {ones: 11}


def mid_circuit() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    circuit.measure(0, 0)
    circuit.h(0)
    return circuit


def conditional() -> QuantumCircuit:
    circuit = QuantumCircuit(2, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    return circuit


def test_what_cannot_be_twirled_is_refused() -> None:
    with pytest.raises(InputError, match=r"must be a qiskit.QuantumCircuit, got a str"):
        pauli_twirl("h q[0];", 3, seed=0)
    with pytest.raises(InputError, match="num_twirls must be an integer >= 1, got 0"):
        pauli_twirl(entangling(), 0, seed=0)
    with pytest.raises(InputError, match="seed must be an integer >= 0"):
        pauli_twirl(entangling(), 1, seed=-1)
    with pytest.raises(InputError, match="must hold at least one circuit"):
        twirl_measurements([], seed=0)
    with pytest.raises(InputError, match="equally many classical bits, got 1 and 2"):
        twirl_measurements([QuantumCircuit(1, 1), QuantumCircuit(1, 2)], seed=0)
    for circuit, later in ((mid_circuit(), "h"), (conditional(), "if_else")):
        with pytest.raises(InputError, match=f"a measurement is followed by '{later}' on the same qubit or bit"):
            twirl_measurements([circuit], seed=0)


def test_counts_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(InputError, match="counts of at least one circuit"):
        merge_twirled([])
    with pytest.raises(InputError, match="equally many bits, got 1 and 2: give num_bits"):
        merge_twirled([{"0": 1}, {"00": 1}])
    for flips in ([[0]], [[0, 0], [0, 0]], [[2, 0]]):
        with pytest.raises(InputError, match=r"flips must be zeros and ones of shape \(1, 2\)"):
            merge_twirled([{"00": 1}], flips)
