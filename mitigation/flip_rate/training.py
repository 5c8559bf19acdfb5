"""Training data and training of the flip-rate model that quell ships.

Circuits of many kinds are transpiled for snapshots of IBM's machines and simulated under noise that is up to eight
times what the snapshot reports, since real machines are noisier than their calibrations say. The features are computed
from the snapshot itself, as a user's would be; how much worse the machine really is stays hidden from the model.
"""

import csv
import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, StorageError, check_integer, import_extra
from quell.mitigation.flip_rate.calibration import Calibration
from quell.mitigation.flip_rate.calibration_reading import read_calibration
from quell.mitigation.flip_rate.features import FEATURE_NAMES, circuit_features, effective_flip_rate
from quell.mitigation.flip_rate.records import FlipRateRecord
from quell.mitigation.flip_rate.regressor import FlipRateRegressor
from quell.mitigation.flip_rate.training_circuits import KINDS, WIDE_KINDS
from quell.mitigation.flip_rate.training_noise import (
    NoisyProgram,
    compile_program,
    output_probabilities,
    sample_clifford,
    vary,
)

__all__ = ["TrainingRow", "data_digest", "generate_rows", "read_rows", "score_rows", "train", "write_rows"]

# Real machines showed 1.3 to 6.5 times the flip rate of their snapshots' noise models.
_FACTORS = (0.8, 8.0)
_RUNS_PER_CIRCUIT = 3
_WIDE_SHARE = 0.2
_LARGEST = 15
# Amplitudes times steps that one simulation may take: about two seconds.
_WORK = 2**29
_WIDE_SHOTS = 200_000
# Snapshots that are no machine: made up, with gates that the features do not know, or of one qubit.
_BASIS = {"rz", "sx", "x"}
_LEFT_OUT = ("FakeArmonkV2", "FakeFractionalBackend", "FakeNighthawk")


@dataclass(frozen=True)
class TrainingRow:
    """One simulated run.

    Attributes:
        seed: Of the data set.
        index: Of the circuit within it.
        kind: What kind of circuit it is.
        circuit: Kind and size.
        machine: The snapshot whose noise it is.
        factor: How much worse than the snapshot the noise is.
        shots: How many shots the entropy was taken from.
        qubits: This and the seven below: the features.
        measured: Measured bits.
        rz: Number of rz gates.
        sx: Number of sx gates.
        x: Number of x gates.
        two_qubit: Number of two-qubit gates.
        entropy: Entropy of the noisy counts over the measured bits.
        esp: Estimated success probability.
        p_eff: The effective flip rate.
    """

    seed: int
    index: int
    kind: str
    circuit: str
    machine: str
    factor: float
    shots: int
    qubits: int
    measured: int
    rz: int
    sx: int
    x: int
    two_qubit: int
    entropy: float
    esp: float
    p_eff: float

    def record(self) -> FlipRateRecord:
        """Returns what the model learns from, grouped by the kind of circuit."""
        features = np.array([getattr(self, name) for name in FEATURE_NAMES], dtype=np.float64)
        return FlipRateRecord(features, self.p_eff, self.kind, self.machine)


def generate_rows(num_circuits: int, *, seed: int, start: int = 0) -> Iterator[list[TrainingRow]]:
    """Yields the rows of one simulated circuit after the other; each circuit depends on the seed and its index alone.

    Args:
        num_circuits: How many circuits the data set has.
        seed: Of the data set.
        start: The index of the first circuit to simulate, to go on where a run was stopped.

    Raises:
        MissingExtraError: If qiskit-ibm-runtime, whose snapshots are used, is not installed.
    """
    check_integer("num_circuits", num_circuits, minimum=1)
    check_integer("seed", seed, minimum=0)
    machines = _machines()
    for index in range(start, num_circuits):
        yield _simulate(index, seed, machines)


