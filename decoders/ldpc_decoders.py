"""Decoders of quantum LDPC codes, whose errors flip more than two detectors: belief propagation, and what comes after
it where it does not converge. They run in the package `ldpc` (Roffe et al., arXiv:2005.07016; Hillmann et al.,
arXiv:2406.18655); here they are decoders for sinter, with settings that are checked and named.
"""

import abc
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.check_matrices import CheckMatrices
from quell.decoders.posteriors import check_bit_packed
from quell.errors import InputError, check_integer, check_known, check_probability, import_extra
from quell.qec.codes.gf2 import rank

__all__ = ["BPLSD", "BPOSD", "CompiledLDPC"]

BPMethod: TypeAlias = Literal["min_sum", "product_sum"]
BPSchedule: TypeAlias = Literal["parallel", "serial"]
OSDMethod: TypeAlias = Literal["osd_0", "osd_cs", "osd_e"]
LSDMethod: TypeAlias = Literal["lsd_0", "lsd_cs", "lsd_e"]

_MOST_ORDER_EXHAUSTIVE = 15  # 2^15 candidates a shot; ldpc warns above


class _LDPC(sinter.Decoder, abc.ABC):
    """What both decoders share: belief propagation's settings, and the way from a model to predictions."""

    def __init__(self, max_iterations: int, bp_method: str, bp_schedule: str, min_sum_scale: float) -> None:
        self.max_iterations = check_integer("max_iterations", max_iterations, minimum=1)
        self.bp_method = check_known("bp_method", bp_method, get_args(BPMethod))
        self.bp_schedule = check_known("bp_schedule", bp_schedule, get_args(BPSchedule))
        self.min_sum_scale = check_probability("min_sum_scale", min_sum_scale)

    def _settings(self) -> dict[str, Any]:
        """The settings by name; `min_sum_scale` only where it counts."""
        settings = dict(vars(self))
        if self.bp_method != "min_sum":
            del settings["min_sum_scale"]
        return settings

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def settings_id(self) -> str:
        """Returns every setting that changes an answer, in a line.

        Examples:
            >>> from quell.decoders.ldpc_decoders import BPOSD
            >>> BPOSD(max_iterations=50).settings_id()
            'max_iterations=50 bp_method=min_sum bp_schedule=serial min_sum_scale=0.625 osd_method=osd_cs osd_order=10'
        """
        return " ".join(f"{name}={value}" for name, value in self._settings().items())

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> "CompiledLDPC":
        """Prepares for a model, decomposed or not.

        Args:
            dem: The model.

        Raises:
            MissingExtraError: ldpc is not installed.

        Examples:
            >>> import numpy as np, stim
            >>> from quell.decoders.ldpc_decoders import BPLSD
            >>> dem = stim.DetectorErrorModel("error(0.1) D0 D1 D2 L0 \\n error(0.1) D0 \\n error(0.1) D1 D2")
            >>> compiled = BPLSD().compile_decoder_for_dem(dem=dem)
            >>> compiled.decode_shots_bit_packed(bit_packed_detection_event_data=np.array([[0b111]], dtype=np.uint8))
            array([[1]], dtype=uint8)
        """
        library = import_extra("ldpc", "ldpc")
        matrices = CheckMatrices.of(dem)
        if not len(matrices.priors):
            return CompiledLDPC(matrices, None)
        bp = {
            "error_channel": matrices.priors.tolist(),
            "max_iter": self.max_iterations,
            "bp_method": self.bp_method,
            "schedule": self.bp_schedule,
            "ms_scaling_factor": self.min_sum_scale,
        }
        return CompiledLDPC(matrices, self._decoder(library, matrices, bp))

    @abc.abstractmethod
    def _decoder(self, library: Any, matrices: CheckMatrices, bp: dict[str, Any]) -> Any:
        """The decoder of ldpc for a model."""


class BPOSD(_LDPC):
    """Belief propagation and ordered-statistics decoding.

    Where belief propagation does not find a correction that explains the events, the columns that it holds likeliest
    are solved for by elimination (OSD), in a time that grows with the cube of the number of detectors. Decoding the X
    and the Z side together (`css_memory` with all detectors) costs accordingly.

    Args:
        max_iterations: Of belief propagation, at least 1.
        bp_method: `"min_sum"` or `"product_sum"`.
        bp_schedule: `"parallel"`, or `"serial"`, in which messages count at once: fewer iterations, more time for each.
        min_sum_scale: What the messages of min-sum are multiplied with, from 0 to 1; 0 stands for 1 - 2^-i in iteration
            i.
        osd_method: `"osd_0"`; `"osd_e"`, all 2^order changes of the likeliest other columns; `"osd_cs"`, single changes
            and pairs among the first `osd_order` of them.
        osd_order: How far that goes, at least 0, at most 15 for `"osd_e"`; 0 for `"osd_0"`.

    Raises:
        InputError: A setting is outside its limits.

    Examples:
        >>> import sinter, stim
        >>> from quell.decoders.ldpc_decoders import BPOSD
        >>> circuit = stim.Circuit.generated("color_code:memory_xyz", distance=3, rounds=2,
        ...                                  after_clifford_depolarization=0.001)
        >>> compiled = BPOSD().compile_decoder_for_dem(dem=circuit.detector_error_model())
        >>> dets = circuit.compile_detector_sampler(seed=1).sample(20, bit_packed=True)
        >>> compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets).shape
        (20, 1)
    """

    def __init__(
        self,
        *,
        max_iterations: int = 30,
        bp_method: BPMethod = "min_sum",
        bp_schedule: BPSchedule = "serial",
        min_sum_scale: float = 0.625,
        osd_method: OSDMethod = "osd_cs",
        osd_order: int | None = None,
    ) -> None:
        super().__init__(max_iterations, bp_method, bp_schedule, min_sum_scale)
        self.osd_method = check_known("osd_method", osd_method, get_args(OSDMethod))
        self.osd_order = _order("osd", self.osd_method, osd_order, 10)

    def _decoder(self, library: Any, matrices: CheckMatrices, bp: dict[str, Any]) -> Any:
        # There are no more other columns than these, and ldpc 2.4 reads past them.
        order = min(self.osd_order, _num_free(matrices.checks, self.osd_order))
        method = self.osd_method if order else "osd_0"
        return library.BpOsdDecoder(matrices.checks, osd_method=method, osd_order=order, **bp)


