"""Noise from calibrations: Qiskit's own fake backend, a written calibration table, and real ones where present."""

import math
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import stim

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.errors import CircuitError, DataError, InputError, StorageError

REAL = Path(__file__).parents[3] / "shared" / "data" / "ibm_counts" / "qwork" / "calibrations"

OLD_HEADER = (
    '"Qubit","T1 (us)","T2 (us)","Readout assignment error ","Readout length (ns)","ID error ","√x (sx) error ",'
    '"Pauli-X error ","ECR error ","Gate time (ns)","Operational"'
)
OLD = f"""{OLD_HEADER}
"0","100","80","0.02","1300","0.0001","0.0002","0.0004","","","true"
"1","50","200","0.03","1300","0.0001","0.0003","0.0003","1_0:0.006;1_2:0.01","1_0:660;1_2:500","true"
"2","50","60","0.04","1300","0.0001","0.0003","0.0003","","","false"
"3","50","60","0.04","1300","0.0001","0.0003","0.0003","3_0:1","3_0:660","true"
"""
NEW = (
    '"Qubit","T1 (us)","T2 (us)","Readout assignment error","Readout length (ns)","ID error",'
    '"Single-qubit gate length (ns)","√x (sx) error","Pauli-X error","CZ error","Gate length (ns)",'
    '"RZZ error","Operational"\n'
    '"0","100","80","0.02","1560","0.0001","32","0.0002","0.0004","1:0.003","1:68","1:0.02","Yes"\n'
    '"1","50","60","0.03","1560","0.0001","32","0.0003","0.0003","0:0.003","0:68","","Yes"\n'
)


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.csv"
    path.write_text(OLD, encoding="utf-8")
    return path


def arguments(circuit: stim.Circuit, name: str) -> list[list[float]]:
    return [instruction.gate_args_copy() for instruction in circuit if instruction.name == name]


def test_rates_of_a_table(old: Path) -> None:
    noise = NoiseModel.from_backend(old)
    noisy = noise.apply(stim.Circuit("R 0\nTICK\nH 0\nTICK\nX 0\nTICK\nS 0\nTICK\nI 0\nTICK\nCX 0 1\nTICK\nM 0"))
    assert arguments(noisy, "X_ERROR") == [[0.02], [0.02]]
    assert arguments(noisy, "DEPOLARIZE1") == [[pytest.approx(1.5 * r)] for r in (0.0002, 0.0004, 0.0001)]
    assert arguments(noisy, "DEPOLARIZE2") == [[pytest.approx(1.25 * 0.006)]]
    assert noise.name == "from_backend"
    assert noise.parameters == {"backend": "old.csv", "qubit_map": None}
    assert pickle.loads(pickle.dumps(noise)) == noise
    assert hash(noise) == hash(NoiseModel.from_backend(str(old)))


def test_waiting_is_twirled_decay(old: Path) -> None:
    """660 ns of a pair gate, then a layer of frame changes alone, which takes no time."""
    circuit = stim.Circuit("R 0 1 3\nTICK\nCX 0 1\nTICK\nS 0\nTICK\nM 0 1 3")
    assert [s.reason for s in NoiseModel.from_backend(old).report(circuit).skipped] == [
        "a frame change, free and instantaneous"
    ]
    [rates] = arguments(NoiseModel.from_backend(old).apply(circuit), "PAULI_CHANNEL_1")
    px = (1 - math.exp(-0.66 / 50)) / 4
    pz = (1 - math.exp(-0.66 / 60)) / 2 - px
    assert rates == pytest.approx([px, px, pz], rel=1e-12)


def test_t2_is_cut_at_twice_t1(old: Path) -> None:
    circuit = stim.Circuit("R 0 1\nTICK\nH 0\nTICK\nM 1")
    [rates] = arguments(NoiseModel.from_backend(old).apply(circuit), "PAULI_CHANNEL_1")
    # 60 ns where the table has no gate length; T2 = 200 us > 2 T1 = 100 us.
    px = (1 - math.exp(-0.06 / 50)) / 4
    assert rates == pytest.approx([px, px, (1 - math.exp(-0.06 / 100)) / 2 - px], rel=1e-9)