@cache
def _machines() -> list[tuple[Any, Calibration]]:
    """Returns the snapshots with their calibrations, in alphabetical order."""
    provider = import_extra("qiskit_ibm_runtime.fake_provider", "training")
    found = []
    for name in sorted(vars(provider)):
        if not name.startswith("Fake") or name in _LEFT_OUT or "Provider" in name:
            continue
        backend = getattr(provider, name)()
        if set(backend.operation_names) >= _BASIS:
            found.append((backend, read_calibration(backend)))
    return found


def _simulate(index: int, seed: int, machines: Sequence[tuple[Any, Calibration]]) -> list[TrainingRow]:
    """Returns the rows of one circuit; draws again where a circuit is too large or its answer drowns."""
    generator = np.random.default_rng([seed, index])
    while True:
        wide = generator.random() < _WIDE_SHARE
        kinds = WIDE_KINDS if wide else KINDS
        kind = str(generator.choice(sorted(kinds)))
        # Small circuits are the most common in benchmark suites.
        size = int(generator.integers(14, 31)) if wide else 3 + int(generator.triangular(0, 1, 12))
        roomy = [machine for machine in machines if machine[0].num_qubits >= size + 2]
        if not roomy:
            continue
        backend, calibration = roomy[int(generator.integers(len(roomy)))]
        circuit = kinds[kind](size, generator)
        rows = _run_on(circuit, backend, calibration, wide, generator)
        if rows:
            break
    where = {"seed": seed, "index": index, "kind": kind, "circuit": f"{kind}_{size}", "machine": backend.name}
    return [TrainingRow(**where, **row) for row in rows]


def _run_on(
    circuit: Any, backend: Any, calibration: Calibration, wide: bool, generator: np.random.Generator
) -> list[dict[str, Any]]:
    """Returns features and flip rate of a circuit on a machine under several strengths of noise; [] if too large."""
    qiskit = import_extra("qiskit", "mitigation")
    # Higher levels take Clifford circuits apart into gates that are none.
    level = 1 if wide else int(generator.integers(1, 4))
    seed = int(generator.integers(2**31))
    try:
        transpiled = qiskit.transpile(circuit, target=backend.target, optimization_level=level, seed_transpiler=seed)
    except qiskit.transpiler.TranspilerError:
        return []  # a few snapshots have pairs of qubits that Qiskit cannot turn round
    known = circuit_features(transpiled, calibration)
    if known.esp == 0 or (not wide and known.qubits > _LARGEST):
        return []
    rows = []
    low, high = np.log(_FACTORS)
    for _ in range(_RUNS_PER_CIRCUIT):
        factor = float(np.exp(generator.uniform(low, high)))
        shots = int(np.exp(generator.uniform(math.log(1024), math.log(20_000))))
        program = compile_program(transpiled, vary(calibration, factor, generator))
        found = _wide_run(program, shots, generator) if wide else _exact_run(program, shots, generator)
        if found is None:
            return []
        entropy, p_eff = found
        values = {name: getattr(known, name) for name in FEATURE_NAMES if name != "entropy"}
        values |= {"entropy": round(entropy, 6), "esp": round(known.esp, 6)}
        rows.append({"factor": round(factor, 3), "shots": shots, "p_eff": round(p_eff, 6)} | values)
    return rows


def _exact_run(program: NoisyProgram, shots: int, generator: np.random.Generator) -> tuple[float, float] | None:
    """Returns entropy of sampled counts and the flip rate, from state vectors; None if that takes too long."""
    affordable = _WORK // (len(program.steps) << program.num_qubits)
    if affordable < 32:
        return None
    ideal, noisy = output_probabilities(program, min(affordable, 384), generator)
    answers = ideal > ideal.max() * (1 - 1e-4)
    counts = generator.multinomial(shots, noisy / noisy.sum())
    rate = effective_flip_rate(float(noisy[answers].mean()), float(ideal.max()), len(program.measured))
    return _entropy(counts) / len(program.measured), rate


