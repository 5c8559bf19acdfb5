"""Noisy outputs of transpiled circuits, for training data: Pauli noise by trajectories, readout errors exactly.

Gate errors become depolarising noise, idle times become the twirled relaxation and dephasing that T1 and T2 imply
(Pauli twirling is what Q-Cluster assumes). Circuits of up to about 15 qubits are simulated by state vectors, the part
without errors exactly and only the rest by sampling; wide Clifford circuits are sampled with Stim.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.mitigation.flip_rate.calibration import Calibration, GateCalibration

__all__ = ["NoisyProgram", "compile_program", "output_probabilities", "sample_clifford", "vary"]

_X = np.array([[0, 1], [1, 0]], dtype=np.complex128)
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]], dtype=np.complex128) / 2
_S = np.diag([1, 1j]).astype(np.complex128)
_IDENTITY = np.eye(2, dtype=np.complex128)
# Amplitudes that are held at once: 16 MB.
_CHUNK = 2**21


@dataclass(frozen=True)
class _Unitary:
    qubit: int
    matrix: NDArray[np.complex128]


@dataclass(frozen=True)
class _Pair:
    name: str
    a: int
    b: int


@dataclass(frozen=True)
class _Noise:
    """Pauli errors: probabilities of the Paulis 1, 2, … as base-4 digits (I, X, Y, Z), the last qubit's lowest."""

    qubits: tuple[int, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class NoisyProgram:
    """A circuit on the qubits that it uses, with its noise between the gates.

    Attributes:
        num_qubits: How many qubits it uses.
        steps: Unitaries, two-qubit gates and noise, in order.
        measured: The qubit behind each measured bit, in the order of the classical bits.
        flip_0: For each measured bit, the probability that a 0 is read as 1.
        flip_1: For each measured bit, the probability that a 1 is read as 0.
    """

    num_qubits: int
    steps: tuple[_Unitary | _Pair | _Noise, ...]
    measured: tuple[int, ...]
    flip_0: NDArray[np.float64]
    flip_1: NDArray[np.float64]


def vary(calibration: Calibration, factor: float, generator: np.random.Generator) -> Calibration:
    """Returns the noise that a device might really have while its calibration says `calibration`.

    Gate errors and decay rates grow by `factor`, readout errors by its square root, as they are measured more
    directly; and each number drifts by its own log-normal factor of width 0.3.
    """

    def drift(size: int) -> NDArray[np.float64]:
        return np.asarray(np.exp(generator.normal(0, 0.3, size)), dtype=np.float64)

    errors = np.array([gate.error for gate in calibration.gates.values()])
    errors = np.minimum(errors * factor * drift(len(errors)), 0.75)
    gates = {
        key: GateCalibration(float(error), gate.duration)
        for (key, gate), error in zip(calibration.gates.items(), errors, strict=True)
    }
    count = calibration.num_qubits
    readout = math.sqrt(factor) * drift(count)
    return replace(
        calibration,
        t1=calibration.t1 / factor * drift(count),
        t2=calibration.t2 / factor * drift(count),
        prob_meas0_prep1=np.minimum(calibration.prob_meas0_prep1 * readout, 0.45),
        prob_meas1_prep0=np.minimum(calibration.prob_meas1_prep0 * readout, 0.45),
        gates=gates,
    )


def compile_program(circuit: Any, calibration: Calibration) -> NoisyProgram:
    """Returns the steps of a circuit transpiled to rz, sx, x and cx, cz or ecr.

    Gates start as late as they can, as IBM's machines schedule them, and every qubit decays while it waits.
    """
    operations = [
        (
            item.operation.name,
            [float(p) for p in item.operation.params],
            [circuit.find_bit(q).index for q in item.qubits],
        )
        for item in circuit.data
        if item.operation.name not in ("measure", "barrier")
    ]
    bits = {
        circuit.find_bit(item.clbits[0]).index: circuit.find_bit(item.qubits[0]).index
        for item in circuit.data
        if item.operation.name == "measure"
    }
    physical = [bits[bit] for bit in sorted(bits)]
    used = sorted({qubit for _, _, qubits in operations for qubit in qubits} | set(physical))
    place = {qubit: index for index, qubit in enumerate(used)}
    writer = _Writer(len(used))
    waits = _waiting_times(operations, calibration)
    for (name, params, qubits), wait in zip(operations, waits, strict=True):
        writer.gate(name, params, [place[q] for q in qubits], calibration.gate(name, qubits).error)
        for qubit, seconds in zip(qubits, wait, strict=True):
            writer.idle(place[qubit], _idle_noise(seconds, float(calibration.t1[qubit]), float(calibration.t2[qubit])))
    return NoisyProgram(
        num_qubits=len(used),
        steps=tuple(writer.finish()),
        measured=tuple(place[qubit] for qubit in physical),
        flip_0=calibration.prob_meas1_prep0[physical],
        flip_1=calibration.prob_meas0_prep1[physical],
    )


def _waiting_times(
    operations: Sequence[tuple[str, list[float], list[int]]], calibration: Calibration
) -> list[list[float]]:
    """Returns how long each qubit of each gate waits after it, when gates start as late as they can."""
    next_start: dict[int, float] = {}
    waits = []
    for name, _, qubits in reversed(operations):
        end = min(next_start.get(qubit, 0.0) for qubit in qubits)
        waits.append([next_start.get(qubit, 0.0) - end for qubit in qubits])
        start = end - calibration.gate(name, qubits).duration
        next_start |= dict.fromkeys(qubits, start)
    return waits[::-1]


def _idle_noise(seconds: float, t1: float, t2: float) -> tuple[float, float, float]:
    """Returns the probabilities of X, Y and Z after a wait, by twirling relaxation and dephasing."""
    decayed = -math.expm1(-seconds / t1)
    dephased = -math.expm1(-seconds / min(t2, 2 * t1))
    return decayed / 4, decayed / 4, max(0.0, dephased / 2 - decayed / 4)


class _Writer:
    """Collects steps, with the single-qubit gates between two-qubit gates multiplied into one."""

    def __init__(self, num_qubits: int) -> None:
        self._steps: list[_Unitary | _Pair | _Noise] = []
        self._matrices = [_IDENTITY] * num_qubits
        self._errors: list[list[tuple[float, float, float]]] = [[] for _ in range(num_qubits)]

    def gate(self, name: str, params: Sequence[float], qubits: Sequence[int], error: float) -> None:
        if len(qubits) == 1:
            (qubit,) = qubits
            rotation = np.exp(0.5j * params[0] * np.array([-1, 1])) if name == "rz" else np.ones(2)
            matrix = {"sx": _SX, "x": _X}.get(name, np.diag(rotation))
            self._matrices[qubit] = matrix @ self._matrices[qubit]
            self._errors[qubit].append((error / 2, error / 2, error / 2))
            return
        a, b = qubits
        if name == "ecr":
            # ecr is cx after X S on its first and √X† on its second qubit, up to a global phase.
            self._matrices[a] = _X @ _S @ self._matrices[a]
            self._matrices[b] = _SX.conj().T @ self._matrices[b]
        self._flush(a)
        self._flush(b)
        self._steps.append(_Pair("cz" if name == "cz" else "cx", a, b))
        self._noise((a, b), (min(error * 5 / 4, 15 / 16) / 15,) * 15)

    def idle(self, qubit: int, probabilities: tuple[float, float, float]) -> None:
        self._errors[qubit].append(probabilities)
        if self._matrices[qubit] is _IDENTITY:
            self._flush(qubit)

    def finish(self) -> Iterator[_Unitary | _Pair | _Noise]:
        for qubit in range(len(self._matrices)):
            self._flush(qubit)
        yield from self._steps

    def _flush(self, qubit: int) -> None:
        if self._matrices[qubit] is not _IDENTITY:
            self._steps.append(_Unitary(qubit, self._matrices[qubit]))
        if self._errors[qubit]:
            x, y, z = np.minimum(np.sum(self._errors[qubit], axis=0), 0.25).tolist()
            self._noise((qubit,), (x, y, z))
        self._matrices[qubit] = _IDENTITY
        self._errors[qubit] = []

    def _noise(self, qubits: tuple[int, ...], probabilities: tuple[float, ...]) -> None:
        if sum(probabilities) > 0:
            self._steps.append(_Noise(qubits, probabilities))


def output_probabilities(
    program: NoisyProgram, num_trajectories: int, generator: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the probability of each output without and with noise, float64 of shape (2^measured,).

    Bit i of an index is measured bit i. Only trajectories with at least one error are sampled; the one without errors
    is added with the weight it has.
    """
    noise = [step for step in program.steps if isinstance(step, _Noise)]
    totals = np.array([sum(step.probabilities) for step in noise])
    clean = float(np.prod(1 - totals))
    ideal = _run(program, np.zeros((1, len(noise)), dtype=np.int8))
    if clean == 1 or not noise:
        return ideal, _read_out(ideal, program)
    chosen = _choose_errors(noise, totals, num_trajectories, generator)
    noisy = np.zeros_like(ideal)
    size = max(1, _CHUNK >> program.num_qubits)
    for start in range(0, num_trajectories, size):
        part = chosen[start : start + size]
        noisy += _run(program, part) * len(part) / num_trajectories
    return ideal, _read_out(clean * ideal + (1 - clean) * noisy, program)


def _choose_errors(
    noise: Sequence[_Noise], totals: NDArray[np.float64], count: int, generator: np.random.Generator
) -> NDArray[np.int8]:
    """Draws the Pauli of each place of noise, 0 for none, given that not all are none: shape (count, places)."""
    # The first place with an error decides; the places after it are free.
    before = np.concatenate([[1.0], np.cumprod(1 - totals)[:-1]])
    first = before * totals
    chosen = np.zeros((count, len(noise)), dtype=np.int8)
    firsts = generator.choice(len(noise), size=count, p=first / first.sum())
    places = np.arange(len(noise))
    happens = (generator.random(chosen.shape) < totals) & (places > firsts[:, None])
    happens[np.arange(count), firsts] = True
    for index, step in enumerate(noise):
        rows = np.flatnonzero(happens[:, index])
        shares = np.array(step.probabilities) / totals[index]
        chosen[rows, index] = 1 + generator.choice(len(shares), size=len(rows), p=shares)
    return chosen


def _run(program: NoisyProgram, errors: NDArray[np.int8]) -> NDArray[np.float64]:
    """Returns the mean probability of each measured output over trajectories with the given errors."""
    count, n = len(errors), program.num_qubits
    state = np.zeros((count, 1 << n), dtype=np.complex64)
    state[:, 0] = 1
    place = 0
    for step in program.steps:
        if isinstance(step, _Unitary):
            _apply_matrix(state.reshape(count << (n - 1 - step.qubit), 2, 1 << step.qubit), step.matrix)
        elif isinstance(step, _Pair):
            _apply_pair(state, step, n)
        else:
            for pauli in np.unique(errors[:, place]):
                if pauli:
                    rows = np.flatnonzero(errors[:, place] == pauli)
                    state[rows] = _with_paulis(state[rows], int(pauli), step.qubits, n)
            place += 1
    whole = (state.real.astype(np.float64) ** 2 + state.imag.astype(np.float64) ** 2).mean(axis=0)
    indices = np.arange(1 << n)
    outputs = sum(((indices >> qubit) & 1) << bit for bit, qubit in enumerate(program.measured))
    found = np.bincount(outputs, weights=whole, minlength=1 << len(program.measured))
    return np.asarray(found / found.sum(), dtype=np.float64)


def _apply_matrix(pairs: NDArray[np.complex64], matrix: NDArray[np.complex128]) -> None:
    """Applies a 2x2 matrix in place along the middle axis."""
    m = matrix.astype(np.complex64)
    zero, one = pairs[:, 0], pairs[:, 1]
    if abs(matrix[0, 1]) < 1e-12 and abs(matrix[1, 0]) < 1e-12:
        zero *= m[0, 0]
        one *= m[1, 1]
        return
    kept = zero.copy()
    zero *= m[0, 0]
    zero += m[0, 1] * one
    one *= m[1, 1]
    one += m[1, 0] * kept


def _apply_pair(state: NDArray[np.complex64], step: _Pair, n: int) -> None:
    high, low = max(step.a, step.b), min(step.a, step.b)
    view = state.reshape(len(state) << (n - 1 - high), 2, 1 << (high - low - 1), 2, 1 << low)
    if step.name == "cz":
        view[:, 1, :, 1] *= -1
        return
    zero, one = (view[:, 1, :, 0], view[:, 1, :, 1]) if step.a == high else (view[:, 0, :, 1], view[:, 1, :, 1])
    kept = zero.copy()
    zero[...] = one
    one[...] = kept


def _with_paulis(state: NDArray[np.complex64], pauli: int, qubits: tuple[int, ...], n: int) -> NDArray[np.complex64]:
    """Returns states after a Pauli, whose base-4 digits are those of `qubits` from the last to the first."""
    for qubit in reversed(qubits):
        pauli, digit = divmod(pauli, 4)
        view = state.reshape(len(state) << (n - 1 - qubit), 2, 1 << qubit)
        if digit in (1, 2):
            view = np.ascontiguousarray(view[:, ::-1])
        if digit in (2, 3):
            # Y is X after Z up to a phase; after the flip the sign sits on the other half, which is a phase too.
            view = view.copy()
            view[:, 1] *= -1
        state = view.reshape(state.shape)
    return state


def _read_out(probabilities: NDArray[np.float64], program: NoisyProgram) -> NDArray[np.float64]:
    """Returns the probabilities after readout errors, which strike each bit on its own."""
    for bit, (up, down) in enumerate(zip(program.flip_0, program.flip_1, strict=True)):
        view = probabilities.reshape(-1, 2, 1 << bit)
        zero, one = view[:, 0], view[:, 1]
        probabilities = np.stack([(1 - up) * zero + down * one, up * zero + (1 - down) * one], axis=1).ravel()
    return probabilities


def sample_clifford(program: NoisyProgram, shots: int, *, noisy: bool, seed: int) -> NDArray[np.bool_] | None:
    """Returns sampled outputs of a Clifford program, bool of shape (shots, measured); None if it is no Clifford one."""
    import stim

    circuit = stim.Circuit()
    for step in program.steps:
        if isinstance(step, _Unitary):
            try:
                tableau = stim.Tableau.from_unitary_matrix(step.matrix, endian="little")
            except ValueError:
                return None
            # Stim lets small angles pass as none.
            found = tableau.to_unitary_matrix(endian="little")
            if abs(np.vdot(found, step.matrix)) < 2 - 1e-6:
                return None
            for line in str(tableau.to_circuit("elimination")).splitlines():
                name, *targets = line.split()
                circuit.append(name, [step.qubit] * len(targets))
        elif isinstance(step, _Pair):
            circuit.append(step.name.upper(), [step.a, step.b])
        elif noisy:
            channel = "PAULI_CHANNEL_1" if len(step.qubits) == 1 else "PAULI_CHANNEL_2"
            circuit.append(channel, step.qubits, step.probabilities)
    circuit.append("M", program.measured)
    outputs = circuit.compile_sampler(seed=seed).sample(shots)
    if noisy:
        chances = np.random.default_rng(seed).random(outputs.shape)
        outputs = outputs ^ (chances < np.where(outputs, program.flip_1, program.flip_0))
    return np.asarray(outputs, dtype=np.bool_)
