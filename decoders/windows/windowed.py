"""`Windowed`: any decoder, on memories of any length, in windows that follow one another or in blocks side by side.

The latency of a decoder that must see everything grows with the length of a computation; that of windows does not.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import sinter
import stim
from numpy.typing import NDArray

from quell.decoders.posteriors import check_bit_packed
from quell.decoders.predecoder.predecoded import check_inner
from quell.decoders.settings import decoder_settings
from quell.decoders.windows.model_decoders import Job, read_predictions
from quell.decoders.windows.parts import read_parts
from quell.decoders.windows.plan import Window, WindowPlan
from quell.decoders.windows.pool import model_decoders
from quell.decoders.windows.stream import WindowedStream
from quell.decoders.windows.tiling import Box, Layers, block_boxes, sliding_boxes
from quell.decoders.windows.window_models import WindowModels
from quell.errors import InputError, check_integer, check_known

__all__ = ["AXES", "SCHEMES", "CompiledWindowed", "Windowed", "decode_windows", "plan_windows"]

AXES = ("time", "space-time")
SCHEMES = ("sliding", "parallel")
_BYTES_AT_A_TIME = 1 << 28

Lengths = int | tuple[int, ...]
Decode = Callable[[Sequence[Job]], list[NDArray[np.uint8]]]


class Windowed(sinter.Decoder):
    """A decoder around another one, which gets to see one window of a memory at a time.

    `scheme="sliding"`: each window commits its first `commit` layers of detectors and sees `buffer` more, whose
    decoding it leaves to the next (overlapping recovery, Dennis et al., quant-ph/0110143). Any decoder can be inside.

    `scheme="parallel"`: blocks of `commit` layers that see `buffer` layers on either side are decoded independently of
    each other, and then the gaps between them (Skoric et al., arXiv:2209.08552; Tan et al., arXiv:2209.09219), so that
    more workers decode faster however long the memory is. `axis="space-time"` lays such blocks in x and y too. The gap
    between two blocks may be left with an odd number of events and no boundary; it then changes, at what that costs,
    what the blocks have committed. For models of edges: errors of more than two detectors must be decomposed.

    Layers are the distinct times of the detectors, their last coordinate unless `time` says otherwise; in space, the
    distinct values of the first two of the others. In time, buffers of d layers come close to the whole volume; with
    those of one or two a code of distance d loses part of it. In space, columns are steps of the coordinates: count as
    many as make d data qubits.

    Args:
        inner: A name that sinter knows, or a `sinter.Decoder`, a `PreDecoded` among them. In a window's model it meets
            more observables than the memory has, one for each detector of the seam.
        commit: Layers that a window commits, at least 1; for blocks in space and time two numbers may be given, in time
            and in space.
        buffer: Layers that it sees beyond, likewise; about d, and at least as many as an error reaches across: in time
            1 in most memories, in space 2 in a rotated surface code.
        axis: `"time"` or `"space-time"`.
        scheme: `"sliding"` or `"parallel"`; None for sliding in time, and for parallel blocks in space, which slide
            not.
        time: Which coordinate of the detectors is the time, from 0; -1 is the last.
        gap: Layers between blocks, likewise; None for as many as `commit`.
        workers: Processes for a batch, when the decoder is used by itself. In a process that is itself one of several,
            as sinter's workers are, it is 1, and a warning says so. It does not count as a setting in a sweep.

    Raises:
        InputError: An argument is outside its limits.

    Examples:
        >>> import stim
        >>> from quell.decoders import Windowed
        >>> circuit = stim.Circuit.generated("surface_code:rotated_memory_x", distance=3, rounds=30,
        ...                                  after_clifford_depolarization=0.003)
        >>> decoder = Windowed("pymatching", commit=3, buffer=3)
        >>> compiled = decoder.compile_decoder_for_dem(dem=circuit.detector_error_model(decompose_errors=True))
        >>> len(compiled.plan.windows), len(compiled.plan.models)
        (10, 5)
        >>> dets = circuit.compile_detector_sampler(seed=1).sample(20, bit_packed=True)
        >>> compiled.decode_shots_bit_packed(bit_packed_detection_event_data=dets).shape
        (20, 1)
    """

    def __init__(
        self,
        inner: str | sinter.Decoder = "pymatching",
        *,
        commit: Lengths,
        buffer: Lengths,
        axis: str = "time",
        scheme: str | None = None,
        time: int = -1,
        gap: Lengths | None = None,
        workers: int = 1,
    ) -> None:
        check_inner(inner)
        if not isinstance(inner, (str, sinter.Decoder)):
            raise InputError(
                "inner is a pymatching.Matching, which has one model, and every window has its own: pass "
                "inner='pymatching'"
            )
        self.inner = inner
        self.axis = check_known("axis", axis, AXES)
        self.scheme = _scheme(self.axis, scheme)
        self.time = check_integer("time", time, minimum=-1)
        self.commit = _lengths("commit", commit, self.axis, minimum=1)
        self.buffer = _lengths("buffer", buffer, self.axis, minimum=0)
        self.gap = _lengths("gap", commit if gap is None else gap, self.axis, minimum=1)
        if gap is not None and self.scheme == "sliding":
            raise InputError("gap is what lies between parallel blocks: leave it out, or pass scheme='parallel'")
        self.workers = check_integer("workers", workers, minimum=1)

    def __repr__(self) -> str:
        gap = f", gap={self.gap}" if self.scheme == "parallel" else ""
        return (
            f"Windowed({self.inner!r}, commit={self.commit}, buffer={self.buffer}, axis={self.axis!r}, "
            f"scheme={self.scheme!r}, time={self.time}{gap}, workers={self.workers})"
        )

    def settings_id(self) -> str:
        """Returns every setting that changes an answer, the inner decoder's own among them."""
        inner = self.inner if isinstance(self.inner, str) else decoder_settings(self.inner)
        gap = f" gap={self.gap}" if self.scheme == "parallel" else ""
        time = f" time={self.time}" if self.time != -1 else ""
        return f"{self.axis} {self.scheme} commit={self.commit} buffer={self.buffer}{gap}{time} inner={inner}"

    def plan(self, dem: stim.DetectorErrorModel) -> WindowPlan:
        """Returns the windows of a model, and their models.

        Raises:
            InputError: The model cannot be decoded in such windows; the message says why.
        """
        return plan_windows(
            dem,
            commit=self.commit,
            buffer=self.buffer,
            axis=self.axis,
            scheme=self.scheme,
            time=self.time,
            gap=self.gap,
        )

    def compile_decoder_for_dem(self, *, dem: stim.DetectorErrorModel) -> "CompiledWindowed":
        """Prepares for a model, as sinter asks.

        Raises:
            InputError: The model, or the inner decoder, cannot be used.
        """
        plan = self.plan(dem)
        return CompiledWindowed(plan, model_decoders(self.inner, plan.models, workers=self.workers).decode)

    def stream(self, dem: stim.DetectorErrorModel, *, num_shots: int = 1) -> WindowedStream:
        """Returns shots that are decoded while their events come in, layer by layer.

        Raises:
            InputError: The model, or the inner decoder, cannot be used, or the number of shots is less than one.
        """
        return self.compile_decoder_for_dem(dem=dem).stream(num_shots=num_shots)


