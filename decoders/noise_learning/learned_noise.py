"""`LearnedNoise`: a detector error model whose probabilities were learned, with intervals, and what was not learned."""

import collections
import dataclasses
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.noise_learning.closed_form import DEVIATIONS, RateEstimates
from quell.decoders.noise_learning.drift import Drift
from quell.decoders.noise_learning.fit_of_structure import StructureFit
from quell.decoders.noise_learning.noise_parameters import NoiseParameters
from quell.decoders.noise_learning.outliers import Outlier
from quell.decoders.noise_learning.structure import FaultStructure, probabilities_of

__all__ = ["ClassOfErrors", "LearnedNoise", "class_means", "errors_as_text", "named_detectors"]

Floats = NDArray[np.float64]

_NONE_SEEN = 3.69  # the mean of a Poisson variable that is 0 in a fortieth of all cases
_VAGUE = 10.0  # between the ends of the interval of what was seen in too few shots
_MOST_ROWS = 12
_MOST_OUTLIERS = 6
_MOST_NAMES = 8


@dataclasses.dataclass(frozen=True)
class ClassOfErrors:
    """The mean of errors that are translations of each other.

    Attributes:
        such_as: The detectors that one of them flips.
        size: How many sets of detectors are in the class; errors that flip the same set are one.
        structure: Their mean probability in the structure.
        probability: Their mean probability, of the shots alone.
        interval: What holds it with 95 %.
    """

    such_as: tuple[int, ...]
    size: int
    structure: float
    probability: float
    interval: tuple[float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class LearnedNoise:
    """What detection events say of the noise. Its text, `str(noise)`, is a short table.

    Attributes:
        dem: The structure with the probabilities that were learned: flattened, errors of the same effect joined. Errors
            that flip no detector keep their probability.
        method: How it was learned.
        num_shots: How many shots were taken up, forgotten ones among them.
        effective_shots: How many shots that count fully would be as good.
        structure: float64 (I,): the probability of each error of `dem` in the structure.
        probabilities: float64 (I,): the probability that was learned; NaN where the error flips no detector.
        intervals: float64 (I, 2): what holds it with 95 %; NaN likewise. For errors that flip the same detectors it is
            that of their share.
        classes: The classes of errors, those with the most events first; empty where none are known.
        outliers: What stands apart from the rest of its class, the furthest first, as a bad qubit does.
        fit: Whether the structure can explain the events.
        drift: float64 (I,): by what factor each rate, and about each probability, is higher now than on average over
            the learner's memory; 1 where no drift is borne out, or nothing is forgotten.
        parameters: Those of the circuit's noise, where they were learned; None else.
        undetectable: int64: errors that flip no detector.
        shared: int64: errors that flip the same detectors as others, with other observables or in another
            decomposition. Events say their sum alone, and it is shared out as in the structure.
        uncertain: int64: errors that were seen in too few shots for more than an order of magnitude.
        silent_detectors: int64: detectors that never fired. Of what flips them only upper limits are known.
        unexplained_detectors: int64: detectors that fired, and that no error of the structure flips.

    Examples:
        >>> import stim
        >>> from quell.decoders.noise_learning.learn import learn_detector_error_model_with_intervals
        >>> def at(p): return stim.Circuit.generated("repetition_code:memory", distance=5, rounds=5,
        ...                                          before_measure_flip_probability=p)
        >>> events = at(0.02).compile_detector_sampler(seed=1).sample(100_000)
        >>> print(learn_detector_error_model_with_intervals(events, at(0.001)))
        closed-form, from 100,000 shots
        <BLANKLINE>
        errors  such as  structure  learned, mean (95 %)
        20      D0 D4    0.001      0.0... [0.0..., 0.0...]
        3       D20 D21  0.001      0.0... [0.0..., 0.0...]
        2       D20      0.001      0.0... [0.0..., 0.0...]
    """

    dem: stim.DetectorErrorModel
    method: str
    num_shots: int
    effective_shots: float
    structure: Floats
    probabilities: Floats
    intervals: Floats
    classes: tuple[ClassOfErrors, ...]
    outliers: tuple[Outlier, ...]
    fit: StructureFit
    drift: Floats
    parameters: NoiseParameters | None
    undetectable: NDArray[np.int64]
    shared: NDArray[np.int64]
    uncertain: NDArray[np.int64]
    silent_detectors: NDArray[np.int64]
    unexplained_detectors: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        structure: FaultStructure,
        rates: Floats,
        intervals: Floats,
        *,
        method: str,
        num_shots: int,
        effective_shots: float,
        fit: StructureFit,
        classes: tuple[ClassOfErrors, ...] = (),
        outliers: tuple[Outlier, ...] = (),
        drift: Drift | None = None,
        parameters: NoiseParameters | None = None,
        silent_detectors: NDArray[np.int64],
        unexplained_detectors: NDArray[np.int64],
    ) -> "LearnedNoise":
        """Brings rates of faults, float64 (F,), and their intervals, float64 (F, 2), to the errors of the model."""
        ends = np.stack([structure.probabilities(np.maximum(intervals[:, side], 0.0)) for side in (0, 1)], axis=1)
        faults = structure.errors_faults
        with np.errstate(invalid="ignore"):
            vague = ends[:, 1] > _VAGUE * ends[:, 0]
        return cls(
            dem=structure.model(rates),
            method=method,
            num_shots=num_shots,
            effective_shots=effective_shots,
            structure=_probabilities_in(structure.dem),
            probabilities=structure.probabilities(rates),
            intervals=ends,
            classes=classes,
            outliers=outliers,
            fit=fit,
            drift=np.ones(len(faults)) if drift is None else np.where(faults < 0, 1.0, drift.factors[faults]),
            parameters=parameters,
            undetectable=np.flatnonzero(faults < 0),
            shared=_shared(structure),
            uncertain=np.flatnonzero(vague),
            silent_detectors=silent_detectors,
            unexplained_detectors=unexplained_detectors,
        )

    def notes(self) -> list[str]:
        """Returns what could not be learned, and what the structure does not explain, a line each."""
        found = self.fit.notes()
        lowest, highest = self._drifts()
        if (lowest, highest) != (1.0, 1.0):
            found.append(
                f"the noise drifts: errors are {lowest:.2f} to {highest:.2f} times as likely now as on average over "
                f"the memory; these are the probabilities of now"
            )
        if len(self.undetectable):
            found.append(f"errors that flip no detector: {len(self.undetectable)}; they keep their probability")
        if len(self.shared):
            found.append(
                f"errors that flip the same detectors as others: {len(self.shared)}; their sums are learned, and "
                f"shared out as in the structure"
            )
        if len(self.uncertain):
            found.append(f"errors seen in too few shots to know their order of magnitude: {len(self.uncertain)}")
        if len(self.silent_detectors):
            found.append(
                f"{named_detectors(self.silent_detectors)} never fired: what flips them has upper limits alone"
            )
        if len(self.unexplained_detectors):
            found.append(
                f"{named_detectors(self.unexplained_detectors)} fired, and no error of the structure flips them"
            )
        if self.parameters is not None:
            found += self.parameters.unidentified
        return found

    def _drifts(self) -> tuple[float, float]:
        """The lowest and the highest."""
        drift = np.delete(self.drift, self.undetectable)
        return (float(drift.min()), float(drift.max())) if len(drift) else (1.0, 1.0)

    def __str__(self) -> str:
        head = f"{self.method}, from {self.num_shots:,.0f} shots"
        if self.effective_shots < 0.999 * self.num_shots:
            head += f", as good as {self.effective_shots:,.0f} that all count"
        if self.parameters is not None:
            heading, rows, total = self._parameter_rows(self.parameters)
        else:
            heading, rows, total = self._class_rows() if self.classes else self._changed_rows()
        lines = [head, "", *_aligned([heading, *rows])]
        if total > len(rows):
            lines.append(f"and {total - len(rows)} more (all are in .to_json(), --json)")
        if self.outliers:
            lines += ["", *_aligned([_OUTLIER_HEADING, *map(_outlier_row, self.outliers[:_MOST_OUTLIERS])])]
        if len(self.outliers) > _MOST_OUTLIERS:
            lines.append(f"and {len(self.outliers) - _MOST_OUTLIERS} more (.outliers, --json)")
        return "\n".join([*lines, *([""] if self.notes() else []), *self.notes()])

    def _class_rows(self) -> tuple[list[str], list[list[str]], int]:
        rows = [
            [
                str(one.size),
                " ".join(f"D{d}" for d in one.such_as),
                f"{one.structure:.3g}",
                _with_interval(one.probability, *one.interval),
            ]
            for one in self.classes[:_MOST_ROWS]
        ]
        return ["errors", "such as", "structure", "learned, mean (95 %)"], rows, len(self.classes)

    @staticmethod
    def _parameter_rows(parameters: NoiseParameters) -> tuple[list[str], list[list[str]], int]:
        rows = [
            [name, _with_interval(value, low, high)]
            for name, value, (low, high) in zip(parameters.names, parameters.values, parameters.intervals, strict=True)
        ]
        return ["parameter", "learned (95 %)"], rows, len(rows)

    def _changed(self) -> NDArray[np.int64]:
        """The errors whose probability in the structure is outside the interval, those that changed most first."""
        with np.errstate(invalid="ignore"):
            outside = (self.structure < self.intervals[:, 0]) | (self.structure > self.intervals[:, 1])
            change = np.abs(np.log(np.maximum(self.probabilities, 1e-300) / np.maximum(self.structure, 1e-300)))
        chosen = np.flatnonzero(outside)
        return chosen[np.argsort(-change[chosen], kind="stable")]

    def _changed_rows(self) -> tuple[list[str], list[list[str]], int]:
        targets = errors_as_text(self.dem)
        changed = self._changed()
        rows = [
            [
                str(error),
                targets[error],
                f"{self.structure[error]:.3g}",
                _with_interval(self.probabilities[error], *self.intervals[error]),
            ]
            for error in changed[:_MOST_ROWS]
        ]
        return ["error", "changed most", "structure", "learned (95 %)"], rows, len(changed)

    def to_json(self) -> dict[str, Any]:
        """Returns everything, as JSON takes it: also every error with its interval."""
        targets = errors_as_text(self.dem)
        errors = [
            {
                "error": targets[number],
                "structure": float(self.structure[number]),
                "probability": None if np.isnan(p) else float(p),
                "interval": None if np.isnan(p) else self.intervals[number].tolist(),
            }
            for number, p in enumerate(self.probabilities)
        ]
        return {
            "method": self.method,
            "shots": self.num_shots,
            "effective_shots": self.effective_shots,
            "confidence": 0.95,
            "classes": [
                {**dataclasses.asdict(one), "such_as": list(one.such_as), "interval": list(one.interval)}
                for one in self.classes
            ],
            "outliers": [
                {
                    **dataclasses.asdict(one),
                    "such_as": list(one.such_as),
                    "coordinates": [list(each) for each in one.coordinates],
                    "interval": list(one.interval),
                }
                for one in self.outliers
            ],
            "fit": self.fit.to_json(),
            "drift": dict(zip(("lowest", "highest"), self._drifts(), strict=True)),
            "parameters": None
            if self.parameters is None
            else {
                name: {"value": float(value), "interval": interval.tolist()}
                for name, value, interval in zip(
                    self.parameters.names, self.parameters.values, self.parameters.intervals, strict=True
                )
            },
            "errors": errors,
            **{
                name: getattr(self, name).tolist()
                for name in ("undetectable", "shared", "uncertain", "silent_detectors", "unexplained_detectors")
            },
            "notes": self.notes(),
        }