def _wide_run(program: NoisyProgram, shots: int, generator: np.random.Generator) -> tuple[float, float] | None:
    """Returns the same for a Clifford circuit, from samples; None if its answers are too rare to count."""
    seeds = generator.integers(2**62, size=2).tolist()
    clean = sample_clifford(program, 256, noisy=False, seed=seeds[0])
    noisy = sample_clifford(program, _WIDE_SHOTS, noisy=True, seed=seeds[1])
    if clean is None or noisy is None:
        return None
    answers = {row.tobytes() for row in np.packbits(clean, axis=1)}
    packed = np.packbits(noisy, axis=1)
    seen = sum(row.tobytes() in answers for row in packed)
    if len(answers) > 16 or seen < 200:
        return None
    # All answers of a Clifford circuit are equally probable.
    measured = len(program.measured)
    rate = effective_flip_rate(seen / len(noisy) / len(answers), 1 / len(answers), measured)
    _, counts = np.unique(packed[:shots], axis=0, return_counts=True)
    return _entropy(counts) / measured, rate


def _entropy(counts: NDArray[np.int64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return max(0.0, -float(shares @ np.log2(shares)))


def write_rows(path: str | Path, rows: Iterable[TrainingRow]) -> None:
    """Adds rows to a CSV file, which is begun with a line of column names if it is not there.

    Raises:
        StorageError: If the file cannot be written.
    """
    path = Path(path)
    try:
        new = not path.exists() or path.stat().st_size == 0
        with path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(field.name for field in fields(TrainingRow))
            writer.writerows(astuple(row) for row in rows)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}") from error


def read_rows(path: str | Path) -> list[TrainingRow]:
    """Returns the rows of a CSV file that `write_rows` wrote.

    Raises:
        StorageError: If the file cannot be read.
        DataError: If it is no such file; the message names the line.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file: {error}") from error
    columns = [field.name for field in fields(TrainingRow)]
    if not lines or lines[0] != columns:
        raise DataError(f"{path} must begin with the columns {', '.join(columns)}")
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            values = {
                field.name: _cell(field.type, text) for field, text in zip(fields(TrainingRow), line, strict=True)
            }
        except ValueError as error:
            raise DataError(f"{path}, line {number}: {error}: the line is cut off or damaged, remove it") from error
        rows.append(TrainingRow(**values))
    return rows


def _cell(kind: object, text: str) -> Any:
    if kind is str:
        return text
    number = int(text) if kind is int else float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def data_digest(rows: Sequence[TrainingRow]) -> str:
    """Returns the SHA-256 of training data, which a model names as what it was trained on."""
    text = json.dumps([astuple(row) for row in rows])
    return hashlib.sha256(text.encode()).hexdigest()


def score_rows(model: FlipRateRegressor, rows: Sequence[TrainingRow]) -> dict[str, dict[str, float]]:
    """Returns mean squared error and R² of a model's kind on rows it was not trained on, by what the split leaves out.

    Beside the splits by kind of circuit and by machine stands 1 - ESP^(1/measured), which needs no training.
    """
    records = [row.record() for row in rows]
    features = np.stack([record.features for record in records])
    target = np.array([record.p_eff for record in records])
    esp, measured = features[:, FEATURE_NAMES.index("esp")], features[:, FEATURE_NAMES.index("measured")]
    predicted = {
        "new kinds of circuit": model.cross_predict(features, target, [row.kind for row in rows]),
        "new machines": model.cross_predict(features, target, [row.machine for row in rows]),
        "1 - ESP^(1/n)": 1 - esp ** (1 / measured),
    }
    variance = float(target.var())
    errors = {name: float(np.mean((target - values) ** 2)) for name, values in predicted.items()}
    return {name: {"mse": error, "r2": 1 - error / variance} for name, error in errors.items()}


def train(rows: Sequence[TrainingRow], *, min_samples_leaf: int = 1, random_state: int = 42) -> FlipRateRegressor:
    """Returns a model trained on simulated rows; its intervals are meant for circuits of kinds it has not seen.

    Raises:
        InputError: If there are fewer than two rows.
        MissingExtraError: If scikit-learn is not installed.
    """
    model = FlipRateRegressor(min_samples_leaf=min_samples_leaf, random_state=random_state)
    records = [row.record() for row in rows]
    return model.fit_records(records)
