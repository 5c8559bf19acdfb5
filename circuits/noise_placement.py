"""Puts a noise model's channels on any noiseless Stim circuit, layer by layer, and keeps its REPEAT blocks.

A layer is what stands between two TICKs. The walk carries a small state from one instruction to the next; a
loop's iterations are written out until that state repeats, and the last iteration is compared with the rest,
so that the result is the noise of the unrolled circuit (the peeling rule of optimising compilers).
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import stim

from quell.circuits.noise_channels import Channel
from quell.circuits.noise_parsing import Block, NextUse, Part, Step
from quell.circuits.noise_rounds import Rounds, RoundState, data_qubits_of
from quell.circuits.noise_rules import Rules
from quell.errors import CircuitError

__all__ = ["Placed", "place"]


class State(NamedTuple):
    """Everything in a walk that what comes later depends on, hashable."""

    used: frozenset[int]
    busy: frozenset[int]
    spared: frozenset[int]
    spam: bool
    seconds: frozenset[tuple[int, float]]
    waiting: frozenset[int]
    begun: bool
    rounds: RoundState | None


_PAULIS = ("X", "Y", "Z")
_ROUNDING = 1e-9  # of a layer's duration: sums of the same durations differ by less


class Placed(NamedTuple):
    """A circuit with noise; its data qubits and the number of its rounds, where the rules need them."""

    circuit: stim.Circuit
    data_qubits: tuple[int, ...] | None
    rounds: int | None


def place(circuit: stim.Circuit, rules: Rules, data_qubits: Sequence[int] | None) -> Placed:
    """Returns `circuit` with the channels of `rules` on it.

    Args:
        circuit: A circuit without noise.
        rules: Which channel goes where.
        data_qubits: The data qubits; None finds them, if the rules need them, in the circuit's last
            measurements.

    Raises:
        CircuitError: An instruction takes no noise, layers are needed and there is no TICK, or data qubits or
            rounds cannot be found.

    Examples:
        >>> import stim
        >>> from quell.circuits.noise_placement import place
        >>> from quell.circuits.noise_channels import Channel
        >>> from quell.circuits.noise_rules import RateRules
        >>> place(stim.Circuit("H 0"), RateRules(one_qubit=Channel("Z_ERROR", (0.125,))), None).circuit
        stim.Circuit('''
            H 0
            Z_ERROR(0.125) 0
        ''')
    """
    block = Block(circuit)
    if rules.idles and not any(step.kind == "tick" for step in block.all_steps()):
        twice = block.used_twice()
        if twice is not None:
            raise CircuitError(
                f"qubit {twice} is used more than once and the circuit has no TICK, so that no qubit would ever idle: "
                "separate the layers by TICK, or take a noise model without idle noise"
            )
    data = data_qubits_of(block, data_qubits) if rules.needs_data else frozenset()
    walk = _Walk(rules, data, Rounds(block, data) if rules.needs_data else None)
    noisy = stim.Circuit()
    walk.block(block, noisy, {})
    if walk.rounds is None:
        return Placed(noisy, None, None)
    walk.rounds.finish()
    if not walk.count:
        raise CircuitError(
            "no round found to put data noise before: no gate joins a data qubit and another, and no joint measurement "
            f"touches one; data qubits are {', '.join(map(str, sorted(data)[:8]))}{', …' if len(data) > 8 else ''}: "
            "pass data_qubits= if this is wrong, or mark rounds with TICK[round]"
        )
    return Placed(noisy, tuple(sorted(data)), walk.count)


class _Walk:
    """The state of the walk, and the steps that change it."""

    def __init__(self, rules: Rules, data: frozenset[int], rounds: Rounds | None) -> None:
        self.rules = rules
        self.data = data
        self.rounds = rounds
        self.count = 0  # of rounds so far; the only part that is no state
        self.used: frozenset[int] = frozenset()  # ever touched: before, a qubit is not there yet
        self.busy: set[int] = set()  # touched in this layer
        self.spared: set[int] = set()  # touched in this layer by what is tagged noiseless
        self.spam = False  # something was prepared or measured in this layer
        self.seconds: dict[int, float] = {}  # how long each qubit was busy in this layer
        self.waiting: frozenset[int] = frozenset()  # idle in the layer before, if that had preparations or measurements
        # (loop body, state before, uses after) -> (the noisy body, state after, rounds in it)
        self.known: dict[tuple[object, ...], tuple[stim.Circuit, State, int]] = {}

    def state(self) -> State:
        return State(
            used=self.used,
            busy=frozenset(self.busy),
            spared=frozenset(self.spared),
            spam=self.spam,
            seconds=frozenset(self.seconds.items()),
            waiting=self.waiting,
            begun=self.count > 0,
            rounds=None if self.rounds is None else self.rounds.state(),
        )

    def restore(self, state: State) -> None:
        self.used, self.waiting, self.spam = state.used, state.waiting, state.spam
        self.busy, self.spared, self.seconds = set(state.busy), set(state.spared), dict(state.seconds)
        if self.rounds is not None and state.rounds is not None:
            self.rounds.restore(state.rounds)

    def block(self, block: Block, out: stim.Circuit, after: Mapping[int, bool]) -> None:
        for index, step in enumerate(block.steps):
            if step.kind == "tick":
                next_use = block.next_use(index, after)
                self.close_layer(out, next_use)
                out.append(step.instruction)
                self.open_round(step, out, next_use)
            elif step.block is not None:
                self.repeat(step, step.block, out, block.uses_after(index, after))
            elif step.kind == "annotation":
                out.append(step.instruction)
            else:
                self.operation(step, out, block.next_use(index, after))

    def iteration(self, body: Block, after: Mapping[int, bool], after_key: object) -> stim.Circuit:
        """Walks through a loop's body once; nested loops ask the same again and again."""
        key = (id(body), self.state(), after_key)
        if key in self.known:
            circuit, state, count = self.known[key]
            self.restore(state)
            self.count += count
            return circuit
        count = self.count
        circuit = stim.Circuit()
        self.block(body, circuit, after)
        self.known[key] = circuit, self.state(), self.count - count
        return circuit

    def repeat(self, step: Step, body: Block, out: stim.Circuit, after: Mapping[int, bool]) -> None:
        """Writes iterations until the state recurs, then the rest of the loop, then the last iteration."""
        inside = {**after, **body.first_uses()}
        inside_key, after_key = frozenset(inside.items()), frozenset(after.items())
        written: list[tuple[stim.Circuit, int]] = []  # with the number of rounds that it holds
        starts: dict[State, int] = {}

        def write() -> None:
            count = self.count
            circuit = self.iteration(body, inside, inside_key)
            written.append((circuit, self.count - count))

        before_last = step.count - 1
        while len(written) < before_last and (state := self.state()) not in starts:
            starts[state] = len(written)
            write()
        first = starts.get(self.state(), len(written))
        period = len(written) - first
        pieces = [(circuit, 1) for circuit, _ in written[:first]]
        if period:
            cycles, rest = divmod(before_last - first, period)
            # The state at the start of the last iteration is that of the same place in the cycle.
            for _ in range(rest):
                write()
            cycle, remainder = written[first : first + period], written[first + period :]
            self.count += (cycles - 1) * sum(count for _, count in cycle)
            whole = stim.Circuit()
            for circuit, _ in cycle:
                whole += circuit
            pieces += [(whole, cycles), *((circuit, 1) for circuit, _ in remainder)]
        pieces.append((self.iteration(body, after, after_key), 1))
        _append_pieces(out, pieces, step.instruction.tag)

    def close_layer(self, out: stim.Circuit, next_use: NextUse) -> None:
        rules = self.rules
        if rules.idles and rules.timed:
            layer = max(self.seconds.values(), default=0.0)
            waits = {
                qubit: layer - self.seconds.get(qubit, 0.0)
                for qubit in sorted(self.used - self.spared)
                if next_use(qubit)
            }
            _append_channels(
                out,
                (
                    (rules.idle(qubit, spam=self.spam, waited=False, seconds=wait), (qubit,))
                    for qubit, wait in waits.items()
                    if wait > _ROUNDING * layer
                ),
            )
        elif rules.idles:
            idle = [qubit for qubit in sorted(self.used - self.busy) if next_use(qubit)]
            _append_channels(
                out,
                (
                    (rules.idle(qubit, spam=self.spam, waited=qubit in self.waiting, seconds=0.0), (qubit,))
                    for qubit in idle
                ),
            )
            self.waiting = frozenset(idle) if self.spam else frozenset()
        self.busy = set()
        self.spared = set()
        self.spam = False
        self.seconds = {}
        if self.rounds is not None:
            self.rounds.end_layer()

    def operation(self, step: Step, out: stim.Circuit, next_use: NextUse) -> None:
        if not step.parts:
            out.append(step.instruction)
        self.open_round(step, out, next_use)
        final: dict[int, int] = {}  # data qubit that is not used again -> the part that uses it last
        if self.data and step.kind in ("measure", "measure_reset", "product_measure"):
            final = {q: i for i, part in enumerate(step.parts) for q in part.qubits & self.data if next_use(q) is None}
        for index, part in enumerate(step.parts):
            if part.classical:
                out.append(step.rebuilt(part))
                continue
            if step.noiseless:
                out.append(step.rebuilt(part))
            else:
                self.noisy(step, part, out, {qubit for qubit in part.qubits if final.get(qubit) == index})
            self.note(step, part)

    def note(self, step: Step, part: Part) -> None:
        """Keeps what later steps must know of this one."""
        self.used |= part.qubits
        in_software = step.noiseless and step.name in _PAULIS  # its qubits wait like any other
        if not in_software:
            self.busy |= part.qubits
        if step.kind in ("reset", "measure", "measure_reset", "product_measure"):
            self.spam = True
        if self.rules.timed and not in_software:
            if step.noiseless:
                self.spared |= part.qubits
            for group in part.groups:
                seconds = self.rules.seconds(step.name, group)
                for qubit in group:
                    self.seconds[qubit] = self.seconds.get(qubit, 0.0) + seconds
        if self.rounds is not None:
            self.rounds.note(step, part.groups)

    def open_round(self, step: Step, out: stim.Circuit, next_use: NextUse) -> None:
        """Places the data noise if a round begins with this step."""
        if self.rounds is None or not self.rounds.begin_with(step):
            return
        if self.count and self.rules.single_round:
            raise CircuitError(
                "this noise model is for a single round of checks, and the circuit has more: build it with "
                "rounds=1, mark the one round with TICK[round], or take phenomenological noise"
            )
        if step.opens_round and not any(next_use(qubit) for qubit in self.data):
            raise CircuitError(
                "TICK[round] stands where no data qubit holds a state that is used again, so that noise would do "
                "nothing: put it after the preparation of the data and before its readout"
            )
        data = tuple(sorted(self.data))
        _append_channels(out, ((channel, data) for channel in self.rules.round_channels))
        self.count += 1

    def noisy(self, step: Step, part: Part, out: stim.Circuit, final: set[int]) -> None:
        rules = self.rules
        rules.check(step.name, part.groups)
        if step.kind in ("product_measure", "product_gate"):
            self.product(step, part, out, final)
            return
        if step.kind in ("measure", "measure_reset"):
            _append_channels(out, ((rules.measurement(q, step.basis, final=q in final), (q,)) for (q,) in part.groups))
        out.append(step.rebuilt(part))
        if step.kind in ("reset", "measure_reset"):
            _append_channels(out, ((rules.preparation(q, step.basis), (q,)) for (q,) in part.groups))
        elif step.kind in ("gate1", "gate2"):
            _append_channels(out, ((rules.gate(step.name, group), group) for group in part.groups))

    def product(self, step: Step, part: Part, out: stim.Circuit, final: set[int]) -> None:
        """A joint operation: its result flips, and its qubits get what a gate on them would leave behind."""
        if step.kind == "product_gate":
            out.append(step.rebuilt(part))
        else:
            # A product of one qubit is its readout, and that of data may be perfect.
            flips = [self.rules.product_flip(final=len(group) == 1 and group[0] in final) for group in part.groups]
            start = 0
            for flip, run in itertools.groupby(flips):
                end = start + len(list(run))
                whole = end - start == len(flips)
                out.append(step.rebuilt(part, flip, slice(None) if whole else slice(start, end)))
                start = end
        noise: list[tuple[Channel | None, tuple[int, ...]]] = []
        for group in part.groups:
            if len(group) == 2:
                noise.append((self.rules.gate(step.name, group), group))
            else:
                noise += [(self.rules.gate(step.name, (qubit,)), (qubit,)) for qubit in group]
        _append_channels(out, noise)


