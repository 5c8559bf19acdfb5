"""What the confidence does: events left, time of the inner decoder and error rate, for each inner decoder.

    python benchmarks/predecoder/trade_off.py --weights accurate

The defaults in the weights' cards were chosen from this table, on seeds that no other table uses.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from points import Bench, Point

CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
SEED = 1  # those of compare.py begin at a million


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", default="accurate")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--distances", type=int, nargs="*", default=[5, 7, 9])
    parser.add_argument("--p", type=float, nargs="*", default=[0.006])
    parser.add_argument("--shots", type=int, default=20000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows = []
    for distance in arguments.distances:
        for p in arguments.p:
            bench = Bench(Point("quell", "uniform", "Z", distance, distance, p), arguments.weights, arguments.device, {})
            dets, actual = bench.circuit.compile_detector_sampler(seed=SEED).sample(
                arguments.shots, separate_observables=True, bit_packed=True
            )
            log_odds = bench.source.log_odds(dets)
            events = int(np.unpackbits(dets).sum())
            for name, matching, correlated in (
                ("pymatching", bench.plain, False),
                ("pymatching-correlated", bench.correlated, True),
            ):

                def decode(
                    shots: np.ndarray, matching: object = matching, correlated: bool = correlated
                ) -> tuple[np.ndarray, float]:
                    start = time.perf_counter()
                    found = matching.decode_batch(
                        shots, bit_packed_shots=True, bit_packed_predictions=True, enable_correlations=correlated
                    )
                    return found, time.perf_counter() - start

                decode(dets[:10])
                alone, before = decode(dets)
                wrong_alone = (alone != actual)[:, 0]
                for confidence in CONFIDENCES:
                    left, frame = bench.committing.commit(log_odds, dets, confidence=confidence)
                    found, after = decode(left)
                    wrong = ((found ^ (frame & np.uint64(1)).astype(np.uint8)[:, None]) != actual)[:, 0]
                    rows.append(
                        {
                            "distance": distance,
                            "p": p,
                            "inner": name,
                            "confidence": confidence,
                            "shots": len(dets),
                            "errors alone": int(wrong_alone.sum()),
                            "errors": int(wrong.sum()),
                            "both": int((wrong & wrong_alone).sum()),
                            "events left": int(np.unpackbits(left).sum()) / events,
                            "time": after / before,
                        }
                    )
                    row = rows[-1]
                    print(
                        f"d={distance} p={p} {name:22} c={confidence:<6} errors {row['errors']}/{row['errors alone']} "
                        f"ratio {row['errors'] / row['errors alone']:.3f} left {row['events left']:.3f} "
                        f"time {row['time']:.2f}",
                        flush=True,
                    )
    if arguments.out is not None:
        arguments.out.write_text("".join(json.dumps(row) + "\n" for row in rows))


if __name__ == "__main__":
    main()
