"""How fast post-selected circuits are sampled: sinter with a post-selection mask, Stim alone, and sampling in stages.

All take turns in one process, so that they meet the same machine; times are those of the processor, so that others who
use it weigh less. sinter is run as it runs itself, in batches of 1,024 shots with stock PyMatching; cultivation alone
leaves nothing to decode, so that its model is empty there, and after an expansion it is the pruned one, since Stim
cannot decompose the errors of these circuits. Stim alone samples detection events in the batches that suit it best.

python benchmarks/cultivation/sampler_speed.py [--seconds 1] [--repetitions 5] [--json]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import sinter
import stim
from sinter._decoding._stim_then_decode_sampler import StimThenDecodeSampler

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, cultivation
from quell.decoders import StagedSampler, post_selection_stages
from quell.decoders.post_selection.pruned import pruned_model

# distance, expand_to, p
POINTS: list[tuple[int, int | None, float]] = [
    (3, None, 1e-3),
    (3, None, 2e-3),
    (3, None, 3e-3),
    (5, None, 1e-3),
    (5, None, 2e-3),
    (5, None, 3e-3),
    (3, 7, 1e-3),
    (3, 7, 3e-3),
]
SINTER_BATCH = 1024
STIM_BATCHES = (1 << 10, 1 << 13, 1 << 16)
ORDINARY, STIM, STAGED, SOFT = "sinter, mask", "Stim alone", "staged", "staged, gaps"
NOTES = """Median of shots per second of one core, in thousands, and the slowest and fastest repetition. "staged" is
StagedSampler, for expanded circuits with stock PyMatching, as "sinter, mask" has it; "staged, gaps" has the soft output
in place of it. The factor is that of the medians of "staged" and "sinter, mask".
"""

Sample = Callable[[], int]


class Row(NamedTuple):
    circuit: str
    p: float
    kept: float
    rates: dict[str, list[float]]  # shots per second, by how they were sampled

    @property
    def factor(self) -> float:
        return statistics.median(self.rates[STAGED]) / statistics.median(self.rates[ORDINARY])


def ordinary(circuit: stim.Circuit) -> sinter.CompiledSampler:
    """sinter's own sampler, with all that has a stage in the mask."""
    stages = post_selection_stages(circuit)
    if (stages == 0).any():
        model = pruned_model(circuit)
    else:
        model = stim.DetectorErrorModel(f"detector D{len(stages) - 1}\nlogical_observable L0")
    task = sinter.Task(
        circuit=circuit,
        decoder="pymatching",
        detector_error_model=model,
        postselection_mask=np.packbits(stages > 0, bitorder="little"),
    )
    sampler = StimThenDecodeSampler(
        decoder=sinter.BUILT_IN_DECODERS["pymatching"],
        count_observable_error_combos=False,
        count_detection_events=False,
        tmp_dir=None,
    )
    return sampler.compiled_sampler_for_task(task)


def ways(circuit: stim.Circuit, kept: list[int]) -> dict[str, Sample]:
    """How the circuit is sampled; each call takes a batch and returns its shots. Adds kept and all shots to `kept`."""
    task = sinter.Task(circuit=circuit)
    with_mask = ordinary(circuit)
    detectors = circuit.compile_detector_sampler()
    plain = StagedSampler("pymatching").compiled_sampler_for_task(task)

    def from_stim(batch: int) -> int:
        return len(detectors.sample(batch, separate_observables=True, bit_packed=True)[0])

    def staged() -> int:
        counted = plain.sample(10**12)
        kept[0] += counted.shots - counted.discards
        kept[1] += counted.shots
        return counted.shots

    found: dict[str, Sample] = {
        ORDINARY: lambda: with_mask.sample(SINTER_BATCH).shots,
        **{f"{STIM}, {batch}": lambda batch=batch: from_stim(batch) for batch in STIM_BATCHES},  # type: ignore[misc]  # a default that binds
        STAGED: staged,
    }
    if (post_selection_stages(circuit) == 0).any():
        soft = StagedSampler().compiled_sampler_for_task(task)
        found[SOFT] = lambda: soft.sample(10**12).shots
    return found


def rate(sample: Sample, seconds: float) -> float:
    shots, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        shots += sample()
    return shots / spent


def row_of(distance: int, expand_to: int | None, p: float, seconds: float, repetitions: int) -> Row:
    kept = [0, 0]
    sampled = ways(cultivation(distance, expand_to, NoiseModel.uniform_depolarizing(p)), kept)
    for sample in sampled.values():
        rate(sample, seconds / 2)  # batches grow, caches fill
    rates: dict[str, list[float]] = {name: [] for name in sampled}
    for _ in range(repetitions):
        for name, sample in sampled.items():
            rates[name].append(rate(sample, seconds))
    best = max((f"{STIM}, {batch}" for batch in STIM_BATCHES), key=lambda name: statistics.median(rates[name]))
    chosen = {ORDINARY: rates[ORDINARY], STIM: rates[best], STAGED: rates[STAGED]}
    if SOFT in rates:
        chosen[SOFT] = rates[SOFT]
    name = f"MSC-{distance}" if expand_to is None else f"MSC-{distance} to SC{expand_to}"
    return Row(name, p, kept[0] / kept[1], chosen)


def text_of(rates: list[float] | None) -> str:
    if rates is None:
        return "–"
    middle, low, high = (each / 1e3 for each in (statistics.median(rates), min(rates), max(rates)))
    return f"{middle:,.0f} ({low:,.0f}–{high:,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each repetition of each way")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = []
    for point in POINTS:
        rows.append(row_of(*point, arguments.seconds, arguments.repetitions))
        if arguments.json:
            print(json.dumps(rows[-1]._asdict() | {"factor": rows[-1].factor}), flush=True)
    if arguments.json:
        return
    header = ["circuit", "p", "kept", ORDINARY, STIM, STAGED, SOFT, "factor"]
    table = [
        [row.circuit, f"{row.p:g}", f"{row.kept:.4f}"]
        + [text_of(row.rates.get(name)) for name in (ORDINARY, STIM, STAGED, SOFT)]
        + [f"{row.factor:.0f}"]
        for row in rows
    ]
    options = f" --seconds {arguments.seconds:g} --repetitions {arguments.repetitions}"
    command = f"python benchmarks/cultivation/{Path(__file__).name}{options}"
    write_table(
        Path(__file__).with_suffix(".md"),
        "Shots per second of post-selected sampling",
        command,
        header,
        table,
        notes=NOTES,
    )


if __name__ == "__main__":
    main()
