"""Weights for decoders, learned from detection events alone, in one call: no calibration data, no logical outcomes.

By closed forms, by likelihood, or by fitting the parameters of a circuit's noise; see `closed_form`, `likelihood` and
`noise_parameters`. For shots that come bit by bit there is `NoiseLearner`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.noise_learning.event_files import Events
from quell.decoders.noise_learning.learned_noise import LearnedNoise
from quell.decoders.noise_learning.learner import NoiseLearner

__all__ = ["learn_detector_error_model", "learn_detector_error_model_with_intervals"]

Classes = str | Sequence[int] | NDArray[np.integer[Any]] | None


def learn_detector_error_model(
    events: Events | Sequence[Events],
    structure: stim.Circuit | stim.DetectorErrorModel,
    *,
    bit_packed: bool = False,
    method: str = "closed-form",
    classes: Classes = "translation",
    appended_observables: int = 0,
) -> stim.DetectorErrorModel:
    """Returns a structure with the probabilities that shots say, for any decoder that takes a model.

    Args:
        events: Detection events: bool (shots, D), or uint8 of zeros and ones; with `bit_packed` uint8
            (shots, ceil(D/8)) in little-endian order; the path of a file in one of Stim's formats, which ends in .b8,
            .01, .dets, .hits, .ptb64 or .r8; or a list of such arrays and paths.
        structure: What can go wrong: a circuit with noise, or its model. Its probabilities are not trusted. Of a
            circuit the model is made with `decompose_errors=True`, and without where that fails: such a model can be
            learned, but no matching decoder can use it.
        bit_packed: Whether arrays are bit-packed.
        method: `"closed-form"`, `"likelihood"`, or `"pauli25"`, as `NoiseLearner` has them. With the last, the errors
            are those of this noise on the circuit, of CX, R, RX, M and MX, whatever noise the circuit has.
        classes: Which errors learn from each other, as `NoiseLearner` has it.
        appended_observables: How many observables follow the detectors in each shot; they are left out.

    Returns:
        The flattened model with the probabilities that were learned: the same errors, decompositions, observables and
        coordinates; errors of the same effect are joined, as by `join_equal_errors`. Errors that flip no detector keep
        their probability; those that flip the same detectors as others share their sum as in the structure.

    Raises:
        InputError: An argument is outside its limits, or nothing can be learned from these shots.
        DataError: A file does not hold shots of this many detectors.
        StorageError: A file cannot be read.
        MissingExtraError: numba, or torch for `"likelihood"` and `"pauli25"`, is not installed.

    Examples:
        The rates of a circuit that was run at 2 % are learned from one that says 0.1 %.

        >>> import stim
        >>> from quell.decoders.noise_learning.learn import learn_detector_error_model
        >>> def at(p): return stim.Circuit.generated(
        ...     "repetition_code:memory", distance=5, rounds=5, before_round_data_depolarization=p)
        >>> events = at(0.02).compile_detector_sampler(seed=3).sample(100_000)
        >>> learned = learn_detector_error_model(events, structure=at(0.001))
        >>> learned.approx_equals(at(0.02).detector_error_model(decompose_errors=True).flattened(), atol=0.002)
        True
    """
    return learn_detector_error_model_with_intervals(
        events,
        structure,
        bit_packed=bit_packed,
        method=method,
        classes=classes,
        appended_observables=appended_observables,
    ).dem


def learn_detector_error_model_with_intervals(
    events: Events | Sequence[Events],
    structure: stim.Circuit | stim.DetectorErrorModel,
    *,
    bit_packed: bool = False,
    method: str = "closed-form",
    classes: Classes = "translation",
    appended_observables: int = 0,
) -> LearnedNoise:
    """Returns what `learn_detector_error_model` does, with intervals, and with what could not be learned.

    Args:
        events: As for `learn_detector_error_model`; likewise the rest.
        structure: What can go wrong.
        bit_packed: Whether arrays are bit-packed.
        method: How to learn.
        classes: Which errors learn from each other.
        appended_observables: How many observables follow the detectors.

    Raises:
        InputError: As `learn_detector_error_model`; likewise the rest.

    Examples:
        >>> import stim
        >>> from quell.decoders.noise_learning.learn import learn_detector_error_model_with_intervals
        >>> dem = stim.DetectorErrorModel("error(.1) D0 L0 \\n error(.2) D0 D1 \\n error(.3) L1")
        >>> events = dem.compile_sampler(seed=5).sample(100_000)[0]
        >>> noise = learn_detector_error_model_with_intervals(events, dem, classes=None)
        >>> noise.probabilities.round(2).tolist(), noise.intervals.round(2).tolist()
        ([0.1, 0.2, nan], [[0.1, 0.1], [0.2, 0.2], [nan, nan]])
        >>> noise.notes()
        ['errors that flip no detector: 1; they keep their probability']
    """
    learner = NoiseLearner(structure, method=method, classes=classes)
    learner.update(events, bit_packed, appended_observables=appended_observables)
    return learner.estimate()
