"""What a second look at correlations gains: errors at the same cuts, with and without, on the same kept shots.

python benchmarks/cultivation/soft_output.py [--p 0.002] [--attempts 4e6] [--expand-to 7]
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import write_table

from quell.circuits import NoiseModel, cultivation
from quell.decoders.post_selection.pruned import post_selected_detectors
from quell.decoders.post_selection.soft_output import SoftOutputDecoder
from quell.qec.analysis import binomial_interval

BATCH = 1 << 17
SHARES = (1.0, 0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6, 0.5)  # of the kept shots


def kept_shots(
    expand_to: int, p: float, attempts: int
) -> tuple[SoftOutputDecoder, SoftOutputDecoder, NDArray[np.uint8], NDArray[np.uint8]]:
    circuit = NoiseModel.uniform_depolarizing(p).apply(cultivation(3, expand_to))
    rejecting = np.zeros(circuit.num_detectors, dtype=np.bool_)
    rejecting[post_selected_detectors(circuit)] = True
    mask = np.packbits(rejecting, bitorder="little")
    sampler = circuit.compile_detector_sampler(seed=1)
    events, flips = [], []
    for done in range(0, attempts, BATCH):
        rows, observables = sampler.sample(min(BATCH, attempts - done), separate_observables=True, bit_packed=True)
        kept = ~(rows & mask).any(axis=1)
        events.append(rows[kept])
        flips.append(observables[kept, 0])
    plain, correlated = (SoftOutputDecoder(correlated=value).compile(circuit) for value in (False, True))
    return plain, correlated, np.concatenate(events), np.concatenate(flips)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--p", type=float, default=2e-3)
    parser.add_argument("--attempts", type=float, default=4e6)
    parser.add_argument("--expand-to", type=int, default=7)
    arguments = parser.parse_args()
    attempts = int(arguments.attempts)
    *decoders, events, flips = kept_shots(arguments.expand_to, arguments.p, attempts)
    columns, said, speeds = [], [], []
    for decoder in decoders:
        decoder.decode_with_gaps(events[:10])
        start = time.process_time()
        predictions, gaps = decoder.decode_with_gaps(events)
        speeds.append(len(events) / (time.process_time() - start))
        wrong = predictions[:, 0] != flips
        # Of equal gaps a cut keeps all or none; the share of their errors stands for a part of them.
        order = np.lexsort((np.random.default_rng(2).random(len(gaps)), -gaps))
        errors = np.cumsum(wrong[order])
        columns.append([int(errors[int(share * len(gaps)) - 1]) for share in SHARES])
        likely = 1 / (1 + 10 ** (gaps[order] / 10))
        said.append(np.cumsum(likely))
    rows = []
    for place, share in enumerate(SHARES):
        size = int(share * len(events))
        row = [f"{attempts / size:.2f}"]
        for errors, expected in zip(columns, said, strict=True):
            low, high = binomial_interval(errors[place], size)[:2]
            row += [str(errors[place]), f"{errors[place] / size:.2e} [{low:.1e}, {high:.1e}]",
                    f"{expected[size - 1] / size:.1e}"]  # fmt: skip
        rows.append(row)
    header = ["attempts", "errors, plain", "error rate", "said", "errors, correlated", "error rate", "said"]
    write_table(
        Path(__file__).with_suffix(".md"),
        f"Errors at cuts that keep the same share of shots: MSC-3 to SC{arguments.expand_to}, p = {arguments.p:g}",
        f"python benchmarks/cultivation/soft_output.py --p {arguments.p:g} --attempts {arguments.attempts:g}"
        f" --expand-to {arguments.expand_to}",
        header,
        rows,
        notes=f"S in place of T: the proxy is optimistic. {len(events):,} of {attempts:,} attempts are kept without a "
        f"cut. `said` is the error rate that the gaps announce.\nShots per second of one core: {speeds[0]:,.0f} "
        f"plain, {speeds[1]:,.0f} correlated. Intervals hold 95 %.",
    )


if __name__ == "__main__":
    main()
