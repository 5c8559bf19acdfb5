"""Reads a Stim circuit for the placement of noise: what every instruction is, and which use of a qubit comes
next.

Instructions that Stim runs target by target are cut into parts without a repeated qubit, because noise
belongs between two gates on the same qubit. What takes no noise is refused here, by name.
"""

import difflib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

import stim

from quell.errors import CircuitError

__all__ = ["NOISELESS", "ROUND", "Block", "NextUse", "Part", "Step", "is_classical"]

NOISELESS = "noiseless"
ROUND = "round"

_MAX_DEPTH = 12  # of loops in loops; every level may triple what must be written out
_ANNOTATIONS = frozenset({"DETECTOR", "MPAD", "OBSERVABLE_INCLUDE", "QUBIT_COORDS", "SHIFT_COORDS"})
_PRODUCTS = frozenset({"MPP", "MXX", "MYY", "MZZ", "SPP", "SPP_DAG"})
_WITHOUT_NOISE = "and noise is put on noiseless circuits only: call circuit.without_noise() first"
_GATES = stim.gate_data()

NextUse = Callable[[int], bool | None]
"""Whether a qubit's next use needs its state: None where no use follows, False where a reset comes first."""


class Part(NamedTuple):
    """A run of an instruction's targets in which no qubit comes twice, and either all or none are classical.

    `groups` holds the qubits of each single operation in it: one, a pair, or those of a product; `targets` has
    Stim's targets of each, combiners included.
    """

    targets: tuple[tuple[stim.GateTarget, ...], ...]
    groups: tuple[tuple[int, ...], ...]
    qubits: frozenset[int]
    classical: bool


class Step:
    """One instruction, understood.

    `kind` is one of tick, annotation, repeat, gate1, gate2, reset, measure, measure_reset, product_measure,
    product_gate.
    """

    def __init__(self, instruction: stim.CircuitInstruction | stim.CircuitRepeatBlock, depth: int = 0) -> None:
        """Reads one instruction inside `depth` loops, or refuses it with a `CircuitError`."""
        self.instruction = instruction
        self.name = instruction.name
        self.noiseless = NOISELESS in instruction.tag.split(",")
        self.block: Block | None = None
        self.count = 1
        self.basis = self.name[-1] if self.name[-1] in "XY" else "Z"
        self.parts: tuple[Part, ...] = ()
        if isinstance(instruction, stim.CircuitRepeatBlock):
            _check_tag(self.name, instruction.tag)
            if self.noiseless:
                raise CircuitError("REPEAT[noiseless] is ambiguous: put the tag on the instructions inside the block")
            if depth >= _MAX_DEPTH:
                raise CircuitError(f"REPEAT blocks nest more than {_MAX_DEPTH} deep: write the inner ones out")
            self.kind = "repeat"
            self.block = Block(instruction.body_copy(), depth + 1)
            self.count = instruction.repeat_count
            return
        self.kind = _kind(instruction)
        if self.kind != "annotation":
            _check_tag(self.name, instruction.tag)
        if self.kind not in ("tick", "annotation"):
            self.parts = tuple(_parts(instruction))

    @property
    def opens_round(self) -> bool:
        """Whether this is the marker TICK[round]."""
        return self.kind == "tick" and self.instruction.tag == ROUND

    def rebuilt(self, part: Part, flip: float = 0.0, groups: slice = slice(None)) -> stim.CircuitInstruction:
        """The instruction on some groups of one part, its result reported wrong with probability `flip`."""
        whole = len(self.parts) == 1 and groups == slice(None)
        if whole and not flip and isinstance(self.instruction, stim.CircuitInstruction):
            return self.instruction
        targets = [target for group in part.targets[groups] for target in group]
        return stim.CircuitInstruction(self.name, targets, [flip] if flip else [], tag=self.instruction.tag)

    def measured(self) -> Iterator[int]:
        """The qubits which are measured one by one here."""
        if self.block is not None:
            for step in self.block.steps:
                yield from step.measured()
        elif self.kind in ("measure", "measure_reset", "product_measure"):
            for part in self.parts:
                yield from (group[0] for group in part.groups if len(group) == 1)

    def first_uses(self) -> dict[int, bool]:
        """Maps each qubit used here to whether it needs its state: False where it is reset first."""
        if self.block is not None:
            return self.block.first_uses()
        return {qubit: self.kind != "reset" for part in self.parts if not part.classical for qubit in part.qubits}


