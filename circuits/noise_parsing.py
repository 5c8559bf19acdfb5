"""Reads a Stim circuit for the placement of noise: what every instruction is, and which use of a qubit comes
next.

Instructions that Stim runs target by target are cut into parts without a repeated qubit, because noise
belongs between two gates on the same qubit. What takes no noise is refused here, by name.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

import stim

from quell.errors import CircuitError

__all__ = ["Block", "Part", "Step"]

NOISELESS = "noiseless"

_ANNOTATIONS = frozenset({"DETECTOR", "MPAD", "OBSERVABLE_INCLUDE", "QUBIT_COORDS", "SHIFT_COORDS"})
_PRODUCTS = frozenset({"MPP", "MXX", "MYY", "MZZ", "SPP", "SPP_DAG"})
_GATES = stim.gate_data()


class Part(NamedTuple):
    """A run of an instruction's targets in which no qubit comes twice, and either all or none are classical.

    `groups` holds the qubits of each single operation in it: one, a pair, or those of a product.
    """

    targets: tuple[stim.GateTarget, ...]
    groups: tuple[tuple[int, ...], ...]
    qubits: frozenset[int]
    classical: bool


class Step:
    """One instruction, understood.

    `kind` is one of tick, annotation, repeat, gate1, gate2, reset, measure, measure_reset, product_measure,
    product_gate.
    """

    def __init__(self, instruction: stim.CircuitInstruction | stim.CircuitRepeatBlock) -> None:
        """Reads one instruction, or refuses it with a `CircuitError`."""
        self.instruction = instruction
        self.name = instruction.name
        self.noiseless = instruction.tag == NOISELESS
        self.block: Block | None = None
        self.count = 1
        self.basis = self.name[-1] if self.name[-1] in "XY" else "Z"
        self.parts: tuple[Part, ...] = ()
        if isinstance(instruction, stim.CircuitRepeatBlock):
            if self.noiseless:
                raise CircuitError("REPEAT[noiseless] is ambiguous: put the tag on the instructions inside the block")
            self.kind = "repeat"
            self.block = Block(instruction.body_copy())
            self.count = instruction.repeat_count
            return
        self.kind = _kind(instruction)
        if self.kind not in ("tick", "annotation"):
            self.parts = tuple(_parts(instruction))

    def rebuilt(self, part: Part, flip: float = 0.0) -> stim.CircuitInstruction:
        """The instruction on the targets of one part, its result reported wrong with probability `flip`."""
        if len(self.parts) == 1 and not flip and isinstance(self.instruction, stim.CircuitInstruction):
            return self.instruction
        return stim.CircuitInstruction(self.name, part.targets, [flip] if flip else [], tag=self.instruction.tag)

    def measured(self) -> Iterator[int]:
        """The qubits which are measured one by one here."""
        if self.block is not None:
            for step in self.block.steps:
                yield from step.measured()
        elif self.kind in ("measure", "measure_reset"):
            for part in self.parts:
                yield from part.qubits

    def first_uses(self) -> dict[int, bool]:
        """Maps each qubit used here to whether it needs its state: False where it is reset first."""
        if self.block is not None:
            return {qubit: needs[0] for qubit, (_, needs) in self.block.uses.items()}
        return {qubit: self.kind != "reset" for part in self.parts if not part.classical for qubit in part.qubits}


class Block:
    """The steps of a circuit or of a loop's body, with the uses of every qubit in it."""

    def __init__(self, circuit: stim.Circuit) -> None:
        """Reads every instruction of a circuit."""
        self.steps = [Step(circuit[index]) for index in range(len(circuit))]
        # qubit -> (where it is used, ascending; whether that use needs its state)
        self.uses: dict[int, tuple[list[int], list[bool]]] = {}
        for index, step in enumerate(self.steps):
            for qubit, needs_state in step.first_uses().items():
                places, needs = self.uses.setdefault(qubit, ([], []))
                places.append(index)
                needs.append(needs_state)

    def live(self, index: int, live_after: Callable[[int], bool]) -> Callable[[int], bool]:
        """Says whether a qubit's state matters after step `index`; `live_after` answers past the block."""

        def live(qubit: int) -> bool:
            if qubit in self.uses:
                places, needs = self.uses[qubit]
                following = bisect_right(places, index)
                if following < len(places):
                    return needs[following]
            return live_after(qubit)

        return live


def _kind(instruction: stim.CircuitInstruction) -> str:
    name = instruction.name
    data = _GATES[name]
    if name == "TICK":
        return "tick"
    if data.is_noisy_gate and not data.produces_measurements:
        raise CircuitError(_refusal(instruction, "is noise already"))
    if data.produces_measurements and any(instruction.gate_args_copy()):
        raise CircuitError(_refusal(instruction, "has noise of its own"))
    if name in _ANNOTATIONS:
        return "annotation"
    if name in _PRODUCTS:
        return "product_measure" if data.produces_measurements else "product_gate"
    if data.is_reset:
        return "measure_reset" if data.produces_measurements else "reset"
    if data.is_unitary:
        return "gate1" if data.is_single_qubit_gate else "gate2"
    if data.produces_measurements and not name.startswith("HERALDED"):
        return "measure"
    raise CircuitError(_refusal(instruction, "is not an instruction this noise model knows"))


def _refusal(instruction: stim.CircuitInstruction, reason: str) -> str:
    text = str(instruction)
    text = text if len(text) <= 60 else text[:57] + "..."
    return f"{text!r} {reason}, and noise is put on noiseless circuits only: call circuit.without_noise() first"


def _parts(instruction: stim.CircuitInstruction) -> Iterator[Part]:
    targets: list[stim.GateTarget] = []
    groups: list[tuple[int, ...]] = []
    qubits: set[int] = set()
    was_classical = False
    joiner = [stim.target_combiner()]
    for group in instruction.target_groups():
        found = tuple(dict.fromkeys(t.value for t in group if not _is_classical(t)))
        classical = any(_is_classical(target) for target in group)
        if groups and (classical != was_classical or not qubits.isdisjoint(found)):
            yield Part(tuple(targets), tuple(groups), frozenset(qubits), was_classical)
            targets, groups, qubits = [], [], set()
        if instruction.name in ("MPP", "SPP", "SPP_DAG"):
            targets += [t for target in group for t in [*joiner, target]][1:]
        else:
            targets += group
        groups.append(found)
        qubits.update(found)
        was_classical = classical
    if groups:
        yield Part(tuple(targets), tuple(groups), frozenset(qubits), was_classical)


def _is_classical(target: stim.GateTarget) -> bool:
    return bool(target.is_measurement_record_target or target.is_sweep_bit_target)
