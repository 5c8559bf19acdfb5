"""What a device says about its own noise: relaxation times, gate errors, readout errors.

One form for every source, in seconds and probabilities. What a source leaves out is filled with the device's own
median, or with a documented default where the device says nothing at all, and each such filling is noted.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, InputError

__all__ = [
    "DEFAULT_DURATIONS",
    "DEFAULT_READOUT_DURATION",
    "DEFAULT_READOUT_ERROR",
    "DEFAULT_T1",
    "DEFAULT_T2",
    "Calibration",
    "GateCalibration",
    "QubitReading",
    "assemble",
]

DEFAULT_T1 = 100e-6
"""Relaxation time, in seconds, where no qubit of a device has one."""
DEFAULT_T2 = 100e-6
"""Dephasing time, in seconds, where no qubit of a device has one."""
DEFAULT_READOUT_ERROR = 0.02
"""Probability of a wrong readout where no qubit of a device has one."""
DEFAULT_READOUT_DURATION = 1.5e-6
"""Duration of a readout, in seconds, where no qubit of a device has one."""
DEFAULT_DURATIONS: Mapping[str, float] = {
    "cx": 400e-9,
    "cz": 80e-9,
    "ecr": 600e-9,
    "id": 40e-9,
    "rx": 40e-9,
    "rz": 0.0,
    "rzz": 80e-9,
    "sx": 40e-9,
    "x": 40e-9,
}
"""Durations of gates, in seconds, where a device gives none: typical of IBM's machines of 2023 to 2026."""


class GateCalibration(NamedTuple):
    """How good and how long a gate is on certain qubits."""

    error: float
    duration: float


class QubitReading(NamedTuple):
    """What a source says about one qubit, None where it says nothing. Times in seconds."""

    t1: float | None = None
    t2: float | None = None
    readout_error: float | None = None
    prob_meas0_prep1: float | None = None
    prob_meas1_prep0: float | None = None
    readout_duration: float | None = None


@dataclass(frozen=True, eq=False)
class Calibration:
    """A device's noise as its maker reports it. `quell.mitigation.flip_rate.read_calibration` makes one.

    Attributes:
        t1: Relaxation time of each qubit in seconds, float64 of shape (num_qubits,).
        t2: Dephasing time of each qubit in seconds, float64 of shape (num_qubits,).
        readout_error: Probability that a qubit is read wrongly, float64 of shape (num_qubits,).
        prob_meas0_prep1: Probability that a 1 is read as 0, float64 of shape (num_qubits,).
        prob_meas1_prep0: Probability that a 0 is read as 1, float64 of shape (num_qubits,).
        readout_duration: Of each qubit in seconds, float64 of shape (num_qubits,).
        gates: Error and duration by the gate's name and its qubits, as in `("ecr", (1, 0))`.
        name: What the source calls the device, or the file it came from.
        notes: What was missing and how it was filled, in sentences.
    """

    t1: NDArray[np.float64]
    t2: NDArray[np.float64]
    readout_error: NDArray[np.float64]
    prob_meas0_prep1: NDArray[np.float64]
    prob_meas1_prep0: NDArray[np.float64]
    readout_duration: NDArray[np.float64]
    gates: Mapping[tuple[str, tuple[int, ...]], GateCalibration]
    name: str = "device"
    notes: tuple[str, ...] = ()

    @property
    def num_qubits(self) -> int:
        """How many qubits the device has."""
        return len(self.t1)

    @property
    def gate_names(self) -> list[str]:
        """The gates that have an error, in alphabetical order."""
        return sorted({name for name, _ in self.gates})

    def gate(self, name: str, qubits: Sequence[int]) -> GateCalibration:
        """Returns error and duration of a gate; a pair of qubits may stand in either order.

        Raises:
            InputError: If the device has no such gate there.

        Examples:
            >>> from quell.mitigation.flip_rate import read_calibration
            >>> calibration = read_calibration({"qubits": [[], []], "gates": [
            ...     {"gate": "cz", "qubits": [1, 0], "parameters": [{"name": "gate_error", "value": 0.01}]}]})
            >>> calibration.gate("cz", (0, 1))
            GateCalibration(error=0.01, duration=8e-08)
        """
        found = self.gates.get((name, tuple(qubits))) or self.gates.get((name, tuple(reversed(qubits))))
        if found is not None:
            return found
        if name not in self.gate_names:
            raise InputError(
                f"gate {name!r} is not among the calibrated gates of {self.name}, {', '.join(self.gate_names)}: "
                "transpile the circuit for this device, or give the calibration of the device it was transpiled for"
            )
        raise InputError(
            f"gate {name!r} is not calibrated on qubits {tuple(qubits)} of {self.name}: transpile the circuit for this "
            "device, or give the calibration of the device it was transpiled for"
        )


