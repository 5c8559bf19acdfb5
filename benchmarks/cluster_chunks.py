"""What a chunk costs beside its shots: bytes that travel, and time of the sweep, the scheduler and the file.

python benchmarks/cluster_chunks.py [CHUNKS]
"""

import pickle
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sinter
from distributed import Client, LocalCluster
from tables import write_table

from quell import circuits
from quell.qec.sweeps.chunk import ChunkLimits, Work
from quell.qec.sweeps.executor import engine_for
from quell.qec.sweeps.executor_orders import packed_order, packed_work, run_order
from quell.qec.sweeps.shipping import ShippedDecoder
from quell.qec.sweeps.store import ResultsFile
from quell.qec.sweeps.tasks import Job, prepare_jobs
from quell.qec.sweeps.versions import own_versions

REPEATS = 5


def job(distance: int) -> Job:
    noise = circuits.NoiseModel.uniform_depolarizing(5e-3)
    circuit = circuits.rotated_surface_memory(distance, rounds=distance, noise=noise)
    task = sinter.Task(circuit=circuit, json_metadata={"d": distance, "p": 5e-3})
    return prepare_jobs(task, "pymatching", {}, num_workers=1)[0]


def work_of(one: Job) -> bytes:
    return Work(one.task, ShippedDecoder.of(one)).to_bytes()


def shown(values: list[float], digits: int) -> str:
    """The mean with its 95 % interval over repeats, by the normal approximation."""
    half = 1.96 * np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{np.mean(values):.{digits}f} ± {half:.{digits}f}"


def chunks_on_dask(client: Client, one: Job, count: int, under_way: int) -> tuple[float, float]:
    """Milliseconds for each chunk of one shot: by the clock, and of this process, which holds the scheduler too."""
    engine = engine_for(client.get_executor(), under_way)
    work, limits = work_of(one), ChunkLimits(max_shots=1)
    engine.submit(one.key, work, limits).result()
    begin, begin_here = time.monotonic(), time.process_time()
    left = [engine.submit(one.key, work, limits) for _ in range(under_way)]
    for _ in range(count - under_way):
        left.pop(0).result()
        left.append(engine.submit(one.key, work, limits))
    for future in left:
        future.result()
    return 1e3 * (time.monotonic() - begin) / count, 1e3 * (time.process_time() - begin_here) / count


def milliseconds(function: Callable[[], object], count: int) -> float:
    begin = time.monotonic()
    for _ in range(count):
        function()
    return 1e3 * (time.monotonic() - begin) / count


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    rows: list[tuple[str, str]] = []
    small = job(3)
    order = packed_order(own_versions(), f"{small.key} {0:016x}", ChunkLimits(10**6, 1000, 2.0), None)
    rows.append(("order without the problem, bytes", f"{len(order):,}"))
    answer = run_order(own_versions(), small.key, pickle.dumps(ChunkLimits(1000)), packed_work(work_of(small)))
    rows.append(("answer, bytes", f"{len(answer):,}"))
    for distance in (3, 7, 13, 21):
        work = work_of(job(distance))
        begin = time.monotonic()
        packed = packed_work(work)
        seconds = time.monotonic() - begin
        rows.append(
            (f"problem of d = {distance}, bytes sent to each worker once",
             f"{len(packed):,} ({len(work):,} before packing, which takes {1e3 * seconds:.0f} ms once)")
        )  # fmt: skip
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        for under_way, what in ((1, "one at a time"), (100, "100 under way")):
            runs = [chunks_on_dask(client, small, count, under_way) for _ in range(REPEATS)]
            clock, here = zip(*runs, strict=True)
            rows.append((f"Dask, {what}: ms by the clock", shown(list(clock), 2)))
            rows.append((f"Dask, {what}: ms of the process with sweep and scheduler", shown(list(here), 2)))
    with tempfile.TemporaryDirectory() as folder, ResultsFile(Path(folder) / "sweep.csv") as file:
        stat = small.stats(sinter.AnonTaskStats(shots=1000, errors=3, seconds=0.1))
        times = [milliseconds(lambda: file.append(stat), count) for _ in range(REPEATS)]
        rows.append(("a row of the file: ms", shown(times, 3)))
        row = len(file.path.read_bytes()) // (REPEATS * count)
        rows.append(("a row of the file, bytes", f"{row:,}"))
    write_table(
        Path(__file__).with_suffix(".md"),
        "What a chunk costs beside its shots",
        f"python benchmarks/cluster_chunks.py {count}",
        ["", "for each chunk"],
        rows,
        notes=f"Chunks of one shot at d = 3, {count} for each figure, with 95 % intervals over {REPEATS} repeats, on "
        "two workers of a LocalCluster whose scheduler runs in the process of the sweep. A sweep asks for chunks of "
        "2 s, or of one second for every 100 workers where that is longer, so that it takes in 100 a second at most.",
    )


if __name__ == "__main__":
    main()
