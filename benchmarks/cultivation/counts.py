"""Counts of cultivation on RP², with S in place of T, kept in counts.csv: stop it whenever you like and run it again.

python benchmarks/cultivation/counts.py [alone | plain | correlated | large | large_correlated]... [--workers N]

Every point goes on to the attempts below. The counts that are here have fewer for MSC-5 to SC11 at p = 0.002 (3.8e8),
and for MSC-3 to SC7 at p = 0.003 with the second look; with it, of MSC-5 to SC11 there is p = 0.001 only.

`alone` is cultivation without expansion, `plain` and `correlated` are MSC-3 to SC7 with either soft output, `large` and
`large_correlated` MSC-5 to SC11.
"""

import argparse
from pathlib import Path

import sinter

import quell
from quell.circuits import NoiseModel, cultivation
from quell.decoders import SoftOutputDecoder, StagedSampler

COUNTS = Path(__file__).parent / "counts.csv"

# distance, expand_to, p, as published, attempts
Point = tuple[int, int | None, float, bool, int]
POINTS: dict[str, list[Point]] = {
    "alone": [
        (3, None, 1e-3, False, 20_000_000_000),
        (3, None, 1e-3, True, 20_000_000_000),
        (3, None, 2e-3, False, 10_000_000_000),
        (3, None, 3e-3, False, 10_000_000_000),
        (5, None, 1e-3, True, 10_000_000_000),
        (5, None, 1e-3, False, 100_000_000_000),
        (5, None, 2e-3, False, 20_000_000_000),
        (5, None, 3e-3, False, 20_000_000_000),
    ],
    "plain": [
        (3, 7, 1e-3, True, 100_000_000),
        (3, 7, 1e-3, False, 1_000_000_000),
        (3, 7, 2e-3, False, 500_000_000),
        (3, 7, 3e-3, False, 300_000_000),
    ],
    "correlated": [
        (3, 7, 1e-3, False, 100_000_000),
        (3, 7, 2e-3, False, 30_000_000),
        (3, 7, 3e-3, False, 30_000_000),
    ],
    "large": [
        (5, 11, 1e-3, False, 100_000_000),
        (5, 11, 2e-3, False, 1_000_000_000),
        (5, 11, 3e-3, False, 1_000_000_000),
    ],
    "large_correlated": [
        (5, 11, 1e-3, False, 10_000_000),
        (5, 11, 2e-3, False, 100_000_000),
        (5, 11, 3e-3, False, 200_000_000),
    ],
}
# Without an expansion nothing is decoded, and a decoder that does not matter should be no part of the name.
SAMPLERS = {
    "alone": StagedSampler("pymatching"),
    "plain": StagedSampler(SoftOutputDecoder(correlated=False)),
    "correlated": StagedSampler(SoftOutputDecoder(correlated=True)),
    "large": StagedSampler(SoftOutputDecoder(correlated=False)),
    "large_correlated": StagedSampler(SoftOutputDecoder(correlated=True)),
}


def metadata(distance: int, expand_to: int | None, p: float, as_published: bool) -> dict[str, object]:
    """What a row of the file says about its circuit."""
    about: dict[str, object] = {"d": distance, "gate": "S", "p": p, "protocol": "rp2-cultivation"}
    about |= {} if expand_to is None else {"expand_to": expand_to, "rounds": distance}
    return about | ({"as_published": True} if as_published else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("which", nargs="*", default=list(POINTS), choices=list(POINTS))
    parser.add_argument("--workers", type=int, default=None)
    arguments = parser.parse_args()
    for name in arguments.which:
        decoder = {"large": "plain", "large_correlated": "correlated"}.get(name, name)
        for distance, expand_to, p, as_published, attempts in POINTS[name]:
            about = metadata(distance, expand_to, p, as_published)
            noise = NoiseModel.uniform_depolarizing(p)
            circuit = cultivation(distance, expand_to, noise, as_published=as_published)
            (row,) = quell.sweep(
                sinter.Task(circuit=circuit, json_metadata=about),
                {decoder: SAMPLERS[name]},
                max_shots=attempts,
                save=COUNTS,
                num_workers=arguments.workers,
            )
            print(decoder, about, row.shots, row.shots - row.discards, row.errors, f"{row.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
