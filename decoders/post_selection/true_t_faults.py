"""What every fault of a circuit with T gates flips: detectors, observables, and the X part of the frame at each T.

The frame is carried through the circuit with its T gates left out, which is right up to Z: T X = X exp(iπZ/4) T, so
that every T gate at which the frame has an X adds Z with an amplitude (`true_t_paths`), and nothing else.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import stim

from quell.decoders.post_selection.stages import post_selection_stages
from quell.errors import CircuitError

__all__ = ["Position", "TrueTFaults", "read_faults"]

Bits = npt.NDArray[np.bool_]

_ONE = ["X", "Y", "Z"]
_TWO = [a + b for a in "IXYZ" for b in "IXYZ"][1:]
_FLIPS = {"X_ERROR": "X", "Y_ERROR": "Y", "Z_ERROR": "Z"}


class Position(NamedTuple):
    """A T gate of a circuit.

    Attributes:
        instruction: Index of its instruction.
        qubit: What it acts on.
        sign: 1 for T, -1 for T_DAG.
    """

    instruction: int
    qubit: int
    sign: int


class TrueTFaults(NamedTuple):
    """The faults of a circuit, and what they and the Z errors of its T gates flip.

    Attributes:
        positions: The T gates, in the order of the circuit.
        stages: int64 (num_detectors,): the post-selected stage of each detector, 0 for those that are decoded.
        rates: float64 (num_sites,): how likely anything happens at a site, a channel on its qubits.
        starts: int64 (num_sites + 1,): where the faults of each site begin and end.
        shares: float64 (num_faults,): how likely each fault is, given that something happens at its site.
        detectors: bool (num_faults, num_detectors).
        observables: bool (num_faults, num_observables).
        frames: bool (num_faults, num_positions): where the frame has an X at a T gate.
        z_detectors: bool (num_positions, num_detectors): what Z right after each T gate flips.
        z_observables: bool (num_positions, num_observables).
    """

    positions: tuple[Position, ...]
    stages: npt.NDArray[np.int64]
    rates: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64]
    shares: npt.NDArray[np.float64]
    detectors: Bits
    observables: Bits
    frames: Bits
    z_detectors: Bits
    z_observables: Bits


_Paulis = tuple[tuple[str, int], ...]
_Start = tuple[int, _Paulis]


class _Site(NamedTuple):
    instruction: int
    paulis: tuple[_Paulis, ...]
    shares: tuple[float, ...]
    rate: float


def instructions_of(flat: stim.Circuit) -> list[stim.CircuitInstruction]:
    """The instructions of a circuit that has no REPEAT blocks."""
    return [each for each in (flat[i] for i in range(len(flat))) if isinstance(each, stim.CircuitInstruction)]


def is_t(instruction: stim.CircuitInstruction) -> bool:
    """Tells whether an instruction is S or S_DAG with the tag that makes it T or T_DAG."""
    return instruction.name in ("S", "S_DAG") and "T" in instruction.tag.split(",")


def read_faults(circuit: stim.Circuit) -> TrueTFaults:
    """Returns what the faults of a circuit flip.

    Args:
        circuit: Noise, Clifford gates, and S or S_DAG tagged `[T]` in place of T and T_DAG, without REPEAT blocks.

    Raises:
        CircuitError: There is no T gate, an instruction has noise in a form that is not known here, or a Z error at
            a T gate turns up as X at another one.
    """
    flat = circuit.flattened()
    instructions = instructions_of(flat)
    positions = tuple(
        Position(index, target.value, 1 if each.name == "S" else -1)
        for index, each in enumerate(instructions)
        if is_t(each)
        for target in each.targets_copy()
    )
    if not positions:
        raise CircuitError(
            "the circuit has no T gate, that is, no S or S_DAG tagged [T]: make it with cultivation(..., gate='T'), "
            "or sample it with Stim"
        )
    sites = [site for index, each in enumerate(instructions) for site in _sites(index, each)]
    # One instance for each fault and each Z error at a T gate: where it starts, and what it is.
    starts = [(site.instruction, paulis) for site in sites for paulis in site.paulis]
    num_faults = len(starts)
    starts += [(position.instruction, (("Z", position.qubit),)) for position in positions]
    simulator = stim.FlipSimulator(
        # More instances than qubits, so that the shape of what Stim returns tells which axis is which.
        batch_size=max(len(starts), flat.num_qubits + 1),
        num_qubits=flat.num_qubits,
        disable_stabilizer_randomization=True,
    )
    frames = _carry(simulator, instructions, starts, positions)
    if frames[num_faults:].any():
        raise CircuitError("a Z error at a T gate turns up as X at another one: such circuits are not supported")
    _check_deterministic(flat)
    detectors = simulator.get_detector_flips().T[: len(starts)]
    observables = simulator.get_observable_flips().T[: len(starts)]
    return TrueTFaults(
        positions=positions,
        stages=post_selection_stages(flat).astype(np.int64),
        rates=np.array([site.rate for site in sites]),
        starts=np.cumsum([0, *(len(site.paulis) for site in sites)]),
        shares=np.array([share for site in sites for share in site.shares]),
        detectors=detectors[:num_faults],
        observables=observables[:num_faults],
        frames=frames[:num_faults],
        z_detectors=detectors[num_faults:],
        z_observables=observables[num_faults:],
    )


def _carry(
    simulator: stim.FlipSimulator,
    instructions: list[stim.CircuitInstruction],
    starts: list[_Start],
    positions: tuple[Position, ...],
) -> Bits:
    """Runs the circuit without T, one error in each instance, after its instruction; returns frames at T gates."""
    at: dict[int, list[int]] = {}
    for instance, (index, _) in enumerate(starts):
        at.setdefault(index, []).append(instance)
    frames = np.zeros((len(starts), len(positions)), bool)
    for index, instruction in enumerate(instructions):
        if is_t(instruction):
            arrays = simulator.to_numpy(output_xs=True)
            assert arrays is not None
            xs = arrays[0]
            xs = xs if xs.shape[0] == simulator.num_qubits else xs.T
            for column, position in enumerate(positions):
                if position.instruction == index:
                    frames[:, column] = xs[position.qubit, : len(starts)]
        elif not _is_noise(instruction):
            simulator.do(instruction)
        for instance in at.get(index, ()):
            for pauli, qubit in starts[instance][1]:
                simulator.set_pauli_flip(pauli, qubit_index=qubit, instance_index=instance)
    return frames


def _is_noise(instruction: stim.CircuitInstruction) -> bool:
    data = stim.gate_data(instruction.name)
    return data.is_noisy_gate and not data.produces_measurements


def _sites(index: int, instruction: stim.CircuitInstruction) -> list[_Site]:
    """Returns the places of an instruction at which one of several Paulis may happen."""
    name, arguments = instruction.name, instruction.gate_args_copy()
    data = stim.gate_data(name)
    if not data.is_noisy_gate or not arguments:
        return []
    if data.produces_measurements or name in ("E", "CORRELATED_ERROR", "ELSE_CORRELATED_ERROR"):
        raise CircuitError(
            f"{name} with an argument, {instruction}: only X_ERROR, Y_ERROR, Z_ERROR, DEPOLARIZE1, DEPOLARIZE2, "
            "PAULI_CHANNEL_1 and PAULI_CHANNEL_2 are known here; noise models such as "
            "NoiseModel.uniform_depolarizing put only these on cultivation circuits"
        )
    if name in _FLIPS:
        words, rates = [_FLIPS[name]], arguments
    elif name in ("DEPOLARIZE1", "PAULI_CHANNEL_1"):
        words, rates = _ONE, arguments if name == "PAULI_CHANNEL_1" else [arguments[0] / 3] * 3
    elif name in ("DEPOLARIZE2", "PAULI_CHANNEL_2"):
        words, rates = _TWO, arguments if name == "PAULI_CHANNEL_2" else [arguments[0] / 15] * 15
    else:
        raise CircuitError(f"noise of the kind {name} is not known here: use Pauli channels on one or two qubits")
    total = sum(rates)
    if total == 0:
        return []
    kept = [(word, rate / total) for word, rate in zip(words, rates, strict=True) if rate]
    return [
        _Site(
            index,
            tuple(tuple((p, t.value) for p, t in zip(word, group, strict=True) if p != "I") for word, _ in kept),
            tuple(share for _, share in kept),
            total,
        )
        for group in (instruction.target_groups())
    ]


def _check_deterministic(circuit: stim.Circuit) -> None:
    """Refuses circuits that are random without noise even where every T is S: frames would not notice."""
    for instruction in instructions_of(circuit):
        if instruction.name in ("S", "S_DAG") and instruction.tag.lower() == "t" and not is_t(instruction):
            raise CircuitError(f"{instruction.name}[{instruction.tag}] means nothing here: T gates are tagged [T]")
    try:
        circuit.without_noise().detector_error_model()
    except ValueError as error:
        first = " ".join(line.strip() for line in str(error).splitlines()[:1])
        raise CircuitError(
            f"the circuit has detectors or observables that are random without noise, as it stands with S in place of "
            f"T: {first} Only what T leaves certain can be sampled by frames"
        ) from error