def assemble(
    qubits: Sequence[QubitReading],
    gates: Mapping[tuple[str, tuple[int, ...]], tuple[float | None, float | None]],
    *,
    name: str,
    notes: Iterable[str] = (),
) -> Calibration:
    """Returns a calibration in which nothing is missing, from what a source says.

    Missing numbers of a qubit or a gate become the median of the others; where there are no others, times and readout
    take the defaults of this module, and gates without any error are left out. `rz` is a change of frame on the
    machines that have it, so that without numbers it counts as perfect and instant.

    Args:
        qubits: For each qubit what is known.
        gates: Error and duration in seconds, either None where unknown, by name and qubits.
        name: What to call the device in messages.
        notes: Noted besides what is filled.

    Raises:
        DataError: If there are no qubits, or a number is outside what it can be.
    """
    if not qubits:
        raise DataError(f"{name} holds no qubits: it is no calibration")
    found = list(notes)
    t1 = _filled([q.t1 for q in qubits], "T1", DEFAULT_T1, found, name)
    t2 = _filled([q.t2 for q in qubits], "T2", DEFAULT_T2, found, name)
    duration = _filled([q.readout_duration for q in qubits], "readout duration", DEFAULT_READOUT_DURATION, found, name)
    errors = [_readout_error(q) for q in qubits]
    readout = _filled(errors, "readout error", DEFAULT_READOUT_ERROR, found, name)
    if any(q.prob_meas0_prep1 is None or q.prob_meas1_prep0 is None for q in qubits):
        found.append("readout errors of 0 and 1 are taken as equal where the source does not tell them apart")
    both = zip(qubits, readout, strict=True)
    pairs = [
        (q.prob_meas0_prep1, q.prob_meas1_prep0)
        if q.prob_meas0_prep1 is not None and q.prob_meas1_prep0 is not None
        else (error, error)
        for q, error in both
    ]
    directions = np.array(pairs, dtype=np.float64)
    for what, probabilities in (("readout error", readout), ("readout error", directions)):
        _check_probabilities(probabilities.ravel(), f"a {what} of {name}")
    return Calibration(
        t1=t1,
        t2=t2,
        readout_error=readout,
        prob_meas0_prep1=directions[:, 0],
        prob_meas1_prep0=directions[:, 1],
        readout_duration=duration,
        gates=_filled_gates(gates, len(qubits), found, name),
        name=name,
        notes=tuple(found),
    )


def _readout_error(qubit: QubitReading) -> float | None:
    """The mean over both directions, where the source gives only these."""
    if qubit.readout_error is None and qubit.prob_meas0_prep1 is not None and qubit.prob_meas1_prep0 is not None:
        return (qubit.prob_meas0_prep1 + qubit.prob_meas1_prep0) / 2
    return qubit.readout_error


def _filled(
    values: Sequence[float | None], what: str, default: float, notes: list[str], name: str
) -> NDArray[np.float64]:
    """Returns `values` with the missing ones replaced, and notes it."""
    known = [value for value in values if value is not None]
    if not all(math.isfinite(value) and value >= 0 for value in known):
        raise DataError(f"{what} of {name} must be finite and not negative, got {min(known)!r} to {max(known)!r}")
    filler = float(np.median(known)) if known else default
    missing = [index for index, value in enumerate(values) if value is None]
    if missing:
        which = "any qubit" if not known else f"{'qubit' if len(missing) == 1 else 'qubits'} {_listed(missing)}"
        how = "the default" if not known else "the median of the others"
        notes.append(f"{what} of {which} is missing: {filler:.4g}, {how}, is used")
    return np.array([filler if value is None else value for value in values], dtype=np.float64)


def _filled_gates(
    gates: Mapping[tuple[str, tuple[int, ...]], tuple[float | None, float | None]],
    num_qubits: int,
    notes: list[str],
    name: str,
) -> dict[tuple[str, tuple[int, ...]], GateCalibration]:
    """Returns the gates with what is missing replaced, sorted by name and qubits."""
    filled = {}
    gaps: dict[str, list[str]] = {}
    for gate in sorted({gate for gate, _ in gates}):
        places = sorted(qubits for other, qubits in gates if other == gate)
        errors = [gates[gate, place][0] for place in places]
        if all(error is None for error in errors):
            if gate != "rz":
                notes.append(f"no error of gate {gate!r} is given: circuits that use it cannot be judged")
                continue
            errors = [0.0] * len(places)
        _check_probabilities(np.array([error for error in errors if error is not None]), f"error of {gate!r} of {name}")
        default = DEFAULT_DURATIONS.get(gate, 400e-9 if len(places[0]) > 1 else 40e-9)
        errors_filled, gap = _filled_gate(errors, 0.0, "error")
        gaps.setdefault(gap, []).append(gate)
        durations, gap = _filled_gate([gates[gate, place][1] for place in places], default, "duration")
        gaps.setdefault(gap, []).append(gate)
        for place, error, duration in zip(places, errors_filled, durations, strict=True):
            filled[gate, place] = GateCalibration(error, duration)
    notes.extend(gap.format(gates=", ".join(names)) for gap, names in gaps.items() if gap)
    for qubit in range(num_qubits):
        filled.setdefault(("rz", (qubit,)), GateCalibration(0.0, 0.0))
    return filled


def _filled_gate(values: Sequence[float | None], default: float, what: str) -> tuple[list[float], str]:
    """Returns the values of one gate with the missing ones replaced, and a note with a place for the gate's name."""
    known = [value for value in values if value is not None]
    if not all(math.isfinite(value) and value >= 0 for value in known):
        raise DataError(f"the {what} of a gate must be finite and not negative, got {min(known)!r}")
    if len(known) == len(values):
        return known, ""
    filler = float(np.median(known)) if known else default
    how = "the default" if not known else "the median of the others"
    note = f"{what} of {{gates}} is missing in {len(values) - len(known)} places: {filler:.4g}, {how}, is used"
    return [filler if value is None else value for value in values], note


def _check_probabilities(values: NDArray[np.float64], what: str) -> None:
    bad = values[~((values >= 0) & (values <= 1))]
    if bad.size:
        raise DataError(f"{what} must be a probability between 0 and 1, got {float(bad[0])!r}")


def _listed(numbers: Sequence[int]) -> str:
    shown = ", ".join(map(str, numbers[:6]))
    return shown if len(numbers) <= 6 else f"{shown} and {len(numbers) - 6} more"
