"""What a decoder makes of given detection events: fails, succeeds, or is discarded, as sinter counts it."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import numpy as np
import sinter
import stim
from numpy.typing import NDArray
from sinter._decoding._stim_then_decode_sampler import _compile_decoder_with_disk_fallback

from quell.errors import InputError, SweepError
from quell.qec.rare_events.faults import FaultModel
from quell.qec.rare_events.matching import refuse_hyperedges, relevant_detectors
from quell.qec.sweeps.shipping import ShippedDecoder
from quell.qec.sweeps.tasks import Job

__all__ = ["DecodingProblem", "Judge"]


@dataclasses.dataclass(frozen=True)
class DecodingProblem:
    """A task and its decoder, as a worker needs them; it can be pickled.

    Attributes:
        dem: The model that the decoder is compiled for, and that the faults are drawn from.
        decoder: The `sinter.Decoder`.
        plain_matching: Whether the decoder is sinter's `pymatching`.
        postselection_mask: As in `sinter.Task`: bit-packed detectors that must not fire, or None.
        postselected_observables_mask: As in `sinter.Task`.
    """

    dem: stim.DetectorErrorModel
    decoder: ShippedDecoder
    plain_matching: bool
    postselection_mask: NDArray[np.uint8] | None = None
    postselected_observables_mask: NDArray[np.uint8] | None = None

    @staticmethod
    def of(job: Job) -> "DecodingProblem":
        """Returns the problem of a sweep's job.

        Raises:
            InputError: The job is decoded by a sampler, which chooses its own faults, or cannot be pickled.
            CircuitError: Plain matching is asked to decode errors that it does not know.
        """
        task = job.task
        dem = job.model
        if isinstance(job.decoder, sinter.Sampler):
            raise InputError(
                f"{job.decoder_name} is a sinter.Sampler, which draws its own shots; rare events choose the faults "
                f"themselves and need a sinter.Decoder"
            )
        plain = job.decoder is sinter.BUILT_IN_SAMPLERS["pymatching"]
        if plain or job.decoder is sinter.BUILT_IN_SAMPLERS["pymatching-correlated"]:
            refuse_hyperedges(dem)
        return DecodingProblem(
            dem,
            ShippedDecoder.of(job),
            plain,
            task.postselection_mask,
            task.postselected_observables_mask,
        )

    def postselects(self) -> bool:
        """Whether shots may be discarded by a mask; a decoder may discard too."""
        return self.postselection_mask is not None or self.postselected_observables_mask is not None

    def faults(self) -> FaultModel:
        """The faults that can matter."""
        if not self.plain_matching:
            return FaultModel.from_dem(self.dem)
        keep = relevant_detectors(self.dem)
        if self.postselection_mask is not None:
            bits = np.unpackbits(self.postselection_mask, bitorder="little", count=self.dem.num_detectors)
            keep |= set(np.flatnonzero(bits).tolist())
        return FaultModel.from_dem(self.dem, keep)


class Judge:
    """Decodes sets of faults. Made in the worker that uses it.

    Args:
        problem: What to decode.
        faults: The faults of the problem.
        folder: For decoders that work through files.
    """

    def __init__(self, problem: DecodingProblem, faults: FaultModel, folder: Path | None) -> None:
        self.problem = problem
        self.faults = faults
        decoder = cast(sinter.Decoder, problem.decoder.load())
        task = sinter.Task(circuit_path="", detector_error_model=problem.dem, decoder="custom")
        self._decoder: Any = _compile_decoder_with_disk_fallback(decoder, task, folder)

    def judge(self, flips: NDArray[np.uint8]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Tells which shots fail and which are discarded.

        Args:
            flips: uint8 (shots, detector_bytes + observable_bytes), as `FaultModel.combine` returns it.

        Returns:
            Two arrays of bool (shots,): failed, and discarded. A discarded shot has not failed.
        """
        width = self.faults.detector_bytes
        failed = np.zeros(len(flips), np.bool_)
        discarded = np.zeros(len(flips), np.bool_)
        mask = self.problem.postselection_mask
        if mask is not None:
            discarded = np.asarray((flips[:, :width] & mask).any(axis=1))
        left = np.flatnonzero(~discarded)
        if not len(left):
            return failed, discarded
        events = np.ascontiguousarray(flips[left, :width])
        actual = flips[left, width:]
        predicted = self._decode(events, actual.shape[1])
        wrong = predicted[:, : actual.shape[1]] ^ actual
        dropped = np.zeros(len(left), np.bool_)
        if predicted.shape[1] > actual.shape[1]:
            dropped |= predicted[:, -1] != 0
        observables_mask = self.problem.postselected_observables_mask
        if observables_mask is not None:
            dropped |= (wrong & observables_mask).any(axis=1)
        discarded[left] = dropped
        failed[left] = wrong.any(axis=1) & ~dropped
        return failed, discarded

    def _decode(self, events: NDArray[np.uint8], num_bytes: int) -> NDArray[np.uint8]:
        predicted = self._decoder.decode_shots_bit_packed(bit_packed_detection_event_data=events)
        right = isinstance(predicted, np.ndarray) and predicted.dtype == np.uint8 and predicted.ndim == 2
        if not right or len(predicted) != len(events) or predicted.shape[1] - num_bytes not in (0, 1):
            shape = getattr(predicted, "shape", type(predicted).__name__)
            raise SweepError(
                f"the decoder must return uint8 of shape ({len(events)}, {num_bytes}), or one column more for "
                f"discards, got {shape}"
            )
        return np.asarray(predicted, np.uint8)

    def is_deterministic(self, flips: NDArray[np.uint8]) -> bool:
        """Whether the same shots, decoded twice and in another order, get the same verdicts."""
        first = np.stack(self.judge(flips))
        second = np.stack(self.judge(np.ascontiguousarray(flips[::-1])))[:, ::-1]
        return bool((first == second).all())
