"""The tables of `error_rates.py`, of what is in error_rates.jsonl so far."""

import collections
import datetime
import math
import sys
from pathlib import Path

from error_rates import CLAIMED, DECIDED_HALF_WIDTH, DECODERS, ERRORS, FLOOR, HALF_WIDTH, LIMITS, Results, Sums
from points import GUESS, NOISES, Point

sys.path.insert(0, str(Path(__file__).parent.parent))
from tables import machine  # the folder above is no package

HEADER = (
    "noise", "d", "p", "decoder", "error rate, true weights", "shots", "errors", *(f"{arm} / true" for arm in CLAIMED),
    "limits met", "equal / learned 1e5", "guess / learned 1e5", "Stim's / true",
)  # fmt: skip
_FEW = 100  # errors, below which a ratio says too little to be shown


def write(points: list[Point], results: Results) -> None:
    rows, below = [], []
    waiting: dict[str, list[str]] = collections.defaultdict(list)  # error rates and decoders, by noise and distance
    met: dict[str, collections.Counter[bool | None]] = {arm: collections.Counter() for arm in CLAIMED}
    unfinished = 0
    for point in sorted(points, key=lambda point: (NOISES.index(point.noise), point)):
        for decoder, sums in results.sums(point).items():
            name = f"{point.noise} d={point.distance} p={point.p:g} {decoder}"
            if sums.below():
                below.append(f"{name}: below {sums.rate()[1][1]:.1g}")
                continue
            if not sums.is_screened() or sums.true[1] < _FEW:
                waiting[f"{point.noise} d={point.distance}"].append(f"p={point.p:g} {decoder}")
                continue
            unfinished += not sums.done()
            for arm in CLAIMED:
                met[arm][sums.meets(arm)] += sums.done()
            rows.append((point.noise, point.distance, f"{point.p:g}", decoder, *cells(sums)))
    lines = [
        "# Error rates with learned weights, over those with true weights, on the same fresh shots",
        "",
        "    python benchmarks/noise_learning/error_rates.py",
        "    python benchmarks/noise_learning/error_rates.py --table",
        "",
        f"{machine()}; {datetime.date.today()}; a core, shared.",
        "",
        *NOTES,
        "",
        "Of points that are finished, each decoder by itself:",
        *(
            f"- {arm}: upper end within {LIMITS[arm]} at {found[True]} of {found.total()}, the whole interval over it "
            f"at {found[False]}, the limit inside the interval at {found[None]};"
            for arm, found in met.items()
        ),
        f"- unfinished: {unfinished}; not begun: {sum(map(len, waiting.values()))}; below the floor and left out: "
        f"{len(below)}.",
        "",
        "| " + " | ".join(HEADER) + " |",
        "|" + "---|" * len(HEADER),
        *("| " + " | ".join(map(str, row)) + " |" for row in rows),
    ]
    lines += ["", f"## Below {FLOOR:g}", "", "; ".join(below) + "."] if below else []
    whole = len({point.p for point in points}) * len(DECODERS)
    left = [name if len(found) == whole else f"{name}: {', '.join(found)}" for name, found in waiting.items()]
    lines += ["", "## Not begun", "", "; ".join(left) + "."] if left else []
    text = "\n".join(lines) + "\n"
    Path(__file__).with_name("error_rates.md").write_text(text)
    print("\n".join(lines[: lines.index("| " + " | ".join(HEADER) + " |")]))


def cells(sums: Sums) -> list[str]:
    rate, (low, high) = sums.rate()
    said = {True: "yes", False: "**no**", None: "open"}
    verdict = ", ".join(said[sums.meets(arm)] for arm in CLAIMED) if sums.done() else "unfinished"
    return [
        f"{rate:.3g} [{low:.3g}, {high:.3g}]",
        f"{sums.true[0]:,}",
        f"{sums.true[1]:,}",
        *(as_text(sums.ratio(arm)) for arm in CLAIMED),
        verdict,
        *(as_text(sums.gain(arm), 2) for arm in ("equal", "guess")),
        as_text(sums.ratio("stim")),
    ]


def as_text(found: tuple[float, tuple[float, float]], digits: int = 3) -> str:
    ratio, (low, high) = found
    if not math.isfinite(high):
        return "–"
    return f"{ratio:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


NOTES = (
    "Rotated memories of d rounds, Z (X where noise is biased); PyMatching without and with correlations. Ratios are "
    "those of two error counts on the same shots, with paired 95 % intervals. `true` are the probabilities of the "
    "circuit's own model, errors of equal effect joined as the learner joins them; `Stim's / true` is what the model "
    "errs as Stim makes it, so that over it the learned weights would look better by as much. `learned` are the "
    "weights from 1e5 and 1e4 training shots, from their detection events alone, by closed forms and translation "
    f"classes; the structure that is told is uniform depolarising noise of {GUESS:.0%}, wrong in rate, and for "
    "most rows in kind. One training run a point: its luck is in the ratio, and not in the interval. `equal`: all "
    "probabilities of the model the same. `guess`: those of the structure.",
    "",
    "Noise: uniform depolarising, p everywhere; SI1000; biased, eta = 10; inhomogeneous: uniform, each channel of each "
    "place times a factor of its own, log-uniform in [1/3, 3], the same in all rounds, other factors at each point; "
    "drifting: uniform, and the rates of preparation, measurement, idling and gates each swing between half and twice "
    "p, a quarter of a turn apart, with a period of 1e6 shots; the training shots are the last 1e5 or 1e4 before the "
    "fresh ones, which have the noise of that moment, and the half-life of the learner's memory is half of them.",
    "",
    f"A point is finished when true weights have {ERRORS:,} errors and both half-widths are {HALF_WIDTH:.1%} or less; "
    f"where a ratio is within its limit and its interval is not, it goes on to {DECIDED_HALF_WIDTH:.1%}. `limits met`: "
    "yes, the whole interval is within the limit; no, it is over it; open, the limit is inside. "
    f"Points whose rate with true weights is below {FLOOR:g} (95 %, from screening shots of their own) are left out.",
)
