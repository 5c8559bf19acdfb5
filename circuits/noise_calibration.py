"""Reads the calibration of a real device, from Qiskit or from IBM's CSV files.

Qiskit is never imported: a backend is recognised by what it offers. Missing values are kept as None, so that a
broken qubit matters only to the circuits that use it.
"""

import csv
from collections.abc import Mapping
from typing import Any, NamedTuple

from quell.errors import DataError, StorageError

__all__ = ["NATIVE_PAIR_GATES", "Calibration", "PairCalibration", "QubitCalibration", "read_csv", "read_target"]

NATIVE_PAIR_GATES = ("ecr", "cx", "cz")
_ONE_QUBIT_SECONDS = 60e-9  # IBM's Eagle and Heron devices take 32 to 60 ns


class QubitCalibration(NamedTuple):
    """One device qubit: times in seconds, errors as probabilities; None where the device gives none."""

    t1: float | None
    t2: float | None
    readout_error: float | None
    readout_seconds: float | None
    reset_error: float | None
    reset_seconds: float | None
    sx_error: float | None
    x_error: float | None
    id_error: float | None
    gate_seconds: float | None
    operational: bool = True


class PairCalibration(NamedTuple):
    """A pair gate: its average infidelity and its duration in seconds; None where the device gives none."""

    error: float | None
    seconds: float | None


class Calibration(NamedTuple):
    """All of a device; `pairs` maps (gate, first qubit, second qubit)."""

    qubits: dict[int, QubitCalibration]
    pairs: dict[tuple[str, int, int], PairCalibration]


def read_target(target: Any) -> Calibration:
    """Reads a Qiskit Target."""
    names = set(target.operation_names)

    def read(gate: str, where: tuple[int, ...]) -> tuple[float | None, float | None]:
        properties = (target[gate] or {}).get(where) if gate in names else None
        return getattr(properties, "error", None), getattr(properties, "duration", None)

    qubits = {}
    properties = target.qubit_properties or [None] * (target.num_qubits or 0)
    for number, known in enumerate(properties):
        readout_error, readout_seconds = read("measure", (number,))
        reset_error, reset_seconds = read("reset", (number,))
        sx_error, sx_seconds = read("sx", (number,))
        qubits[number] = QubitCalibration(
            t1=getattr(known, "t1", None),
            t2=getattr(known, "t2", None),
            readout_error=readout_error,
            readout_seconds=readout_seconds,
            reset_error=reset_error,
            reset_seconds=readout_seconds if reset_seconds is None else reset_seconds,
            sx_error=sx_error,
            x_error=read("x", (number,))[0],
            id_error=read("id", (number,))[0],
            gate_seconds=sx_seconds,
        )
    pairs = {}
    for gate in NATIVE_PAIR_GATES:
        for where in (target[gate] or {}) if gate in names else {}:
            if where is not None and len(where) == 2:
                pairs[gate, where[0], where[1]] = PairCalibration(*read(gate, where))
    return Calibration(qubits, pairs)


def read_csv(path: str) -> Calibration:
    """Reads a calibration table of IBM's.

    Raises:
        DataError: The file lacks a column, or a cell is neither a number, nor blank, nor `undefined`.
        StorageError: The file cannot be read.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [{(key or "").strip(): value or "" for key, value in row.items()} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"cannot read the calibration file {path}: {error}") from error
    needed = [
        "Qubit",
        "T1 (us)",
        "T2 (us)",
        "Readout assignment error",
        "Readout length (ns)",
        "√x (sx) error",
    ]
    missing = [column for column in needed if not rows or column not in rows[0]]
    if missing:
        raise DataError(f"{path} is not an IBM calibration table: it has no rows with {', '.join(missing)}")
    calibration = Calibration({}, {})
    for line, row in enumerate(rows, start=2):
        try:
            number = int(row["Qubit"])
            calibration.qubits[number] = _csv_qubit(row)
            calibration.pairs.update(_csv_pairs(number, row))
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
    return calibration


def _number(text: str, unit: float = 1.0) -> float | None:
    text = text.replace("undefined", "").strip()
    return float(text) * unit if text else None


def _csv_qubit(row: Mapping[str, str]) -> QubitCalibration:
    def number(column: str, unit: float = 1.0) -> float | None:
        return _number(row.get(column, ""), unit)

    readout = number("Readout length (ns)", 1e-9)
    length = "Single-qubit gate length (ns)"
    return QubitCalibration(
        t1=number("T1 (us)", 1e-6),
        t2=number("T2 (us)", 1e-6),
        readout_error=number("Readout assignment error"),
        readout_seconds=readout,
        reset_error=None,
        reset_seconds=readout,
        sx_error=number("√x (sx) error"),
        x_error=number("Pauli-X error"),
        id_error=number("ID error"),
        gate_seconds=number(length, 1e-9) if length in row else _ONE_QUBIT_SECONDS,
        operational=row.get("Operational", "").strip().lower() not in ("no", "false"),
    )


def _csv_pairs(qubit: int, row: Mapping[str, str]) -> dict[tuple[str, int, int], PairCalibration]:
    """The pairs that a row lists, under either name that a column has had.

    Entries read `1_0:0.006;…` or, in newer files, `0:0.006;…` with the row's qubit left out.
    """

    def entries(column: str, unit: float = 1.0) -> dict[int, float | None]:
        cell = row.get(column, "")
        if not cell.replace("undefined", "").strip():
            return {}
        parts = [part.partition(":") for part in cell.split(";") if part.strip()]
        return {int(key.rpartition("_")[2]): _number(value, unit) for key, _, value in parts}

    seconds = {**entries("Gate time (ns)", 1e-9), **entries("Gate length (ns)", 1e-9)}
    return {
        (gate, qubit, other): PairCalibration(error, seconds.get(other))
        for gate in NATIVE_PAIR_GATES
        for other, error in entries(f"{gate.upper()} error").items()
    }