class CompiledWindowed(sinter.CompiledDecoder):
    """A `Windowed` ready for one model.

    Attributes:
        plan: Its windows.
    """

    def __init__(self, plan: WindowPlan, decode: Decode) -> None:
        self.plan = plan
        self._decode = decode

    def stream(self, *, num_shots: int = 1) -> WindowedStream:
        """Returns shots that are decoded while their events come in, layer by layer.

        Raises:
            InputError: The number of shots is less than one.
        """
        return WindowedStream(self.plan, self._decode, num_shots)

    def decode_shots_bit_packed(self, *, bit_packed_detection_event_data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Returns the predicted observables, uint8 (shots, ceil(O/8)), and a byte of discards if the inner decoder has.

        Args:
            bit_packed_detection_event_data: uint8 (shots, ceil(D/8)), in little-endian order.

        Raises:
            InputError: The events have another shape or type.
        """
        events = check_bit_packed(
            "bit_packed_detection_event_data", bit_packed_detection_event_data, self.plan.num_detectors
        )
        size = max(1, _BYTES_AT_A_TIME // max(self.plan.num_detectors, 1))
        starts = range(0, max(len(events), 1), size)
        parts, discards = zip(*(self._some(events[start : start + size]) for start in starts), strict=True)
        predicted = np.concatenate(parts)
        if any(each is None for each in discards):
            return predicted
        return np.concatenate([predicted, np.concatenate(discards)[:, None].astype(np.uint8)], axis=1)

    def _some(self, events: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.bool_] | None]:
        """The predictions for some shots, and the discards, or None if the inner decoder knows none."""
        left = np.unpackbits(events, axis=1, count=self.plan.num_detectors, bitorder="little").view(np.bool_)
        frame = np.zeros((len(events), self.plan.num_observables), dtype=np.bool_)
        discards: NDArray[np.bool_] | None = None
        windows = self.plan.windows
        start = 0
        while start < len(windows):
            stop = start + 1
            while stop < len(windows) and windows[stop].stage == windows[start].stage:
                stop += 1
            found = decode_windows(windows[start:stop], self.plan.num_observables, self._decode, left, frame)
            if found is not None:
                discards = found if discards is None else discards | found
            start = stop
        return np.packbits(frame, axis=1, bitorder="little"), discards


def decode_windows(
    windows: Sequence[Window],
    num_observables: int,
    decode: Decode,
    left: NDArray[np.bool_],
    frame: NDArray[np.bool_],
) -> NDArray[np.bool_] | None:
    """Decodes windows that are independent of each other, and writes down what they commit.

    Args:
        windows: Of one stage.
        num_observables: O.
        decode: What predicts the observables of windows' models.
        left: bool (shots, D): the events that are left; those at seams are flipped here.
        frame: bool (shots, O): the observables that were flipped, likewise.

    Returns:
        bool (shots,): whether a window discards a shot; None if the inner decoder says nothing of discards.

    Raises:
        InputError: A prediction has another shape.
    """
    jobs = [(window.model, np.packbits(left[:, window.detectors], axis=1, bitorder="little")) for window in windows]
    discards: NDArray[np.bool_] | None = None
    for window, predicted in zip(windows, decode(jobs), strict=True):
        flips, found = read_predictions(predicted, len(left), num_observables + len(window.seam))
        frame ^= flips[:, :num_observables]
        left[:, window.seam] ^= flips[:, num_observables:]
        if found is not None:
            discards = found if discards is None else discards | found
    return discards


def plan_windows(
    dem: stim.DetectorErrorModel,
    *,
    commit: Lengths,
    buffer: Lengths,
    axis: str = "time",
    scheme: str | None = None,
    time: int = -1,
    gap: Lengths | None = None,
) -> WindowPlan:
    """Returns the windows of a model; the arguments are those of `Windowed`.

    Raises:
        InputError: Detectors have no coordinates, the windows are larger than the memory, or cut an error so that it
            cannot be told from others.

    Examples:
        >>> import stim
        >>> from quell.decoders.windows.windowed import plan_windows
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=9,
        ...                                  before_measure_flip_probability=0.01)
        >>> plan = plan_windows(circuit.detector_error_model(), commit=2, buffer=2, scheme="parallel")
        >>> [(window.stage, len(window.detectors), window.seam.tolist()) for window in plan.windows]
        [(0, 8, [4, 5]), (0, 12, [6, 7, 12, 13]), (0, 8, [14, 15]), (1, 4, []), (1, 4, [])]
    """
    if not isinstance(dem, stim.DetectorErrorModel):
        raise InputError(f"a stim.DetectorErrorModel is needed, got {type(dem).__name__}")
    check_known("axis", axis, AXES)
    scheme = _scheme(axis, scheme)
    commits = _lengths("commit", commit, axis, minimum=1)
    buffers = _lengths("buffer", buffer, axis, minimum=0)
    gaps = _lengths("gap", commit if gap is None else gap, axis, minimum=1)
    if not dem.num_detectors:
        return WindowPlan(0, dem.num_observables, (), (), np.zeros(0, dtype=np.int64))
    layers = Layers.of(dem, axis, time)
    parts = read_parts(dem)
    sizes = layers.sizes
    _check_room(layers, commits, buffers, axis)
    if scheme == "sliding":
        boxes: list[Box] = sliding_boxes(sizes[0], commits[0], buffers[0])
    else:
        largest = int(np.diff(parts.part_starts).max(initial=0))
        if largest > 2:
            raise InputError(
                f"an error of the model flips {largest} detectors and is not decomposed, which parallel windows cannot "
                f"mend where they meet: make the model with decompose_errors=True, or pass scheme='sliding'"
            )
        boxes = block_boxes(sizes, _spread(commits, axis), _spread(gaps, axis), _spread(buffers, axis))
    if len(boxes) == 1:
        everything = np.arange(dem.num_detectors)
        whole = Window(0, everything, 0, everything[:0], everything, sizes[0] - 1)
        return WindowPlan(dem.num_detectors, dem.num_observables, (whole,), (dem,), layers.numbers[0])
    models = WindowModels(parts, layers)
    windows = tuple(models.windows(boxes))
    return WindowPlan(dem.num_detectors, dem.num_observables, windows, tuple(models.models), layers.numbers[0])


def _scheme(axis: str, scheme: str | None) -> str:
    """The scheme, where None is the one that goes with the axis."""
    fitting = "parallel" if axis == "space-time" else "sliding"
    scheme = check_known("scheme", fitting if scheme is None else scheme, SCHEMES)
    if axis == "space-time" and scheme == "sliding":
        raise InputError("blocks in space are parallel: leave scheme='sliding' out, or pass axis='time'")
    return scheme


def _check_room(layers: Layers, commits: tuple[int, ...], buffers: tuple[int, ...], axis: str) -> None:
    """Refuses windows of which not even one fits."""
    sizes = layers.sizes
    names = ("rounds",) if axis == "time" else ("rounds", "columns")
    room = sizes[:1] if axis == "time" else (sizes[0], max(sizes[1:]))
    for name, have, commit, buffer in zip(names, room, commits, buffers, strict=True):
        if buffer >= have or commit > have:
            times = layers.coordinates[:, layers.time]
            raise InputError(
                f"commit={commit} and buffer={buffer} {name} are more than the {have} layers of detectors that this "
                f"memory has (coordinate {layers.time} of the detectors, taken for the time, goes from {times.min():g} "
                f"to {times.max():g}; if another one is, pass time=…): one window would see all of it, so use the "
                f"inner decoder by itself, or pass smaller ones"
            )


def _lengths(name: str, value: Lengths, axis: str, *, minimum: int) -> tuple[int, ...]:
    """One number for time, or two, for time and space."""
    given: tuple[Any, ...] = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value,)
    wanted = 1 if axis == "time" else 2
    if not 1 <= len(given) <= wanted:
        which = "one number of layers in time" if wanted == 1 else "one number of layers, or two, in time and in space,"
        raise InputError(f"{name} must be {which} for axis={axis!r}, got {value!r}")
    numbers = tuple(check_integer(name, each, minimum=minimum) for each in given)
    return numbers if len(numbers) == wanted else numbers * wanted


def _spread(lengths: tuple[int, ...], axis: str) -> tuple[int, ...]:
    """Those along each axis: time, and in space x and y."""
    return lengths if axis == "time" else (lengths[0], lengths[1], lengths[1])
