"""The circuits that training data is generated from: the kinds that benchmark suites of small machines use.

Each kind is a function of a size and a random generator, and returns a `qiskit.QuantumCircuit` that ends in
measurements. The wide ones are Clifford circuits, whose noise can be sampled at any size.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["KINDS", "WIDE_KINDS", "Kind"]

Kind = Callable[[int, np.random.Generator], Any]


def _circuit(num_qubits: int, num_clbits: int) -> Any:
    from qiskit import QuantumCircuit

    return QuantumCircuit(num_qubits, num_clbits)


def _measured(circuit: Any) -> Any:
    """Measures the first qubits into all classical bits."""
    circuit.measure(range(circuit.num_clbits), range(circuit.num_clbits))
    return circuit


def _ghz(n: int, _: np.random.Generator) -> Any:
    circuit = _circuit(n, n)
    circuit.h(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    return _measured(circuit)


def _cat(n: int, generator: np.random.Generator) -> Any:
    """A cat state that grows from its middle in both directions, one half flipped."""
    circuit = _circuit(n, n)
    middle = n // 2
    circuit.h(middle)
    for qubit in range(middle, n - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(middle, 0, -1):
        circuit.cx(qubit, qubit - 1)
    for flipped in np.flatnonzero(generator.random(n) < 0.3):
        circuit.x(int(flipped))
    return _measured(circuit)


def _bernstein_vazirani(n: int, generator: np.random.Generator) -> Any:
    secret = generator.random(n) < 0.6
    circuit = _circuit(n + 1, n)
    circuit.x(n)
    circuit.h(range(n + 1))
    for qubit in np.flatnonzero(secret):
        circuit.cx(int(qubit), n)
    circuit.h(range(n))
    return _measured(circuit)


def _w_state(n: int, _: np.random.Generator) -> Any:
    circuit = _circuit(n, n)
    circuit.x(0)
    for qubit in range(n - 1):
        circuit.cry(2 * math.acos(math.sqrt(1 / (n - qubit))), qubit, qubit + 1)
        circuit.cx(qubit + 1, qubit)
    return _measured(circuit)


def _qft(n: int, _: np.random.Generator) -> Any:
    circuit = _circuit(n, n)
    circuit.x(range(0, n, 2))
    for target in reversed(range(n)):
        circuit.h(target)
        for control in range(target):
            circuit.cp(math.pi / 2 ** (target - control), control, target)
    return _measured(circuit)


def _inverse_qft(n: int, generator: np.random.Generator) -> Any:
    """The end of phase estimation: the register holds one string, or is spread over a few."""
    phase = generator.integers(2**n) / 2**n + (generator.random() < 0.3) * 0.3 / 2**n
    circuit = _circuit(n, n)
    circuit.h(range(n))
    for qubit in range(n):
        circuit.p(2 * math.pi * float(phase) * 2**qubit, qubit)
    circuit.barrier()
    for qubit in reversed(range(n)):
        for control in range(qubit + 1, n):
            circuit.cp(-math.pi / 2 ** (control - qubit), control, qubit)
        circuit.h(qubit)
    return _measured(circuit)


def _grover(n: int, generator: np.random.Generator) -> Any:
    n = min(n, 4)
    marked = int(generator.integers(2**n))
    circuit = _circuit(n, n)
    circuit.h(range(n))
    for _ in range(max(1, round(math.pi / 4 * math.sqrt(2**n) - 0.5)) if n < 4 else 2):
        for flipped in (marked, 0):
            if flipped == 0:
                circuit.h(range(n))
            zeros = [q for q in range(n) if not flipped >> q & 1]
            if zeros:
                circuit.x(zeros)
            circuit.mcp(math.pi, list(range(n - 1)), n - 1)
            if zeros:
                circuit.x(zeros)
        circuit.h(range(n))
    return _measured(circuit)


def _adder(n: int, generator: np.random.Generator) -> Any:
    """A ripple-carry adder of two numbers; only the sum is measured."""
    width = max(1, (n - 1) // 2)
    circuit = _circuit(2 * width + 2, width + 1)
    a, b = list(range(2, 2 * width + 2, 2)), list(range(1, 2 * width + 1, 2))
    for flipped in np.flatnonzero(generator.random(2 * width) < 0.5):
        circuit.x(int(flipped) + 1)
    carry = [0, *a]
    for i in range(width):
        circuit.cx(a[i], b[i])
        circuit.cx(a[i], carry[i])
        circuit.ccx(carry[i], b[i], a[i])
    circuit.cx(a[-1], 2 * width + 1)
    for i in reversed(range(width)):
        circuit.ccx(carry[i], b[i], a[i])
        circuit.cx(a[i], carry[i])
        circuit.cx(carry[i], b[i])
    for bit, qubit in enumerate(b):
        circuit.measure(qubit, bit)
    circuit.measure(2 * width + 1, width)
    return circuit


def _hidden_shift(n: int, generator: np.random.Generator) -> Any:
    n -= n % 2
    shift = [int(q) for q in np.flatnonzero(generator.random(n) < 0.5)]
    circuit = _circuit(n, n)
    circuit.h(range(n))
    for moved in (shift, []):
        for qubit in moved:
            circuit.x(qubit)
        for qubit in range(0, n, 2):
            circuit.cz(qubit, qubit + 1)
        for qubit in moved:
            circuit.x(qubit)
        circuit.h(range(n))
    return _measured(circuit)


def _parity(n: int, generator: np.random.Generator) -> Any:
    """Learning parity with noise: random inputs and the parity of some of them."""
    circuit = _circuit(n, n)
    inputs = range(1, n) if n < 6 else range(1, 3)
    circuit.h(inputs)
    for qubit in range(1, n):
        if generator.random() < 0.6:
            circuit.cx(qubit, 0)
    return _measured(circuit)


def _toffoli(n: int, _: np.random.Generator) -> Any:
    circuit = _circuit(n, n)
    circuit.x([0, 1])
    for qubit in range(n - 2):
        circuit.ccx(qubit, qubit + 1, qubit + 2)
    return _measured(circuit)


def _fredkin(n: int, generator: np.random.Generator) -> Any:
    circuit = _circuit(n, n)
    circuit.x([0, 1])
    for qubit in range(1, n - 1):
        circuit.cswap(0, qubit, qubit + 1)
        if generator.random() < 0.3:
            circuit.x(qubit)
    return _measured(circuit)


def _qaoa(n: int, generator: np.random.Generator) -> Any:
    """Max-cut on a ring with chords; depth 1 to 3."""
    edges = [(q, (q + 1) % n) for q in range(n if n > 2 else 1)]
    edges += [(q, (q + n // 2) % n) for q in range(n // 2) if n > 4 and generator.random() < 0.4]
    circuit = _circuit(n, n)
    circuit.h(range(n))
    for _ in range(int(generator.integers(1, 4))):
        gamma, beta = generator.uniform(0.2, 1.2, 2)
        for a, b in edges:
            circuit.rzz(float(gamma), a, b)
        circuit.rx(float(2 * beta), range(n))
    return _measured(circuit)


def _layers(n: int, generator: np.random.Generator, depth: int, width: float) -> Any:
    circuit = _circuit(n, n)
    for layer in range(depth + 1):
        for qubit in range(n):
            circuit.ry(float(generator.normal(0, width)), qubit)
            circuit.rz(float(generator.normal(0, width)), qubit)
        if layer < depth:
            for qubit in range(layer % 2, n - 1, 2):
                circuit.cx(qubit, qubit + 1)
    return _measured(circuit)


def _variational(n: int, generator: np.random.Generator) -> Any:
    return _layers(n, generator, int(generator.integers(1, 5)), float(generator.choice([0.2, 0.5, 1.2])))


def _neural(n: int, generator: np.random.Generator) -> Any:
    """A deep stack of layers, as in models of quantum neural networks."""
    return _layers(n, generator, int(generator.integers(6, 20)), float(generator.choice([0.1, 0.3])))


def _ising(n: int, generator: np.random.Generator) -> Any:
    """A quench of the transverse-field Ising chain."""
    circuit = _circuit(n, n)
    step, field = float(generator.uniform(0.05, 0.4)), float(generator.uniform(0.3, 1.2))
    for _ in range(int(generator.integers(2, 8))):
        for start in (0, 1):
            for qubit in range(start, n - 1, 2):
                circuit.rzz(2 * step, qubit, qubit + 1)
        circuit.rx(2 * step * field, range(n))
    return _measured(circuit)


def _heisenberg(n: int, generator: np.random.Generator) -> Any:
    """A Heisenberg chain that starts from alternating spins; few or many steps."""
    circuit = _circuit(n, n)
    circuit.x(range(0, n, 2))
    step = float(generator.uniform(0.02, 0.3))
    for _ in range(int(generator.choice([1, 3, 10, 25]) if n < 6 else generator.integers(1, 5))):
        for start in (0, 1):
            for qubit in range(start, n - 1, 2):
                circuit.rxx(step, qubit, qubit + 1)
                circuit.ryy(step, qubit, qubit + 1)
                circuit.rzz(step, qubit, qubit + 1)
    return _measured(circuit)


def _random(n: int, generator: np.random.Generator) -> Any:
    """Random two-qubit blocks on random pairs, of depth up to the number of qubits."""
    circuit = _circuit(n, n)
    for _ in range(int(generator.integers(1, n + 1))):
        _pair_layer(circuit, generator.permutation(n).tolist(), generator)
    return _measured(circuit)


def _pair_layer(circuit: Any, order: Sequence[int], generator: np.random.Generator) -> None:
    for a, b in zip(order[::2], order[1::2], strict=False):
        for qubit in (int(a), int(b)):
            circuit.u(*(float(angle) for angle in generator.uniform(0, math.pi, 3)), qubit)
        circuit.cx(int(a), int(b))


def _mirror(n: int, generator: np.random.Generator) -> Any:
    """A random circuit and its inverse, so that one string is the answer whatever the depth."""
    half = _circuit(n, n)
    for _ in range(int(generator.integers(1, 7))):
        _pair_layer(half, generator.permutation(n).tolist(), generator)
    circuit = half.copy()
    circuit.barrier()
    circuit.compose(half.inverse(), inplace=True)
    for qubit in np.flatnonzero(generator.random(n) < 0.5):
        circuit.x(int(qubit))
    return _measured(circuit)


def _coins(n: int, _: np.random.Generator) -> Any:
    circuit = _circuit(n, n)
    circuit.h(range(n))
    return _measured(circuit)


def _encoder(n: int, generator: np.random.Generator) -> Any:
    """A repetition code with its syndrome: data and ancillas alternate."""
    circuit = _circuit(n, n)
    circuit.ry(float(generator.uniform(0.2, 2.5)), 0)
    for qubit in range(2, n, 2):
        circuit.cx(0, qubit)
    for qubit in range(1, n - 1, 2):
        circuit.cx(qubit - 1, qubit)
        circuit.cx(qubit + 1, qubit)
    return _measured(circuit)


def _swap_test(n: int, generator: np.random.Generator) -> Any:
    """Compares two registers and measures the ancilla and one of them."""
    width = max(1, (n - 1) // 2)
    circuit = _circuit(2 * width + 1, width + 1)
    for qubit in range(1, 2 * width + 1):
        circuit.ry(float(generator.uniform(0, 0.8)), qubit)
    circuit.h(0)
    for qubit in range(1, width + 1):
        circuit.cswap(0, qubit, qubit + width)
    circuit.h(0)
    return _measured(circuit)


def _wide_mirror(n: int, generator: np.random.Generator) -> Any:
    """Random Clifford layers on a line and their inverse: one answer at any width."""
    half = _circuit(n, n)
    for layer in range(int(generator.integers(1, 4))):
        for qubit in range(n):
            getattr(half, str(generator.choice(["h", "s", "sx", "id"])))(qubit)
        for qubit in range(layer % 2, n - 1, 2):
            half.cx(qubit, qubit + 1)
    circuit = half.copy()
    circuit.barrier()
    circuit.compose(half.inverse(), inplace=True)
    return _measured(circuit)


KINDS: Mapping[str, Kind] = {
    "adder": _adder,
    "bv": _bernstein_vazirani,
    "cat": _cat,
    "coins": _coins,
    "encoder": _encoder,
    "fredkin": _fredkin,
    "ghz": _ghz,
    "grover": _grover,
    "heisenberg": _heisenberg,
    "hidden_shift": _hidden_shift,
    "inverse_qft": _inverse_qft,
    "ising": _ising,
    "mirror": _mirror,
    "neural": _neural,
    "parity": _parity,
    "qaoa": _qaoa,
    "qft": _qft,
    "random": _random,
    "swap_test": _swap_test,
    "toffoli": _toffoli,
    "variational": _variational,
    "w_state": _w_state,
}
"""Kinds that are simulated exactly, each from 3 qubits on."""

WIDE_KINDS: Mapping[str, Kind] = {
    "bv": _bernstein_vazirani,
    "cat": _cat,
    "ghz": _ghz,
    "wide_mirror": _wide_mirror,
}
"""Clifford kinds, whose noise is sampled at any width."""
