"""What all estimators share, in scikit-learn's manner: settings in the constructor, what was found in `name_`.

scikit-learn itself is not needed: `sklearn.base.clone` and its parameter searches ask only for `get_params` and
`set_params`.
"""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from quell.errors import check_known
from quell.mitigation.reading import read_counts
from quell.mitigation.result import MitigatedCounts, Report, label_probabilities
from quell.mitigation.table import BitOrder, CountTable

__all__ = ["Estimated", "Mitigator", "labelled"]


@dataclass(frozen=True)
class Estimated:
    """What `Mitigator.estimate` returns.

    Attributes:
        probabilities: For each row of the table, non-negative; scaled to sum to one together with `new_probabilities`.
        report: How they came about.
        fitted: What becomes an attribute of the estimator, by its name with the trailing underscore.
        new_bits: Answers that no shot gave exactly, uint8 of shape (num_new, num_bits), column i for bit i.
        new_probabilities: Their probabilities, float64 of shape (num_new,).
        state: What `Mitigator.resumed` begins from.
    """

    probabilities: NDArray[np.float64]
    report: Report
    fitted: Mapping[str, Any] = field(default_factory=dict)
    new_bits: NDArray[np.uint8] | None = None
    new_probabilities: NDArray[np.float64] | None = None
    state: Any = None


class Mitigator(ABC):
    """Base of everything that turns measured counts into better counts."""

    name: str
    """What the method is called on the command line and in reports, for example "q-cluster"."""

    @abstractmethod
    def estimate(self, table: CountTable) -> Estimated:
        """Returns better probabilities for the strings of `table`, and changes nothing else."""

    def mitigate(
        self,
        counts: object,
        *,
        num_bits: int | None = None,
        bit_order: BitOrder | None = None,
        shots: int | None = None,
    ) -> MitigatedCounts:
        """Returns the mitigated distribution of one set of counts, and keeps what was found in attributes `name_`.

        Args:
            counts: Whatever `quell.mitigation.read_counts` reads: a dict, Qiskit `Counts`, a `BitArray`, one result of
                a SamplerV2, the path of a JSON or CSV file, and others.
            num_bits: As in `read_counts`.
            bit_order: As in `read_counts`.
            shots: As in `read_counts`.

        Raises:
            InputError: If the counts cannot be used; see `read_counts`.
        """
        table = read_counts(counts, num_bits=num_bits, bit_order=bit_order, shots=shots)
        estimated = self.estimate(table)
        for attribute, value in estimated.fitted.items():
            setattr(self, attribute, value)
        raw = label_probabilities(table, table.probabilities, *_nothing_new(table))
        report = estimated.report
        explain = getattr(getattr(self, "flip_rate", None), "explain", None)
        if explain is not None:
            # A predicted flip rate that was clipped or extrapolated must not pass for a measured one.
            report = replace(report, notes=(*report.notes, *explain(table).notes))
        return MitigatedCounts(labelled(table, estimated), raw, report, table=table, estimator=self.resumed(estimated))

    def resumed(self, estimated: Estimated) -> "Mitigator":
        """Returns the estimator for shots much like those that gave `estimated`: the bootstrap's, for speed.

        It makes the same choices as this one wherever they may depend on the luck of the shots, but it may begin from
        what was found instead of from nothing.
        """
        return self.copy()

    @classmethod
    def parameter_names(cls) -> list[str]:
        """Returns the names of the constructor's settings, sorted."""
        parameters = inspect.signature(cls.__init__).parameters.values()
        variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        return sorted(p.name for p in parameters if p.name != "self" and p.kind not in variable)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Returns the constructor's settings by name; with `deep`, those of nested estimators as `outer__inner`."""
        params: dict[str, Any] = {}
        for name in self.parameter_names():
            value = getattr(self, name)
            if deep and hasattr(value, "get_params") and not isinstance(value, type):
                params |= {f"{name}__{inner}": item for inner, item in value.get_params().items()}
            params[name] = value
        return params

    def set_params(self, **params: Any) -> Self:
        """Changes settings by name and returns the estimator.

        Raises:
            UnknownNameError: If the estimator has no such setting.
        """
        for name, value in params.items():
            outer, _, inner = name.partition("__")
            check_known(f"parameter of {type(self).__name__}", outer, self.parameter_names())
            if inner:
                getattr(self, outer).set_params(**{inner: value})
            else:
                setattr(self, outer, value)
        return self

    def copy(self) -> Self:
        """Returns a new estimator with the same settings and nothing fitted."""
        return type(self)(**self.get_params(deep=False))

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self).__init__).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params(deep=False).items()
            if not _same(value, defaults[name].default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"


def _same(value: object, default: object) -> bool:
    """Whether a setting is its default; arrays never are."""
    return value is default or (isinstance(value, (int, float, str)) and bool(value == default))


def _nothing_new(table: CountTable) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    return np.zeros((0, table.num_bits), dtype=np.uint8), np.zeros(0)


def labelled(table: CountTable, estimated: Estimated) -> dict[Any, float]:
    """Returns the estimate by the caller's keys, after a check that no estimator can have broken the contract."""
    nothing_bits, nothing = _nothing_new(table)
    new_bits = nothing_bits if estimated.new_bits is None else estimated.new_bits
    new = nothing if estimated.new_probabilities is None else estimated.new_probabilities
    values = estimated.probabilities
    if min(values.min(initial=0.0), new.min(initial=0.0)) < 0 or not math.isfinite(values.sum() + new.sum()):
        raise ArithmeticError(f"{estimated.report.method} produced a negative or infinite probability")
    return label_probabilities(table, values, new_bits, new)
