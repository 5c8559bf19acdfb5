"""Which detectors of a circuit reject a shot, and at which stage."""

import math

import numpy as np
import stim
from numpy.typing import NDArray

from quell.errors import CircuitError

__all__ = ["kept_errors", "post_selection_stages"]

_WITH_STAGE = 4


def post_selection_stages(model: stim.Circuit | stim.DetectorErrorModel) -> NDArray[np.int32]:
    """Returns the stage of post-selection that each detector belongs to.

    A detector with the coordinates (x, y, t, stage) rejects the shot if it fires; stages count from 1, in the order
    in which their results become known. Detectors with fewer coordinates, and further ones, are decoded.

    Args:
        model: A circuit, or its detector error model.

    Returns:
        int32 (D,): the stage of each detector; 0 for those that are decoded.

    Raises:
        CircuitError: A stage is not a whole number, is below 1, or is larger than the number of detectors.

    Examples:
        >>> import stim
        >>> from quell.decoders.post_selection import post_selection_stages
        >>> post_selection_stages(stim.Circuit("M 0 1\\nDETECTOR(0, 0, 0, 1) rec[-1]\\nDETECTOR(0, 0, 0) rec[-2]"))
        array([1, 0], dtype=int32)
    """
    stages = np.zeros(model.num_detectors, dtype=np.int32)
    for detector, place in model.get_detector_coordinates().items():
        if len(place) != _WITH_STAGE:
            continue
        stage = place[3]
        if not math.isfinite(stage) or stage != int(stage):
            raise CircuitError(
                f"detector {detector} has stage {stage:g} as its fourth coordinate: stages are whole numbers from 1; "
                f"give detectors that are decoded three coordinates"
            )
        if stage < 1:
            raise CircuitError(
                f"detector {detector} has stage {stage:g} as its fourth coordinate: count stages from 1, since what "
                f"has 0 there is passed over by sinter's --postselect_detectors_with_non_zero_4th_coord"
            )
        if stage > len(stages):
            raise CircuitError(
                f"detector {detector} has stage {stage:g} as its fourth coordinate, and the circuit has {len(stages)} "
                f"detectors: number the stages 1, 2, 3, …"
            )
        stages[detector] = int(stage)
    return stages


def kept_errors(circuit: stim.Circuit) -> stim.DetectorErrorModel:
    """Returns the model of a circuit without the errors that touch a post-selected detector, none of them split.

    Examples:
        >>> import stim
        >>> from quell.decoders.post_selection.stages import kept_errors
        >>> circuit = stim.Circuit('''
        ...     X_ERROR(0.1) 0 1
        ...     M 0 1
        ...     DETECTOR(0, 0, 0, 1) rec[-2]
        ...     DETECTOR(0, 0, 0) rec[-1]
        ... ''')
        >>> kept_errors(circuit)[0]
        stim.DemInstruction('error', [0.1], [stim.target_relative_detector_id(1)])
    """
    model = circuit.detector_error_model().flattened()
    rejecting = set(np.flatnonzero(post_selection_stages(model)).tolist())
    kept = stim.DetectorErrorModel()
    for index in range(len(model)):
        instruction = model[index]
        assert isinstance(instruction, stim.DemInstruction)  # it is flat
        targets = instruction.targets_copy() if instruction.type == "error" else []
        flipped = {t.val for t in targets if isinstance(t, stim.DemTarget) and t.is_relative_detector_id()}
        if rejecting.isdisjoint(flipped):
            kept.append(instruction)
    return kept
