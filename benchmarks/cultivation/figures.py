"""Tables and pictures from the counts of counts.py, beside what is published.

python benchmarks/cultivation/figures.py
"""

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import sinter

sys.path.insert(0, str(Path(__file__).parent.parent))

from tables import machine

from quell.circuits import cultivation, true_t_series, volume_per_attempt
from quell.qec import Cut, Estimate, binomial_interval, cuts, plot_attempts, plot_survival, read_stats, stage_survival

HERE = Path(__file__).parent
COUNTS = HERE / "counts.csv"
TRUE_T = HERE / "true_t.csv"

# arXiv:2503.18657, p = 1e-3, S in place of T.
SURVIVAL = {3: (0.912, 0.831, 0.771, 0.642, 0.562, 0.514)}
ALONE = {3: (0.5141, "8.3e-7"), 5: (0.0945, "3.6e-10")}
# attempts, error rate, volume in qubit-rounds as its authors count them
EXPANDED = {
    3: [(1.78, 4.0e-3, None), (2.38, 1.5e-6, 915)],
    5: [(9.11, 1e-6, 3849), (12.6, 1e-8, 5223), (14.0, 2e-9, 5786), (15.07, 1e-9, 6210)],
}
NAMES = {(3, None): "MSC-3", (5, None): "MSC-5", (3, 7): "MSC-3 to SC7", (5, 11): "MSC-5 to SC11"}
WANTED_RATES = (1e-3, 1e-4, 1e-5, 3e-6, 1.5e-6, 1e-6, 1e-7, 1e-8)


def key(row: sinter.TaskStats) -> tuple[int, int | None, float, bool]:
    about = row.json_metadata
    return about["d"], about.get("expand_to"), about["p"], about.get("as_published", False)


def name(row: sinter.TaskStats) -> str:
    distance, expand_to, _, as_published = key(row)
    return NAMES[distance, expand_to] + (", as published" if as_published else "")


def soft_output(row: sinter.TaskStats) -> str:
    return row.decoder.partition("@")[0]


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def survival(rows: list[sinter.TaskStats]) -> list[str]:
    lines = []
    for row in rows:
        distance, expand_to, p, as_published = key(row)
        left = [str(each.rate) for each in stage_survival(row)]
        lines.append([name(row), f"{p:g}", f"{row.shots:.2g}", *left, *[""] * (11 - len(left))])
        if as_published and expand_to is None and distance in SURVIVAL:
            lines.append(["published", f"{p:g}", "", *SURVIVAL[distance], *[""] * (11 - len(SURVIVAL[distance]))])
    return table(["circuit", "p", "attempts", *(f"stage {s}" for s in range(1, 12))], lines)


def true_t() -> dict[tuple[int, float, bool], tuple[int, int]]:
    """Kept attempts and errors with true T, by distance, p and whether the circuit is the published one."""
    found: dict[tuple[int, float, bool], tuple[int, int]] = {}
    if TRUE_T.exists():
        with TRUE_T.open() as file:
            for row in csv.DictReader(file):
                if (row["gate"], row["simulator"]) == ("T", "frames"):
                    key_of = int(row["distance"]), float(row["p"]), row["published"] == "True"
                    kept, errors = found.get(key_of, (0, 0))
                    found[key_of] = kept + int(row["kept"]), errors + int(row["errors"])
    return found


def alone(rows: list[sinter.TaskStats]) -> list[str]:
    with_t = true_t()
    lines = []
    for row in rows:
        distance, expand_to, p, as_published = key(row)
        if expand_to is not None:
            continue
        cut = cuts(row)[0]
        published = ALONE[distance] if p == 1e-3 and as_published else ("", "")
        series = true_t_series(distance, p) if as_published else None
        of_t = ""
        if (distance, p, as_published) in with_t:
            kept, errors = with_t[distance, p, as_published]
            low, high = binomial_interval(errors, kept)
            of_t = f"{Estimate(errors / kept, float(low), float(high))} ({errors} errors)"
        lines.append(
            [
                name(row),
                f"{p:g}",
                f"{row.shots:.2g}",
                Estimate(1 / cut.attempts.value, 1 / cut.attempts.high, 1 / cut.attempts.low),
                published[0],
                f"{cut.error_rate} ({cut.errors} errors)",
                published[1],
                of_t,
                "" if series is None else f"{series:.3g}",
            ]
        )
    header = ["circuit", "p", "attempts", "kept", "published", "error rate, S", "published, S", "error rate, T"]
    return table([*header, "series, T"], lines)