def _append_pieces(out: stim.Circuit, pieces: list[tuple[stim.Circuit, int]], tag: str) -> None:
    """Appends each circuit as often as it says, equal neighbours as one loop."""
    merged: list[tuple[stim.Circuit, int]] = []
    for piece, count in pieces:
        if merged and merged[-1][0] == piece:
            merged[-1] = (piece, merged[-1][1] + count)
        elif count:
            merged.append((piece, count))
    for piece, count in merged:
        if count == 1 and len(merged) > 1:
            out += piece
        elif len(piece):
            out.append(stim.CircuitRepeatBlock(count, piece, tag=tag))


def _append_channels(out: stim.Circuit, channels: Iterable[tuple[Channel | None, tuple[int, ...]]]) -> None:
    """Appends channels on disjoint qubits, equal ones as one instruction."""
    targets: dict[Channel, list[int]] = {}
    for channel, qubits in channels:
        if channel is not None:
            targets.setdefault(channel, []).extend(qubits)
    # Parsing text is many times faster than appending targets, and repr keeps every digit of a float.
    lines = [
        f"{channel.name}({', '.join(map(repr, channel.args))}) {' '.join(map(str, qubits_of_channel))}"
        for channel, qubits_of_channel in targets.items()
    ]
    out += stim.Circuit("\n".join(lines))
