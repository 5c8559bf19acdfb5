"""Says what a noise model put on a circuit and what it left alone, so that nothing is noiseless unseen.

Counts are of places, with repetitions of REPEAT blocks multiplied out.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import stim

from quell.circuits.noise_parsing import NOISELESS, Step

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

    Examples:
        >>> import stim
        >>> from quell.circuits import NoiseModel
        >>> circuit = stim.Circuit("R 0 1 \\n CX 0 1 \\n M[noiseless] 1 \\n CX rec[-1] 0")
        >>> report = NoiseModel.si1000(0.01).report(circuit)
        >>> report.sites
        {'DEPOLARIZE2': 1, 'X_ERROR': 2}
        >>> [(skipped.instruction, skipped.reason) for skipped in report.skipped]
        [('M[noiseless] 1', 'tagged noiseless'), ('CX rec[-1] 0', 'classically controlled')]
    """

    sites: dict[str, int]
    skipped: tuple[Skipped, ...]


def report(circuit: stim.Circuit, noisy: stim.Circuit) -> NoiseReport:
    """Returns the report on `noisy`, which a noise model made from `circuit`."""
    sites: Counter[str] = Counter()
    for instruction, times in _instructions(noisy):
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
            if part.classical:
                skipped[str(step.rebuilt(part)), "classically controlled"] += times
    return NoiseReport(
        dict(sorted(sites.items())),
        tuple(Skipped(text, reason, count) for (text, reason), count in skipped.items()),
    )


def _instructions(circuit: stim.Circuit, times: int = 1) -> Iterator[tuple[stim.CircuitInstruction, int]]:
    for index in range(len(circuit)):
        instruction = circuit[index]
        if isinstance(instruction, stim.CircuitRepeatBlock):
            yield from _instructions(instruction.body_copy(), times * instruction.repeat_count)
        else:
            yield instruction, times
