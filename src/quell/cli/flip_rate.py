"""`quell train-flip-rate`: simulates training data and trains a flip-rate model on it."""

import shlex
from pathlib import Path

from tqdm import tqdm

from quell.cli.options import Count, Json, print_json
from quell.errors import InputError, check_integer
from quell.mitigation.flip_rate import training

__all__ = ["train_flip_rate"]


def train_flip_rate(
    *,
    save: Path,
    data: Path | None = None,
    num_circuits: Count = 1000,
    seed: Count = 42,
    min_samples_leaf: Count = 8,
    json: Json = False,
) -> None:
    """Train the model that predicts flip rates, on simulated noise of snapshots of IBM's machines.

    quell train-flip-rate --data rows.csv --save flip_rate.onnx --seed 42

    Args:
        save: Write the model into this ONNX file.
        data: Keep the simulated rows in this CSV file, and go on from those that are there. With all rows there,
            nothing is simulated, and qiskit-ibm-runtime is not needed.
        num_circuits: Circuits to simulate, each under three strengths of noise.
        seed: Of the simulated data and of the model.
        min_samples_leaf: The fewest rows in a leaf of a tree; more make a smaller file.
    """
    if save.suffix != ".onnx":
        raise InputError(f"--save must name a file that ends in .onnx, got {save}")
    check_integer("--num-circuits", num_circuits, minimum=10)
    rows = _rows(data, num_circuits, seed)
    model = training.train(rows, min_samples_leaf=min_samples_leaf, random_state=seed)
    scores = training.score_rows(model, rows)
    command = ["quell", "train-flip-rate", "--num-circuits", num_circuits, "--seed", seed]
    command += ["--min-samples-leaf", min_samples_leaf, "--save", save.name]
    digest = training.data_digest(rows)
    model.save(save, command=shlex.join(map(str, command)), data_sha256=digest, scores=scores)
    if json:
        print_json({"save": str(save), "rows": len(rows), "data_sha256": digest, "scores": scores})
        return
    print(f"{len(rows)} rows of {num_circuits} circuits on {len({row.machine for row in rows})} machines -> {save}")
    for name, score in scores.items():
        print(f"{name:>22}: mean squared error {score['mse']:.5f}, R² {score['r2']:.3f}")


def _rows(data: Path | None, num_circuits: int, seed: int) -> list[training.TrainingRow]:
    """Returns the rows of all circuits, those in the file and those that are simulated now."""
    rows = training.read_rows(data) if data is not None and data.exists() else []
    other = next((row.seed for row in rows if row.seed != seed), None)
    if other is not None:
        raise InputError(f"{data} was made with --seed {other}, got --seed {seed}: use another file, or that seed")
    start = max((row.index for row in rows), default=-1) + 1
    if start < num_circuits:
        left = training.generate_rows(num_circuits, seed=seed, start=start)
        for found in tqdm(left, total=num_circuits, initial=start, unit="circuit"):
            rows += found
            if data is not None:
                training.write_rows(data, found)
    return [row for row in rows if row.index < num_circuits]
