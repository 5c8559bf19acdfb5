"""Puts a noise model's channels on any noiseless Stim circuit, layer by layer, and keeps its REPEAT blocks.

A layer is what stands between two TICKs. The walk carries a small state from one instruction to the next; a
loop's iterations are written out until that state repeats, and the last iteration is compared with the rest,
so that the result is the noise of the unrolled circuit (the peeling rule of optimising compilers).
"""

from collections.abc import Callable, Iterable, Sequence

import stim

from quell.circuits.noise_channels import Channel
from quell.circuits.noise_parsing import Block, Part, Step
from quell.circuits.noise_rules import Rules
from quell.errors import CircuitError

__all__ = ["place"]

Live = Callable[[int], bool]
State = tuple[object, ...]


def place(circuit: stim.Circuit, rules: Rules, data_qubits: Sequence[int] | None) -> stim.Circuit:
    """Returns `circuit` with the channels of `rules` on it.

    Args:
        circuit: A circuit without noise.
        rules: Which channel goes where.
        data_qubits: The data qubits; None finds them, if the rules need them, in the circuit's last block of
            measurements.

    Raises:
        CircuitError: An instruction takes no noise, or data qubits or rounds cannot be found.

    Examples:
        >>> import stim
        >>> from quell.circuits.noise_placement import place
        >>> from quell.circuits.noise_channels import Channel
        >>> from quell.circuits.noise_rules import RateRules
        >>> place(stim.Circuit("H 0"), RateRules(one_qubit=Channel("Z_ERROR", (0.125,))), None)
        stim.Circuit('''
            H 0
            Z_ERROR(0.125) 0
        ''')
    """
    block = Block(circuit)
    data: frozenset[int] = frozenset()
    if rules.needs_data:
        data = frozenset(find_data_qubits(block) if data_qubits is None else data_qubits)
    walk = _Walk(rules, data)
    noisy = stim.Circuit()
    walk.block(block, noisy, _nothing_follows)
    if rules.needs_data and not walk.placed:
        raise CircuitError(
            "no round found to put data noise before: no gate touches a data qubit after its preparation; "
            f"data qubits are {_some(data)}: pass data_qubits= if this is wrong"
        )
    return noisy


def _nothing_follows(qubit: int) -> bool:  # noqa: ARG001
    return False


def find_data_qubits(block: Block) -> list[int]:
    """The qubits of the last unbroken block of plain measurements which were not measured before."""
    steps = block.steps
    end = len(steps)
    while end > 0 and steps[end - 1].kind in ("annotation", "tick"):
        end -= 1
    start = end
    while start > 0 and steps[start - 1].kind == "measure":
        start -= 1
    earlier = {qubit for step in steps[:start] for qubit in step.measured()}
    data = sorted({qubit for step in steps[start:end] for qubit in step.measured()} - earlier)
    if not data:
        raise CircuitError(
            "cannot tell data qubits from ancillas: the circuit does not end with measurements (M, MX or MY) "
            "of qubits that were not measured before: pass data_qubits="
        )
    return data


def _some(qubits: Iterable[int]) -> str:
    numbers = sorted(qubits)
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")


