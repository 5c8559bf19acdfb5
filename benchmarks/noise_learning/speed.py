"""Time and memory of learning from a million shots of a memory of distance 13 and 13 rounds, from a file.

    OMP_NUM_THREADS=1 python benchmarks/noise_learning/speed.py

Each row is a process of its own, on one thread; its peak of memory includes Python and all libraries.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from points import Point

from quell.decoders.noise_learning.closed_form import closed_form
from quell.decoders.noise_learning.event_files import event_portions
from quell.decoders.noise_learning.learn import learn_detector_error_model
from quell.decoders.noise_learning.parity_counts import ParityCounts, ParitySets
from quell.decoders.noise_learning.pooling import pooled_rates
from quell.decoders.noise_learning.structure import FaultStructure
from quell.decoders.noise_learning.translation import translation_classes

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import write_table

SHOTS = 1_000_000
POINTS = [Point("uniform", 13, 0.003), Point("inhomogeneous", 13, 0.003), Point("uniform", 13, 0.006)]
STAGES = ("structure", "reading", "counting", "rates", "pooling", "writing")


def staged(point: Point, events: Path) -> dict[str, float]:
    seconds = dict.fromkeys(STAGES, 0.0)
    last = time.perf_counter()

    def took(stage: str) -> None:
        nonlocal last
        now = time.perf_counter()
        seconds[stage] += now - last
        last = now

    structure = FaultStructure.of(point.guess())
    classes = translation_classes(structure)
    counts = ParityCounts(ParitySets.of(structure))
    took("structure")
    for portion in event_portions(events, structure.num_detectors):
        took("reading")
        counts.add(portion)
        took("counting")
    took("reading")
    estimates = closed_form(structure, counts)
    took("rates")
    pooled = pooled_rates(structure, estimates, classes)
    took("pooling")
    structure.model(pooled.rates).to_file(events.with_suffix(".dem"))
    took("writing")
    return seconds


def whole(point: Point, events: Path, classes: str | None) -> dict[str, float]:
    start = time.perf_counter()
    learn_detector_error_model(events, point.guess(), classes=classes).to_file(events.with_suffix(".dem"))
    return {"all": time.perf_counter() - start}


def in_a_process(way: str, point: Point, events: Path) -> dict[str, Any]:
    arguments = [sys.executable, __file__, way, json.dumps(vars(point)), str(events)]
    found = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(found))


def child(way: str, point: Point, events: Path) -> None:
    found = staged(point, events) if way == "staged" else whole(point, events, None if way == "None" else way)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**found, "peak": peak}))


def main() -> None:
    rows = []
    for point in POINTS:
        with tempfile.TemporaryDirectory() as folder:
            events = Path(folder, "events.b8")
            with events.open("wb") as file:
                for portion in point.training(SHOTS):
                    file.write(portion.tobytes())
            size = events.stat().st_size / 1e6
            if not rows:
                in_a_process("staged", point, events)  # compiles, and reads the file once
            parts = in_a_process("staged", point, events)
            for way in ("translation", "None"):
                found = in_a_process(way, point, events)
                stages = [f"{parts[stage]:.1f}" for stage in STAGES] if way == "translation" else ["" for _ in STAGES]
                rows.append(
                    (
                        point.noise,
                        f"{point.p:g}",
                        way,
                        f"{size:.0f} MB",
                        *stages,
                        f"{found['all']:.1f}",
                        f"{found['peak']:.0f} MiB",
                    )
                )
                print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_name("speed.md"),
        "Time of learning from a million shots, d = 13, 13 rounds",
        "OMP_NUM_THREADS=1 python benchmarks/noise_learning/speed.py",
        ("noise", "p", "classes", "file", *(f"{stage}, s" for stage in STAGES), "all in one call, s", "peak of memory"),
        rows,
        notes="Stages are those of the core, measured in a process of their own; the call is "
        "`learn_detector_error_model` of the file, and `to_file`. The file was read before, so it comes from memory. "
        "One thread; kernels were compiled before; importing is not included.",
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        child(sys.argv[1], Point(**json.loads(sys.argv[2])), Path(sys.argv[3]))
    else:
        main()
