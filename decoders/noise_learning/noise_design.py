"""How the rates of faults follow from the few parameters of a circuit's noise, and which parameters look alike.

Every place in a circuit where one Pauli error of probability theta can happen adds -log(1 - 2 theta) to the rate of the
fault that it makes, so that all rates are a matrix of whole numbers times one number for each parameter. Where columns
of the matrix depend on each other, no syndrome of this circuit tells their parameters apart.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import stim
from numpy.typing import NDArray

from quell.circuits import NoiseModel
from quell.decoders.noise_learning.structure import FaultStructure, rates_of
from quell.errors import InputError, check_probability

__all__ = ["PAULI25", "NoiseDesign", "noise_design", "pauli25_design", "pauli25_noise"]

Floats = NDArray[np.float64]

_PAIRS = tuple(first + second for first in "IXYZ" for second in "IXYZ")[1:]
_GROUPS = {"preparation": ("R", "RX"), "measurement": ("M", "MX"), "idle_cx": "XYZ", "idle_spam": "XYZ", "cx": _PAIRS}
PAULI25: tuple[str, ...] = tuple(f"{group}[{kind}]" for group, kinds in _GROUPS.items() for kind in kinds)
_RATE = 1e-3  # at which a parameter is tried out; any small one would do
_DEPENDENT = 1e-9  # singular values, of columns of length 1


@dataclasses.dataclass(frozen=True, eq=False)
class NoiseDesign:
    """Rates of faults as sums over parameters.

    Attributes:
        structure: The faults.
        names: Of the J parameters.
        matrix: float64 (F, J): a fault's rate is the sum of these times -log(1 - 2 theta).
    """

    structure: FaultStructure
    names: tuple[str, ...]
    matrix: Floats

    def null_directions(self) -> Floats:
        """Returns changes of the -log(1 - 2 theta) that change no rate of a fault, float64 (R, J), in echelon form."""
        lengths = np.linalg.norm(self.matrix, axis=0)
        lengths[lengths == 0] = 1.0
        gram = (self.matrix / lengths).T @ (self.matrix / lengths)
        values, vectors = np.linalg.eigh(gram)
        return _echelon(vectors[:, values < _DEPENDENT * values[-1]].T / lengths)

    def relations(self) -> tuple[str, ...]:
        """Returns what detection events cannot tell, a sentence for each null direction.

        Examples:
            >>> import stim
            >>> from quell.decoders.noise_learning.noise_design import noise_design
            >>> from quell.decoders.noise_learning.structure import FaultStructure
            >>> structure = FaultStructure.of(stim.DetectorErrorModel("error(.1) D0 \\n error(.1) D1"))
            >>> one, two = (stim.DetectorErrorModel(f"detector D1 \\n error(.001) {flips}") for flips in ("D0", "D1"))
            >>> design = noise_design(structure, {"a": one, "b": two, "c": one})
            >>> design.relations()
            ('a and c cannot be told apart: only their sum is learned',)
        """
        return tuple(self._relation(direction) for direction in self.null_directions())

    def _relation(self, direction: Floats) -> str:
        there = np.flatnonzero(direction)
        names = [self.names[j] for j in there]
        if len(there) == 1:
            return f"{names[0]} cannot be learned: no detector sees it"
        if len(there) == 2 and abs(direction[there].sum()) == 0:
            return f"{names[0]} and {names[1]} cannot be told apart: only their sum is learned"
        up, down = (self._parts(direction, there[side * direction[there] > 0]) for side in (1, -1))
        return f"what goes from {up} to {down} cannot be seen"

    def _parts(self, direction: Floats, there: NDArray[np.int64]) -> str:
        factors = [f"{abs(direction[j]):.4g} " if abs(direction[j]) != 1 else "" for j in there]
        return " + ".join(f"{factor}{self.names[j]}" for factor, j in zip(factors, there, strict=True))


def noise_design(
    structure: FaultStructure,
    models: Mapping[str, stim.Circuit | stim.DetectorErrorModel],
    *,
    rate: float = _RATE,
) -> NoiseDesign:
    """Finds what each parameter of a noise does.

    Args:
        structure: The faults.
        models: For each parameter a circuit, or its model, in which it has this rate and all others are zero.
        rate: Between 0 and 0.1.

    Raises:
        InputError: A model has other detectors than the structure, or an error that flips detectors as none there does.

    Examples:
        >>> import stim
        >>> from quell.decoders.noise_learning.noise_design import noise_design
        >>> from quell.decoders.noise_learning.structure import FaultStructure
        >>> def at(**rates): return stim.Circuit.generated("repetition_code:memory", distance=3, rounds=3, **rates)
        >>> names = "before_round_data_depolarization", "before_measure_flip_probability"
        >>> structure = FaultStructure.of(at(**dict.fromkeys(names, 0.01)))
        >>> design = noise_design(structure, {name: at(**{name: 0.001}) for name in names})
        >>> design.matrix.shape, sorted(set(design.matrix.ravel().round(4).tolist()))
        ((18, 2), [0.0, 0.6664, 1.0])
    """
    rate = check_probability("rate", rate, maximum=0.1)
    if not rate > 0 or not models:
        raise InputError(
            f"a design needs a rate above 0 and models of at least one parameter, got {rate}, {len(models)}"
        )
    number = {tuple(row[row >= 0].tolist()): fault for fault, row in enumerate(structure.detectors)}
    columns = [_rates_in(structure, number, name, model) for name, model in models.items()]
    matrix = np.stack(columns, axis=1) / float(rates_of(np.array(rate)))
    return NoiseDesign(structure, tuple(models), matrix)


def pauli25_design(circuit: stim.Circuit) -> NoiseDesign:
    """Finds what each parameter of `quell.circuits.NoiseModel.pauli25` does in a circuit.

    Args:
        circuit: Of CX, R, RX, M and MX; its own noise does not matter.

    Returns:
        The design, whose structure has all faults of this noise. Its parameters are named by `PAULI25`. Its entries
        count places: Stim takes the Paulis of one channel as independent here, which is right up to theta squared.

    Raises:
        CircuitError: The noise cannot be placed on the circuit.
        InputError: No detector sees any of it.

    Examples:
        >>> from quell.circuits import rotated_surface_memory
        >>> from quell.decoders.noise_learning.noise_design import pauli25_design
        >>> design = pauli25_design(rotated_surface_memory(3, 3))
        >>> design.matrix.shape, design.names[:2], len(design.relations())
        ((219, 25), ('preparation[R]', 'preparation[RX]'), 4)
    """
    if not isinstance(circuit, stim.Circuit):
        raise InputError(f"circuit must be a stim.Circuit, got {type(circuit).__name__}")
    plain = circuit.without_noise()
    structure = FaultStructure.of(NoiseModel.pauli25_from_uniform(_RATE).apply(plain))
    alone = {name: pauli25_noise(_RATE * np.eye(len(PAULI25))[j]).apply(plain) for j, name in enumerate(PAULI25)}
    return noise_design(structure, alone)


def pauli25_noise(values: Floats) -> NoiseModel:
    """Returns the noise model with 25 rates, in the order of `PAULI25`.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.noise_learning.noise_design import pauli25_noise
        >>> pauli25_noise(np.full(25, 0.001)).parameters["preparation"]
        (0.001, 0.001)
    """
    rates = iter(np.asarray(values, dtype=np.float64).tolist())
    parts = {group: [next(rates) for _ in kinds] for group, kinds in _GROUPS.items()}
    return NoiseModel.pauli25(
        preparation=parts["preparation"],
        measurement=parts["measurement"],
        idle_cx=parts["idle_cx"],
        idle_spam=parts["idle_spam"],
        cx=parts["cx"],
    )


def _rates_in(
    structure: FaultStructure,
    number: dict[tuple[int, ...], int],
    name: str,
    model: stim.Circuit | stim.DetectorErrorModel,
) -> Floats:
    """The rates of the structure's faults, float64 (F,), in another model."""
    dem = model.detector_error_model(approximate_disjoint_errors=True) if isinstance(model, stim.Circuit) else model
    if dem.num_detectors != structure.num_detectors:
        raise InputError(
            f"the model of {name} has {dem.num_detectors} detectors, the structure has {structure.num_detectors}: make "
            f"both from one circuit"
        )
    found = np.zeros(structure.num_faults)
    try:
        faults = FaultStructure.of(dem)
    except InputError:
        if _sees_nothing(dem):
            return found
        raise
    for row, rate in zip(faults.detectors, faults.nominal, strict=True):
        flipped = tuple(row[row >= 0].tolist())
        if flipped not in number:
            raise InputError(
                f"the model of {name} flips {', '.join(f'D{d}' for d in flipped)} together, which no error of the "
                f"structure does: make the structure from a circuit with all of this noise on it"
            )
        found[number[flipped]] = rate
    return found


def _sees_nothing(dem: stim.DetectorErrorModel) -> bool:
    """Whether no error flips a detector."""
    flat = dem.flattened()
    errors = (flat[place] for place in range(len(flat)))
    return not any(
        isinstance(target, stim.DemTarget) and target.is_relative_detector_id()
        for error in errors
        if isinstance(error, stim.DemInstruction) and error.type == "error"
        for target in error.targets_copy()
    )


def _echelon(rows: Floats) -> Floats:
    """The reduced row echelon form, of rows that have one with small whole numbers or fractions."""
    rows = rows.copy()
    done = 0
    for column in range(rows.shape[1]):
        if done == len(rows):
            break
        best = done + int(np.argmax(np.abs(rows[done:, column])))
        if abs(rows[best, column]) < 1e-7 * np.abs(rows).max():
            continue
        rows[[done, best]] = rows[[best, done]]
        rows[done] /= rows[done, column]
        others = np.arange(len(rows)) != done
        rows[others] -= rows[others, column][:, None] * rows[done]
        done += 1
    return np.asarray(np.round(rows, 6) + 0.0)
