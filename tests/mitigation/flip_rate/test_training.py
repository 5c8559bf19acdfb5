"""Training data: the same from the same seed, resumable, readable; and the model that comes with quell."""

import json
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesRegressor

from quell.cli.main import run
from quell.errors import DataError, InputError, MissingExtraError, StorageError
from quell.mitigation.flip_rate import FlipRateRegressor, generate_rows, read_calibration, read_rows, train, training

PACKAGE = resources.files("quell.mitigation.flip_rate")
SHIPPED_ROWS = Path(str(PACKAGE / "training_data.csv"))


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two made-up machines in place of the snapshots, and no wide circuits, which take longer."""
    from qiskit.providers.fake_provider import GenericBackendV2

    lines = [[q, q + 1] for q in range(18)]
    backends = [
        GenericBackendV2(19, basis_gates=[gate, "id", "rz", "sx", "x"], coupling_map=lines, seed=1)
        for gate in ("cz", "ecr")
    ]
    for backend, name in zip(backends, ("first", "second"), strict=True):
        backend.name = name
    monkeypatch.setattr(training, "_machines", lambda: [(backend, read_calibration(backend)) for backend in backends])
    monkeypatch.setattr(training, "_WORK", 2**24)
    monkeypatch.setattr(training, "_WIDE_SHOTS", 4000)


@pytest.mark.usefixtures("machines")
def test_rows_depend_on_seed_and_index_alone() -> None:
    rows = list(generate_rows(5, seed=5))
    assert [row.index for found in rows for row in found] == [index for index in range(5) for _ in range(3)]
    assert list(generate_rows(5, seed=5, start=4)) == rows[4:]
    assert list(generate_rows(2, seed=6)) != rows[:2]
    for row in (row for found in rows for row in found):
        assert 0 < row.esp <= 1
        assert 0 <= row.entropy <= 1
        assert row.measured <= row.qubits
        assert row.p_eff < 0.7
        assert 0.8 <= row.factor <= 8


def few_trees(rows: list[training.TrainingRow], **settings: int) -> FlipRateRegressor:
    return FlipRateRegressor(n_estimators=4, **settings).fit_records(row.record() for row in rows)


@pytest.mark.usefixtures("machines")
def test_the_command_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(training, "train", few_trees)
    common = ["train-flip-rate", "--data", "rows.csv", "--seed", "5", "--save", "model.onnx"]
    assert run([*common, "--num-circuits", "10"]) == 0
    assert run([*common, "--num-circuits", "11"]) == 0
    rows = read_rows("rows.csv")
    assert [row.index for row in rows] == [index for index in range(11) for _ in range(3)]
    assert rows[-6:] == [row for found in generate_rows(11, seed=5, start=9) for row in found]
    monkeypatch.setattr(training, "_machines", lambda: pytest.fail("nothing is left to simulate"))
    capsys.readouterr()
    assert run([*common, "--num-circuits", "11"]) == 0
    assert "new kinds of circuit: mean squared error" in capsys.readouterr().out
    assert run([*common, "--num-circuits", "11", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 33
    facts = FlipRateRegressor.load("model.onnx").facts_
    assert facts["command"].startswith("quell train-flip-rate --num-circuits 11 --seed 5")
    assert facts["data_sha256"] == training.data_digest(rows)
    assert run(["train-flip-rate", "--data", "rows.csv", "--seed", "6", "--save", "model.onnx"]) == 2
    assert "was made with --seed 5, got --seed 6" in capsys.readouterr().err
    assert run([*common, "--num-circuits", "9"]) == 2
    assert "--num-circuits must be an integer >= 10, got 9" in capsys.readouterr().err
    assert run(["train-flip-rate", "--save", "model.pkl"]) == 2
    assert "must name a file that ends in .onnx" in capsys.readouterr().err


def test_the_snapshots_are_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    monkeypatch.delitem(sys.modules, "qiskit_ibm_runtime.fake_provider", raising=False)
    training._machines.cache_clear()
    with pytest.raises(MissingExtraError, match=r"qiskit_ibm_runtime is not installed.*quell\[training\]"):
        next(generate_rows(10, seed=1))


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    rows = read_rows(SHIPPED_ROWS)[:7]
    path = tmp_path / "rows.csv"
    training.write_rows(path, rows[:3])
    training.write_rows(path, rows[3:])
    assert read_rows(path) == rows
    with pytest.raises(StorageError, match="cannot write"):
        training.write_rows(tmp_path, rows)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda _: "", "must begin with the columns seed, index"),
        (lambda text: text.replace("kind", "sort", 1), "must begin with the columns seed, index"),
        (lambda text: text[:-12], "line 3: .*: the line is cut off or damaged"),
        (lambda text: text.replace("\n", "\nx", 1), "line 2: invalid literal for int"),
        (lambda text: text[: text.rindex(",")] + ",nan\n", "line 3: nan is no finite number"),
    ],
)
def test_damaged_rows_are_refused(tmp_path: Path, damage: Any, message: str) -> None:
    path = tmp_path / "rows.csv"
    training.write_rows(path, read_rows(SHIPPED_ROWS)[:2])
    path.write_text(damage(path.read_text()))
    with pytest.raises(DataError, match=message):
        read_rows(path)


def test_files_that_cannot_be_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot read"):
        read_rows(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="is no CSV file"):
        read_rows(tmp_path / "bytes.csv")
    with pytest.raises(InputError, match="num_circuits must be an integer >= 1"):
        next(generate_rows(0, seed=1))


def test_what_is_shipped_is_small_and_belongs_together() -> None:
    model = PACKAGE / "flip_rate.onnx"
    assert len(model.read_bytes()) <= 3_000_000
    assert SHIPPED_ROWS.stat().st_size < 1_000_000
    facts = FlipRateRegressor.shipped().facts_
    rows = read_rows(SHIPPED_ROWS)
    assert facts["rows"] == len(rows)
    assert facts["data_sha256"] == training.data_digest(rows)
    assert facts["command"].startswith("quell train-flip-rate --num-circuits")
    card = (PACKAGE / "MODEL_CARD.md").read_text()
    assert facts["data_sha256"][:16] in card
    for score in facts["scores"].values():
        assert f"{score['r2']:.3f}" in card


def test_the_shipped_model_is_the_one_that_its_rows_make() -> None:
    rows = read_rows(SHIPPED_ROWS)
    features = np.stack([row.record().features for row in rows])
    target = np.array([row.p_eff for row in rows])
    shipped = FlipRateRegressor.shipped()
    forest = ExtraTreesRegressor(**shipped.get_params()).fit(features, target)
    # Other versions of scikit-learn may draw other trees; a hundred of them agree on average all the same.
    assert np.abs(forest.predict(features) - shipped.predict(features)).mean() < 0.01
    assert shipped.score(features, target) > 0.8


def test_training_groups_by_kind() -> None:
    rows = read_rows(SHIPPED_ROWS)[::40]
    model = train(rows, min_samples_leaf=5)
    assert model.facts_["groups"] == len({row.kind for row in rows})
    scores = training.score_rows(FlipRateRegressor(n_estimators=10), rows)
    assert set(scores) == {"new kinds of circuit", "new machines", "1 - ESP^(1/n)"}
    assert all(score["mse"] > 0 for score in scores.values())
