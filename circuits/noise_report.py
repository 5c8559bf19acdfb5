"""Says what a noise model put on a circuit and what it left alone, so that nothing is noiseless unseen.

Counts are of places, with repetitions of REPEAT blocks multiplied out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import stim

from quell.circuits.noise_parsing import NOISELESS, Step
from quell.circuits.noise_placement import Placed
from quell.circuits.noise_rules import Rules

__all__ = ["NoiseReport", "Skipped", "report"]


class Skipped(NamedTuple):
    """An instruction without noise on purpose: as text, why, and how often it runs."""

    instruction: str
    reason: str
    times: int


@dataclass(frozen=True)
class NoiseReport:
    """What `NoiseModel.apply` does to a circuit.

    `sites` maps a channel's name to the number of places where it acts; for joint measurements, whose results
    are reported wrong, the name is that of the instruction. `skipped` lists what has no noise on purpose.
    `data_qubits` are those that the model took for data and `rounds` is the number of rounds that it found, each of
    which has one dose of data noise before it; both are None for models that need neither.

    Examples:
        >>> import stim
        >>> from quell.circuits import NoiseModel
        >>> circuit = stim.Circuit("R 0 1 \\n TICK \\n CX 0 1 \\n TICK \\n M[noiseless] 1 \\n CX rec[-1] 0")
        >>> report = NoiseModel.si1000(0.01).report(circuit)
        >>> report.sites
        {'DEPOLARIZE2': 1, 'X_ERROR': 2}
        >>> [(skipped.instruction, skipped.reason) for skipped in report.skipped]
        [('M[noiseless] 1', 'tagged noiseless'), ('CX rec[-1] 0', 'classically controlled')]
        >>> memory = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=10)
        >>> report = NoiseModel.phenomenological(0.01).report(memory)
        >>> report.data_qubits, report.rounds
        ((0, 2, 4), 10)
    """

    sites: dict[str, int]
    skipped: tuple[Skipped, ...]
    data_qubits: tuple[int, ...] | None = None
    rounds: int | None = None


def report(circuit: stim.Circuit, placed: Placed, rules: Rules) -> NoiseReport:
    """Returns the report on what `rules` placed on `circuit`."""
    sites: Counter[str] = Counter()
    for instruction, times in _instructions(placed.circuit):
        data = stim.gate_data(instruction.name)
        if data.is_noisy_gate and any(instruction.gate_args_copy()):
            sites[instruction.name] += times * len(instruction.target_groups())
    skipped: Counter[tuple[str, str]] = Counter()
    for instruction, times in _instructions(circuit):
        step = Step(instruction)
        if step.noiseless and step.parts:
            skipped[str(instruction), f"tagged {NOISELESS}"] += times
            continue
        for part in step.parts:
            reason = "classically controlled" if part.classical else rules.free(step.name)
            if reason is not None:
                skipped[str(step.rebuilt(part)), reason] += times
    return NoiseReport(
        dict(sorted(sites.items())),
        tuple(Skipped(text, reason, count) for (text, reason), count in skipped.items()),
        placed.data_qubits,
        placed.rounds,
    )


def _instructions(circuit: stim.Circuit, times: int = 1) -> Iterator[tuple[stim.CircuitInstruction, int]]:
    for index in range(len(circuit)):
        instruction = circuit[index]
        if isinstance(instruction, stim.CircuitRepeatBlock):
            yield from _instructions(instruction.body_copy(), times * instruction.repeat_count)
        else:
            yield instruction, times