class _Walk:
    """The state of the walk, and the steps that change it."""

    def __init__(self, rules: Rules, data: frozenset[int]) -> None:
        self.rules = rules
        self.data = data
        self.used: set[int] = set()  # ever touched: before, a qubit is not there yet
        self.busy: set[int] = set()  # touched in this layer
        self.spam = False  # something was prepared or measured in this layer
        self.seconds = 0.0  # the longest operation of this layer
        self.waiting: frozenset[int] = frozenset()  # idle in the layer before, if that had preparations or measurements
        self.armed = True  # the next gate on a data qubit opens a round
        self.placed = False

    def state(self) -> State:
        # `used` only grows, so its size says as much as its content.
        busy = frozenset(self.busy)
        return (len(self.used), busy, self.spam, self.seconds, self.waiting, self.armed, self.placed)

    def block(self, block: Block, out: stim.Circuit, live_after: Live) -> None:
        for index, step in enumerate(block.steps):
            if step.kind == "tick":
                self.close_layer(out, block.live(index, live_after))
                out.append(step.instruction)
            elif step.block is not None:
                self.repeat(step, out, block.live(index, live_after))
            elif step.kind == "annotation":
                out.append(step.instruction)
            else:
                self.operation(step, out)

    def repeat(self, step: Step, out: stim.Circuit, live_after: Live) -> None:
        """Writes iterations until the state recurs, then the rest of the loop, then the last iteration."""
        body = step.block
        assert body is not None
        live_inside = body.live(-1, live_after)
        written: list[stim.Circuit] = []
        starts: dict[State, int] = {}
        while len(written) < step.count - 1 and self.state() not in starts:
            starts[self.state()] = len(written)
            written.append(stim.Circuit())
            self.block(body, written[-1], live_inside)
        before_last = step.count - 1
        first = starts.get(self.state(), len(written))
        period = len(written) - first
        if period > 1:
            # The state at the start of the last iteration is that of the same place in the cycle.
            for _ in range((before_last - first) % period):
                written.append(stim.Circuit())
                self.block(body, written[-1], live_inside)
        last = stim.Circuit()
        self.block(body, last, live_after)
        pieces = [(iteration, 1) for iteration in written[:first]]
        if period:
            cycles, rest = divmod(before_last - first, period)
            cycle = written[first : first + period]
            pieces += [(sum(cycle[1:], start=cycle[0]), cycles)]
            pieces += [(iteration, 1) for iteration in written[first + period : first + period + rest]]
        _append_pieces(out, [*pieces, (last, 1)], step.instruction.tag)

    def close_layer(self, out: stim.Circuit, live: Live) -> None:
        if self.rules.idles:
            idle = [qubit for qubit in sorted(self.used - self.busy) if live(qubit)]
            _append_channels(
                out,
                (
                    (
                        self.rules.idle(qubit, spam=self.spam, waited=qubit in self.waiting, seconds=self.seconds),
                        (qubit,),
                    )
                    for qubit in idle
                ),
            )
            self.waiting = frozenset(idle) if self.spam else frozenset()
        self.busy = set()
        self.spam = False
        self.seconds = 0.0

    def operation(self, step: Step, out: stim.Circuit) -> None:
        if not step.parts:
            out.append(step.instruction)
        for part in step.parts:
            if part.classical:
                out.append(step.rebuilt(part))
                continue
            if step.noiseless:
                out.append(step.rebuilt(part))
            else:
                self.open_round(step, part, out)
                self.noisy(step, part, out)
            self.note(step, part)

    def note(self, step: Step, part: Part) -> None:
        """Keeps what later steps must know of this one."""
        self.used |= part.qubits
        self.busy |= part.qubits
        if step.kind in ("reset", "measure", "measure_reset", "product_measure"):
            self.spam = True
        if self.rules.idles:
            self.seconds = max(self.seconds, *(self.rules.seconds(step.name, group) for group in part.groups))
        prepares_data = step.kind == "reset" and not self.data.isdisjoint(part.qubits)
        reads_check = step.kind == "product_measure" or (
            step.kind in ("measure", "measure_reset") and not part.qubits <= self.data
        )
        if prepares_data or reads_check:
            self.armed = True

    def open_round(self, step: Step, part: Part, out: stim.Circuit) -> None:
        """Places the round's data noise if this is the first gate with a data qubit since the last round."""
        starts = step.kind in ("gate2", "product_gate", "product_measure")
        if not (self.armed and starts and self.rules.needs_data) or self.data.isdisjoint(part.qubits):
            return
        if self.placed and self.rules.single_round:
            raise CircuitError(
                "this noise model is for a single round of checks, and the circuit has more: build it with "
                "rounds=1, or take phenomenological noise"
            )
        data = tuple(sorted(self.data))
        _append_channels(out, ((channel, data) for channel in self.rules.round_channels))
        self.armed = False
        self.placed = True

    def noisy(self, step: Step, part: Part, out: stim.Circuit) -> None:
        rules = self.rules
        if step.kind in ("product_measure", "product_gate"):
            self.product(step, part, out)
            return
        if step.kind in ("measure", "measure_reset"):
            flips = [
                (rules.measurement(q, step.basis, data=q in self.data), group) for group in part.groups for q in group
            ]
            _append_channels(out, flips)
        out.append(step.rebuilt(part))
        if step.kind in ("reset", "measure_reset"):
            _append_channels(out, ((rules.preparation(q, step.basis), (q,)) for (q,) in part.groups))
        elif step.kind in ("gate1", "gate2"):
            _append_channels(out, ((rules.gate(step.name, group), group) for group in part.groups))

    def product(self, step: Step, part: Part, out: stim.Circuit) -> None:
        """A joint operation: its result flips, and its qubits get what a gate on them would leave behind."""
        if step.kind == "product_gate":
            out.append(step.rebuilt(part))
        else:
            flips = {self.rules.product_flip(step.name, group) for group in part.groups}
            assert len(flips) == 1
            out.append(step.rebuilt(part, flips.pop()))
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
