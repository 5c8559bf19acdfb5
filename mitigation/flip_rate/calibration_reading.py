"""Reads a device's calibration from a live backend, a saved snapshot of one, or IBM's table.

A snapshot is what `BackendProperties.to_dict` of Qiskit's IBM clients gives, saved as JSON: the `props_*.json` files of
qiskit-ibm-runtime's fake backends are examples.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from quell.errors import DataError, InputError, StorageError
from quell.mitigation.flip_rate.calibration import Calibration, QubitReading, assemble
from quell.mitigation.flip_rate.calibration_csv import read_calibration_csv

__all__ = ["read_calibration"]

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9, "ps": 1e-12, "": 1.0}
# The names of a qubit's parameters in a snapshot, and what they are here.
_QUBIT_PARAMETERS = {
    "T1": "t1",
    "T2": "t2",
    "readout_error": "readout_error",
    "prob_meas0_prep1": "prob_meas0_prep1",
    "prob_meas1_prep0": "prob_meas1_prep0",
    "readout_length": "readout_duration",
}

Gates = dict[tuple[str, tuple[int, ...]], tuple[float | None, float | None]]


def read_calibration(source: object) -> Calibration:
    """Returns the calibration of a device, from any of the forms people have it in.

    Args:
        source: One of
            - the path of a CSV file as downloaded from IBM's website;
            - the path of a snapshot saved as JSON, or the dictionary in it (`BackendProperties.to_dict()`);
            - a Qiskit backend; its `properties()` are used if it has any, and its `Target` if not;
            - a Qiskit `Target`;
            - a `Calibration`, which is returned as it is.

    Raises:
        InputError: If `source` is none of these, or the device reports no errors.
        DataError: If a file or a dictionary does not hold a calibration.
        StorageError: If a file cannot be read.

    Examples:
        >>> from quell.mitigation.flip_rate import read_calibration
        >>> qubit = [{"name": "T1", "unit": "us", "value": 150}, {"name": "readout_error", "value": 0.01}]
        >>> gate = {"gate": "sx", "qubits": [0], "parameters": [{"name": "gate_error", "value": 2e-4}]}
        >>> calibration = read_calibration({"backend_name": "one", "qubits": [qubit], "gates": [gate]})
        >>> round(calibration.t1[0] * 1e6), calibration.gate("sx", (0,)).error
        (150, 0.0002)
    """
    if isinstance(source, Calibration):
        return source
    if isinstance(source, (str, Path)):
        return _read_file(Path(source))
    # A Target is a mapping too, from the names of gates.
    if isinstance(source, Mapping) and not hasattr(source, "qubit_properties"):
        return _from_snapshot(source, str(source.get("backend_name", "snapshot")))
    for holder in (source, _called(getattr(source, "properties", None))):
        saved = None if hasattr(holder, "target") else _called(getattr(holder, "to_dict", None))
        if isinstance(saved, Mapping):
            return _from_snapshot(saved, str(saved.get("backend_name", "snapshot")))
    target = getattr(source, "target", source)
    if callable(getattr(target, "operation_names_for_qargs", None)):
        return _from_target(target, str(getattr(source, "name", None) or "target"))
    raise InputError(
        f"cannot read a calibration from a {type(source).__name__}: give a Qiskit backend or Target, a snapshot, or "
        "the path of a JSON or CSV file"
    )


def _called(method: object) -> object:
    return method() if callable(method) else None


def _read_file(path: Path) -> Calibration:
    """Tells CSV from JSON by what the file holds, whatever it is called."""
    try:
        start = path.read_bytes()[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
        if not start.startswith((b"{", b"[")):
            return read_calibration_csv(path)
        saved = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no whole JSON file: {error}") from error
    if isinstance(saved, Mapping) and "qubits" not in saved and "coupling_map" in saved:
        beside = path.with_name(path.name.replace("conf", "props", 1))
        if beside != path and beside.exists():
            return _read_file(beside)
        raise DataError(
            f"{path} is a device's configuration, which holds no errors: give its properties, {beside.name} perhaps"
        )
    if not isinstance(saved, Mapping):
        raise DataError(f"{path} must hold an object with 'qubits' and 'gates', got a {type(saved).__name__}")
    return _from_snapshot(saved, str(saved.get("backend_name", path.name)))


def _from_snapshot(saved: Mapping[str, Any], name: str) -> Calibration:
    """Reads the form of `BackendProperties.to_dict`."""
    if not isinstance(saved.get("qubits"), list) or not isinstance(saved.get("gates"), list):
        raise DataError(f"{name} must hold lists 'qubits' and 'gates', got {', '.join(map(str, saved))}")
    try:
        qubits = [QubitReading(**_parameters(qubit, _QUBIT_PARAMETERS)) for qubit in saved["qubits"]]
        gates: Gates = {}
        readouts: dict[int, tuple[float | None, float | None]] = {}
        for gate in saved["gates"]:
            found = _parameters(gate["parameters"], {"gate_error": "error", "gate_length": "duration"})
            places = tuple(int(qubit) for qubit in gate["qubits"])
            numbers = (found.get("error"), found.get("duration"))
            if gate["gate"] == "measure":
                readouts[places[0]] = numbers
            elif gate["gate"] not in ("reset", "delay") and not gate["gate"].startswith(("measure_", "reset_")):
                gates[str(gate["gate"]), places] = numbers
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise DataError(f"{name} is no snapshot of a device's properties: {type(error).__name__}: {error}") from error
    whole = [_with_readout(qubit, *readouts.get(index, (None, None))) for index, qubit in enumerate(qubits)]
    return assemble(whole, gates, name=name)


def _parameters(entries: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> dict[str, float]:
    """Returns the wanted parameters of a list of `{"name": ..., "unit": ..., "value": ...}`, in seconds."""
    found: dict[str, float] = {}
    for entry in entries:
        if entry["name"] in names and entry["value"] is not None:
            found[names[entry["name"]]] = float(entry["value"]) * _SECONDS[entry.get("unit") or ""]
    return found


def _with_readout(qubit: QubitReading, error: float | None, duration: float | None) -> QubitReading:
    """Takes the readout from the gate `measure` where the qubit itself does not say it."""
    known = qubit.readout_error is not None or None not in (qubit.prob_meas0_prep1, qubit.prob_meas1_prep0)
    return qubit._replace(
        readout_error=qubit.readout_error if known else error,
        readout_duration=duration if qubit.readout_duration is None else qubit.readout_duration,
    )


def _from_target(target: Any, name: str) -> Calibration:
    """Reads a Qiskit `Target`."""
    gates: Gates = {}
    qubits = []
    for index in range(target.num_qubits or 0):
        times = (target.qubit_properties or {index: None})[index]
        qubits.append(QubitReading(t1=getattr(times, "t1", None), t2=getattr(times, "t2", None)))
    for operation in sorted(target.operation_names):
        for places, numbers in sorted((target[operation] or {}).items(), key=lambda item: item[0] or ()):
            error, duration = getattr(numbers, "error", None), getattr(numbers, "duration", None)
            if places is None:
                continue
            if operation == "measure":
                qubits[places[0]] = _with_readout(qubits[places[0]], error, duration)
            elif operation not in ("reset", "delay") and not operation.startswith(("measure_", "reset_")):
                gates[operation, tuple(places)] = (error, duration)
    if not any(error is not None for error, _ in gates.values()):
        raise InputError(f"{name} reports no gate errors: give a device's calibration, as a snapshot or CSV file")
    return assemble(qubits, gates, name=name)
