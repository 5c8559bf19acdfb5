"""Time per round of the network on a GPU, transfers included: bit-packed events in host memory in, int16 odds out.

    python benchmarks/predecoder/speed_gpu.py [WEIGHTS ...]

The precisions are set from outside to compare them; `CompiledNetwork` chooses bfloat16.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from points import Point

from quell.decoders import EdgeGraph
from quell.decoders.predecoder import network_posteriors
from quell.decoders.predecoder.network_source import NetworkSource

OUT = Path(__file__).with_name("speed_gpu.jsonl")


def main() -> None:
    rows = []
    for weights in sys.argv[1:] or ("fast", "accurate"):
        for distance in (13, 21):
            circuit = Point("quell", "uniform", "Z", distance, distance, 0.006).circuit()
            dem = circuit.detector_error_model(decompose_errors=True)
            graph = EdgeGraph.of(dem)
            dets = circuit.compile_detector_sampler(seed=1).sample(8192 if distance == 13 else 2048, bit_packed=True)
            for precision in (torch.bfloat16, torch.float16, torch.float32):
                network_posteriors.network_precision = lambda device, precision=precision: precision  # noqa: ARG005 (as what it replaces)
                source = NetworkSource(weights).compile(
                    graph, dem.get_detector_coordinates(), np.flatnonzero(graph.matters), device="cuda"
                )
                for size in (1, 16, 128, 1024, len(dets)):
                    batch = dets[:size]
                    source.log_odds(batch)
                    times = []
                    for _ in range(50 if size <= 16 else 5):
                        start = time.perf_counter()
                        source.log_odds(batch)
                        times.append(time.perf_counter() - start)
                    seconds = statistics.median(times)
                    rows.append(
                        {
                            "device": torch.cuda.get_device_name(),
                            "weights": weights,
                            "d": distance,
                            "precision": str(precision).removeprefix("torch."),
                            "batch": size,
                            "ms": seconds * 1e3,
                            "us_per_round": seconds / size / distance * 1e6,
                        }
                    )
                    print(rows[-1], flush=True)
    OUT.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
