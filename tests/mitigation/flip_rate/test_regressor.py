"""The regressor as scikit-learn sees it, its intervals, and its files."""

import copy
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from sklearn.base import clone, is_regressor
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score

from quell.errors import DataError, InputError, StorageError, UnknownNameError
from quell.mitigation import read_counts
from quell.mitigation.flip_rate import FEATURE_NAMES, FlipRateRecord, FlipRateRegressor

from .test_features import device


def history(rows: int = 120, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Rows whose flip rate follows ESP and entropy, in groups of four."""
    generator = np.random.default_rng(seed)
    features = generator.random((rows, 8))
    features[:, :6] = np.round(features[:, :6] * 40)
    target = 0.2 * (1 - features[:, 7]) + 0.1 * features[:, 6] + generator.normal(0, 0.01, rows)
    return features, target, [f"circuit{row // 4}" for row in range(rows)]


@pytest.fixture(scope="module")
def fitted() -> FlipRateRegressor:
    return FlipRateRegressor(n_estimators=30).fit(*history())


def test_predictions_are_those_of_extra_trees() -> None:
    features, target, groups = history()
    model = FlipRateRegressor().fit(features, target, groups)
    plain = ExtraTreesRegressor(n_estimators=100, random_state=42).fit(features, target)
    np.testing.assert_allclose(model.predict(features), plain.predict(features), rtol=1e-12)
    assert model.score(features, target) == pytest.approx(plain.score(features, target))


def test_the_manners_of_scikit_learn(fitted: FlipRateRegressor) -> None:
    features, target, groups = history()
    cloned = clone(FlipRateRegressor(n_estimators=7, random_state=3))
    assert cloned.get_params() == {"min_samples_leaf": 1, "n_estimators": 7, "random_state": 3}
    assert cloned.set_params(n_estimators=5) is cloned
    assert cloned.n_estimators == 5
    assert is_regressor(cloned)
    scores = cross_val_score(cloned, features, target, groups=groups, cv=GroupKFold(3))
    assert scores.shape == (3,)
    assert (scores > 0.3).all()
    search = GridSearchCV(cloned, {"min_samples_leaf": [1, 20]}, cv=GroupKFold(3)).fit(features, target, groups=groups)
    assert search.best_params_ == {"min_samples_leaf": 1}
    assert fitted.n_features_in_ == 8
    assert fitted.feature_names_in_.tolist() == list(FEATURE_NAMES)
    assert repr(cloned) == "FlipRateRegressor(min_samples_leaf=1, n_estimators=5, random_state=3)"
    with pytest.raises(UnknownNameError, match="did you mean 'n_estimators'"):
        cloned.set_params(n_estimator=5)


def test_records_are_grouped_by_circuit(fitted: FlipRateRegressor) -> None:
    features, target, groups = history()
    records = [FlipRateRecord(*row) for row in zip(features, target.tolist(), groups, strict=True)]
    model = FlipRateRegressor(n_estimators=30).fit_records(records)
    np.testing.assert_array_equal(model.predict(features), fitted.predict(features))
    assert model.facts_ == fitted.facts_
    assert model.facts_["groups"] == 30


def test_cross_prediction_never_sees_the_group() -> None:
    features, target, groups = history(40)
    # Each group shares features that no other has, and a flip rate of its own: only a leak could tell it.
    features = np.repeat(np.arange(10.0), 4)[:, None] * np.ones(8)
    own = np.random.default_rng(5).permutation(10).repeat(4) / 20
    leaked = FlipRateRegressor(n_estimators=10).cross_predict(features, own, list(range(40)))
    honest = FlipRateRegressor(n_estimators=10).cross_predict(features, own, groups, folds=40)
    np.testing.assert_allclose(leaked, own, atol=1e-12)
    assert np.abs(honest - own).min() > 1e-3
    with pytest.raises(InputError, match="at least 2 groups, got 1"):
        FlipRateRegressor().cross_predict(features, target, ["one"] * 40)


def test_intervals_cover_what_they_say() -> None:
    features, target, groups = history(400, seed=1)
    model = FlipRateRegressor(n_estimators=30).fit(features, target, groups)
    fresh, truth, _ = history(2000, seed=2)
    for confidence in (0.5, 0.9):
        low, high = model.predict_interval(fresh, confidence).T
        share = float(np.mean((low <= truth) & (truth <= high)))
        # Split conformal on 400 residuals: the share follows a beta law of width sqrt(c (1 - c) / 400) about c, and
        # 2,000 rows add their own; 0.13 is over 5 of the sum, below 1e-6.
        assert abs(share - confidence) < 0.13
    assert (model.predict_interval(fresh, 0.9)[:, 0] < model.predict_interval(fresh, 0.5)[:, 0]).all()
    for confidence in (0.0, 1.0, float("nan")):
        with pytest.raises(InputError, match="confidence must be between 0 and 1"):
            model.predict_interval(fresh, confidence)


def test_too_few_rows_for_the_confidence_say_nothing() -> None:
    model = FlipRateRegressor(n_estimators=5).fit(*history(8))
    np.testing.assert_array_equal(model.predict_interval(history(3)[0], 0.95), [[0.0, 0.5]] * 3)
    alone = FlipRateRegressor(n_estimators=5).fit(history(8)[0], history(8)[1], ["one"] * 8)
    assert np.isfinite(alone.predict_interval(history(3)[0], 0.5)).all()


@pytest.mark.parametrize("bad", [np.zeros((3, 7)), np.zeros(8), np.full((2, 8), np.nan), [["a"] * 8], np.zeros((0, 8))])
def test_features_of_another_form_are_refused(fitted: FlipRateRegressor, bad: object) -> None:
    with pytest.raises(InputError, match="X must h"):
        fitted.predict(bad)


def test_targets_and_settings_out_of_range_are_refused(fitted: FlipRateRegressor) -> None:
    features, target, groups = history()
    for bad in (target[:-1], target[:, None], np.full(len(target), np.inf)):
        with pytest.raises(InputError, match="y must hold one finite flip rate"):
            FlipRateRegressor().fit(features, bad, groups)
    with pytest.raises(InputError, match="groups must have one entry per row"):
        FlipRateRegressor().fit(features, target, groups[1:])
    with pytest.raises(InputError, match="at least 2 records, got 1"):
        FlipRateRegressor().fit_records([FlipRateRecord(features[0], 0.1, "one")])
    with pytest.raises(InputError, match="n_estimators must be an integer >= 1"):
        FlipRateRegressor(n_estimators=0).fit(features, target)
    with pytest.raises(InputError, match="the model is not fitted"):
        FlipRateRegressor().predict(features)

    class Frame:
        columns = ("esp", *FEATURE_NAMES[:-1])

    with pytest.raises(InputError, match="X must have the columns"):
        fitted.predict(Frame())


def bell() -> QuantumCircuit:
    circuit = QuantumCircuit(3, 2)
    circuit.sx(0)
    circuit.cz(0, 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_a_bound_model_is_a_flip_rate_for_counts(fitted: FlipRateRegressor) -> None:
    table = read_counts({"00": 400, "11": 410, "01": 100, "10": 90})
    bound = fitted.bind(bell(), device())
    said = bound.explain(table)
    assert bound.flip_rate(table) == said.flip_rate == said.unclipped
    assert said.features["two_qubit"] == 1
    assert said.interval.low <= said.flip_rate <= said.interval.high
    assert not said.clipped
    direct = fitted.predict(np.array([list(said.features.values())]))
    assert said.flip_rate == pytest.approx(float(direct[0]), abs=1e-12)
    with pytest.raises(InputError, match="the counts have 3 bits"):
        bound.flip_rate(read_counts({"000": 1}))
    with pytest.raises(InputError, match="the model is not fitted"):
        FlipRateRegressor().bind(bell(), device())


@pytest.mark.parametrize(("always", "clipped"), [(0.7, 0.49), (-0.1, 0.0)])
def test_clipping_and_extrapolation_are_said(always: float, clipped: float) -> None:
    features, target, groups = history()
    model = FlipRateRegressor(n_estimators=5).fit(features + 100, np.full(len(target), always), groups)
    said = model.bind(bell(), device()).explain(read_counts({"00": 1}))
    assert (said.flip_rate, said.clipped) == (clipped, True)
    assert any(f"is clipped to {clipped:g}" in note for note in said.notes)
    assert any("two_qubit is 1, and the model was trained on" in note for note in said.notes)


def test_q_cluster_takes_a_bound_model(fitted: FlipRateRegressor) -> None:
    from quell.mitigation.q_cluster import QCluster

    counts = {"00": 400, "11": 410, "01": 100, "10": 90}
    bound = fitted.bind(bell(), device())
    report = QCluster(flip_rate=bound).mitigate(counts).report
    assert report.flip_rate == pytest.approx(bound.flip_rate(read_counts(counts)))


def test_a_saved_model_says_the_same(fitted: FlipRateRegressor, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    fitted.save(path, command="by hand")
    loaded = FlipRateRegressor.load(path)
    features = history(50, seed=9)[0]
    # The file holds 32-bit numbers.
    np.testing.assert_allclose(loaded.predict(features), fitted.predict(features), atol=2e-7)
    np.testing.assert_allclose(loaded.predict_interval(features), fitted.predict_interval(features), atol=1e-5)
    assert loaded.get_params() == fitted.get_params()
    assert loaded.facts_["command"] == "by hand"
    assert set(loaded.facts_["versions"]) == {"sklearn", "skl2onnx", "numpy"}
    again = tmp_path / "again.onnx"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="the model is not fitted"):
        FlipRateRegressor().save(path)
    with pytest.raises(StorageError, match="cannot write"):
        fitted.save(tmp_path / "no" / "model.onnx")


def test_a_loaded_model_can_be_copied_and_sent(fitted: FlipRateRegressor, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model.onnx")
    loaded = FlipRateRegressor.load(tmp_path / "model.onnx")
    features = history(5)[0]
    for other in (copy.deepcopy(loaded), pickle.loads(pickle.dumps(loaded))):
        np.testing.assert_array_equal(other.predict(features), loaded.predict(features))


def test_the_file_is_plain_onnx(fitted: FlipRateRegressor, tmp_path: Path) -> None:
    import onnx

    path = tmp_path / "model.onnx"
    fitted.save(path)
    model = onnx.load(path)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node] == ["TreeEnsembleRegressor"]


def test_damaged_and_foreign_files_are_refused(fitted: FlipRateRegressor, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    fitted.save(path)
    content = path.read_bytes()
    for place in (100, len(content) // 2, len(content) - 150):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError, match=r"damaged|no flip-rate model"):
            FlipRateRegressor.load(path)
    for foreign in (b"", content[: len(content) // 2], content + b"more", pickle.dumps({"a": 1}), b"[1, 2]"):
        path.write_bytes(foreign)
        with pytest.raises(DataError, match=r"no flip-rate model|damaged"):
            FlipRateRegressor.load(path)
    with pytest.raises(StorageError, match="cannot read"):
        FlipRateRegressor.load(tmp_path / "none.onnx")


def test_an_onnx_file_of_another_model_is_refused(tmp_path: Path) -> None:
    from quell.mitigation.flip_rate.model_file import forest_to_onnx

    features, target, _ = history()
    forest = ExtraTreesRegressor(n_estimators=2).fit(features, target)
    path = tmp_path / "other.onnx"
    path.write_bytes(forest_to_onnx(forest, {"features": ["a", "b"]}))
    with pytest.raises(DataError, match="no model of the eight features"):
        FlipRateRegressor.load(path)
    path.write_bytes(forest_to_onnx(forest, {"format": 99}))
    with pytest.raises(DataError, match="format 99, and this version of quell reads 1"):
        FlipRateRegressor.load(path)


def test_the_shipped_model_needs_no_scikit_learn() -> None:
    program = (
        "import sys; sys.modules['sklearn'] = None; sys.modules['skl2onnx'] = None\n"
        "import numpy as np\n"
        "from quell.mitigation.flip_rate import FlipRateRegressor\n"
        "print(FlipRateRegressor.shipped().predict(np.array([[11, 11, 51, 29, 5, 10, 0.47, 0.74]]))[0])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < 0.3


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, quell.mitigation.flip_rate, quell.mitigation.twirling\n"
        "print(sorted({'sklearn', 'qiskit', 'onnx', 'onnxruntime', 'skl2onnx', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