class BPLSD(_LDPC):
    """Belief propagation and localized-statistics decoding.

    As `BPOSD`, but where belief propagation fails, clusters grow around the events until each can be explained by
    itself, and only those are solved: the time follows the number of events, not the size of the code.

    Args:
        max_iterations: As for `BPOSD`, and so are `bp_method`, `bp_schedule` and `min_sum_scale`.
        bp_method: Of belief propagation.
        bp_schedule: Of belief propagation.
        min_sum_scale: Of belief propagation.
        lsd_method: `"lsd_0"`, `"lsd_cs"` or `"lsd_e"`: the search within a cluster, as for `BPOSD`.
        lsd_order: How far that goes, at least 0, at most 15 for `"lsd_e"`; 0 for `"lsd_0"`.
        bits_per_step: Columns by which a cluster grows at a time, at least 1.

    Raises:
        InputError: A setting is outside its limits.

    Examples:
        >>> from quell.decoders.ldpc_decoders import BPLSD
        >>> BPLSD(lsd_method="lsd_cs", lsd_order=4)
        BPLSD(max_iterations=30, bp_method='min_sum', bp_schedule='serial', min_sum_scale=0.625, lsd_method='lsd_cs',
        lsd_order=4, bits_per_step=1)
    """

    def __init__(
        self,
        *,
        max_iterations: int = 30,
        bp_method: BPMethod = "min_sum",
        bp_schedule: BPSchedule = "serial",
        min_sum_scale: float = 0.625,
        lsd_method: LSDMethod = "lsd_0",
        lsd_order: int | None = None,
        bits_per_step: int = 1,
    ) -> None:
        super().__init__(max_iterations, bp_method, bp_schedule, min_sum_scale)
        self.lsd_method = check_known("lsd_method", lsd_method, get_args(LSDMethod))
        self.lsd_order = _order("lsd", self.lsd_method, lsd_order, 4)
        self.bits_per_step = check_integer("bits_per_step", bits_per_step, minimum=1)

    def _decoder(self, library: Any, matrices: CheckMatrices, bp: dict[str, Any]) -> Any:
        return library.BpLsdDecoder(
            matrices.checks,
            lsd_method=self.lsd_method,
            lsd_order=self.lsd_order,
            bits_per_step=self.bits_per_step,
            **bp,
        )


def _num_free(checks: Any, enough: int) -> int:
    """The number of columns less the rank, or less: it is worked out only where the shape does not show `enough`."""
    rows, columns = map(int, checks.shape)
    return columns - rows if columns - rows >= enough else columns - rank(checks)


def _order(kind: str, method: str, order: int | None, default: int) -> int:
    """The order, where None is a default that suits the method."""
    if order is None:
        return 0 if method.endswith("_0") else default
    order = check_integer(f"{kind}_order", order, minimum=0)
    if method.endswith("_0") and order:
        raise InputError(f"{kind}_order must be 0 for {kind}_method={method!r}, got {order}: for more, "
                         f"{kind}_method='{kind}_cs'")  # fmt: skip
    if method.endswith("_e") and order > _MOST_ORDER_EXHAUSTIVE:
        raise InputError(f"{kind}_order must be <= {_MOST_ORDER_EXHAUSTIVE} for {kind}_method={method!r}, which tries "
                         f"2^order candidates, got {order}: for more, {kind}_method='{kind}_cs'")  # fmt: skip
    return order


class CompiledLDPC(sinter.CompiledDecoder):
    """A decoder of ldpc, ready for one model. `BPOSD` and `BPLSD` make it.

    Args:
        matrices: Of the model.
        decoder: An object with `decode(syndrome)`, or None where there is no error to find.
    """

    def __init__(self, matrices: CheckMatrices, decoder: Any) -> None:
        self.matrices = matrices
        self._decoder = decoder
        self._observables = matrices.observables.tocsr()

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the observables that are predicted to be flipped, uint8 (shots, ceil(O/8)), bit-packed.

        Args:
            bit_packed_detection_event_data: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian
                order.

        Raises:
            InputError: The events have another shape or type.
        """
        events = bit_packed_detection_event_data
        matrices = self.matrices
        num_detectors = len(matrices.flipped_detectors)
        check_bit_packed("bit_packed_detection_event_data", events, num_detectors)
        syndromes = np.unpackbits(events, axis=1, count=num_detectors, bitorder="little") ^ matrices.flipped_detectors
        predictions = np.zeros((len(syndromes), len(matrices.flipped_observables)), dtype=np.uint8)
        # Shots without events need no correction; BpLsdDecoder.decode raises for them.
        busy = np.flatnonzero(syndromes.any(axis=1))
        if self._decoder is not None and len(busy):
            decode = self._decoder.decode
            corrections = np.array([decode(syndromes[shot]) for shot in busy], dtype=np.uint8)
            # Sums wrap round at 256, which keeps them even or odd.
            predictions[busy] = (self._observables @ corrections.T).T & 1
        return np.packbits(predictions ^ matrices.flipped_observables, axis=1, bitorder="little")
