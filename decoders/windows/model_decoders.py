"""One decoder, compiled for each of the models that the windows of a plan have: in this process, or in several."""

import multiprocessing
import sys
import warnings
from collections.abc import Sequence
from typing import Protocol, TypeAlias

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.predecoder.predecoded import compiled_inner
from quell.errors import InputError

__all__ = ["Job", "ModelDecoders", "SerialDecoders", "compile_models", "in_a_worker", "read_predictions"]

Job: TypeAlias = tuple[int, NDArray[np.uint8]]  # the number of a model, and events, uint8 (shots, ceil(D/8))


class ModelDecoders(Protocol):
    """What decodes windows."""

    def decode(self, jobs: Sequence[Job]) -> list[NDArray[np.uint8]]:
        """Returns the predictions for jobs that do not depend on each other, in their order.

        Args:
            jobs: Of each window the number of its model, and its events, uint8 (shots, ceil(D/8)), bit-packed in
                little-endian order.
        """


def compile_models(
    inner: str | sinter.Decoder, models: Sequence[stim.DetectorErrorModel]
) -> list[sinter.CompiledDecoder]:
    """Returns a decoder compiled for each model. What it warns of for several of them it warns of once.

    Args:
        inner: A name that sinter knows, or a decoder.
        models: Any.

    Raises:
        InputError: The decoder works through files only, or refuses a model.

    Examples:
        >>> import stim
        >>> from quell.decoders.windows.model_decoders import compile_models
        >>> len(compile_models("pymatching", [stim.DetectorErrorModel("error(0.1) D0 L0")] * 3))
        3
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = [compiled_inner(inner, model) for model in models]
    for warning in {(each.category, each.filename, each.lineno): each for each in reversed(caught)}.values():
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    return found


class SerialDecoders:
    """A decoder compiled for each model, in this process.

    Args:
        inner: As for `compile_models`.
        models: As for `compile_models`.

    Examples:
        >>> import numpy as np, stim
        >>> from quell.decoders.windows.model_decoders import SerialDecoders
        >>> model = stim.DetectorErrorModel("error(0.1) D0 L0 \\n error(0.1) D0 D1 \\n error(0.1) D1")
        >>> SerialDecoders("pymatching", [model]).decode([(0, np.array([[1], [3]], dtype=np.uint8))])[0].tolist()
        [[1], [0]]
    """

    def __init__(self, inner: str | sinter.Decoder, models: Sequence[stim.DetectorErrorModel]) -> None:
        self._compiled = compile_models(inner, models)

    def decode(self, jobs: Sequence[Job]) -> list[NDArray[np.uint8]]:
        """Returns the predictions, as `ModelDecoders` has it."""
        return [
            self._compiled[model].decode_shots_bit_packed(bit_packed_detection_event_data=events)
            for model, events in jobs
        ]


def read_predictions(
    predicted: NDArray[np.uint8], num_shots: int, num_observables: int
) -> tuple[NDArray[np.bool_], NDArray[np.bool_] | None]:
    """Returns the observables that a decoder predicts, and which shots it discards, or None if it does not say.

    Args:
        predicted: uint8 (shots, ceil(O/8)), bit-packed in little-endian order, or one byte more.
        num_shots: How many shots there were.
        num_observables: O.

    Returns:
        bool (shots, O), and bool (shots,) or None.

    Raises:
        InputError: The predictions have another shape or type.

    Examples:
        >>> import numpy as np
        >>> from quell.decoders.windows.model_decoders import read_predictions
        >>> [found.tolist() for found in read_predictions(np.array([[0b10, 1]], dtype=np.uint8), 1, 2)]
        [[[False, True]], [True]]
    """
    width = -(-num_observables // 8)
    if predicted.dtype != np.uint8 or predicted.shape not in ((num_shots, width), (num_shots, width + 1)):
        raise InputError(
            f"the inner decoder must return uint8 of shape ({num_shots}, {width}), or one byte more a shot for "
            f"discards, got {predicted.dtype} of shape {predicted.shape}"
        )
    flips = np.unpackbits(predicted[:, :width], axis=1, count=num_observables, bitorder="little").view(np.bool_)
    return flips, predicted[:, width] != 0 if predicted.shape[1] > width else None


def in_a_worker() -> bool:
    """Whether this process is one of several that share the cores: sinter's, quell's, or anybody's."""
    if multiprocessing.parent_process() is not None:
        return True
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    # quell's own workers are started as modules of quell.
    return spec is not None and spec.name.startswith("quell.") and spec.name != "quell.__main__"
