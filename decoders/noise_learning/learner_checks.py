"""What must hold before noise can be learned: arguments of the learners, and what detectors did in the shots."""

import inspect
import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.noise_learning.learned_noise import named_detectors
from quell.decoders.noise_learning.noise_design import NoiseDesign, pauli25_design
from quell.decoders.noise_learning.parity_counts import ParityCounts
from quell.decoders.noise_learning.structure import FaultStructure
from quell.decoders.noise_learning.translation import translation_classes
from quell.errors import InputError, check_known

__all__ = ["SHORTEST_MEMORY", "check_no_pair", "checked_detectors", "checked_memory", "classes_of", "structure_of"]

SHORTEST_MEMORY = 1000  # a half-life in shots

_FEWEST_SHOTS = 100
_SURE = 4.0  # standard errors below a half


def structure_of(
    structure: stim.Circuit | stim.DetectorErrorModel, method: str
) -> tuple[FaultStructure, NoiseDesign | None]:
    """Returns the faults of what a learner was given, and what the parameters of a circuit's noise do to them.

    Raises:
        InputError: Parameters of noise need a circuit, on which it can be placed.
    """
    if method != "pauli25":
        return FaultStructure.of(structure), None
    if not isinstance(structure, stim.Circuit):
        raise InputError(
            f"method='pauli25' learns the noise of a circuit: structure must be a stim.Circuit, got "
            f"{type(structure).__name__}; of a model, learn the errors with method='likelihood'"
        )
    design = pauli25_design(structure)
    return design.structure, design


def checked_memory(memory: object) -> float | None:
    """Returns a half-life in shots, or None, or raises `InputError`."""
    if memory is None:
        return None
    if isinstance(memory, numbers.Real) and not isinstance(memory, bool):
        half_life = float(memory)
        if SHORTEST_MEMORY <= half_life < math.inf:
            return half_life
    raise InputError(
        f"memory must be a half-life of {SHORTEST_MEMORY} shots or more, or None to forget nothing, got {memory!r}"
    )


def check_no_pair(events: object, num_observables: int) -> None:
    """Raises `InputError` if events come together with observables, as a sampler returns them."""
    if not isinstance(events, tuple) or len(events) != 2 or not num_observables:
        return
    first, second = events
    if not (isinstance(first, np.ndarray) and isinstance(second, np.ndarray) and first.ndim == second.ndim == 2):
        return
    if len(first) == len(second) and second.shape[1] in (num_observables, -(-num_observables // 8)):
        raise InputError(
            "events must be detection events alone, got a pair, of which the second has the shape of observables: pass "
            "the first, events[0], or if both are detection events a list of them"
        )


def classes_of(
    structure: FaultStructure, classes: str | Sequence[int] | NDArray[np.integer[Any]] | None
) -> NDArray[np.int64] | None:
    """Returns the classes of faults, int64 (F, levels), that `NoiseLearner` was told.

    Raises:
        InputError: They cannot be had, or are not classes of the structure's errors.
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        if classes.lower() == "none":
            raise InputError(f"unknown kind of classes {classes!r}: pass None, classes=None, for none")
        check_known("kind of classes", classes, ["translation"])
        if not any(structure.coordinates.values()):
            raise InputError(
                "no detector has coordinates, so which errors are translations of each other is not known: write "
                "DETECTOR(x, y, t) in the circuit, give classes of your own, or learn each error by itself with "
                "classes=None"
            )
        return translation_classes(structure)
    faults = structure.given_faults
    given = np.asarray(classes)
    if not np.issubdtype(given.dtype, np.integer) or given.shape != faults.shape:
        raise InputError(
            f"classes must be 'translation', None, or integers of shape {faults.shape}, one for each error of the "
            f"flattened model, got {given.dtype} of shape {given.shape}"
        )
    own = np.full(structure.num_faults, -1, dtype=np.int64)
    seen = np.flatnonzero(faults >= 0)
    own[faults[seen]] = given[seen]
    wrong = seen[own[faults[seen]] != given[seen]]
    if len(wrong):
        other = int(seen[(faults[seen] == faults[wrong[0]]) & (given[seen] != given[wrong[0]])][0])
        first, second = sorted((int(wrong[0]), other))
        raise InputError(
            f"errors {first} and {second} flip the same detectors, and are in classes {given[first]} and "
            f"{given[second]}: events cannot tell them apart, so put them into one"
        )
    alone = own < 0
    own[alone] = int(own.max(initial=0)) + 1 + np.arange(int(alone.sum()))
    return np.unique(own, return_inverse=True)[1].reshape(-1, 1).astype(np.int64)


def checked_detectors(
    counts: ParityCounts, fired: NDArray[np.uint8], num_shots: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns detectors that never fired, and those that did although no error flips them; warns of both.

    Args:
        counts: Of all shots.
        fired: uint8 (ceil(D/8),): bit-packed, the detectors that ever fired.
        num_shots: How many were taken up, forgotten ones among them.

    Raises:
        InputError: There are too few shots, or from these nothing can be learned.
    """
    shots = counts.effective_shots
    if shots < _FEWEST_SHOTS:
        forgotten = f"; of {num_shots:,.0f} that were taken up, the others are forgotten" if num_shots > shots else ""
        raise InputError(f"learning takes {_FEWEST_SHOTS} shots or more, got {shots:.4g}: take more{forgotten}")
    single = counts.sets.sets[:, 1:].max(axis=1, initial=-1) < 0
    detectors = counts.sets.sets[single, 0].astype(np.int64)
    shares = counts.odd[:, single].sum(axis=0) / counts.num_shots
    if not shares.any():
        raise InputError(
            f"no detector fired in any of {shots:,.0f} shots: all that can be said is that most rates are "
            f"below {3.7 / shots:.1g}; take more shots, and check that they are detection events of this circuit"
        )
    _check_below_half(detectors, shares, shots)
    ever = np.unpackbits(fired, count=counts.sets.num_detectors, bitorder="little").astype(np.bool_)
    silent = detectors[shares == 0]
    ever[detectors] = False
    unexplained = np.flatnonzero(ever)
    if len(silent):
        _warn(
            f"{named_detectors(silent)} never fired in {shots:,.0f} shots: of the errors that flip them, "
            f"only upper limits are known"
        )
    if len(unexplained):
        _warn(
            f"{named_detectors(unexplained)} fired, and no error of the structure flips them: is it the structure of "
            f"this circuit, with noise everywhere?"
        )
    return silent, unexplained


def _check_below_half(detectors: NDArray[np.int64], shares: NDArray[np.float64], shots: float) -> None:
    """Refuses shares of events of which it is not sure that they are below a half: their logarithms are noise."""
    limit = 0.5 - _SURE * 0.5 / math.sqrt(shots)
    often = np.flatnonzero(shares >= limit)
    if not len(often):
        return
    worst = often[np.argmax(shares[often])]
    few = "" if shares[worst] >= 0.5 else f"; of so few, shares above {limit:.1%} may be half: take more, or"
    raise InputError(
        f"{named_detectors(detectors[often])} fired in about half of the {shots:,.0f} shots or more "
        f"(D{detectors[worst]} in {shares[worst]:.1%}), which independent errors do not do{few or ':'} check that "
        f"these are detection events, not measurements, of this circuit, with bits in Stim's order, and leave out "
        f"detectors that are broken, or of no fixed parity"
    )


def _warn(text: str) -> None:
    """Warns whoever called the package from outside."""
    level, frame = 1, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__package__") == __package__:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)