def test_newer_tables_and_maps(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text(NEW, encoding="utf-8")
    noise = NoiseModel.from_backend(path, {7: 0, 8: 1})
    noisy = noise.apply(stim.Circuit("CZ 8 7\nTICK\nM 8"))
    assert arguments(noisy, "DEPOLARIZE2") == [[pytest.approx(1.25 * 0.003)]]
    assert arguments(noisy, "X_ERROR") == [[0.03]]
    with pytest.raises(CircuitError, match="circuit qubit 0 is not in qubit_map"):
        noise.apply(stim.Circuit("H 0"))
    swapped = NoiseModel.from_backend(path, [1, 0])
    assert arguments(swapped.apply(stim.Circuit("M 0")), "X_ERROR") == [[0.03]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("CX 0 3", "pair gate of device qubits .* DEPOLARIZE2.*choose another qubit_map"),
        ("CX 1 3", "no pair gate between qubits 1 and 3 .*choose another qubit_map"),
        ("H 2", "device qubit 2 .* not operational"),
        ("H 9", "no qubit 9 .*pass qubit_map="),
        ("SWAP 0 1", "more than one native pair gate"),
        ("MPP X0*X1", "no joint measurement"),
        ("MZZ 0 1", "no joint measurement"),
        ("SPP Z0", "no gate of a Pauli product, and the circuit has SPP on"),
        ("SPP X0*X1", "no gate of a Pauli product"),
        ("SPP_DAG X0*X1*X3", r"SPP_DAG on \(0, 1, 3\): write it out"),
        ("II 0 1", "II .* has no calibration: write I on each qubit"),
    ],
)
def test_what_a_device_cannot_do_is_named(old: Path, text: str, message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        NoiseModel.from_backend(old).apply(stim.Circuit(text))


def test_bad_sources(tmp_path: Path, old: Path) -> None:
    with pytest.raises(InputError, match="got int"):
        NoiseModel.from_backend(5)
    with pytest.raises(StorageError, match="cannot read"):
        NoiseModel.from_backend(tmp_path / "missing.csv")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no rows with Qubit"):
        NoiseModel.from_backend(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="not an IBM calibration table"):
        NoiseModel.from_backend(tmp_path / "empty.csv")
    (tmp_path / "broken.csv").write_text(OLD.replace('"0.02"', '"many"'), encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2: could not convert"):
        NoiseModel.from_backend(tmp_path / "broken.csv")
    with pytest.raises(InputError, match="one to one"):
        NoiseModel.from_backend(old, {0: 1, 1: 1})
    for bad in ("ab", "01", 3, {0: None}, {0: 1.7}, {0: "1"}, [0, -1], [[0]]):
        with pytest.raises(InputError, match="qubit_map must be"):
            NoiseModel.from_backend(old, bad)  # type: ignore[arg-type]


def test_qiskit_backend_and_target() -> None:
    from qiskit.providers import fake_provider as provider

    backend = provider.GenericBackendV2(3, seed=1)
    target = backend.target
    noise = NoiseModel.from_backend(backend)
    noisy = noise.apply(stim.Circuit("R 0\nTICK\nH 0\nTICK\nCX 0 1\nTICK\nH 1\nTICK\nM 0"))
    readout = target["measure"][(0,)].error
    # This backend has no reset errors.
    assert arguments(noisy, "X_ERROR") == [[readout], [readout]]
    one = [1.5 * target["sx"][(qubit,)].error for qubit in (0, 1)]
    assert arguments(noisy, "DEPOLARIZE1") == [[pytest.approx(p)] for p in one]
    assert arguments(noisy, "DEPOLARIZE2") == [[pytest.approx(1.25 * target["cx"][(0, 1)].error)]]
    [rates] = arguments(noisy, "PAULI_CHANNEL_1")
    wait, known = target["sx"][(1,)].duration, target.qubit_properties[0]
    assert rates[0] == pytest.approx((1 - math.exp(-wait / known.t1)) / 4)
    assert math.fsum(rates[1:]) == pytest.approx((1 - math.exp(-wait / min(known.t2, 2 * known.t1))) / 2)
    assert NoiseModel.from_backend(target).apply(stim.Circuit("H 0")) == noise.apply(stim.Circuit("H 0"))
    assert pickle.loads(pickle.dumps(noise)) == noise


def twirled(t1: float, t2: float, seconds: float) -> list[float]:
    px = (1 - math.exp(-seconds / t1)) / 4
    return [px, px, (1 - math.exp(-seconds / t2)) / 2 - px]


def test_a_short_gate_leaves_the_rest_of_its_layer_to_decay(old: Path) -> None:
    """60 ns of H, 120 ns of two, none of S: beside a readout of 1300 ns the qubit waits for the rest."""
    noise = NoiseModel.from_backend(old)
    for gates, busy in (("", 0), ("S 0", 0), ("H 0", 60), ("H 0\nS 0\nX 0", 120), ("I 0", 60)):
        noisy = noise.apply(stim.Circuit(f"R 0 1 3\nTICK\n{gates}\nM 1\nTICK\nM 0"))
        [rates] = arguments(noisy, "PAULI_CHANNEL_1")
        assert rates == pytest.approx(twirled(100, 80, (1.3 - busy / 1000)), rel=1e-9)
    # Who is read for the longest time waits for nobody, and neither does what is noiseless on purpose.
    assert not arguments(noise.apply(stim.Circuit("R 0 1\nTICK\nM 0 1\nTICK\nM 0 1")), "PAULI_CHANNEL_1")
    assert not arguments(noise.apply(stim.Circuit("R 0 1\nTICK\nH[noiseless] 0\nM 1\nTICK\nM 0")), "PAULI_CHANNEL_1")


USES_ALL = "R 0 1\nTICK\nH 0\nTICK\nCX 0 1\nTICK\nM 1\nTICK\nM 0"


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('"0","100","80"', '"0","-50","80"', r"device qubit 0 \(circuit qubit 0\) has no usable T1: .* got -5e-05 s"),
        ('"0","100","80"', '"0","100","nan"', "device qubit 0 .* no usable T2: .* got nan s"),
        ('"0","100","80"', '"0","","80"', "device qubit 0 .* no usable T1: .* got none"),
        ('"0.02","1300"', '"0.02",""', "device qubit 0 .* no usable reset length: .* got none"),
        ('"0.02","1300"', '"0.02","-1"', "device qubit 0 .* no usable reset length: .* got -1e-09 s"),
        ('"0.02","1300"', '"0.02","nan"', "device qubit 0 .* no usable reset length: .* got nan"),
        ("1_0:660;", "", r"pair gate of device qubits \(1, 0\) \(ecr\) has no usable duration: .* got none"),
        ("1_0:660;", "1_0:-5;", "no usable duration: .* got -5e-09 s"),
        ("1_0:660;", "1_0:0;", "no usable duration: .* got 0 s"),
        ("Gate time (ns)", "Some time (ns)", "no usable duration: .* got none"),
        ("1_0:0.006;", "1_0:undefined;", r"pair gate of device qubits \(1, 0\) \(ecr\) has no usable error: .* none"),
        ("1_0:0.006;", "1_0:nan;", "no usable error"),
        ('"0.0002"', '"nan"', "device qubit 0 .* no usable gate error: .* got nan"),
    ],
)
def test_what_the_circuit_needs_must_be_there_and_nothing_else(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    assert before in OLD
    path = tmp_path / "holes.csv"
    path.write_text(OLD.replace(before, after), encoding="utf-8")
    NoiseModel.from_backend(tmp_path / "holes.csv").apply(stim.Circuit("S 1\nTICK\nH 3\nTICK\nM 3"))
    with pytest.raises(CircuitError, match=f"{message}.*choose another qubit_map"):
        NoiseModel.from_backend(path).apply(stim.Circuit(USES_ALL))


def test_an_empty_gate_length_is_not_the_default(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text(NEW.replace('"0.0001","32","0.0002"', '"0.0001","","0.0002"'), encoding="utf-8")
    with pytest.raises(CircuitError, match=r"device qubit 0 .* has no usable gate length for H: .* got none"):
        NoiseModel.from_backend(path).apply(stim.Circuit("H 0"))


def test_the_pair_gate_is_the_one_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "both.csv"
    text = NEW.replace('"RZZ error"', '"CX error"')
    path.write_text(text, encoding="utf-8")
    noise = NoiseModel.from_backend(path)
    for line, error in (("CX 0 1", 0.02), ("CX 1 0", 0.02), ("XCZ 0 1", 0.02), ("CZ 0 1", 0.003), ("CY 0 1", 0.02)):
        assert arguments(noise.apply(stim.Circuit(line)), "DEPOLARIZE2") == [[pytest.approx(1.25 * error)]], line


class Properties(NamedTuple):
    error: float | None = None
    duration: float | None = None


class Times(NamedTuple):
    t1: float | None = 1e-4
    t2: float | None = 1e-4


class FakeTarget:
    """What is read of a Qiskit Target."""

    qubit_properties = (Times(), Times(), Times(t1=None))
    num_qubits = 3

    def __init__(self, **gates: dict[tuple[int, ...], Properties | None] | None) -> None:
        self.gates = {
            "measure": {(q,): Properties(0.01, 1e-6) for q in range(3)},
            "sx": {(q,): Properties(0.001, 5e-8) for q in range(3)},
            "ecr": {(0, 1): Properties(0.01, 3e-7)},
            "cz": {(1, 0): Properties(0.02, 1e-7)},
            **gates,
        }
        self.operation_names = list(self.gates)

    def __getitem__(self, gate: str) -> object:
        return self.gates[gate]


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        (
            {"measure": {(q,): Properties(0.01) for q in (0, 1)}},
            "device qubit 0 .* no usable reset length: .* got none",
        ),
        ({"sx": {(0,): Properties(0.001)}}, "device qubit 0 .* no usable gate length for H: .* none"),
        ({"sx": None}, "device qubit 0 .* no usable gate error"),
        ({"ecr": {(0, 1): Properties(0.01)}}, r"pair gate of device qubits \(0, 1\) \(ecr\) has no usable duration"),
        ({"ecr": {(0, 1): Properties(None, 1e-7)}, "cz": {(0, 1): None}}, "has no usable error: .* got none"),
    ],
)
def test_a_target_without_times_is_refused(gates: dict[str, Any], message: str) -> None:
    with pytest.raises(CircuitError, match=message):
        NoiseModel.from_backend(FakeTarget(**gates)).apply(stim.Circuit(USES_ALL))


