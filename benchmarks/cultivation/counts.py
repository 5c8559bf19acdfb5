"""Counts of cultivation on RP², with S in place of T, kept in counts.csv: stop it whenever you like and run it again.

python benchmarks/cultivation/counts.py [alone | expanded | large]... [--workers N] [--share 1.0]

`alone` is cultivation without expansion (a quarter of an hour of two cores), `expanded` MSC-3 to SC7 (25 minutes),
`large` MSC-5 to SC11 (20 minutes). A share below 1 takes that part of the shots.
"""

import argparse
from pathlib import Path

import sinter

import quell
from quell.circuits import NoiseModel, cultivation
from quell.decoders import StagedSampler

COUNTS = Path(__file__).parent / "counts.csv"

# distance, expand_to, p, as published, shots
Point = tuple[int, int | None, float, bool, int]
POINTS: dict[str, list[Point]] = {
    "alone": [
        (3, None, 1e-3, False, 20_000_000_000),
        (3, None, 1e-3, True, 20_000_000_000),
        (3, None, 2e-3, False, 10_000_000_000),
        (3, None, 3e-3, False, 10_000_000_000),
        (5, None, 1e-3, True, 10_000_000_000),
        (5, None, 1e-3, False, 100_000_000_000),
        (5, None, 2e-3, False, 50_000_000_000),
        (5, None, 3e-3, False, 50_000_000_000),
    ],
    "expanded": [
        (3, 7, 1e-3, False, 1_000_000_000),
        (3, 7, 1e-3, True, 200_000_000),
        (3, 7, 2e-3, False, 1_000_000_000),
        (3, 7, 3e-3, False, 1_000_000_000),
    ],
    "large": [(5, 11, p, False, 1_000_000_000) for p in (1e-3, 2e-3, 3e-3)],
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
    parser.add_argument("--share", type=float, default=1.0)
    arguments = parser.parse_args()
    for distance, expand_to, p, as_published, shots in (each for name in arguments.which for each in POINTS[name]):
        noise = NoiseModel.uniform_depolarizing(p)
        about = metadata(distance, expand_to, p, as_published)
        task = sinter.Task(
            circuit=cultivation(distance, expand_to, noise, as_published=as_published), json_metadata=about
        )
        # Without an expansion nothing is decoded, and the decoder should be no part of the name.
        sampler = {"alone": StagedSampler("pymatching")} if expand_to is None else {"staged": StagedSampler()}
        (row,) = quell.sweep(
            task,
            sampler,
            max_shots=max(1, int(shots * arguments.share)),
            save=COUNTS,
            num_workers=arguments.workers,
        )
        print(about, row.shots, row.shots - row.discards, row.errors, f"{row.seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
