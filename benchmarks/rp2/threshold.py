"""Thresholds of the RP² and the rotated surface code as memories, by matching under uniform depolarizing noise.

python benchmarks/rp2/threshold.py    (ten minutes on two cores; goes on from threshold.csv)
"""

import argparse
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import sinter

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import write_table

from quell.circuits import NoiseModel, rotated_surface_memory
from quell.circuits.rp2_memory import rp2_memory
from quell.qec import fit_threshold, plot_error_rate, read_stats, sweep

HERE = Path(__file__).parent
CODES = {"rp2": rp2_memory, "rotated": rotated_surface_memory}
DISTANCES = (3, 5, 7, 9, 11)
RATES = (0.004, 0.005, 0.0055, 0.006, 0.0065, 0.007, 0.0075, 0.008, 0.009)
SHOTS = 40_000


def tasks() -> list[sinter.Task]:
    return [
        sinter.Task(
            circuit=build(d, d, basis, NoiseModel.uniform_depolarizing(p)),
            json_metadata={"code": name, "basis": basis, "d": d, "r": d, "p": p},
        )
        for name, build in CODES.items()
        for basis in "XZ"
        for d in DISTANCES
        for p in RATES
    ]


def chosen(stats: list[sinter.TaskStats], code: str, basis: str) -> list[sinter.TaskStats]:
    return [s for s in stats if s.json_metadata["code"] == code and s.json_metadata["basis"] == basis]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, default=HERE / "threshold.csv")
    parser.add_argument("--max-shots", type=int, default=SHOTS, help="for each point")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--fit-only", action="store_true", help="draw from what is there")
    options = parser.parse_args()
    if not options.fit_only:
        sweep(
            tasks(), "pymatching", max_shots=options.max_shots, save=options.save, num_workers=options.workers,
            progress=True,
        )  # fmt: skip
    stats = read_stats(options.save)
    figure, axes = plt.subplots(2, 2, figsize=(16, 9), sharex=True, sharey=True, layout="constrained")
    rows = []
    for line, code in zip(axes, CODES, strict=True):
        for ax, basis in zip(line, "XZ", strict=True):
            points = chosen(stats, code, basis)
            fit = fit_threshold(points)
            plot_error_rate(points, fit=fit, ax=ax)
            ax.set_title(f"{code}, {basis} memory")
            at = {s.json_metadata["d"]: s for s in points if s.json_metadata["p"] == RATES[0]}
            low = [f"{at[d].errors / at[d].shots:.2e}" for d in DISTANCES]
            rows.append([code, basis, fit.threshold, fit.exponent, f"{fit.chi2_per_dof:.2f}", *low])
    figure.savefig(options.save.with_suffix(".png"), dpi=110, bbox_inches="tight")
    header = ["code", "memory", "threshold (95 %)", "exponent (95 %)", "chi2/dof"]
    header += [f"error rate, d = {d}" for d in DISTANCES]
    write_table(
        options.save.with_suffix(".md"), "Thresholds of RP² and rotated surface-code memories",
        "python benchmarks/rp2/threshold.py", header, rows,
        notes=f"""Uniform depolarizing noise, rounds = d, {min(s.shots for s in stats):,} shots or more for each point,
p = {", ".join(map(str, RATES))}; minimum-weight matching (PyMatching).
Error rates are per shot, at p = {RATES[0]}.

![error rates]({options.save.with_suffix(".png").name})""",
    )  # fmt: skip


if __name__ == "__main__":
    main()
