"""Reads the calibration of a real device, from Qiskit or from IBM's CSV files, into rules of noise.

Error rates become depolarising channels of the same average gate fidelity, waiting times Pauli-twirled decay
(Ghosh, Fowler and Geller, arXiv:1210.5799). Qiskit is never imported: a backend is recognised by what it
offers.
"""

import csv
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from quell.circuits.noise_channels import Channel, flip, pauli_channel_1
from quell.errors import CircuitError, DataError, InputError, StorageError

__all__ = ["BackendRules", "PairCalibration", "QubitCalibration", "QubitMap", "backend_rules"]

QubitMap = Mapping[int, int] | Sequence[int]

_NATIVE_PAIR_GATES = ("ecr", "cx", "cz")
_ONE_QUBIT_SECONDS = 60e-9  # IBM's Eagle and Heron devices take 32 to 60 ns

# Every one-qubit Clifford is frame changes round at most one pulse.
_VIRTUAL = frozenset({"S", "S_DAG", "Z"})
_X_PULSE = frozenset({"X", "Y", "H_XY", "H_NXY"})
# One native pair gate and one-qubit gates make these.
_PAIR_GATES = frozenset(
    {"CX", "CY", "CZ", "XCX", "XCY", "XCZ", "YCX", "YCY", "YCZ"}
    | {"SQRT_XX", "SQRT_XX_DAG", "SQRT_YY", "SQRT_YY_DAG", "SQRT_ZZ", "SQRT_ZZ_DAG"}
)


class QubitCalibration(NamedTuple):
    """One device qubit: times in seconds, errors as probabilities; None where the device gives none."""

    t1: float | None
    t2: float | None
    readout_error: float | None
    readout_seconds: float
    reset_error: float | None
    reset_seconds: float
    sx_error: float | None
    x_error: float | None
    id_error: float | None
    gate_seconds: float
    operational: bool = True


class PairCalibration(NamedTuple):
    """A pair gate: its average infidelity and its duration in seconds."""

    error: float
    seconds: float


