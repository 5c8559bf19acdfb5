"""Turns the calibration of a real device into rules of noise.

Error rates become depolarising channels of the same average gate fidelity, waiting times Pauli-twirled decay
(Ghosh, Fowler and Geller, arXiv:1210.5799). A value that a circuit needs and the calibration lacks is an error: as
zero it would pass for a perfect device.
"""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from quell.circuits.noise_calibration import (
    NATIVE_PAIR_GATES,
    Calibration,
    PairCalibration,
    QubitCalibration,
    read_csv,
    read_target,
)
from quell.circuits.noise_channels import Channel, flip, pauli_channel_1
from quell.errors import CircuitError, InputError, check_integer

__all__ = ["BackendRules", "QubitMap", "backend_rules"]

QubitMap = Mapping[int, int] | Sequence[int]

_OTHER_QUBIT = "choose another qubit_map, or complete the calibration"

# Every one-qubit Clifford is frame changes round at most one pulse.
_VIRTUAL = frozenset({"S", "S_DAG", "Z"})
_X_PULSE = frozenset({"X", "Y", "H_XY", "H_NXY"})
# One native pair gate and one-qubit gates make these.
_PAIR_GATES = frozenset(
    {"CX", "CY", "CZ", "XCX", "XCY", "XCZ", "YCX", "YCY", "YCZ"}
    | {"SQRT_XX", "SQRT_XX_DAG", "SQRT_YY", "SQRT_YY_DAG", "SQRT_ZZ", "SQRT_ZZ_DAG"}
)
_ASKED_FOR = {"CX": "cx", "XCZ": "cx", "CZ": "cz"}
_JOINT = frozenset({"MPP", "MXX", "MYY", "MZZ"})
_PRODUCT_GATES = frozenset({"SPP", "SPP_DAG"})
_IDENTITIES = frozenset({"II"})


@dataclass(frozen=True)
class BackendRules:
    """The rules of one device. `qubits` and `pairs` are sorted pairs of key and calibration."""

    qubits: tuple[tuple[int, QubitCalibration], ...]
    pairs: tuple[tuple[tuple[str, int, int], PairCalibration], ...]
    qubit_map: tuple[tuple[int, int], ...] | None = None

    idles = True
    timed = True
    needs_data = False
    single_round = False
    round_channels = ()

    @cached_property
    def _qubits(self) -> dict[int, QubitCalibration]:
        return dict(self.qubits)

    @cached_property
    def _pairs(self) -> dict[tuple[str, int, int], PairCalibration]:
        return dict(self.pairs)

    @cached_property
    def _map(self) -> dict[int, int] | None:
        return None if self.qubit_map is None else dict(self.qubit_map)

    def check(self, name: str, groups: Sequence[tuple[int, ...]]) -> None:
        """Refuses what no device here does."""
        if name in _JOINT:
            raise CircuitError(
                f"the device has no joint measurement, and the circuit has {name} on {groups[0]}: use an ancilla"
            )
        if name in _PRODUCT_GATES:
            raise CircuitError(
                f"the device has no gate of a Pauli product, and the circuit has {name} on {groups[0]}: write it out "
                "in CX or CZ and one-qubit gates"
            )
        if name in _IDENTITIES:
            raise CircuitError(
                f"{name} on {groups[0]} has no calibration: write I on each qubit for a timed identity, or leave it "
                "out for a wait"
            )
        for group in groups if name not in _PAIR_GATES else ():
            if len(group) > 1:
                raise CircuitError(f"{name} on {group} takes more than one native pair gate: write it out in CX or CZ")

    def free(self, name: str) -> str | None:
        """Frame changes are done in software."""
        return "a frame change, free and instantaneous" if name in _VIRTUAL else None

    def preparation(self, qubit: int, basis: str) -> Channel | None:
        """The reset error; the readout error where there is none, since such a reset measures and flips."""
        calibration = self._calibration(qubit)
        error = calibration.reset_error
        return flip(basis, self._rate(qubit, "readout", calibration.readout_error if error is None else error))

    def measurement(self, qubit: int, basis: str, *, final: bool) -> Channel | None:
        """The readout error."""
        return flip(basis, self._rate(qubit, "readout", self._calibration(qubit).readout_error))

    def product_flip(self, *, final: bool) -> float:
        """Refused, as `check` does already: no backend calibrates a joint measurement."""
        raise CircuitError("joint measurements have no calibration: write them out with an ancilla")

    def gate(self, name: str, qubits: tuple[int, ...]) -> Channel | None:
        """The depolarising channel of the gate's average infidelity."""
        if len(qubits) == 1:
            return self._one_qubit(name, qubits[0])
        gate, device = self._pair(name, qubits)
        return _depolarizing("DEPOLARIZE2", 5 / 4, 15 / 16, self._pairs[gate, *device].error, _pair_name(gate, device))

    def seconds(self, name: str, qubits: tuple[int, ...]) -> float:
        """The calibrated duration."""
        if name in _VIRTUAL or name in _JOINT or name in _PRODUCT_GATES:
            return 0.0
        if len(qubits) == 2:
            if name not in _PAIR_GATES:
                return 0.0
            gate, device = self._pair(name, qubits)
            return _time(self._pairs[gate, *device].seconds, f"the {_pair_name(gate, device)}", "duration")
        [qubit] = qubits
        calibration = self._calibration(qubit)
        readout, reset = (calibration.readout_seconds, "readout length"), (calibration.reset_seconds, "reset length")
        if name[:2] == "MR":
            wanted = [readout, reset]
        elif name[0] == "M":
            wanted = [readout]
        elif name in ("R", "RX", "RY"):
            wanted = [reset]
        else:
            wanted = [(calibration.gate_seconds, f"gate length for {name}")]
        return sum(_time(seconds, self._named(qubit), what) for seconds, what in wanted)

    def idle(self, qubit: int, *, spam: bool, waited: bool, seconds: float) -> Channel | None:
        """The Pauli twirl of amplitude and phase damping over the time of waiting."""
        calibration = self._calibration(qubit)
        t1 = _time(calibration.t1, self._named(qubit), "T1", maximum=math.inf)
        t2 = _time(calibration.t2, self._named(qubit), "T2", maximum=math.inf)
        decay = -math.expm1(-seconds / t1) / 4
        dephasing = -math.expm1(-seconds / min(t2, 2 * t1)) / 2
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
        return _depolarizing("DEPOLARIZE1", 3 / 2, 3 / 4, self._rate(qubit, "gate", error), what)

    def _device_qubit(self, qubit: int) -> int:
        if self._map is None:
            return qubit
        if qubit not in self._map:
            raise CircuitError(f"circuit qubit {qubit} is not in qubit_map: add it")
        return self._map[qubit]

    def _named(self, qubit: int) -> str:
        return f"device qubit {self._device_qubit(qubit)} (circuit qubit {qubit})"

    def _calibration(self, qubit: int) -> QubitCalibration:
        device = self._device_qubit(qubit)
        if device not in self._qubits:
            raise CircuitError(
                f"the device has no qubit {device} (circuit qubit {qubit}): "
                "pass qubit_map={circuit qubit: device qubit}"
            )
        calibration = self._qubits[device]
        if not calibration.operational:
            raise CircuitError(f"{self._named(qubit)} is not operational: choose another qubit_map")
        return calibration

    def _pair(self, name: str, qubits: tuple[int, ...]) -> tuple[str, tuple[int, int]]:
        """The native gate for a pair, and the direction in which the device lists it."""
        for qubit in qubits:
            self._calibration(qubit)
        first, second = (self._device_qubit(qubit) for qubit in qubits)
        asked = _ASKED_FOR.get(name)
        gates = sorted(NATIVE_PAIR_GATES, key=lambda gate: gate != asked)
        listed = [
            (gate, pair)
            for gate in gates
            for pair in [(first, second), (second, first)]
            if (gate, *pair) in self._pairs
        ]
        if not listed:
            raise CircuitError(
                f"the device has no pair gate between qubits {first} and {second} (circuit qubits "
                f"{qubits[0]} and {qubits[1]}): choose another qubit_map"
            )
        # A gate may be listed in one direction, or by name, without having been calibrated there.
        return next((found for found in listed if self._pairs[found[0], *found[1]].error is not None), listed[0])

    def _rate(self, qubit: int, kind: str, error: float | None) -> float:
        if error is None or not 0 <= error <= 1:
            raise CircuitError(
                f"{self._named(qubit)} has no usable {kind} error: it must be between 0 and 1, got {error}: "
                f"{_OTHER_QUBIT}"
            )
        return error


