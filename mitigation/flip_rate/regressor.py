"""Predicts the effective flip rate of a circuit on a device: extremely randomised trees on eight features.

The model of Patil, Baron, Zhou (arXiv:2504.10801), with an interval beside each prediction. The interval is a split
conformal one in the manner of Lei et al. (arXiv:1604.04173), with residuals scaled by the spread over trees and taken
out of fold, so that no circuit's residual comes from a forest that has seen the circuit.
"""

from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from quell.errors import DataError, InputError, StorageError, check_integer, check_known, import_extra
from quell.mitigation.flip_rate.bound import BoundFlipRate
from quell.mitigation.flip_rate.features import FEATURE_NAMES, circuit_features
from quell.mitigation.flip_rate.model_file import StoredForest, forest_to_onnx, load_forest
from quell.mitigation.flip_rate.records import FlipRateRecord

__all__ = ["FlipRateRegressor"]

_LEVELS = np.linspace(0.0, 1.0, 201)
_PARAMETERS = ("min_samples_leaf", "n_estimators", "random_state")
_SHIPPED = "flip_rate.onnx"


class FlipRateRegressor:
    """Predicts the effective flip rate p_eff from the features of a circuit, its device and its counts.

    In scikit-learn's manner, with `ExtraTreesRegressor` inside: it can be cloned and cross-validated. `shipped()` is
    trained on simulated noise of many devices; `fit` or `fit_records` train on your own history. Give a circuit and
    its device with `bind`, and hand the result to `QCluster(flip_rate=…)`.

    Attributes:
        feature_names_in_: The names of the eight features, in order.
        n_features_in_: 8.
        facts_: What is known about the model: number of rows, ranges of the features, versions, scores.

    Examples:
        >>> import numpy as np
        >>> from quell.mitigation.flip_rate import FlipRateRegressor
        >>> X = np.random.default_rng(0).random((40, 8))
        >>> model = FlipRateRegressor(n_estimators=10).fit(X, 0.2 * X[:, 6])
        >>> model.predict(X[:3]).shape
        (3,)
        >>> FlipRateRegressor.shipped().n_features_in_
        8
    """

    _estimator_type = "regressor"

    def __init__(self, *, n_estimators: int = 100, min_samples_leaf: int = 1, random_state: int = 42) -> None:
        """Keeps the settings.

        Args:
            n_estimators: How many trees.
            min_samples_leaf: The fewest training rows in a leaf; more make a smoother and smaller model.
            random_state: Seed of the trees.
        """
        self.n_estimators = n_estimators
        self.min_samples_leaf = min_samples_leaf
        self.random_state = random_state
        self._forest: Any = None

    def fit(self, X: object, y: object, groups: Sequence[object] | None = None) -> Self:
        """Trains on features and effective flip rates.

        Args:
            X: float of shape (num_rows, 8), columns in the order of `FEATURE_NAMES`.
            y: Effective flip rates, float of shape (num_rows,).
            groups: Which rows belong together, such as the circuit of each. The interval then covers circuits of new
                groups; without groups, every row counts as a group of its own.

        Raises:
            InputError: If shapes do not fit, or a number is not finite.
            MissingExtraError: If scikit-learn is not installed.
        """
        features, target, belongs = _checked_rows(X, y, groups)
        self._forest = _Fitted(self._new_forest().fit(features, target))
        predicted, spread = self._out_of_fold(features, target, belongs)
        floor = max(1e-4, float(np.median(spread)) / 2)
        scores = np.abs(target - predicted) / (spread + floor)
        self.facts_: dict[str, Any] = {
            "features": list(FEATURE_NAMES),
            "rows": len(features),
            "groups": len(set(belongs)),
            "lowest": features.min(axis=0).tolist(),
            "highest": features.max(axis=0).tolist(),
            "spread_floor": floor,
            "residual_quantiles": np.quantile(scores, _LEVELS, method="higher").tolist(),
            "out_of_fold_mse": float(np.mean((target - predicted) ** 2)),
        }
        self._keep_names()
        return self

    def fit_records(self, records: Iterable[FlipRateRecord]) -> Self:
        """Trains on measured circuits whose answers are known, grouped by circuit.

        Raises:
            InputError: If there are fewer than two records.
        """
        kept = list(records)
        if len(kept) < 2:
            raise InputError(f"training needs at least 2 records, got {len(kept)}")
        groups = [record.circuit for record in kept]
        return self.fit(np.stack([record.features for record in kept]), [record.p_eff for record in kept], groups)

    def predict(self, X: object) -> NDArray[np.float64]:
        """Returns the effective flip rate of each row, float64 of shape (num_rows,), as the forest says it.

        It is not clipped: an effective flip rate can be slightly negative.

        Raises:
            InputError: If the model is not fitted, or `X` has another shape or a number that is not finite.
        """
        return np.asarray(self._trees(X).mean(axis=1), dtype=np.float64)

    def predict_interval(self, X: object, confidence: float = 0.9) -> NDArray[np.float64]:
        """Returns an interval of the effective flip rate of each row, float64 of shape (num_rows, 2).

        It covers the flip rate of a new circuit with about this probability, on average over circuits and noise like
        those of training, as out-of-fold residuals say. It says nothing about devices whose noise is of another kind.
        Where there are too few rows for the confidence, it is (0, 0.5), which is no information.

        Raises:
            InputError: If `confidence` is not between 0 and 1, and as in `predict`.
        """
        if not 0 < confidence < 1:
            raise InputError(f"confidence must be between 0 and 1, got {confidence!r}")
        trees = self._trees(X)
        rows = self.facts_["rows"]
        level = np.ceil((rows + 1) * confidence) / rows
        if level > 1:
            return np.tile([0.0, 0.5], (len(trees), 1))
        index = int(np.ceil(level * (len(_LEVELS) - 1)))
        reach = self.facts_["residual_quantiles"][index] * (trees.std(axis=1) + self.facts_["spread_floor"])
        center = trees.mean(axis=1)
        return np.stack([center - reach, center + reach], axis=1)

    def cross_predict(self, X: object, y: object, groups: Sequence[object], folds: int = 10) -> NDArray[np.float64]:
        """Returns the flip rate of each row as a forest says it that has not seen the row's group, shape (num_rows,).

        The honest way to judge a model: grouped by circuit, it tells how new circuits fare; by machine, new machines.

        Args:
            X: As in `fit`.
            y: As in `fit`.
            groups: The group of each row.
            folds: How many forests to train at most; with at least as many as groups, each group is left out alone.

        Raises:
            InputError: If shapes do not fit, or there are fewer than two groups or folds.
        """
        features, target, belongs = _checked_rows(X, y, groups)
        check_integer("folds", folds, minimum=2)
        if len(set(belongs)) < 2:
            raise InputError(f"groups must name at least 2 groups, got {len(set(belongs))}")
        return self._out_of_fold(features, target, belongs, folds)[0]

    def score(self, X: object, y: object) -> float:
        """Returns R², the share of the variance of `y` that the predictions explain."""
        target = np.asarray(y, dtype=np.float64)
        left = float(np.sum((target - self.predict(X)) ** 2))
        return 1 - left / max(float(np.sum((target - target.mean()) ** 2)), 1e-300)

    def bind(self, circuit: Any, device: object) -> BoundFlipRate:
        """Returns an estimator of this circuit's flip rate, for the `flip_rate=` of an error mitigation method.

        Args:
            circuit: The `qiskit.QuantumCircuit` that was run, transpiled for the device.
            device: Whatever `read_calibration` reads: a backend, a Target, a snapshot or CSV file.

        Raises:
            InputError: If the model is not fitted, or the circuit is not covered; see `circuit_features`.
            DataError: If a calibration file is damaged.
        """
        self._fitted()
        return BoundFlipRate(self, circuit_features(circuit, device))

    def save(self, path: str | Path, **facts: object) -> None:
        """Writes the model as an ONNX file that holds its own digest and what is known about the model.

        Args:
            path: Where to; a file that is there is replaced.
            **facts: What to keep besides, as JSON can hold it: the command, scores.

        Raises:
            InputError: If the model is not fitted.
            MissingExtraError: If skl2onnx is not installed.
            StorageError: If the file cannot be written.
        """
        forest = self._fitted()
        if isinstance(forest, StoredForest):
            content = forest.content
        else:
            versions = {name: import_extra(name, "mitigation").__version__ for name in ("sklearn", "skl2onnx", "numpy")}
            settings = self.get_params()
            known = {**self.facts_, "versions": versions, "parameters": settings, **facts}
            content = forest_to_onnx(forest.forest, known)
        try:
            Path(path).write_bytes(content)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Returns the model in a file that `save` wrote. Nothing is unpickled, and no code is taken from the file.

        Raises:
            StorageError: If the file cannot be read.
            DataError: If it is damaged, or no flip-rate model.
            MissingExtraError: If onnxruntime is not installed.
        """
        stored = load_forest(path)
        facts = stored.facts
        needed = ("features", "rows", "lowest", "highest", "spread_floor", "residual_quantiles", "parameters")
        if any(name not in facts for name in needed) or facts["features"] != list(FEATURE_NAMES):
            raise DataError(f"{path} is no model of the eight features {', '.join(FEATURE_NAMES)}")
        model = cls(**{name: facts["parameters"][name] for name in _PARAMETERS})
        model._forest = stored
        model.facts_ = facts
        model._keep_names()
        return model

    @classmethod
    def shipped(cls) -> Self:
        """Returns the model that comes with quell, trained on simulated noise; see MODEL_CARD.md beside it."""
        with resources.as_file(resources.files("quell.mitigation.flip_rate") / _SHIPPED) as path:
            return cls.load(path)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the constructor's settings by name; there are no nested estimators for `deep` to reach."""
        del deep
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> Self:
        """Changes settings by name and returns the regressor.

        Raises:
            UnknownNameError: If there is no such setting.
        """
        for name, value in params.items():
            setattr(self, check_known("parameter of FlipRateRegressor", name, _PARAMETERS), value)
        return self

    def __sklearn_tags__(self) -> Any:
        """What scikit-learn from 1.6 on asks an estimator about itself."""
        utils = import_extra("sklearn.utils", "mitigation")
        return utils.Tags(
            estimator_type="regressor",
            target_tags=utils.TargetTags(required=True),
            regressor_tags=utils.RegressorTags(),
            input_tags=utils.InputTags(),
        )

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.get_params().items())
        return f"FlipRateRegressor({settings})"

    def _keep_names(self) -> None:
        self.n_features_in_ = len(FEATURE_NAMES)
        self.feature_names_in_ = np.array(FEATURE_NAMES, dtype=object)

    def _new_forest(self) -> Any:
        ensemble = import_extra("sklearn.ensemble", "mitigation")
        return ensemble.ExtraTreesRegressor(
            n_estimators=check_integer("n_estimators", self.n_estimators, minimum=1),
            min_samples_leaf=check_integer("min_samples_leaf", self.min_samples_leaf, minimum=1),
            random_state=check_integer("random_state", self.random_state, minimum=0),
        )

    def _out_of_fold(
        self, features: NDArray[np.float64], target: NDArray[np.float64], groups: Sequence[str], folds: int = 10
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns mean and spread over trees for each row, from a forest that has not seen its group."""
        folds = min(folds, len(set(groups)))
        mean, spread = np.zeros(len(target)), np.zeros(len(target))
        if folds < 2:
            return np.full(len(target), target.mean()), np.full(len(target), target.std())
        selection = import_extra("sklearn.model_selection", "mitigation")
        for train, test in selection.GroupKFold(folds).split(features, target, groups):
            trees = _Fitted(self._new_forest().fit(features[train], target[train])).predict_trees(features[test])
            mean[test], spread[test] = trees.mean(axis=1), trees.std(axis=1)
        return mean, spread

    def _fitted(self) -> "StoredForest | _Fitted":
        if self._forest is None:
            raise InputError("the model is not fitted: call fit, or use FlipRateRegressor.shipped()")
        forest: StoredForest | _Fitted = self._forest
        return forest

    def _trees(self, X: object) -> NDArray[np.float64]:
        """Returns what each tree says, float64 of shape (num_rows, num_trees)."""
        return self._fitted().predict_trees(_checked(X))


class _Fitted:
    """A forest as scikit-learn made it, seen as a `StoredForest` is."""

    def __init__(self, forest: Any) -> None:
        self.forest = forest

    def predict_trees(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns what each tree says, float64 of shape (num_rows, num_trees)."""
        rows = features.astype(np.float32)
        return np.stack([tree.predict(rows) for tree in self.forest.estimators_], axis=1).astype(np.float64)


def _checked(X: object) -> NDArray[np.float64]:
    """Returns features as float64 of shape (num_rows, 8), or raises `InputError`."""
    columns = getattr(X, "columns", None)
    if columns is not None and list(columns) != list(FEATURE_NAMES):
        raise InputError(f"X must have the columns {', '.join(FEATURE_NAMES)}, got {', '.join(map(str, columns))}")
    try:
        features = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"X must hold numbers: {error}") from error
    if features.ndim != 2 or features.shape[1] != len(FEATURE_NAMES) or not len(features):
        raise InputError(
            f"X must have shape (num_rows, 8), columns {', '.join(FEATURE_NAMES)}; got shape {features.shape}"
        )
    if not np.isfinite(features).all():
        raise InputError("X must hold finite numbers, got NaN or infinity")
    return features


def _checked_rows(
    X: object, y: object, groups: Sequence[object] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[str]]:
    """Returns features, target and groups of the same length, or raises `InputError`."""
    features, target = _checked(X), np.asarray(y, dtype=np.float64)
    if target.shape != (len(features),) or not np.isfinite(target).all() or len(features) < 2:
        raise InputError(
            f"y must hold one finite flip rate for each of at least 2 rows, got shape {target.shape} for "
            f"{len(features)} rows"
        )
    belongs = [str(group) for group in (range(len(features)) if groups is None else groups)]
    if len(belongs) != len(features):
        raise InputError(f"groups must have one entry per row, got {len(belongs)} for {len(features)} rows")
    return features, target, belongs