@dataclass(frozen=True)
class BackendRules:
    """The rules of one device. `qubits` and `pairs` are sorted pairs of key and calibration."""

    qubits: tuple[tuple[int, QubitCalibration], ...]
    pairs: tuple[tuple[tuple[int, int], PairCalibration], ...]
    qubit_map: tuple[tuple[int, int], ...] | None = None

    idles = True
    needs_data = False
    single_round = False
    round_channels = ()

    @cached_property
    def _qubits(self) -> dict[int, QubitCalibration]:
        return dict(self.qubits)

    @cached_property
    def _pairs(self) -> dict[tuple[int, int], PairCalibration]:
        return dict(self.pairs)

    @cached_property
    def _map(self) -> dict[int, int] | None:
        return None if self.qubit_map is None else dict(self.qubit_map)

    def preparation(self, qubit: int, basis: str) -> Channel | None:
        """The reset error; the readout error where there is none, since such a reset measures and flips."""
        calibration = self._calibration(qubit)
        error = calibration.reset_error
        return flip(basis, self._rate(qubit, "readout", calibration.readout_error if error is None else error))

    def measurement(self, qubit: int, basis: str, *, data: bool) -> Channel | None:  # noqa: ARG002
        """The readout error."""
        return flip(basis, self._rate(qubit, "readout", self._calibration(qubit).readout_error))

    def product_flip(self, name: str, qubits: tuple[int, ...]) -> float:
        """Refuses: no device here measures products."""
        raise CircuitError(
            f"the device has no joint measurement, and the circuit has {name} on {qubits}: use an ancilla"
        )

    def gate(self, name: str, qubits: tuple[int, ...]) -> Channel | None:
        """The depolarising channel of the gate's average infidelity."""
        if len(qubits) == 1:
            return self._one_qubit(name, qubits[0])
        if name not in _PAIR_GATES:
            raise CircuitError(f"{name} on {qubits} takes more than one native pair gate: write it out in CX or CZ")
        device = (self._device_qubit(qubits[0]), self._device_qubit(qubits[1]))
        pair = self._pair(device)
        if pair is None:
            raise CircuitError(
                f"the device has no pair gate between qubits {device[0]} and {device[1]} (circuit qubits "
                f"{qubits[0]} and {qubits[1]}): choose another qubit_map"
            )
        return _depolarizing("DEPOLARIZE2", 5 / 4 * pair.error, 15 / 16, f"pair gate of device qubits {device}")

    def seconds(self, name: str, qubits: tuple[int, ...]) -> float:
        """The calibrated duration; 0 for a pair that the device does not have, which `gate` refuses."""
        if len(qubits) == 2:
            pair = self._pair((self._device_qubit(qubits[0]), self._device_qubit(qubits[1])))
            return 0.0 if pair is None else pair.seconds
        calibrations = [self._calibration(qubit) for qubit in qubits]
        if name[:2] == "MR":
            return max(c.readout_seconds + c.reset_seconds for c in calibrations)
        if name[0] == "M":
            return max(c.readout_seconds for c in calibrations)
        if name in ("R", "RX", "RY"):
            return max(c.reset_seconds for c in calibrations)
        return 0.0 if name in _VIRTUAL else max(c.gate_seconds for c in calibrations)

    def idle(self, qubit: int, *, spam: bool, waited: bool, seconds: float) -> Channel | None:  # noqa: ARG002
        """The Pauli twirl of amplitude and phase damping over the layer."""
        calibration = self._calibration(qubit)
        if seconds == 0:
            return None
        if not calibration.t1 or not calibration.t2:
            raise CircuitError(f"device qubit {self._device_qubit(qubit)} has no T1 or T2: choose another qubit_map")
        decay = -math.expm1(-seconds / calibration.t1) / 4
        dephasing = -math.expm1(-seconds / min(calibration.t2, 2 * calibration.t1)) / 2
        return pauli_channel_1((decay, decay, max(0.0, dephasing - decay)))

    def _one_qubit(self, name: str, qubit: int) -> Channel | None:
        calibration = self._calibration(qubit)
        if name in _VIRTUAL:
            return None
        error = calibration.sx_error
        if name in _X_PULSE and calibration.x_error is not None:
            error = calibration.x_error
        if name == "I" and calibration.id_error is not None:
            error = calibration.id_error
        what = f"one-qubit gate of device qubit {self._device_qubit(qubit)}"
        return _depolarizing("DEPOLARIZE1", 3 / 2 * self._rate(qubit, "gate", error), 3 / 4, what)

    def _device_qubit(self, qubit: int) -> int:
        if self._map is None:
            return qubit
        if qubit not in self._map:
            raise CircuitError(f"circuit qubit {qubit} is not in qubit_map: add it")
        return self._map[qubit]

    def _calibration(self, qubit: int) -> QubitCalibration:
        device = self._device_qubit(qubit)
        if device not in self._qubits:
            raise CircuitError(
                f"the device has no qubit {device} (circuit qubit {qubit}): "
                "pass qubit_map={circuit qubit: device qubit}"
            )
        calibration = self._qubits[device]
        if not calibration.operational:
            raise CircuitError(
                f"device qubit {device} (circuit qubit {qubit}) is not operational: choose another qubit_map"
            )
        return calibration

    def _pair(self, device: tuple[int, int]) -> PairCalibration | None:
        return self._pairs.get(device) or self._pairs.get((device[1], device[0]))

    def _rate(self, qubit: int, kind: str, error: float | None) -> float:
        if error is None or math.isnan(error) or not 0 <= error <= 1:
            raise CircuitError(
                f"device qubit {self._device_qubit(qubit)} has no usable {kind} error ({error}): "
                "choose another qubit_map"
            )
        return error


def _depolarizing(name: str, probability: float, maximum: float, what: str) -> Channel | None:
    if not 0 <= probability <= maximum:
        raise CircuitError(
            f"the {what} has no usable error: it would need {name}({probability:g}), at most {maximum:g}: "
            "choose another qubit_map"
        )
    return Channel(name, (probability,)) if probability else None


def backend_rules(backend: Any, qubit_map: QubitMap | None) -> tuple[BackendRules, str]:
    """Returns the rules of a backend, a Target or a calibration file, and a name for it.

    Raises:
        InputError: Not one of these, or `qubit_map` is not one to one.
        DataError: The file lacks a column or a value cannot be read.
        StorageError: The file cannot be read.
    """
    mapped = None if qubit_map is None else _checked_map(qubit_map)
    if isinstance(backend, (str, os.PathLike)):
        path = os.fspath(backend)
        qubits, pairs = _from_csv(path)
        return BackendRules(_ordered(qubits), _ordered(pairs), mapped), Path(path).name
    target = getattr(backend, "target", backend)
    if not hasattr(target, "operation_names") or not hasattr(target, "qubit_properties"):
        raise InputError(
            f"backend must be a Qiskit backend or Target or the path of a calibration CSV, got {type(backend).__name__}"
        )
    qubits, pairs = _from_target(target)
    name = str(getattr(backend, "name", None) or getattr(target, "description", None) or "target")
    return BackendRules(_ordered(qubits), _ordered(pairs), mapped), name


