"""How much of a machine a post-selected circuit occupies, and for how long: qubits times rounds, by stage."""

from collections.abc import Sequence

import stim

from quell.errors import CircuitError, InputError

__all__ = ["LAYERS_PER_ROUND", "stage_volumes", "volume_per_attempt"]

LAYERS_PER_ROUND = 6
"""Layers in one round of checks of the rotated surface code: preparation, four layers of CX, measurement."""

_READOUTS = ("M", "MX", "MY", "MR", "MRX", "MRY")


def stage_volumes(circuit: stim.Circuit) -> list[float]:
    """Returns the space-time volume of a post-selected circuit between one decision and the next.

    A qubit counts in every layer from the one that prepares it to the one that measures it, both included, busy or
    idle; six layers are a round. What is tagged `[noiseless]` costs nothing: corrections and the final projection,
    which stands for whatever the state is used for. An ancilla that waits to be prepared again costs nothing either.

    Args:
        circuit: Layers separated by TICK, the last one ended by the circuit; post-selected detectors with
            (x, y, t, stage), stages counted from 1 in the order of the circuit.

    Returns:
        For each stage s from 0, the qubit-rounds that a shot spends after the results of stage s are known (0: from
        the start) and until those of stage s + 1 are, or to the end.

    Raises:
        CircuitError: The circuit has loops, or its stages go back.

    Examples:
        >>> from quell.circuits import cultivation, stage_volumes
        >>> [round(volume, 1) for volume in stage_volumes(cultivation(3))]
        [25.2, 22.2, 44.5, 32.0, 12.5, 0.0, 0.0]
    """
    place = circuit.get_detector_coordinates()
    volumes = [0.0]
    layer = _Layer()
    detector = stage = 0
    for index in range(len(circuit)):
        instruction = circuit[index]
        if isinstance(instruction, stim.CircuitRepeatBlock):
            raise CircuitError("the circuit has a REPEAT block, and volumes need its layers one by one: flatten it")
        if instruction.name == "TICK":
            volumes[-1] += layer.close()
            volumes += [0.0] * (stage + 1 - len(volumes))
        elif instruction.name == "DETECTOR":
            if len(place[detector]) == 4:
                if place[detector][3] < stage:
                    raise CircuitError(
                        f"detector {detector} is of stage {place[detector][3]:g} and comes after one of stage {stage}"
                    )
                stage = int(place[detector][3])
            detector += 1
        else:
            layer.add(instruction)
    volumes[-1] += layer.close()
    return volumes + [0.0] * (stage + 1 - len(volumes))


class _Layer:
    """Which qubits are held, and whether anything but noiseless instructions happens in the present layer."""

    def __init__(self) -> None:
        self.held: set[int] = set()
        self.released: set[int] = set()
        self.empty = True
        self.free = True

    def add(self, instruction: stim.CircuitInstruction) -> None:
        gate = stim.gate_data(instruction.name)
        targets = [each for each in instruction.targets_copy() if each.is_qubit_target or each.pauli_type in "XYZ"]
        if (gate.is_noisy_gate and not gate.produces_measurements) or instruction.name == "QUBIT_COORDS" or not targets:
            return
        self.empty = False
        if "noiseless" in instruction.tag.split(","):
            return
        self.free = False
        qubits = {target.value for target in targets}
        if gate.is_reset:
            self.held |= qubits
        if gate.produces_measurements and instruction.name in _READOUTS:
            (self.held if gate.is_reset else self.released).update(qubits)

    def close(self) -> float:
        """Ends the layer, and returns what it cost."""
        cost = 0.0 if self.free and not self.empty else len(self.held) / LAYERS_PER_ROUND
        self.held -= self.released
        self.released, self.empty, self.free = set(), True, True
        return cost


def volume_per_attempt(circuit: stim.Circuit, alive: Sequence[float]) -> float:
    """Returns the mean volume of an attempt that stops at the first stage which rejects it.

    Divided by the part of the attempts that is kept in the end, it is the volume per kept state.

    Args:
        circuit: As for `stage_volumes`.
        alive: For each stage from 1 the part of the attempts that is left after it.

    Returns:
        Qubit-rounds.

    Raises:
        CircuitError: See `stage_volumes`.
        InputError: There are fewer parts than stages that something follows.

    Examples:
        >>> from quell.circuits import cultivation, volume_per_attempt
        >>> round(volume_per_attempt(cultivation(3), [0.92, 0.84, 0.78, 0.65, 0.57, 0.52]), 1)
        116.0
    """
    volumes = stage_volumes(circuit)
    if any(not 0 <= part <= 1 for part in alive):
        raise InputError(f"alive must hold parts between 0 and 1, got {list(alive)!r:.80}")
    if len(alive) < len(volumes) - 1:
        raise InputError(f"alive must hold {len(volumes) - 1} stages of this circuit, got {len(alive)}")
    return volumes[0] + sum(volume * part for volume, part in zip(volumes[1:], alive, strict=False))
