"""The structure of a detector error model, apart from its probabilities: which sets of detectors are flipped together.

What detection events can tell is the rate of each distinct set of detectors. Errors that flip the same set, whatever
their observables and decompositions, are one *fault* here, and share its rate as they do in the model that was given;
those that flip the same observables, too, are joined first.
"""

import dataclasses
import re

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.join_decompositions import join_equal_errors
from quell.errors import CircuitError, InputError

__all__ = ["MOST_DETECTORS", "FaultStructure", "probabilities_of", "rates_of"]

MOST_DETECTORS = 12  # of a fault: its 2^12 subsets are all counted
_LARGEST_NOMINAL = 0.49  # a probability of the structure, which is not trusted


def rates_of(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns w = -log(1 - 2p): rates of independent errors add where they flip the same detectors.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.noise_learning.structure import probabilities_of, rates_of
        >>> float(probabilities_of(rates_of(np.array([0.1])) + rates_of(np.array([0.2])))[0].round(6))
        0.26
    """
    return np.asarray(-np.log1p(-2 * probabilities), dtype=np.float64)


def probabilities_of(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns p = (1 - exp(-w)) / 2, below 1/2 for every rate."""
    return np.asarray(-np.expm1(-rates) / 2, dtype=np.float64)


@dataclasses.dataclass(frozen=True, eq=False)
class FaultStructure:
    """The faults of a model: the distinct sets of detectors that its errors flip.

    Attributes:
        dem: The model, flattened, errors of the same effect joined (`join_equal_errors`).
        num_detectors: D.
        num_observables: O.
        coordinates: Of the detectors, by number.
        detectors: int32 (F, K): what each fault flips, in order, filled up with -1; no two rows are equal.
        nominal: float64 (F,): the rates of the faults in the model that was given, in which probabilities above 0.49
            count as that.
        errors_faults: int64 (I,): the fault of each error of `dem`, -1 where it flips no detector.
        shares: float64 (I,): which share of its fault's rate each error has; 0 for those without a fault.
        given_faults: int64 (G,): the fault of each error of the model that was given, flattened.
    """

    dem: stim.DetectorErrorModel
    num_detectors: int
    num_observables: int
    coordinates: dict[int, list[float]]
    detectors: NDArray[np.int32]
    nominal: NDArray[np.float64]
    errors_faults: NDArray[np.int64]
    shares: NDArray[np.float64]
    given_faults: NDArray[np.int64]

    @classmethod
    def of(cls, structure: stim.Circuit | stim.DetectorErrorModel) -> "FaultStructure":
        """Reads a model, or that of a circuit.

        Args:
            structure: A model, decomposed or not. Of a circuit the model is made with `decompose_errors`, and without
                it where its errors do not decompose.

        Raises:
            InputError: There are no errors that flip detectors, or one flips more than `MOST_DETECTORS`.
            CircuitError: The circuit has no model, for example because a detector is not deterministic.

        Examples:
            >>> import stim
            >>> from quell.decoders.noise_learning.structure import FaultStructure
            >>> dem = stim.DetectorErrorModel("error(.1) D0 L0 \\n error(.2) D0 D1 \\n error(.3) D0 D1 L0")
            >>> structure = FaultStructure.of(dem)
            >>> structure.detectors.tolist(), structure.errors_faults.tolist()
            ([[0, -1], [0, 1]], [0, 1, 1])
            >>> structure.model(structure.nominal).approx_equals(dem, atol=1e-12)
            True
        """
        given = _model_of(structure).flattened()
        dem = join_equal_errors(given)
        flips, probabilities = _errors(dem)
        known = sorted({row for row in flips if row}, key=lambda row: (len(row), row))
        if not known:
            raise InputError(
                f"the structure has {dem.num_detectors} detectors and {len(flips)} errors, none of which flips a "
                f"detector: give the circuit with noise on it, at any rates, or its model"
            )
        largest = known[-1]
        if len(largest) > MOST_DETECTORS:
            raise InputError(
                f"an error of the structure flips {len(largest)} detectors (D{', D'.join(map(str, largest[:4]))}, …), "
                f"the limit is {MOST_DETECTORS}: leave such errors out of the structure"
            )
        number = {row: place for place, row in enumerate(known)}
        faults = np.array([number[row] if row else -1 for row in flips], dtype=np.int64)
        rates = rates_of(np.minimum(probabilities, _LARGEST_NOMINAL))
        rates[faults < 0] = 0.0
        nominal = np.bincount(faults[faults >= 0], weights=rates[faults >= 0], minlength=len(known)).astype(np.float64)
        members = np.bincount(faults[faults >= 0], minlength=len(known))
        with np.errstate(invalid="ignore", divide="ignore"):
            shares = np.where(nominal[faults] > 0, rates / nominal[faults], 1 / members[faults])
        shares[faults < 0] = 0.0
        given_flips, _ = _errors(given)
        width = len(largest)
        return cls(
            dem=dem,
            num_detectors=dem.num_detectors,
            num_observables=dem.num_observables,
            coordinates=dem.get_detector_coordinates(),
            detectors=np.array([[*row] + [-1] * (width - len(row)) for row in known], dtype=np.int32),
            nominal=nominal,
            errors_faults=faults,
            shares=shares,
            given_faults=np.array([number[row] if row else -1 for row in given_flips], dtype=np.int64),
        )

    @property
    def num_faults(self) -> int:
        """F."""
        return len(self.detectors)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """int64 (F,): how many detectors each fault flips."""
        return np.asarray((self.detectors >= 0).sum(axis=1), dtype=np.int64)

    def probabilities(self, rates: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the probability of each error, float64 (I,); NaN for those without a fault.

        Args:
            rates: float64 (F,): of the faults, at least 0.
        """
        found = probabilities_of(rates[self.errors_faults] * self.shares)
        found[self.errors_faults < 0] = np.nan
        return found

    def model(self, rates: NDArray[np.float64]) -> stim.DetectorErrorModel:
        """Returns the model with other rates: the errors of `dem`, with their decompositions, observables and tags.

        Errors that flip no detector keep their probability, of which detection events say nothing.

        Args:
            rates: float64 (F,): of the faults, at least 0.
        """
        probabilities = iter(self.probabilities(rates).tolist())
        model = stim.DetectorErrorModel()
        for instruction in (self.dem[i] for i in range(len(self.dem))):
            assert isinstance(instruction, stim.DemInstruction)  # it is flattened
            if instruction.type == "error":
                probability = next(probabilities)
                if probability == probability:
                    model.append("error", probability, list(instruction.targets_copy()), tag=instruction.tag)
                    continue
            model.append(instruction)
        return model


def _model_of(structure: object) -> stim.DetectorErrorModel:
    if isinstance(structure, stim.DetectorErrorModel):
        return structure
    if not isinstance(structure, stim.Circuit):
        raise InputError(
            f"structure must be a stim.Circuit or a stim.DetectorErrorModel, got {type(structure).__name__}"
        )
    try:
        return structure.detector_error_model(decompose_errors=True, approximate_disjoint_errors=True)
    except ValueError:
        pass
    try:
        return structure.detector_error_model(approximate_disjoint_errors=True)
    except ValueError as error:
        raise CircuitError(f"the circuit has no detector error model: {_reason(error)}") from error


def _reason(error: ValueError) -> str:
    """What Stim says, without its advice on how to draw it."""
    text = str(error)
    first = text.split("\n\n")[0].strip()
    if "non-deterministic" not in first:
        return first
    named = re.search(r"anti-commuted with these detectors/observables:\n\s*(.+)", text)
    return (
        f"{first.rstrip('.')}{f', the first is {named[1].strip()}' if named else ''}; the parity of a detector must be "
        f"fixed where there is no noise: correct its measurements, or leave it out"
    )


def _errors(dem: stim.DetectorErrorModel) -> tuple[list[tuple[int, ...]], NDArray[np.float64]]:
    """The detectors that each error of a flat model flips, in order, and the probabilities."""
    flips: list[tuple[int, ...]] = []
    probabilities: list[float] = []
    for instruction in (dem[i] for i in range(len(dem))):
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        found: set[int] = set()
        for target in instruction.targets_copy():
            if isinstance(target, stim.DemTarget) and target.is_relative_detector_id():
                found ^= {target.val}
        flips.append(tuple(sorted(found)))
        probabilities.append(instruction.args_copy()[0])
    return flips, np.array(probabilities, dtype=np.float64)
