"""Makes the tables of what error_rates.py counted."""

import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from error_rates import FEWEST_FAR, FEWEST_WITHIN, LIMIT, Results, Sum
from points import Arm, Point
from rates import Interval, rate_per_round

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import machine

HERE = Path(__file__).parent
Series = dict[int, Sum]  # by buffer

NOTES = f"""
quell's rotated memory, Z, uniform depolarising noise of p, `NoiseModel.uniform_depolarizing`; layers of detectors are
rounds, and one more. `Windowed(inner, commit=…, buffer=…, scheme=…)`, gaps of parallel blocks as long as their cores;
both decode the same shots with the same model. A rate per round e follows from a rate per shot P of R rounds by
P = (1 - (1 - 2e)^R) / 2. Ratios are of rates per round, with paired 95 % intervals (delta method on the counts of
shots that one, the other or both got wrong); all buffers of a row were mostly decoded on the same shots, so that their
deviations go together. Below 1: windows err less, by chance.

Bold: the whole interval is within {LIMIT:.0%} of 1, from {FEWEST_WITHIN:,} errors of the whole volume on. *Italic*: the
whole interval is further off, from {FEWEST_FAR} on. Plain: not decided. An arm is measured until its whole-volume
decoder has made 10,000 errors (30,000 where time was left), but no further once the interval is within ± 0.6 % after
3,000 errors, or once all of it is above 1.04 after 300: so intervals of short buffers are wide, and all were looked at
on the way. They are of single ratios, not of the table as a whole.
"""


def cell(found: Sum | None) -> str:
    if found is None or not found.shots or not found.alone:
        return ""
    ratio, (low, high) = found.ratio
    text = f"{ratio:.3f} [{low:.3f}, {high:.3f}]"
    within = found.within()
    return f"**{text}**" if within else text if within is None else f"*{text}*"


def smallest(series: Series) -> str:
    """The smallest buffer that is within the limit, as are all larger ones that are decided."""
    good = [buffer for buffer, found in series.items() if found.within()]
    bad = [buffer for buffer, found in series.items() if found.within() is False]
    fitting = [buffer for buffer in good if buffer > max(bad, default=0)]
    if not fitting:
        return f"more than {max(bad)}" if bad else "–"
    best = min(fitting)
    open_ones = [b for b, found in series.items() if max(bad, default=0) < b < best and found.shots]
    return f"{best}" + (f" ({', '.join(map(str, open_ones))} not decided)" if open_ones else "")


def interval(found: float, bounds: Interval) -> str:
    return f"{found:.2e} [{bounds[0]:.2e}, {bounds[1]:.2e}]"


def series_of(sums: dict[Arm, Sum]) -> dict[tuple[str, str, int], Series]:
    found: dict[tuple[str, str, int], Series] = {}
    for arm, each in sorted(sums.items()):
        if each.shots:
            found.setdefault((arm.inner, arm.scheme, arm.commit), {})[arm.buffer] = each
    return found


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    header = list(header)
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return [*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows), ""]


def write(points: list[Point], results: Results) -> None:
    measured = [point for point in points if results.rows[point]]
    series = {point: series_of(results.sums(point)) for point in measured}
    summary, wholes, ratios = [], [], []
    for point in measured:
        d = point.distance
        for inner in ("pymatching", "pymatching-correlated"):
            errors, shots = results.whole(point, inner)
            if errors:
                rate = interval(*rate_per_round(errors, shots, point.rounds))
                wholes.append((d, f"{point.p:g}", point.rounds, inner, f"{shots:,}", f"{errors:,}", rate))
        for (inner, scheme, commit), found in series[point].items():
            best = smallest(found)
            share = f"{int(best.split()[0]) / d:.2f}" if best[0].isdigit() else ""
            summary.append((d, f"{point.p:g}", point.rounds, inner, scheme, commit, best, share))
    for d in sorted({point.distance for point in measured}):
        here = [point for point in measured if point.distance == d]
        buffers = sorted({b for point in here for each in series[point].values() for b in each})
        rows = [
            (f"{point.p:g}", point.rounds, inner, scheme, commit, *(cell(found.get(b)) for b in buffers))
            for point in here
            for (inner, scheme, commit), found in series[point].items()
        ]
        header = ("p", "rounds", "inner decoder", "scheme", "commit", *(f"buffer {b}" for b in buffers))
        ratios += [f"## d = {d}: error rate per round in windows, over that of the whole volume", ""]
        ratios += table(header, rows)
    lines = [
        "# Error rates in windows, as a function of the buffer",
        "",
        "    OMP_NUM_THREADS=1 python benchmarks/windows/error_rates.py --minutes 75",
        "    python benchmarks/windows/error_rates.py --table",
        "",
        f"{machine()}; {date.today()}.",
        NOTES,
        f"## The smallest buffer within {LIMIT:.0%} of the whole volume",
        "",
        *table(("d", "p", "rounds", "inner decoder", "scheme", "commit", "buffer", "buffer / d"), summary),
        *ratios,
        "## The whole volume",
        "",
        *table(("d", "p", "rounds", "decoder", "shots", "errors", "error rate per round"), wholes),
    ]
    text = "\n".join(lines)
    (HERE / "error_rates.md").write_text(text.rstrip() + "\n")
    print(text)