def test_targets_and_tables_choose_pair_gates_alike() -> None:
    noise = NoiseModel.from_backend(FakeTarget())
    for line, error in (("CX 0 1", 0.01), ("CZ 0 1", 0.02), ("CY 1 0", 0.01), ("SQRT_ZZ 0 1", 0.01)):
        assert arguments(noise.apply(stim.Circuit(line)), "DEPOLARIZE2") == [[pytest.approx(1.25 * error)]]
    # Uncalibrated, as a gate is that the device only simulates.
    other = NoiseModel.from_backend(FakeTarget(ecr={(0, 1): None}))
    assert arguments(other.apply(stim.Circuit("CX 0 1")), "DEPOLARIZE2") == [[pytest.approx(1.25 * 0.02)]]
    assert repr(noise) == "<NoiseModel.from_backend(backend='target', qubit_map=None)>"


@pytest.mark.skipif(not REAL.is_dir(), reason="the calibrations of real devices are not here")
def test_real_tables() -> None:
    chain = stim.Circuit("R 0 1\nTICK\nH 0\nTICK\nCX 0 1\nTICK\nM 0 1\nDETECTOR rec[-1] rec[-2]")
    unusable = []
    for path in sorted(REAL.glob("*.csv")):
        noise = NoiseModel.from_backend(path, [3, 2])
        try:
            noisy = noise.apply(chain)
        except CircuitError:
            unusable.append(path.name)
            continue
        assert 0 < arguments(noisy, "DEPOLARIZE2")[0][0] < 0.5
        noisy.detector_error_model(approximate_disjoint_errors=True)
    # Two old tables have no column for pair gates.
    assert len(unusable) <= 2, unusable


def test_a_whole_memory_on_a_dense_device() -> None:
    from qiskit.providers import fake_provider as provider

    noise = NoiseModel.from_backend(provider.GenericBackendV2(26, seed=2))
    circuit = rotated_surface_memory(3, 10, noise=noise)
    assert any(isinstance(instruction, stim.CircuitRepeatBlock) for instruction in circuit)
    model = circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
    assert model.num_detectors == 80
