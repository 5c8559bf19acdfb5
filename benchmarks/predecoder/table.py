"""Makes the accuracy tables of what compare.py counted.

    python benchmarks/predecoder/table.py RAW.jsonl [RAW.jsonl ...]

Sums the batches into accuracy.jsonl beside this file and writes accuracy.md. Without arguments it makes the tables of
accuracy.jsonl anew.
"""

import collections
import json
import math
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from quell.decoders.predecoder.confidence import paired_ratio
from quell.qec import binomial_interval

HERE = Path(__file__).parent
SUMS = HERE / "accuracy.jsonl"
CLAIM = 1000  # errors in both arms, from which on a ratio is claimed
PRE, PLAIN, CORRELATED = "predecoder", "pymatching", "pymatching-correlated"


def summed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each point, weights, device and set of arms."""
    groups: dict[str, dict[str, Any]] = {}
    seen = set()
    for row in rows:
        shots = json.dumps([row["point"], row["weights"], row["seed"]])
        if shots in seen:
            raise SystemExit(f"the same shots stand in two rows: {shots}")
        seen.add(shots)
        key = json.dumps([row["point"], row["weights"], row["device"], sorted(row["errors"])])
        if key not in groups:
            groups[key] = {
                "point": row["point"],
                "weights": row["weights"],
                "device": row["device"],
                "shots": 0,
                **{name: collections.Counter() for name in ("errors", "both", "events", "seconds")},
            }
        group = groups[key]
        group["shots"] += row["shots"]
        for name in ("errors", "both", "events", "seconds"):
            group[name].update(row[name])
    return [
        {**group, "seconds": {name: round(value, 3) for name, value in group["seconds"].items()}}
        for group in groups.values()
    ]


def ratio(above: int, below: int, both: int) -> str:
    """above / below with its paired 95 % interval."""
    if not above or not below:
        return "–"
    found, (low, high) = paired_ratio(above, below, both)
    text = f"{found:.2f} [{low:.2f}, {high:.2f}]"
    return text if min(above, below) >= CLAIM else f"({text})"


def pair(row: dict[str, Any], first: str, second: str) -> int:
    return int(row["both"].get(" & ".join(sorted((first, second))), 0))


def worse(row: dict[str, Any], arm: str, inner: str) -> float:
    """One-sided McNemar: how likely as many shots, or more, are lost by the pre-decoder where it changes nothing."""
    both = pair(row, arm, inner)
    lost, won = row["errors"][arm] - both, row["errors"][inner] - both
    total = lost + won
    if lost <= total / 2:
        return 1.0
    z = (lost - 0.5 - total / 2) / math.sqrt(total / 4)
    return math.erfc(z / math.sqrt(2)) / 2


def merged(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    points: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        p = row["point"]
        key = (row["weights"], p["family"], p["noise"], -p["p"], p["distance"], p["rounds"], p["basis"])
        points.setdefault(key, []).append(row)
    return dict(sorted(points.items()))


def tables(rows: list[dict[str, Any]]) -> list[str]:
    """The reweighted matchings, and then the residuals."""
    reweighted = [
        "## Reweighted matching",
        "",
        "| weights | circuit | noise | p | d | rounds | basis | shots | errors: plain, correlated, pre-decoder | "
        "error rate with the pre-decoder | plain / pre | correlated / pre |",
        "|" + "---|" * 12,
    ]
    residuals = [
        "## Residual handed to PyMatching",
        "",
        "| weights | circuit | noise | p | d | rounds | basis | shots | residual + plain, over plain | "
        "residual + correlated, over correlated | events left | inner time after / before: plain, correlated |",
        "|" + "---|" * 12,
    ]
    for (weights, family, noise, p, distance, rounds, basis), found in merged(rows).items():
        point = f"| {weights} | {family} | {noise} | {-p:g} | {distance} | {rounds} | {basis} |"
        whole: dict[str, Any] = {"shots": sum(row["shots"] for row in found)}
        for name in ("errors", "both"):
            whole[name] = sum((collections.Counter(row[name]) for row in found), collections.Counter())
        errors = whole["errors"]
        low, high = binomial_interval(errors[PRE], whole["shots"])
        reweighted.append(
            f"{point} {whole['shots']:,} | {errors[PLAIN]:,}, {errors[CORRELATED]:,}, {errors[PRE]:,} | "
            f"{errors[PRE] / whole['shots']:.3g} [{low:.3g}, {high:.3g}] | "
            f"{ratio(errors[PLAIN], errors[PRE], pair(whole, PLAIN, PRE))} | "
            f"{ratio(errors[CORRELATED], errors[PRE], pair(whole, CORRELATED, PRE))} |"
        )
        for row in found:
            arms = {inner: f"{PRE}-residual-{inner}" for inner in (PLAIN, CORRELATED)}
            if arms[PLAIN] not in row["errors"]:
                continue
            cells, times = [], []
            for inner, arm in arms.items():
                chance = worse(row, arm, inner)
                text = ratio(row["errors"][arm], row["errors"][inner], pair(row, arm, inner))
                cells.append(text + (f", worse by chance in {chance:.1g}" if chance < 0.05 else ""))
                times.append(f"{row['seconds'][f'{arm} inner'] / row['seconds'][inner]:.2f}")
            left = row["events"][arms[PLAIN]] / max(1, row["events"]["all"])
            residuals.append(f"{point} {row['shots']:,} | {cells[0]} | {cells[1]} | {left:.3f} | {', '.join(times)} |")
    return [*reweighted, "", *residuals]


def main() -> None:
    raw = [Path(argument) for argument in sys.argv[1:]]
    rows = [json.loads(line) for path in raw for line in path.read_text().splitlines()]
    if raw:
        rows = summed(rows)
        SUMS.write_text("".join(json.dumps(row, sort_keys=True) + "\n" for row in rows))
    else:
        rows = [json.loads(line) for line in SUMS.read_text().splitlines()]
    head = (HERE / "accuracy_head.md").read_text()
    (HERE / "accuracy.md").write_text(head + "\n" + "\n".join(tables(rows)) + "\n")
    print("\n".join(tables(rows)))


if __name__ == "__main__":
    main()