def _ordered(table: dict[Any, Any]) -> tuple[tuple[Any, Any], ...]:
    return tuple(sorted(table.items()))


def _checked_map(qubit_map: QubitMap) -> tuple[tuple[int, int], ...]:
    items: Iterable[tuple[int, int]]
    items = qubit_map.items() if isinstance(qubit_map, Mapping) else enumerate(qubit_map)
    pairs = tuple(sorted((int(circuit), int(device)) for circuit, device in items))
    devices = [device for _, device in pairs]
    twice = sorted({device for device in devices if devices.count(device) > 1})
    if twice:
        raise InputError(f"qubit_map must be one to one, and device qubits {twice} come more than once")
    return pairs


def _from_target(target: Any) -> tuple[dict[int, QubitCalibration], dict[tuple[int, int], PairCalibration]]:
    names = set(target.operation_names)

    def read(gate: str, where: tuple[int, ...]) -> tuple[float | None, float | None]:
        properties = (target[gate] or {}).get(where) if gate in names else None
        return getattr(properties, "error", None), getattr(properties, "duration", None)

    qubits = {}
    properties = target.qubit_properties or [None] * target.num_qubits
    for number, known in enumerate(properties):
        readout_error, readout_seconds = read("measure", (number,))
        reset_error, reset_seconds = read("reset", (number,))
        sx_error, sx_seconds = read("sx", (number,))
        qubits[number] = QubitCalibration(
            t1=getattr(known, "t1", None),
            t2=getattr(known, "t2", None),
            readout_error=readout_error,
            readout_seconds=readout_seconds or 0.0,
            reset_error=reset_error,
            reset_seconds=(readout_seconds if reset_seconds is None else reset_seconds) or 0.0,
            sx_error=sx_error,
            x_error=read("x", (number,))[0],
            id_error=read("id", (number,))[0],
            gate_seconds=_ONE_QUBIT_SECONDS if sx_seconds is None else sx_seconds,
        )
    pairs = {}
    for gate in reversed(_NATIVE_PAIR_GATES):
        for where in (target[gate] or {}) if gate in names else {}:
            error, seconds = read(gate, where)
            if error is not None:
                pairs[where] = PairCalibration(error, seconds or 0.0)
    return qubits, pairs


def _from_csv(path: str) -> tuple[dict[int, QubitCalibration], dict[tuple[int, int], PairCalibration]]:
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
    qubits: dict[int, QubitCalibration] = {}
    pairs: dict[tuple[int, int], PairCalibration] = {}
    for line, row in enumerate(rows, start=2):
        try:
            number = int(row["Qubit"])
            qubits[number] = _csv_qubit(row)
            pairs.update(_csv_pairs(number, row))
        except ValueError as error:
            raise DataError(f"{path}, line {line}: {error}") from error
    return qubits, pairs


def _csv_qubit(row: Mapping[str, str]) -> QubitCalibration:
    def number(column: str, unit: float = 1.0) -> float | None:
        text = row.get(column, "").replace("undefined", "").strip()
        return float(text) * unit if text else None

    readout = number("Readout length (ns)", 1e-9) or 0.0
    gate_seconds = number("Single-qubit gate length (ns)", 1e-9)
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
        gate_seconds=_ONE_QUBIT_SECONDS if gate_seconds is None else gate_seconds,
        operational=row.get("Operational", "").strip().lower() not in ("no", "false"),
    )


def _csv_pairs(qubit: int, row: Mapping[str, str]) -> dict[tuple[int, int], PairCalibration]:
    """The pairs that a row lists, under either name that a column has had.

    Entries read `1_0:0.006;…` or, in newer files, `0:0.006;…` with the row's qubit left out.
    """

    def entries(column: str) -> dict[int, float]:
        cell = row.get(column, "").replace("undefined", "")
        parts = [part.split(":") for part in cell.split(";") if part.strip()]
        return {int(key.rpartition("_")[2]): float(value) for key, value in parts}

    seconds = {**entries("Gate time (ns)"), **entries("Gate length (ns)")}
    found = {}
    for gate in ("CX", "CZ", "ECR"):
        for other, error in entries(f"{gate} error").items():
            found[qubit, other] = PairCalibration(error, seconds.get(other, 0.0) * 1e-9)
    return found
