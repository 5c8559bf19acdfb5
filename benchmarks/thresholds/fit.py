"""Fits the thresholds of the counts beside this file, which the commands in README.md collected.

python benchmarks/thresholds/fit.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tables import machine

from quell.errors import NoThresholdError
from quell.qec import fit_threshold, plot_drift, plot_error_rate, read_stats

HERE = Path(__file__).parent
P_CAPACITY = "0.088 0.091 0.094 0.097 0.1 0.102 0.104 0.106 0.109"
P_PHENOMENOLOGICAL = "0.024 0.026 0.0275 0.0285 0.0295 0.0305 0.032"
# Name: noise on the command line, error rates, shots for each point, known threshold, its source.
STUDIES = {
    "code_capacity": (P_CAPACITY, 400_000, 0.1031, "minimum-weight matching, Wang, Harrington and Preskill 2003"),
    "phenomenological": (P_PHENOMENOLOGICAL, 100_000, 0.0293, "likewise"),
}
RANGES = [(5, 17), (9, 17), (9, 33), (5, 33)]


def command(name: str, distances: list[int]) -> str:
    rates, shots, *_ = STUDIES[name]
    listed = " ".join(map(str, distances))
    return (
        f"quell sweep --noise {name} --distances {listed} \\\n        --p {rates} \\\n"
        f"        --max-shots {shots} --save {name}.csv"
    )


def study(name: str) -> list[str]:
    _, shots, known, source = STUDIES[name]
    stats = read_stats(HERE / f"{name}.csv")
    distances = sorted({stat.json_metadata["d"] for stat in stats})
    lines = [
        f"## {name.replace('_', ' ').capitalize()}",
        "",
        f"Known: {known} ({source}). {shots:,} shots for each point.",
        "",
        f"    {command(name, distances)}",
        "",
        "| distances | law | threshold (95 %) | off by | exponent (95 %) | chi2/dof |",
        "|---|---|---|---|---|---|",
    ]
    for low, high in RANGES:
        if high > max(distances):
            continue
        chosen = [stat for stat in stats if low <= stat.json_metadata["d"] <= high]
        rates = [stat.json_metadata["p"] for stat in chosen]
        everything = {"correction": False, "window": (min(rates), max(rates)), "min_distance": low}
        for title, options in (("plain, all points", everything), ("plain", {"correction": False}), ("automatic", {})):
            try:
                fit = fit_threshold(chosen, **options)  # type: ignore[arg-type]  # of many types
            except NoThresholdError as error:
                lines.append(f"| {low}…{high} | {title} | refused: {error} | | | |")
                continue
            lines.append(
                f"| {low}…{high} | {title} | {fit.threshold} | {100 * (fit.threshold.value / known - 1):+.2f} % "
                f"| {fit.exponent} | {fit.chi2_per_dof:.2f} |"
            )
    fit = fit_threshold(stats)
    plot_error_rate(stats, fit=fit).savefig(HERE / f"{name}.png", dpi=110, bbox_inches="tight")
    plot_drift(fit).savefig(HERE / f"{name}_drift.png", dpi=110, bbox_inches="tight")
    lines += ["", f"![error rates]({name}.png)", "", f"![drift]({name}_drift.png)", ""]
    lines += ["The plain law, and with D/d, fitted to all rates and all distances from the smallest named on:", ""]
    lines += ["```", fit.table(), "```", "", *(f"- {warning}" for warning in fit.warnings), ""]
    return lines


def main() -> None:
    lines = [
        "# Thresholds of the rotated surface code under minimum-weight matching",
        "",
        "The plain law P = A + B x + C x² fits the open boundaries badly: its threshold drifts with the smallest",
        "distance. The automatic rule averages over windows, smallest distances and a correction D·d^(−1/μ).",
        "",
        "    python benchmarks/thresholds/fit.py",
        "",
        f"{machine()}.",
        "",
    ]
    for name in STUDIES:
        lines += study(name)
    (HERE / "README.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
