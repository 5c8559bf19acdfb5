"""Noise from calibrations: Qiskit's own fake backend, a written calibration table, and real ones where present."""

import math
import pickle
from pathlib import Path

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
    noisy = noise.apply(stim.Circuit("CZ 8 7\nM 8"))
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


def test_qiskit_backend_and_target() -> None:
    provider = pytest.importorskip("qiskit.providers.fake_provider")
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
    provider = pytest.importorskip("qiskit.providers.fake_provider")
    noise = NoiseModel.from_backend(provider.GenericBackendV2(26, seed=2))
    circuit = rotated_surface_memory(3, 10, noise=noise)
    assert any(isinstance(instruction, stim.CircuitRepeatBlock) for instruction in circuit)
    model = circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
    assert model.num_detectors == 80
