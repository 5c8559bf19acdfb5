"""The pre-decoder beside belief propagation and Tesseract, on the same shots.

    python benchmarks/predecoder/baselines.py [MINUTES]

Tesseract (Beni, Higgott, Shutty, arXiv:2503.10988) looks for the most likely error. It is no dependency of quell's:
`pip install tesseract-decoder`, or its column stays empty.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sinter
import stim

sys.path.insert(0, str(Path(__file__).parent.parent))

from points import Point
from table import ratio
from tables import write_table

from quell.decoders import BeliefPropagation, PreDecoded

SHOTS = {(5, 0.006): 40_000, (7, 0.006): 12_000}
BATCH = 1000
SEED = 500_000


def tesseract(dem: stim.DetectorErrorModel) -> Callable[[np.ndarray], np.ndarray] | None:
    try:
        from tesseract_decoder import tesseract as library
    except ImportError:
        return None
    decoder = library.TesseractDecoder(
        library.TesseractConfig(dem=dem, det_beam=20, beam_climbing=True, no_revisit_dets=True)
    )

    def decode(dets: np.ndarray) -> np.ndarray:
        shots = np.unpackbits(dets, axis=1, count=dem.num_detectors, bitorder="little").astype(bool)
        return np.array([[np.asarray(decoder.decode(shot)).ravel()[0]] for shot in shots], dtype=np.uint8)

    return decode


def main() -> None:
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    rows = []
    for (distance, p), wanted in SHOTS.items():
        end = time.monotonic() + 60 * minutes / len(SHOTS)
        circuit = Point("quell", "uniform", "Z", distance, distance, p).circuit()
        dem = circuit.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
        arms: dict[str, sinter.Decoder] = {
            "pymatching": sinter.BUILT_IN_DECODERS["pymatching"],
            "pymatching-correlated": sinter.BUILT_IN_DECODERS["pymatching-correlated"],
            "belief propagation, residual + plain": PreDecoded(
                "pymatching", source=BeliefPropagation(), handover="residual", device="cpu"
            ),
            "belief propagation, reweighted": PreDecoded(source=BeliefPropagation(), device="cpu"),
            "fast": PreDecoded(device="cpu"),
            "accurate": PreDecoded(source="accurate", device="cpu"),
        }
        decoders: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        for name, decoder in arms.items():
            compiled = decoder.compile_decoder_for_dem(dem=dem)
            decoders[name] = lambda dets, compiled=compiled: compiled.decode_shots_bit_packed(
                bit_packed_detection_event_data=dets
            )
        found = tesseract(circuit.detector_error_model(approximate_disjoint_errors=True))
        if found is not None:
            decoders["tesseract, det_beam 20"] = found
        sampler = circuit.compile_detector_sampler(seed=SEED)
        wrong: dict[str, list[np.ndarray]] = {name: [] for name in decoders}
        seconds = dict.fromkeys(decoders, 0.0)
        shots = 0
        while shots < wanted and time.monotonic() < end:
            dets, actual = sampler.sample(BATCH, separate_observables=True, bit_packed=True)
            shots += BATCH
            for name, decode in decoders.items():
                start = time.perf_counter()
                wrong[name].append((decode(dets) != actual)[:, 0])
                seconds[name] += time.perf_counter() - start
        all_wrong = {name: np.concatenate(parts) for name, parts in wrong.items()}
        mine = all_wrong["fast"]
        for name, theirs in all_wrong.items():
            rows.append(
                (
                    distance,
                    p,
                    f"{shots:,}",
                    name,
                    f"{int(theirs.sum()):,}",
                    ratio(int(theirs.sum()), int(mine.sum()), int((theirs & mine).sum())) if name != "fast" else "1",
                    f"{seconds[name] / shots / distance * 1e6:.3g}",
                )
            )
            print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_name("baselines.md"),
        "The pre-decoder beside belief propagation and Tesseract",
        "python benchmarks/predecoder/baselines.py",
        (
            "d",
            "p",
            "shots",
            "decoder",
            "errors",
            "errors / those of fast",
            "µs per round, one thread, other work beside",
        ),
        rows,
        notes="quell's rotated memory, Z, d rounds, uniform depolarising noise. Ratios are paired, 95 %, in "
        "parentheses below 1,000 errors.",
    )


if __name__ == "__main__":
    main()
