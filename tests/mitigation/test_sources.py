"""Counts in the objects of Qiskit, Cirq and Braket and in arrays, against what these libraries say themselves."""

from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.primitives import BackendSamplerV2, BitArray, DataBin, SamplerPubResult, StatevectorSampler
from qiskit.providers.basic_provider import BasicSimulator

from quell.errors import InputError
from quell.mitigation import CountTable
from quell.mitigation.reading import read_counts, read_many


def as_dict(table: CountTable) -> dict[object, float]:
    """The counts in a table, with its keys."""
    return dict(zip(table.keys, table.weights.tolist(), strict=True))


def by_number(table: CountTable) -> dict[int, float]:
    """The counts in a table by the number whose bit i is column i."""
    numbers = [sum(int(bit) << i for i, bit in enumerate(row)) for row in table.bits]
    return dict(zip(numbers, table.weights.tolist(), strict=True))


# Qiskit's primitives and results


def registers_circuit() -> QuantumCircuit:
    """Three registers of different sizes with an answer that is no palindrome, and one bit that is random."""
    qubits = QuantumRegister(6)
    first, second, third = ClassicalRegister(2, "first"), ClassicalRegister(1, "second"), ClassicalRegister(3, "third")
    circuit = QuantumCircuit(qubits, first, second, third)
    circuit.x([0, 3])
    circuit.h(4)
    circuit.measure(qubits, [*first, *second, *third])
    return circuit


def test_registers_are_joined_as_a_backend_joins_them() -> None:
    backend, circuit = BasicSimulator(), registers_circuit()
    result = backend.run(circuit, shots=300, seed_simulator=5).result()
    sampled = BackendSamplerV2(backend=backend, options={"seed_simulator": 5}).run([circuit], shots=300).result()
    wanted = result.get_counts()
    assert set(wanted) == {"001 0 01", "011 0 01"}
    for source in (sampled, sampled[0], sampled[0].data, result):
        table = read_counts(source)
        assert as_dict(table) == wanted
        assert table.bits[:, :4].tolist() == [[1, 0, 0, 1]] * 2
    assert "third second first" in read_counts(sampled).notes[0]
    assert by_number(read_counts(sampled)) == by_number(read_counts(sampled[0].join_data()))


def test_one_register_has_plain_keys() -> None:
    circuit = QuantumCircuit(3)
    circuit.x(0)
    circuit.measure_all()
    result = StatevectorSampler(seed=1).run([circuit], shots=10).result()
    assert as_dict(read_counts(result)) == {"001": 10}
    assert read_counts(result).notes == ()


@given(st.lists(st.integers(0, 2**19 - 1), min_size=1, max_size=30), st.sampled_from([19, 24, 32, 70]))
def test_bit_arrays_are_counted_as_qiskit_counts_them(samples: list[int], width: int) -> None:
    array = BitArray.from_samples(samples, num_bits=width)
    assert as_dict(read_counts(array)) == array.get_counts()
    assert by_number(read_counts(array)) == array.get_int_counts()


@given(st.lists(st.integers(1, 20), min_size=2, max_size=4), st.integers(0, 2**32 - 1))
def test_registers_of_any_width_are_joined_as_qiskit_joins_them(widths: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    arrays = [BitArray.from_bool_array(generator.random((6, width)) < 0.5) for width in widths]
    pub = SamplerPubResult(DataBin(**{f"register{i}": array for i, array in enumerate(arrays)}))
    table = read_counts(pub)
    assert by_number(table) == pub.join_data().get_int_counts()
    assert [len(part) for part in table.keys[0].split(" ")] == widths[::-1]


def test_bits_above_the_highest_are_ignored() -> None:
    assert as_dict(read_counts(BitArray(np.array([[0xF9], [0x01]], dtype=np.uint8), 3))) == {"001": 2}


def test_a_broadcast_is_read_position_by_position() -> None:
    array = BitArray.from_samples(["01", "10", "01", "11", "00", "00"]).reshape(3, 2)
    assert [as_dict(table) for table in read_many(array)] == [array.get_counts(i) for i in range(3)]
    assert as_dict(read_counts(array[1])) == array.get_counts(1)
    assert as_dict(read_counts(array.get_counts())) == array.get_counts()
    with pytest.raises(InputError, match="a BitArray holds 3 sets of counts: pick one"):
        read_counts(array)
    pub = SamplerPubResult(DataBin(a=array, b=array, shape=(3,)))
    assert as_dict(read_many(pub)[1]) == {"01 01": 1, "11 11": 1}


def test_results_of_several_circuits() -> None:
    circuits = [registers_circuit(), QuantumCircuit(2)]
    circuits[1].measure_all()
    result = StatevectorSampler(seed=1).run(circuits, shots=20).result()
    tables = read_many(result)
    assert [table.num_bits for table in tables] == [6, 2]
    with pytest.raises(InputError, match="a PrimitiveResult holds 2 sets"):
        read_counts(result)
    backend_result = BasicSimulator().run(circuits, shots=20, seed_simulator=1).result()
    assert [as_dict(table) for table in read_many(backend_result)] == backend_result.get_counts()


def test_results_without_shots_of_bits() -> None:
    bits = BitArray.from_samples(["01", "10"])
    for data, message in [
        (DataBin(evs=np.zeros(3)), "'evs' holds a ndarray and no BitArray"),
        (DataBin(a=bits, b=np.zeros(3)), "'b' holds a ndarray"),
        (DataBin(a=bits, b=bits.slice_shots([0])), "a, b differ in shape or in their number of shots"),
        (DataBin(), "no measured bits"),
        (DataBin(a=BitArray(np.zeros((3, 0), dtype=np.uint8), 0)), "no measured bits"),
    ]:
        with pytest.raises(InputError, match=message):
            read_counts(SamplerPubResult(data))
    with pytest.raises(InputError, match="no shots"):
        read_counts(BitArray(np.zeros((0, 1), dtype=np.uint8), 3))
    with pytest.raises(InputError, match="bit_order is 'big', but the source itself says 'little'"):
        read_counts(bits, bit_order="big")
    job = StatevectorSampler().run([registers_circuit()])
    with pytest.raises(InputError, match=r"from a PrimitiveJob: pass its \.result\(\)"):
        read_counts(job)


def test_an_empty_register_is_no_register() -> None:
    data = DataBin(none=BitArray(np.zeros((2, 0), dtype=np.uint8), 0), meas=BitArray.from_samples(["01", "10"]))
    assert set(read_counts(data).keys) == {"01", "10"}


# Cirq and Braket: stand-ins with what their results offer, as checked on cirq-core 1.7 and amazon-braket-sdk 1.127


def test_cirq_results() -> None:
    # Qubit 0 was 1: Cirq puts it first.
    measured = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0]], dtype=np.int8)
    other = np.array([[1], [1], [0]], dtype=np.int8)
    result = SimpleNamespace(repetitions=3, records={"m": measured[:, None, :], "z": other[:, None, :]})
    table = read_counts(result)
    assert table.bit_order == "big"
    assert as_dict(table) == {"100 1": 2, "110 0": 1}
    assert table.bits[table.keys.index("100 1")].tolist() == [1, 0, 0, 1]
    assert table.notes == ("Measurements are joined from left to right: m z.",)
    assert as_dict(read_counts({"m": measured, "z": other})) == as_dict(table)
    # result.histogram(key="m")
    histogram = read_counts(Counter({4: 2, 6: 1}), num_bits=3, bit_order="big")
    assert histogram.bits.tolist() == read_counts({"m": measured}).bits.tolist()
    assert set(histogram.keys) == {4, 6}
    with pytest.raises(InputError, match="bit_order is 'little', but the source itself says 'big'"):
        read_counts(result, bit_order="little")