def class_means(
    structure: FaultStructure, estimates: RateEstimates, classes: NDArray[np.int64], drift: Drift
) -> tuple[ClassOfErrors, ...]:
    """Returns the mean of each class, with an interval from the scatter of the blocks of shots.

    Args:
        structure: The faults.
        estimates: What the shots say of each.
        classes: int64 (F,): numbered from 0.
        drift: How far rates have gone since.
    """
    size = np.bincount(classes)
    mean = np.bincount(classes, weights=estimates.rates * drift.factors) / size
    pulls = np.stack([np.bincount(classes, weights=row * drift.factors) / size for row in estimates.influences])
    spread = DEVIATIONS * np.sqrt(estimates.variance_of(pulls))
    # Up and down, by how much the factors may be off.
    ends = np.abs(drift.factor_ends - drift.factors[:, None]).T * estimates.rates
    below, above = (np.bincount(classes, weights=each) / size for each in ends)
    trials = size * estimates.effective_shots
    low = np.maximum(mean - np.hypot(spread, below), 0.0)
    high = np.maximum(mean + np.hypot(spread, above), 2 * _NONE_SEEN / trials)  # rates are twice probabilities
    given = np.bincount(classes, weights=structure.nominal) / size
    first = np.unique(classes, return_index=True)[1]
    order = np.argsort(-size * mean, kind="stable")
    return tuple(
        ClassOfErrors(
            such_as=tuple(int(d) for d in structure.detectors[first[number]] if d >= 0),
            size=int(size[number]),
            structure=float(probabilities_of(given[number])),
            probability=float(probabilities_of(np.maximum(mean[number], 0.0))),
            interval=(float(probabilities_of(low[number])), float(probabilities_of(high[number]))),
        )
        for number in order
    )


