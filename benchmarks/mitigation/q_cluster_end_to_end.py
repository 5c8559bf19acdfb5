"""Q-Cluster as its paper means it, end to end: the flip rate predicted, then the counts of ibm_brussels cleaned.

python benchmarks/mitigation/q_cluster_end_to_end.py

For each of the six published circuits the regressor is trained on the published rows of other machines and other
circuits alone, and asked for the row of this circuit on ibm_brussels. The data are read from
../shared/data/ibm_counts/qcluster (arXiv:2504.10801) and are no part of quell.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from flip_rate import FEATURE_NAMES, REAL, read_names, read_real_rows, without_training
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))
from tables import write_table

from quell.mitigation import QCluster, hellinger_fidelity
from quell.mitigation.flip_rate import FlipRateRegressor

COUNTS = REAL.with_name("ibm_brussels_2025-03-07_counts.json")
MACHINE = "ibm_brussels"
DRAWS = 20


def flip_rates(name: str, p_eff: float) -> tuple[dict[str, float], NDArray[np.float64]]:
    """The flip rate of a circuit by each way of finding it, and the interval of the regressor's."""
    features, target, circuits, machines = read_real_rows()
    names = read_names()
    own = next(i for i, row in enumerate(zip(names, machines, strict=True)) if row == (name, MACHINE))
    others = [i for i in range(len(target)) if machines[i] != MACHINE and circuits[i] != circuits[own]]
    groups = [circuits[i] for i in others]
    model = FlipRateRegressor().fit(features[others], target[others], groups)
    asked = features[own : own + 1]
    found = {
        "true p_eff": p_eff,
        "regressor": float(model.predict(asked)[0]),
        "shipped regressor": float(FlipRateRegressor.shipped().predict(asked)[0]),
        "1 − ESP^(1/n)": float(without_training(asked)[0]),
        "constant": float(target[others].mean()),
    }
    return found, model.predict_interval(asked, 0.9)[0]


def resample(counts: Mapping[str, int], generator: np.random.Generator) -> dict[str, int]:
    """The same number of shots, drawn again with replacement."""
    keys = sorted(counts)
    weights = np.array([counts[key] for key in keys], dtype=np.float64)
    drawn = generator.multinomial(int(weights.sum()), weights / weights.sum())
    return {key: int(number) for key, number in zip(keys, drawn, strict=True) if number}


def fidelity(counts: Mapping[str, int], ideal: Mapping[str, float], rate: float | None) -> float:
    """Of the counts after Q-Cluster with this flip rate, or of the counts as they are."""
    if rate is None:
        return hellinger_fidelity(counts, ideal)
    return hellinger_fidelity(QCluster(flip_rate=min(max(rate, 0.0), 0.49)).mitigate(counts), ideal)


def main() -> None:
    if not COUNTS.exists():
        sys.exit(f"the published counts are not there: {COUNTS}")
    rows: list[list[object]] = []
    values: dict[str, list[float]] = {}
    drawn: dict[str, list[list[float]]] = {}
    for record in json.loads(COUNTS.read_text()):
        counts, ideal = record["counts"], record["ideal"]
        rates, interval = flip_rates(record["id"], record["p_eff"])
        generator = np.random.default_rng(0)
        again = [resample(counts, generator) for _ in range(DRAWS)]
        for way, rate in {"no mitigation": None, **rates}.items():
            whole = fidelity(counts, ideal, rate)
            draws = [fidelity(one, ideal, rate) for one in again]
            values.setdefault(way, []).append(whole)
            drawn.setdefault(way, []).append(draws)
            shown = "—" if rate is None else f"{rate:.3f}"
            if way == "regressor":
                shown += f" [{interval[0]:.3f}, {interval[1]:.3f}]"
            rows.append([record["id"], way, shown, with_interval(whole, draws)])
    for way, fidelities in values.items():
        rows.append(["mean of six", way, "", with_interval(float(np.mean(fidelities)), np.mean(drawn[way], axis=0))])
    notes = (
        f"Fidelity: Hellinger, over the whole support, ± two standard deviations of {DRAWS} bootstrap draws of the "
        "shots. "
        f"The regressor is trained on the rows of the four other machines without this circuit, 8 features "
        f"({', '.join(FEATURE_NAMES)}); its 90 % interval stands beside its flip rate. The constant is the mean flip "
        "rate of the same training rows."
    )
    header = ("circuit", "flip rate from", "flip rate", "fidelity")
    command = "python benchmarks/mitigation/q_cluster_end_to_end.py"
    title = "Q-Cluster end to end on six circuits of ibm_brussels"
    write_table(Path(__file__).with_suffix(".md"), title, command, header, rows, notes=notes)


def with_interval(value: float, draws: list[float] | NDArray[np.float64]) -> str:
    return f"{value:.3f} ± {2 * np.std(draws, ddof=1):.3f}"


if __name__ == "__main__":
    main()