def volume(row: sinter.TaskStats, cut: Cut) -> float:
    distance, expand_to, _, as_published = key(row)
    circuit = cultivation(distance, expand_to, as_published=as_published)
    return cut.attempts.value * volume_per_attempt(circuit, [each.rate.value for each in stage_survival(row)])


def expanded(rows: list[sinter.TaskStats]) -> list[str]:
    lines = []
    for row in rows:
        distance, expand_to, p, _ = key(row)
        if expand_to is None:
            continue
        every = cuts(row)
        chosen = [("no cut", every[0])]
        for rate in WANTED_RATES:
            # The first cut whose whole interval lies below: chosen on the counts themselves, which favours it a little.
            found = next((cut for cut in every if cut.error_rate.high <= rate), None)
            if found is not None and found is not chosen[-1][1]:
                chosen.append((f"interval below {rate:g}", found))
        chosen.append(("strictest", every[-1]))
        for label, cut in chosen:
            about = [name(row), f"{p:g}", soft_output(row), f"{row.shots:.2g}", label, f"{cut.gap:g}", cut.attempts]
            lines.append([*about, f"{cut.error_rate} ({cut.errors} errors)", f"{volume(row, cut):,.0f}"])
        if p == 1e-3:
            for attempts, rate, cost in EXPANDED[distance]:
                lines.append(["published", f"{p:g}", "", "", "", "", attempts, f"{rate:.2g}", cost or ""])
    header = ["circuit", "p", "soft output", "attempts made", "cut", "gap >= (dB)", "attempts per kept state"]
    return table([*header, "error rate", "volume"], lines)


def main() -> None:
    def order(row: sinter.TaskStats) -> tuple[object, ...]:
        distance, expand_to, p, as_published = key(row)
        return expand_to or 0, distance, p, as_published, soft_output(row)

    rows = sorted(read_stats(COUNTS), key=order)
    text = [
        "# Cultivation on RP², beside what is published",
        "",
        "    python benchmarks/cultivation/counts.py    # the counts: an hour of two cores; go on whenever you like",
        "    python benchmarks/cultivation/true_t.py    # those with true T",
        "    python benchmarks/cultivation/figures.py   # these tables, in seconds",
        "",
        f"{machine()}.",
        "Uniform depolarising noise of strength p, 95 % intervals. Published: arXiv:2503.18657 (S in place of T,",
        "p = 0.001) and, for true T, the series of arXiv:2609.18922, which is of the circuits as published.",
        "",
        "## Survival by stage",
        "",
        *survival(rows),
        "## Cultivation alone, S and T side by side",
        "",
        "The error rate is that of what is kept. **S is a proxy, and optimistic**: it catches what T lets pass.",
        "",
        *alone(rows),
        "## After expansion: attempts against errors",
        "",
        "S in place of T; at large gaps the error rate is that of the cultivation inside, and optimistic like it.",
        "Volumes are in qubit-rounds per kept state: ours by `stage_volumes`, published ones as their authors count.",
        "",
        *expanded(rows),
    ]
    (HERE / "figures.md").write_text("\n".join(text).rstrip() + "\n")
    print("\n".join(text))
    draw(rows)


def draw(rows: list[sinter.TaskStats]) -> None:
    for distance, picture in ((3, "msc3_sc7.png"), (5, "msc5_sc11.png")):
        curves = {
            f"{soft_output(row)}, p = {key(row)[2]:g}": row
            for row in rows
            if key(row)[0] == distance and key(row)[1] is not None and not key(row)[3]
        }
        if curves:
            published = {"published, p = 0.001": [(attempts, rate) for attempts, rate, _ in EXPANDED[distance]]}
            plot_attempts(curves, published=published).savefig(HERE / picture, dpi=110)
    plain = {f"{name(row)}, p = {key(row)[2]:g}": row for row in rows if key(row)[1] is None and not key(row)[3]}
    if plain:
        plot_survival(plain).savefig(HERE / "survival.png", dpi=110)


if __name__ == "__main__":
    main()
