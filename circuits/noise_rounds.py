"""Where rounds of checks begin, and which qubits are data, for the noise models that must know.

Neither is written in a Stim circuit, so both are inferred, and an inference that could be wrong is an error
with a way to say it: `TICK[round]` and `data_qubits=`.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from quell.circuits.noise_parsing import ROUND, Block, Step
from quell.errors import CircuitError

__all__ = ["RoundState", "Rounds", "data_qubits_of"]

_SAY_ROUNDS = f"mark the beginning of every round with TICK[{ROUND}]"
_SAY_DATA = "pass data_qubits="

Marks = frozenset[tuple[object, ...]]


def _some(qubits: Iterable[int]) -> str:
    numbers = sorted(qubits)
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")


class RoundState(NamedTuple):
    """What `Rounds` knows at one point of a circuit, hashable."""

    open: frozenset[tuple[int, Marks]]
    measured: frozenset[tuple[object, Marks]]
    before: Marks
    touched: bool
    begun: bool


class Rounds:
    """Says before every step whether a round begins with it.

    If a TICK of the circuit is tagged `[round]`, rounds begin at those and nowhere else. If none is:

    - A *check* is a joint measurement that touches a data qubit, known by its Pauli product, or the
      measurement of an ancilla which gates have joined to data since its last measurement or reset, directly or
      through other ancillas, known by the ancilla.
    - The first round begins with the first operation that joins a data qubit and an ancilla or is itself a
      check. A round lasts until a check that it has measured is begun again; that operation begins the next
      round. So X and Z checks in separate layers make one round.
    - Refused as ambiguous: a round that would begin while a check of the round before is under way or in a layer that
      has touched checks already; a check that is measured twice in one round; and two successive rounds without
      a check in common, where an ancilla counts as another check if gates join it to data in another way.
    """

    def __init__(self, block: Block, data: frozenset[int]) -> None:
        """Looks through the whole circuit for marks."""
        self.data = data
        steps = list(block.all_steps())
        self.marked = any(step.opens_round for step in steps)
        self.layered = any(step.kind == "tick" for step in steps)
        self.open: dict[int, Marks] = {}  # ancilla -> how it was joined to data since it was last measured
        self.measured: dict[object, Marks] = {}  # checks of this round
        self.before: Marks = frozenset()  # checks of the round before
        self.touched = False  # a check was begun or measured in this layer
        self.begun = False

    def state(self) -> RoundState:
        """Everything that later answers depend on."""
        opened, measured = frozenset(self.open.items()), frozenset(self.measured.items())
        return RoundState(opened, measured, self.before, self.touched, self.begun)

    def restore(self, state: RoundState) -> None:
        """Goes back to what `state` returned."""
        self.open, self.measured = dict(state.open), dict(state.measured)
        self.before, self.touched, self.begun = state.before, state.touched, state.begun

    def begin_with(self, step: Step) -> bool:
        """Whether a round begins with `step`, and if so begins it."""
        if self.marked:
            return step.opens_round
        started = [check for part in step.parts if not part.classical for check in self._started(step, part.groups)]
        if not started or (self.begun and not any(check in self.measured for check in started)):
            return False
        if self.begun:
            if self.open:
                raise CircuitError(
                    f"cannot tell where rounds begin: {step.name} begins a check again while ancillas "
                    f"{_some(self.open)} still wait for their measurement: {_SAY_ROUNDS}"
                )
            if self.touched and self.layered:
                raise CircuitError(
                    f"cannot tell where rounds begin: {step.name} begins a check again in a layer that has touched "
                    f"checks already: separate the rounds by TICK, or {_SAY_ROUNDS}"
                )
            self._close()
        self.begun = True
        return True

    def end_layer(self) -> None:
        """Notes a TICK."""
        self.touched = False

    def finish(self) -> None:
        """Looks at the last round once nothing follows."""
        if not self.marked and self.begun:
            self._close()

    def note(self, step: Step, groups: Sequence[tuple[int, ...]]) -> None:
        """Takes in one part of a step."""
        if self.marked:
            return
        for group in groups:
            if step.kind in ("gate2", "product_gate") and len(group) > 1:
                self._join(step.name, group)
            elif step.kind == "product_measure" and len(group) > 1:
                self._product(step, group)
            elif step.kind in ("measure", "measure_reset", "product_measure"):
                self._measure(group[0])
            elif step.kind == "reset":
                self.open.pop(group[0], None)

    def _started(self, step: Step, groups: Sequence[tuple[int, ...]]) -> list[object]:
        """The checks that a step begins or measures directly."""
        started: list[object] = []
        if step.kind in ("gate2", "product_gate", "product_measure"):
            for group in groups:
                if len(group) < 2 or self.data.isdisjoint(group):
                    continue
                started += [qubit for qubit in group if qubit not in self.data]
                if step.kind == "product_measure":
                    started.append(_product_name(step, group))
        return started

    def _join(self, name: str, group: tuple[int, ...]) -> None:
        ancillas = [qubit for qubit in group if qubit not in self.data]
        if not ancillas:
            return
        marks: Marks = frozenset((name, place, q) for place, q in enumerate(group) if q in self.data)
        marks = marks.union(*(self.open.get(qubit, frozenset()) for qubit in ancillas))
        if marks:
            self.touched = True
            self.open.update(dict.fromkeys(ancillas, marks))

    def _product(self, step: Step, group: tuple[int, ...]) -> None:
        if self.data.isdisjoint(group):
            for qubit in group:
                self._measure(qubit)
            return
        self._join(step.name, group)
        self.measured[_product_name(step, group)] = frozenset()
        self.touched = True

    def _measure(self, qubit: int) -> None:
        if qubit in self.data or qubit not in self.open:
            return
        if qubit in self.measured:
            raise CircuitError(
                f"cannot tell where rounds begin: ancilla {qubit} is measured again, and no gate between it and a data "
                f"qubit shows where its second check begins: {_SAY_ROUNDS}"
            )
        self.measured[qubit] = self.open.pop(qubit)
        self.touched = True

    def _close(self) -> None:
        checks: Marks = frozenset(self.measured.items())
        if checks and self.before and checks.isdisjoint(self.before):
            raise CircuitError(
                "cannot tell where rounds begin: two successive rounds would have no check in common, as when one "
                f"ancilla serves several checks in turn: {_SAY_ROUNDS}"
            )
        self.before, self.measured = checks, {}


def _product_name(step: Step, group: tuple[int, ...]) -> tuple[object, ...]:
    """A product's qubits with their Paulis, whatever its sign and the order of its factors."""
    if step.name != "MPP":
        return tuple(sorted((qubit, step.name[-1]) for qubit in group))
    for part in step.parts:
        if group in part.groups:
            targets = part.targets[part.groups.index(group)]
            return tuple(sorted((t.value, t.pauli_type) for t in targets if not t.is_combiner))
    return group


