"""Time per round on a CPU, end to end: bit-packed events in, predicted observables out.

    OMP_NUM_THREADS=1 python benchmarks/predecoder/speed.py

One thread, medians of several runs, on a quiet machine. Batches of one shot and of 1,024.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sinter
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from points import Point
from tables import write_table

from quell.decoders import EdgeGraph, PosteriorMatching, PreDecoded
from quell.decoders.predecoder.network_source import NetworkSource

SECONDS = 1.0  # for each number


def timed(function: Callable[[np.ndarray], object], batches: list[np.ndarray]) -> float:
    """Seconds a batch: the median over batches, all of them different."""
    function(batches[0])
    times = []
    end = time.perf_counter() + SECONDS
    for batch in batches:
        start = time.perf_counter()
        function(batch)
        times.append(time.perf_counter() - start)
        if time.perf_counter() > end and len(times) >= 3:
            break
    return statistics.median(times)


def main() -> None:
    torch.set_num_threads(1)
    rows = []
    for p in (0.003, 0.006):
        for distance in (5, 7, 9, 11, 13):
            circuit = Point("quell", "uniform", "Z", distance, distance, p).circuit()
            dem = circuit.detector_error_model(decompose_errors=True)
            graph = EdgeGraph.of(dem)
            edges = np.flatnonzero(graph.matters)
            dets = circuit.compile_detector_sampler(seed=7).sample(4096, bit_packed=True)
            batches = {1: list(dets[:300, None]), 1024: list(dets.reshape(4, 1024, -1))}
            arms: dict[str, sinter.Decoder] = {
                "plain": sinter.BUILT_IN_DECODERS["pymatching"],
                "correlated": sinter.BUILT_IN_DECODERS["pymatching-correlated"],
                "predecoder, fast": PreDecoded(device="cpu"),
                "predecoder, accurate": PreDecoded(source="accurate", device="cpu"),
                "residual, fast, + plain": PreDecoded("pymatching", handover="residual", device="cpu"),
            }
            found: dict[tuple[str, int], float] = {}
            for name, decoder in arms.items():
                compiled = decoder.compile_decoder_for_dem(dem=dem)
                for size, parts in batches.items():
                    if name == "predecoder, accurate" and size > 1:
                        parts = [part[:128] for part in parts]
                    seconds = timed(
                        lambda batch, compiled=compiled: compiled.decode_shots_bit_packed(
                            bit_packed_detection_event_data=batch
                        ),
                        parts,
                    )
                    found[name, size] = seconds / len(parts[0]) / distance * 1e6
            source = NetworkSource("fast").compile(graph, dem.get_detector_coordinates(), edges, device="cpu")
            matching = PosteriorMatching(graph, edges)
            odds = [(source.log_odds(batch), batch) for batch in batches[1024]]
            matching.match(*odds[0])
            times = []
            for pair in odds:
                start = time.perf_counter()
                matching.match(*pair)
                times.append(time.perf_counter() - start)
            matched = statistics.median(times) / 1024 / distance * 1e6
            rows.append(
                (
                    p,
                    distance,
                    *(f"{found[name, 1]:.3g}, {found[name, 1024]:.3g}" for name in arms),
                    f"{matched:.3g}",
                    f"{matched / found['correlated', 1024]:.2f}",
                )
            )
            print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_name("speed.md"),
        "Microseconds per round on a CPU, one thread, batches of 1 and of 1,024 shots",
        "OMP_NUM_THREADS=1 python benchmarks/predecoder/speed.py",
        ("p", "d", *arms, "matching alone (fast's posteriors, 1,024)", "matching alone / correlated"),
        rows,
        notes="quell's rotated memory, Z, d rounds, uniform depolarising noise. End to end: bit-packed events in, "
        "bit-packed observables out; `accurate` in batches of 128 in place of 1,024. The last columns are the compiled "
        "matching on the posteriors, without the network: what reweighting costs beyond the network.",
    )


if __name__ == "__main__":
    main()
