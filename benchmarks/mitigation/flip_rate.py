"""How well flip rates are predicted: on the simulated rows, and on 145 rows of five IBM machines where they are there.

python benchmarks/mitigation/flip_rate.py

The rows of real machines are read from ../shared/data/ibm_counts/qcluster (the data of arXiv:2504.10801) and are no
part of quell. The shipped model has seen none of them, and nothing about it was chosen on them.
"""

import csv
import sys
from importlib import resources
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import KFold, cross_val_predict

sys.path.insert(0, str(Path(__file__).parents[1]))
from tables import write_table

from quell.mitigation.flip_rate import FEATURE_NAMES, FlipRateRegressor, read_rows

REAL = Path(__file__).parents[3] / "shared/data/ibm_counts/qcluster/training_features_2025-03-07.csv"
COLUMNS = ("qubits", "measured", "rz", "sx", "x", "two_qubit", "noisy_entropy_norm", "esp_m")
ESP, MEASURED = FEATURE_NAMES.index("esp"), FEATURE_NAMES.index("measured")

Row = tuple[str, str, str, str, str]


def read_real_rows() -> tuple[NDArray[np.float64], NDArray[np.float64], list[str], list[str]]:
    """Features, flip rates, circuits and machines of the published rows."""
    with REAL.open() as file:
        rows = list(csv.DictReader(file))
    features = np.array([[float(row[name]) for name in COLUMNS] for row in rows])
    target = np.array([float(row["p_eff_target"]) for row in rows])
    return features, target, [circuit_name(row) for row in rows], [row["machine"] for row in rows]


def read_names() -> list[str]:
    """The benchmark of each published row by its name, though two names are one circuit."""
    with REAL.open() as file:
        return [row["benchmark"] for row in csv.DictReader(file)]


def circuit_name(row: dict[str, str]) -> str:
    """The benchmark's name; two names of one and the same circuit are one."""
    return "wstate_n8" if row["benchmark"] == "wstate_n14" else row["benchmark"]


def score(target: NDArray[np.float64], predicted: NDArray[np.float64], groups: list[str], seed: int = 0) -> list[str]:
    """Mean squared error and R², each with its 95 % interval from 2,000 bootstrap draws of whole groups."""
    names, which = np.unique(groups, return_inverse=True)
    members = [np.flatnonzero(which == index) for index in range(len(names))]
    generator = np.random.default_rng(seed)
    draws = [np.concatenate([members[i] for i in generator.integers(len(names), size=len(names))]) for _ in range(2000)]

    def both(rows: NDArray[np.intp]) -> tuple[float, float]:
        error = float(np.mean((target[rows] - predicted[rows]) ** 2))
        return error, 1 - error / float(target[rows].var())

    low, high = np.quantile([both(rows) for rows in draws], [0.025, 0.975], axis=0)
    error, share = both(np.arange(len(target)))
    return [f"{error:.4f} [{low[0]:.4f}, {high[0]:.4f}]", f"{share:.3f} [{low[1]:.3f}, {high[1]:.3f}]"]


def shuffled(features: NDArray[np.float64], target: NDArray[np.float64], leaf: int) -> NDArray[np.float64]:
    """Predictions of the paper's split, in which a circuit stands in training and in test."""
    forest = ExtraTreesRegressor(n_estimators=100, min_samples_leaf=leaf, random_state=42)
    folds = KFold(5, shuffle=True, random_state=42)
    return np.asarray(cross_val_predict(forest, features, target, cv=folds))


def simulated() -> list[Row]:
    rows = read_rows(Path(str(resources.files("quell.mitigation.flip_rate") / "training_data.csv")))
    features = np.stack([row.record().features for row in rows])
    target = np.array([row.p_eff for row in rows])
    kinds, machines = [row.kind for row in rows], [row.machine for row in rows]
    circuits = [str(row.index) for row in rows]
    model = FlipRateRegressor(**FlipRateRegressor.shipped().get_params())
    leaf = model.min_samples_leaf
    splits = [
        ("shuffled 5-fold", shuffled(features, target, leaf), circuits),
        ("new circuits (10-fold)", model.cross_predict(features, target, circuits), circuits),
        ("new machines (10-fold)", model.cross_predict(features, target, machines), machines),
        ("new kinds of circuit (10-fold)", model.cross_predict(features, target, kinds), kinds),
    ]
    table = [row("simulated", f"extra trees, leaves of {leaf}", *split, target) for split in splits]
    return [*table, row("simulated", "1 − ESP^(1/n)", "none needed", without_training(features), kinds, target)]


def without_training(features: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 - features[:, ESP] ** (1 / features[:, MEASURED]))


def row(
    data: str, model: str, split: str, predicted: NDArray[np.float64], groups: list[str], target: NDArray[np.float64]
) -> Row:
    error, share = score(target, predicted, groups)
    return (data, model, f"{split}; {len(set(groups))} groups drawn", error, share)


def real() -> tuple[list[Row], str]:
    features, target, circuits, machines = read_real_rows()
    names = read_names()
    own, shipped = FlipRateRegressor(), FlipRateRegressor.shipped()
    table = [
        row("real", "extra trees on real rows", split, predicted, groups, target)
        for split, predicted, groups in (
            ("shuffled 5-fold", shuffled(features, target, 1), circuits),
            ("one machine left out", own.cross_predict(features, target, machines, folds=99), machines),
            ("one benchmark name left out", own.cross_predict(features, target, names, folds=99), names),
            ("one circuit left out", own.cross_predict(features, target, circuits, folds=99), circuits),
        )
    ]
    found = shipped.predict(features)
    table.append(row("real", "shipped model", "trained on simulated rows alone", found, circuits, target))
    table.append(row("real", "1 − ESP^(1/n)", "none needed", without_training(features), circuits, target))
    notes = []
    for confidence in (0.5, 0.9):
        low, high = shipped.predict_interval(features, confidence).T
        inside = float(np.mean((low <= target) & (target <= high)))
        notes.append(
            f"The shipped model's {confidence:.0%} intervals hold {inside:.0%} of the real flip rates; median width "
            f"{np.median(high - low):.3f}."
        )
    bias = float(np.mean(found - target))
    notes.append(f"Its mean error there is {bias:+.4f}; the mean real flip rate is {target.mean():.4f}.")
    return table, " ".join(notes)


def main() -> None:
    table, notes = simulated(), f"scikit-learn {version('scikit-learn')}. "
    notes += "Intervals: 95 %, bootstrap over the groups that the last part of the split column counts. "
    if REAL.exists():
        more, said = real()
        table += more
        notes += said
    else:
        notes += f"The rows of real machines were not there ({REAL.name})."
    header = ("data", "model", "trained and tested by", "mean squared error", "R²")
    command = "python benchmarks/mitigation/flip_rate.py"
    write_table(Path(__file__).with_suffix(".md"), "Predicted flip rates", command, header, table, notes=notes)


if __name__ == "__main__":
    main()