def data_qubits_of(block: Block, given: Sequence[int] | None) -> frozenset[int]:
    """Returns the given data qubits if the circuit has them; finds them where none are given.

    Found are the qubits that the last measurements read one by one (M, MX, MY, or one-qubit products of MPP)
    and nothing else measures. An annotation may stand between those measurements, and a TICK before them.

    Raises:
        CircuitError: A given qubit is not in the circuit; or data cannot be told from ancillas: a gate joins two
            of the qubits found; a qubit of the last measurements was measured before and no gate joins it to
            data; or what an annotation or a TICK separates from the last measurements may be data too.
    """
    if given is None:
        return _Readout(block).data()
    unknown = set(given) - block.uses.keys()
    if unknown:
        raise CircuitError(f"data_qubits {_some(unknown)} are not in the circuit: give qubits that it uses")
    return frozenset(given)


class _Readout:
    """The end of a circuit, read backwards."""

    def __init__(self, block: Block) -> None:
        self.steps = block.steps
        self.layered = any(step.kind == "tick" for step in block.all_steps())
        self.times: dict[int, int] = {}
        self.partners: dict[int, set[int]] = {}
        for step in block.steps:
            for qubit in step.measured():
                self.times[qubit] = self.times.get(qubit, 0) + 1
        for step in block.all_steps():
            if step.kind == "gate2":
                for part in step.parts:
                    for group in part.groups:
                        if len(group) == 2 and not part.classical:
                            self.partners.setdefault(group[0], set()).add(group[1])
                            self.partners.setdefault(group[1], set()).add(group[0])

    def data(self) -> frozenset[int]:
        read, start = self._block(self._skip(len(self.steps)))
        data = {qubit for qubit in read if self.times[qubit] == 1}
        if not data:
            raise CircuitError(
                "cannot tell data qubits from ancillas: the circuit does not end with measurements (M, MX or MY) "
                f"of qubits that were not measured before: {_SAY_DATA}"
            )
        stray = {qubit for qubit in read - data if not self._joined(qubit, data)}
        if stray:
            raise CircuitError(
                f"cannot tell data qubits from ancillas: the last measurements read {_some(stray)}, which were "
                f"measured before, like ancillas, but which no gate joins to the others, {_some(data)}: {_SAY_DATA}"
            )
        while True:
            end = self._skip(start)
            crossed_tick = any(step.kind == "tick" for step in self.steps[end:start])
            read, start = self._block(end)
            fresh = {qubit for qubit in read if self.times[qubit] == 1}
            if not fresh or all(self._joined(qubit, data) for qubit in fresh):
                break
            alike = fresh == read and not any(self._joined(qubit, data) for qubit in fresh)
            if not alike or crossed_tick or not self.layered:
                raise CircuitError(
                    f"cannot tell data qubits from ancillas: {_some(data)} are measured last, and {_some(fresh)}, "
                    f"measured just before and nowhere else, may be either: {_SAY_DATA}"
                )
            data |= fresh
        joined = {qubit for qubit in data if self._joined(qubit, data)}
        if joined:
            raise CircuitError(
                f"cannot tell data qubits from ancillas: gates join {_some(joined)} to one another, and they are "
                f"measured together at the end: {_SAY_DATA}"
            )
        return frozenset(data)

    def _joined(self, qubit: int, others: set[int]) -> bool:
        return not others.isdisjoint(self.partners.get(qubit, ()))

    def _skip(self, end: int) -> int:
        while end > 0 and self.steps[end - 1].kind in ("annotation", "tick"):
            end -= 1
        return end

    def _block(self, end: int) -> tuple[set[int], int]:
        """The qubits read by the unbroken run of measurements before `end`, and where it starts."""
        start = end
        while start > 0 and _reads_qubits(self.steps[start - 1]):
            start -= 1
        return {qubit for step in self.steps[start:end] for qubit in step.measured()}, start


def _reads_qubits(step: Step) -> bool:
    if step.kind == "product_measure":
        return all(len(group) == 1 for part in step.parts for group in part.groups)
    return step.kind == "measure"