def errors_as_text(dem: stim.DetectorErrorModel) -> list[str]:
    """Returns what each error of a flat model flips, for example `"D0 D3 ^ D5 L0"`."""
    return [" ".join(map(str, error.targets_copy())) or "nothing" for error in _errors(dem)]


def _shared(structure: FaultStructure) -> NDArray[np.int64]:
    """The errors that flip the same detectors as others, and are not written the same."""
    faults = structure.errors_faults
    members = np.bincount(faults[faults >= 0], minlength=structure.num_faults)
    several = np.flatnonzero((faults >= 0) & (members[faults] > 1))
    errors = _errors(structure.dem)
    written: dict[int, set[str]] = collections.defaultdict(set)
    for number in several:
        written[faults[number]].add(str(errors[number].targets_copy()))
    return several[[len(written[faults[number]]) > 1 for number in several]]


def _probabilities_in(dem: stim.DetectorErrorModel) -> Floats:
    return np.array([error.args_copy()[0] for error in _errors(dem)], dtype=np.float64)


def _errors(dem: stim.DetectorErrorModel) -> list[stim.DemInstruction]:
    instructions = (dem[i] for i in range(len(dem)))
    return [each for each in instructions if isinstance(each, stim.DemInstruction) and each.type == "error"]


def named_detectors(detectors: NDArray[np.int64]) -> str:
    """Returns `"D3, D4"`, or `"12 detectors (D3, D4, …)"`."""
    names = ", ".join(f"D{d}" for d in detectors[:_MOST_NAMES])
    return names if len(detectors) <= _MOST_NAMES else f"{len(detectors)} detectors ({names}, …)"


_OUTLIER_HEADING = ["apart from their class", "such as", "at", "rest of class", "learned (95 %)", "standard errors"]


def _outlier_row(one: Outlier) -> list[str]:
    return [
        str(one.size),
        " ".join(f"D{d}" for d in one.such_as),
        " ".join(f"({', '.join(f'{x:g}' for x in each)})" for each in one.coordinates if each),
        f"{one.class_probability:.3g}",
        _with_interval(one.probability, *one.interval),
        f"{one.deviations:+.0f}",
    ]


def _with_interval(value: float, low: float, high: float) -> str:
    return f"{value:.3g} [{low:.3g}, {high:.3g}]"


def _aligned(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