class Block:
    """The steps of a circuit or of a loop's body, with the uses of every qubit in it."""

    def __init__(self, circuit: stim.Circuit, depth: int = 0) -> None:
        """Reads every instruction of a circuit inside `depth` loops."""
        self.steps = [Step(circuit[index], depth) for index in range(len(circuit))]
        # qubit -> (where it is used, ascending; whether that use needs its state)
        self.uses: dict[int, tuple[list[int], list[bool]]] = {}
        for index, step in enumerate(self.steps):
            for qubit, needs_state in step.first_uses().items():
                places, needs = self.uses.setdefault(qubit, ([], []))
                places.append(index)
                needs.append(needs_state)

    def all_steps(self) -> Iterator[Step]:
        """Every step once, those inside loops included."""
        for step in self.steps:
            yield step
            if step.block is not None:
                yield from step.block.all_steps()

    def first_uses(self) -> dict[int, bool]:
        """Maps each qubit used here to whether its first use needs its state."""
        return {qubit: needs[0] for qubit, (_, needs) in self.uses.items()}

    def next_use(self, index: int, after: Mapping[int, bool]) -> NextUse:
        """Looks past step `index`; `after` holds the first uses past the block."""

        def next_use(qubit: int) -> bool | None:
            if qubit in self.uses:
                places, needs = self.uses[qubit]
                following = bisect_right(places, index)
                if following < len(places):
                    return needs[following]
            return after.get(qubit)

        return next_use

    def uses_after(self, index: int, after: Mapping[int, bool]) -> dict[int, bool]:
        """Maps every qubit that is used past step `index` to whether that use needs its state."""
        found = dict(after)
        for qubit, (places, needs) in self.uses.items():
            following = bisect_right(places, index)
            if following < len(places):
                found[qubit] = needs[following]
        return found

    def used_twice(self, times: int = 1, seen: set[int] | None = None) -> int | None:
        """A qubit that more than one operation uses, if there is one."""
        seen = set() if seen is None else seen
        for step in self.steps:
            if step.block is not None:
                twice = step.block.used_twice(times * step.count, seen)
                if twice is not None:
                    return twice
            for qubit in (q for part in step.parts if not part.classical for q in part.qubits):
                if qubit in seen or times > 1:
                    return qubit
                seen.add(qubit)
        return None


def _kind(instruction: stim.CircuitInstruction) -> str:
    name = instruction.name
    data = _GATES[name]
    if name == "TICK":
        return "tick"
    if data.is_noisy_gate and not data.produces_measurements:
        raise CircuitError(f"{_text(instruction)} is noise already, {_WITHOUT_NOISE}")
    if data.produces_measurements and any(instruction.gate_args_copy()):
        raise CircuitError(f"{_text(instruction)} has noise of its own, {_WITHOUT_NOISE}")
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
    raise CircuitError(
        f"{_text(instruction)} is not an instruction that noise models know: write it in gates, resets and measurements"
    )


def _check_tag(name: str, tag: str) -> None:
    """Refuses a tag that was meant to be one of ours and would be passed over in silence."""
    if not tag or (tag == ROUND if name == "TICK" else NOISELESS in tag.split(",")):
        return
    plain = "".join(filter(str.isalnum, tag)).lower()

    def means(word: str) -> bool:
        return difflib.SequenceMatcher(None, plain, word).ratio() >= 0.8

    if means(NOISELESS):
        where = "the instructions of the layer, since a TICK has no noise itself" if name == "TICK" else "this"
        raise CircuitError(f"{name}[{tag}] means nothing here: write [{NOISELESS}] on {where}")
    if name == "TICK" and means(ROUND):
        raise CircuitError(f"{name}[{tag}] means nothing here: a round begins at TICK[{ROUND}]")


def _text(instruction: stim.CircuitInstruction) -> str:
    text = str(instruction)
    return repr(text if len(text) <= 60 else text[:57] + "...")


def _parts(instruction: stim.CircuitInstruction) -> Iterator[Part]:
    targets: list[tuple[stim.GateTarget, ...]] = []
    groups: list[tuple[int, ...]] = []
    qubits: set[int] = set()
    was_classical = False
    for group in instruction.target_groups():
        found = tuple(dict.fromkeys(t.value for t in group if not is_classical([t])))
        classical = is_classical(group)
        if groups and (classical != was_classical or not qubits.isdisjoint(found)):
            yield Part(tuple(targets), tuple(groups), frozenset(qubits), was_classical)
            targets, groups, qubits = [], [], set()
        targets.append(_joined(group) if instruction.name in ("MPP", "SPP", "SPP_DAG") else tuple(group))
        groups.append(found)
        qubits.update(found)
        was_classical = classical
    if groups:
        yield Part(tuple(targets), tuple(groups), frozenset(qubits), was_classical)


def _joined(group: list[stim.GateTarget]) -> tuple[stim.GateTarget, ...]:
    return tuple(t for target in group for t in (stim.target_combiner(), target))[1:]


def is_classical(group: Iterable[stim.GateTarget]) -> bool:
    """Whether one of the targets is a measurement record or a sweep bit."""
    return any(target.is_measurement_record_target or target.is_sweep_bit_target for target in group)