def test_a_measurement_that_cirq_repeated() -> None:
    records = {"m": np.array([[[1, 0], [0, 0]], [[1, 0], [0, 1]]])}
    table = read_counts(SimpleNamespace(repetitions=2, records=records))
    assert as_dict(table) == {"10 00": 1, "10 01": 1}
    assert table.bits[1].tolist() == [1, 0, 0, 1]


def test_cirq_results_that_cannot_be_read() -> None:
    with pytest.raises(InputError, match="measurement 'm' must hold bits"):
        read_counts({"m": np.array([[0, 2]])})
    with pytest.raises(InputError, match="measurement 'm' must have shape"):
        read_counts({"m": np.array([0, 1])})
    with pytest.raises(InputError, match="'m', 'z' must have the same number"):
        read_counts({"m": np.array([[0], [1]]), "z": np.array([[0]])})


def test_braket_results() -> None:
    result = SimpleNamespace(measurement_counts=Counter({"100": 9, "110": 1}), measurements=None)
    table = read_counts(result)
    assert (as_dict(table), table.bit_order) == ({"100": 9, "110": 1}, "big")
    assert table.bits.tolist() == [[1, 0, 0], [1, 1, 0]]
    with pytest.raises(InputError, match="run the circuit with shots"):
        read_counts(SimpleNamespace(measurement_counts=None))


# arrays and lists of shots


def test_arrays_of_shots_need_their_order() -> None:
    shots = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0]], dtype=bool)
    big, little = read_counts(shots, bit_order="big"), read_counts(shots, bit_order="little")
    assert as_dict(big) == as_dict(little) == {"100": 2, "110": 1}
    assert big.bits.tolist() == [[1, 0, 0], [1, 1, 0]]
    assert {tuple(row) for row in little.bits.tolist()} == {(0, 0, 1), (0, 1, 1)}
    array = BitArray.from_bool_array(shots)
    assert little.bits.tolist() == read_counts(array).bits.tolist()
    assert read_counts(array.to_bool_array(), bit_order="little").keys == read_counts(array).keys
    with pytest.raises(InputError, match="pass bit_order='big' if it is the first"):
        read_counts(shots)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([0, 1]), r"must have shape \(num_shots, num_bits\), got \(2,\)"),
        (np.array([[0, 3]], dtype=np.uint8), "dtype uint8 up to 3: is it bit-packed"),
        (np.array([[0.0, 1.0]]), "dtype float64"),
        (np.array([[0, -1]]), "must hold bits"),
        (np.zeros((0, 3), dtype=np.uint8), "no shots"),
        (np.zeros((3, 0), dtype=np.uint8), "no bits"),
    ],
)
def test_arrays_that_cannot_be_read(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_counts(array, bit_order="big")


def test_many_wide_shots_are_counted_without_unpacking_them() -> None:
    packed = np.random.default_rng(4).integers(0, 4, size=(200_000, 16), dtype=np.uint8)
    packed[:, 2:] = 0
    table = read_counts(BitArray(packed, 127))
    assert table.num_strings == 16
    assert table.shots == 200_000
