"""Calibrations in the forms people have them in, and files that are none."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from quell.errors import DataError, InputError, StorageError
from quell.mitigation.flip_rate import Calibration, read_calibration
from quell.mitigation.flip_rate.calibration import DEFAULT_DURATIONS, DEFAULT_READOUT_ERROR, DEFAULT_T1

SAVED = Path(__file__).parents[4] / "shared" / "data" / "ibm_counts" / "qwork" / "calibrations"

# The layout of 2025 for an ECR machine; the columns have blanks at their ends as in the downloads.
ECR_TABLE = """\
"Qubit","T1 (us)","T2 (us)","Frequency (GHz)","Readout assignment error ","Prob meas0 prep1 ","Prob meas1 prep0 ",\
"Readout length (ns)","ID error ","Z-axis rotation (rz) error ","√x (sx) error ","Pauli-X error ","ECR error ",\
"Gate time (ns)","Operational"
"0","200","150","4.9","0.02","0.03","0.01","1300","0.0002","0","0.0002","0.0002","0_1:0.006","0_1:660","true"
"1","100","90","4.8","0.04","0.05","0.03","1300","0.0004","0","0.0004","0.0004","","","true"
"2","50","40","4.7","0.1","0.12","0.08","1300","","0","","","2_1:1","2_1:533.5","false"
"""
# The layout of mid-2025 for a CZ machine: pairs name the other qubit alone, times of single-qubit gates are there.
CZ_TABLE = """\
"Qubit","T1 (us)","T2 (us)","Readout assignment error","Prob meas0 prep1","Prob meas1 prep0","Readout length (ns)",\
"Single-qubit gate length (ns)","RX error","Z-axis rotation (rz) error","√x (sx) error","Pauli-X error","CZ error",\
"Gate length (ns)","Operational","RZZ error"
"0","200","150","0.02","0.03","0.01","1560","32","0.0002","0","0.0002","0.0002","1:0.003","1:68","Yes",""
"1","","90","0.04","0.05","0.03","1560","32","0.0004","0","0.0004","0.0004","0:0.003;2:0.004","0:68;2:84","Yes",\
"2:0.005"
"2","100","40","0.1","0.12","0.08","1560","32","0.0004","0","0.0004","0.0004","1:0.004","1:84","Yes",""
"""


def written(tmp_path: Path, text: str, name: str = "table.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_of_an_ecr_machine(tmp_path: Path) -> None:
    calibration = read_calibration(written(tmp_path, ECR_TABLE))
    assert calibration.num_qubits == 3
    np.testing.assert_allclose(calibration.t1, [200e-6, 100e-6, 50e-6])
    np.testing.assert_allclose(calibration.t2, [150e-6, 90e-6, 40e-6])
    np.testing.assert_allclose(calibration.readout_error, [0.02, 0.04, 0.1])
    np.testing.assert_allclose(calibration.prob_meas0_prep1, [0.03, 0.05, 0.12])
    np.testing.assert_allclose(calibration.prob_meas1_prep0, [0.01, 0.03, 0.08])
    np.testing.assert_allclose(calibration.readout_duration, 1.3e-6)
    assert calibration.gate_names == ["ecr", "id", "rz", "sx", "x"]
    assert calibration.gate("ecr", (0, 1)) == pytest.approx((0.006, 660e-9))
    assert calibration.gate("ecr", (2, 1)) == pytest.approx((1.0, 533.5e-9))
    assert calibration.gate("sx", (1,)) == pytest.approx((0.0004, DEFAULT_DURATIONS["sx"]))
    assert calibration.gate("rz", (0,)) == (0.0, 0.0)
    assert calibration.gate("sx", (2,)).error == pytest.approx(0.0003)
    assert [note for note in calibration.notes if "qubits 2 not operational" in note]
    assert [note for note in calibration.notes if "error of id, sx, x is missing in 1 places: 0.0003" in note]
    assert [note for note in calibration.notes if "duration of id, sx, x is missing in 3 places" in note]


def test_a_table_of_a_cz_machine(tmp_path: Path) -> None:
    calibration = read_calibration(str(written(tmp_path, CZ_TABLE)))
    assert calibration.gate_names == ["cz", "rx", "rz", "rzz", "sx", "x"]
    assert calibration.gate("cz", (2, 1)) == pytest.approx((0.004, 84e-9))
    assert calibration.gate("rzz", (2, 1)) == pytest.approx((0.005, 84e-9))
    assert calibration.gate("x", (1,)) == pytest.approx((0.0004, 32e-9))
    assert calibration.t1[1] == pytest.approx(150e-6)
    assert calibration.notes == ("T1 of qubit 1 is missing: 0.00015, the median of the others, is used",)


def test_rows_may_stand_in_any_order_and_after_other_lines(tmp_path: Path) -> None:
    head, *rows = CZ_TABLE.splitlines()
    turned = "\n".join(["==> downloaded <==", head, *reversed(rows), ""])
    found = read_calibration(written(tmp_path, turned))
    np.testing.assert_array_equal(found.t1, read_calibration(written(tmp_path, CZ_TABLE)).t1)
    undefined = CZ_TABLE.replace('"1:0.003","1:68"', '"undefined","undefined"')
    assert read_calibration(written(tmp_path, undefined)).gate("cz", (0, 1)).error == 0.003


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: "", "no line of column names"),
        (lambda _: "a,b\n1,2\n", "no line of column names"),
        (lambda text: text.replace("T1 (us)", "T9"), r"no column 'T1 \(us\)'"),
        (lambda text: text[:-60], "cells for 15 columns: it is cut off"),
        (lambda text: "\n".join([*text.splitlines()[:2], text.splitlines()[3]]), "one row for each qubit from 0"),
        (lambda text: text.replace('"200"', '"fast"'), r"qubit 0, column 't1 \(us\)': 'fast' is no number"),
        (lambda text: text.replace("0_1:0.006", "0-1 0.006"), "qubit 0, column 'ecr error'"),
        (lambda text: text.replace('"0.04"', '"1.5"'), "readout error .* must be a probability between 0 and 1"),
        (lambda text: text.replace("0_1:0.006", "0_1:-0.006"), "'ecr' .* must be a probability"),
        (lambda text: text.replace('"200"', '"-200"'), "T1 .* must be finite and not negative"),
        (lambda text: text.replace('"0",', '"first",', 1), "a qubit must be a number"),
    ],
)
def test_damaged_tables_are_refused(tmp_path: Path, damage: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_calibration(written(tmp_path, damage(ECR_TABLE)))


def test_binary_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"Qubit\xff\xfe\x00")
    with pytest.raises(DataError, match="no text file"):
        read_calibration(path)
    with pytest.raises(StorageError, match="cannot read"):
        read_calibration(tmp_path / "none.csv")


def snapshot() -> dict[str, Any]:
    def entry(name: str, value: float, unit: str = "") -> dict[str, Any]:
        return {"date": "2025-03-07T00:00:00Z", "name": name, "unit": unit, "value": value}

    def gate(name: str, on: list[int], *parameters: dict[str, Any]) -> dict[str, Any]:
        return {"gate": name, "qubits": on, "parameters": list(parameters)}

    return {
        "backend_name": "ibm_two",
        "backend_version": "1.0.0",
        "last_update_date": "2025-03-07T00:00:00Z",
        "qubits": [
            [entry("T1", 200, "us"), entry("T2", 0.15, "ms"), entry("readout_error", 0.02)],
            [
                entry("T1", 100, "µs"),
                entry("T2", 90_000, "ns"),
                entry("prob_meas0_prep1", 0.05),
                entry("prob_meas1_prep0", 0.03),
                entry("readout_length", 1300, "ns"),
            ],
        ],
        "gates": [
            gate("sx", [0], entry("gate_error", 2e-4), entry("gate_length", 60, "ns")),
            gate("sx", [1], entry("gate_error", 4e-4)),
            gate("cx", [1, 0], entry("gate_error", 0.01), entry("gate_length", 300, "ns")),
            gate("reset", [0], entry("gate_length", 1000, "ns")),
            gate("measure", [1], entry("gate_error", 0.5)),
        ],
        "general": [],
    }


def test_a_snapshot_as_dict_and_file(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(snapshot()), "props_two.json")
    conf = written(tmp_path, json.dumps({"backend_name": "ibm_two", "coupling_map": [[1, 0]]}), "conf_two.json")
    for source in (snapshot(), path, conf, SimpleNamespace(to_dict=snapshot)):
        calibration = read_calibration(source)
        assert calibration.name == "ibm_two"
        np.testing.assert_allclose(calibration.t1, [200e-6, 100e-6])
        np.testing.assert_allclose(calibration.t2, [150e-6, 90e-6])
        np.testing.assert_allclose(calibration.readout_error, [0.02, 0.04])
        np.testing.assert_allclose(calibration.prob_meas0_prep1, [0.02, 0.05])
        np.testing.assert_allclose(calibration.prob_meas1_prep0, [0.02, 0.03])
        assert calibration.gate("cx", (0, 1)) == pytest.approx((0.01, 300e-9))
        assert calibration.gate("sx", (1,)) == pytest.approx((4e-4, 60e-9))
        assert calibration.gate_names == ["cx", "rz", "sx"]
        assert len(calibration.notes) == 3


def test_what_a_snapshot_leaves_out_takes_documented_defaults() -> None:
    calibration = read_calibration({"qubits": [[]], "gates": [{"gate": "sx", "qubits": [0], "parameters": []}]})
    assert calibration.t1[0] == DEFAULT_T1
    assert calibration.readout_error[0] == DEFAULT_READOUT_ERROR
    assert any("no error of gate 'sx' is given" in note for note in calibration.notes)
    with pytest.raises(InputError, match="gate 'sx' is not among the calibrated gates"):
        calibration.gate("sx", (0,))


def broken_snapshot(**changes: Any) -> dict[str, Any]:
    return snapshot() | changes


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (broken_snapshot(qubits=None), "must hold lists 'qubits' and 'gates'"),
        (broken_snapshot(qubits=[]), "holds no qubits"),
        (broken_snapshot(gates=[{"gate": "sx"}]), "no snapshot of a device's properties: KeyError"),
        (broken_snapshot(qubits=[[{"name": "T1", "unit": "fortnight", "value": 1}]]), "KeyError: 'fortnight'"),
        (broken_snapshot(qubits=[[{"name": "T1", "unit": "us", "value": "long"}]]), "ValueError"),
    ],
)
def test_damaged_snapshots_are_refused(source: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_calibration(source)


def test_damaged_json_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no whole JSON file"):
        read_calibration(written(tmp_path, json.dumps(snapshot())[:-20], "props.json"))
    with pytest.raises(DataError, match="got a list"):
        read_calibration(written(tmp_path, "[1]", "props.json"))
    with pytest.raises(DataError, match=r"configuration, which holds no errors: give its properties, props_x\.json"):
        read_calibration(written(tmp_path, '{"coupling_map": []}', "conf_x.json"))


def test_a_live_backend_and_its_target() -> None:
    from qiskit.providers.fake_provider import GenericBackendV2

    backend = GenericBackendV2(4, basis_gates=["cz", "id", "rz", "sx", "x"], seed=3)
    for source in (backend, backend.target):
        calibration = read_calibration(source)
        for qubit in range(4):
            assert calibration.t1[qubit] == backend.target.qubit_properties[qubit].t1
            assert calibration.readout_error[qubit] == backend.target["measure"][(qubit,)].error
            assert calibration.prob_meas0_prep1[qubit] == backend.target["measure"][(qubit,)].error
            assert calibration.gate("sx", (qubit,)).error == backend.target["sx"][(qubit,)].error
        pair = next(iter(backend.target["cz"]))
        assert calibration.gate("cz", pair).duration == backend.target["cz"][pair].duration
    assert read_calibration(calibration) is calibration


def test_properties_come_before_the_target() -> None:
    from qiskit.providers.fake_provider import GenericBackendV2

    target = GenericBackendV2(2, seed=3).target
    live = SimpleNamespace(target=target, name="live", properties=lambda: SimpleNamespace(to_dict=snapshot))
    assert read_calibration(live).prob_meas0_prep1[1] == 0.05
    assert read_calibration(SimpleNamespace(target=target, name="live", properties=lambda: None)).name == "live"


def test_what_reports_no_errors_or_is_no_device_is_refused() -> None:
    from qiskit.transpiler import Target

    with pytest.raises(InputError, match="reports no gate errors"):
        read_calibration(Target.from_configuration(["cx", "sx"], 2))
    for source in (3, None, [1]):
        with pytest.raises(InputError, match="cannot read a calibration from a"):
            read_calibration(source)


@pytest.mark.skipif(not SAVED.exists(), reason="the downloaded calibration tables are not here")
def test_every_table_that_was_ever_downloaded_is_read() -> None:
    files = sorted(SAVED.glob("*.csv"))
    assert len(files) >= 119
    found = [read_calibration(path) for path in files]
    assert {calibration.num_qubits for calibration in found} == {127, 133}
    pairs = [{name for name in calibration.gate_names if name in ("ecr", "cz")} for calibration in found]
    # Two files of ibm_kyiv have no column for its two-qubit gate.
    assert sum(not names for names in pairs) == 2
    assert any(gate.error == 1 for calibration in found for gate in calibration.gates.values())
    assert all(isinstance(calibration, Calibration) for calibration in found)