def _pair_name(gate: str, device: tuple[int, int]) -> str:
    return f"pair gate of device qubits {device} ({gate})"


def _time(seconds: float | None, whose: str, what: str, *, maximum: float = 1.0) -> float:
    """A duration that can be used; no operation of a device takes more than `maximum` seconds."""
    if seconds is None or not 0 < seconds <= maximum:
        shown = "none" if seconds is None else f"{seconds:g} s"
        raise CircuitError(f"{whose} has no usable {what}: it must be a time above 0, got {shown}: {_OTHER_QUBIT}")
    return seconds


def _depolarizing(name: str, factor: float, maximum: float, error: float | None, what: str) -> Channel | None:
    if error is None or not 0 <= factor * error <= maximum:
        shown = "none" if error is None else f"{error:g}, which would need {name}({factor * error:g})"
        raise CircuitError(
            f"the {what} has no usable error: it must be between 0 and {maximum / factor:g}, got {shown}: "
            f"{_OTHER_QUBIT}"
        )
    return Channel(name, (factor * error,)) if error else None


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
        return _rules(read_csv(path), mapped), Path(path).name
    target = getattr(backend, "target", backend)
    if not hasattr(target, "operation_names") or not hasattr(target, "qubit_properties"):
        raise InputError(
            f"backend must be a Qiskit backend or Target or the path of a calibration CSV, got {type(backend).__name__}"
        )
    name = str(getattr(backend, "name", None) or getattr(target, "description", None) or "target")
    return _rules(read_target(target), mapped), name


def _rules(calibration: Calibration, mapped: tuple[tuple[int, int], ...] | None) -> BackendRules:
    qubits, pairs = calibration
    return BackendRules(tuple(sorted(qubits.items())), tuple(sorted(pairs.items())), mapped)


def _checked_map(qubit_map: QubitMap) -> tuple[tuple[int, int], ...]:
    items: Iterable[tuple[int, int]]
    if isinstance(qubit_map, Mapping):
        items = qubit_map.items()
    elif isinstance(qubit_map, str) or not hasattr(qubit_map, "__iter__"):
        raise InputError(f"qubit_map must be a dict, a list of device qubits or None, got {qubit_map!r}")
    else:
        items = enumerate(qubit_map)
    pairs = tuple(
        sorted(
            (
                check_integer("circuit qubit of qubit_map", circuit, minimum=0),
                check_integer("device qubit of qubit_map", device, minimum=0),
            )
            for circuit, device in items
        )
    )
    devices = [device for _, device in pairs]
    twice = sorted({device for device in devices if devices.count(device) > 1})
    if twice:
        raise InputError(f"qubit_map must be one to one, and device qubits {twice} come more than once")
    return pairs
