"""What the confidence does before matching and correlated matching: events left, and errors over those without.

    python benchmarks/predecoder/trade_off.py [WEIGHTS]

The confidences in the weights' cards were chosen so, on other shots than these and those of the other tables.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from points import Point
from tables import write_table

from quell.decoders import choose_confidence

SHOTS = 20_000


def main() -> None:
    weights = sys.argv[1] if len(sys.argv) > 1 else "fast"
    rows = []
    for p in (0.006,):
        for distance in (5, 7, 9):
            circuit = Point("quell", "uniform", "Z", distance, distance, p).circuit()
            for inner in ("pymatching", "pymatching-correlated"):
                choice = choose_confidence(inner, [circuit], source=weights, num_shots=SHOTS, seed=2, device="cpu")
                for row in choice.rows:
                    low, high = row.interval
                    rows.append(
                        (
                            p,
                            distance,
                            inner,
                            row.confidence,
                            f"{row.shots:,}",
                            f"{row.events_left:.3f}",
                            f"{row.errors:,}",
                            f"{row.errors_alone:,}",
                            f"{row.ratio:.3f} [{low:.3f}, {high:.3f}]",
                        )
                    )
                    print(*rows[-1], flush=True)
    write_table(
        Path(__file__).with_name("trade_off.md"),
        "Events left and errors, against the confidence from which on corrections are committed",
        f"python benchmarks/predecoder/trade_off.py {weights}",
        ("p", "d", "inner decoder", "confidence", "shots", "events left", "errors", "errors alone", "ratio"),
        rows,
        notes="quell's rotated memory, Z, d rounds, uniform depolarising noise. Ratios are paired, 95 %.",
    )


if __name__ == "__main__":
    main()
