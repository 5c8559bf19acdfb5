"""Decoding while a memory still runs: events come layer by layer, and windows run as soon as theirs have come.

A window waits for its last layer, and for those windows of earlier stages that flip what it sees. What other windows
flip, of its own stage or later ones, it does not see, even if they have run before. So the final prediction is that of
all layers at once, bit for bit. A layer is kept as long as a window that has not run sees it.
"""

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from quell.decoders.posteriors import check_bit_packed
from quell.decoders.windows.model_decoders import Job, read_predictions
from quell.decoders.windows.plan import Window, WindowPlan
from quell.errors import InputError, check_integer

__all__ = ["Committed", "WindowedStream"]

_EVENTS = -1  # before all stages

Decode = Callable[[Sequence[Job]], Sequence[NDArray[np.uint8]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Committed:
    """What is decided.

    Attributes:
        observables: uint8 (shots, ceil(O/8)), bit-packed in little-endian order: the frame of everything that is
            committed. Further windows may flip it; those that see later layers only say no more about earlier errors.
        num_layers_committed: How many of the first layers no window still has to see.
        discarded: bool (shots,): whether a window's decoder has given the shot up.
    """

    observables: NDArray[np.uint8]
    num_layers_committed: int
    discarded: NDArray[np.bool_]


class WindowedStream:
    """Shots of one memory, decoded while their events come in. `CompiledWindowed.stream` makes one.

    Args:
        plan: The windows.
        decode: The `decode` of a `ModelDecoders` for the plan's models.
        num_shots: How many shots run side by side.

    Raises:
        InputError: The number of shots is less than one.

    Attributes:
        num_shots: How many shots run side by side.
        num_layers: How many layers there are.
        num_layers_pushed: How many have come.

    Examples:
        >>> import stim
        >>> from quell.decoders.windows.windowed import Windowed
        >>> circuit = stim.Circuit.generated("repetition_code:memory", distance=3, rounds=6,
        ...                                  before_measure_flip_probability=0.01)
        >>> dem = circuit.detector_error_model()
        >>> stream = Windowed("pymatching", commit=2, buffer=1).stream(dem, num_shots=10)
        >>> dets = circuit.compile_detector_sampler(seed=1).sample(10)
        >>> [stream.push(dets[:, layer : layer + 2]).num_layers_committed for layer in range(0, 14, 2)]
        [0, 0, 2, 2, 4, 4, 7]
        >>> stream.finish().shape
        (10, 1)
    """

    def __init__(self, plan: WindowPlan, decode: Decode, num_shots: int = 1) -> None:
        self.num_shots = check_integer("num_shots", num_shots, minimum=1)
        self.num_layers = plan.num_layers
        self.num_layers_pushed = 0
        self._decode = decode
        self._num_observables = plan.num_observables
        self._schedule = _Schedule.of(plan)
        self._layers = _Layers(plan, self.num_shots)
        self._frame = np.zeros((self.num_shots, plan.num_observables), dtype=np.bool_)
        self._discarded = np.zeros(self.num_shots, dtype=np.bool_)
        self._has_discards = False
        self._finished = False

    @property
    def num_bytes_held(self) -> int:
        """How many bytes the events take that are kept for windows that have not run."""
        return self._layers.num_bytes

    def num_events(self, layer: int) -> int:
        """Returns how many detectors a layer has, which is the width of what `push` takes.

        Raises:
            InputError: There is no such layer.
        """
        if not 0 <= layer < self.num_layers:
            raise InputError(f"layer must be between 0 and {self.num_layers - 1}, got {layer!r}")
        return int(self._layers.widths[layer])

    def push(self, events: NDArray[np.bool_] | NDArray[np.uint8], *, bit_packed: bool = False) -> Committed:
        """Takes the detection events of the next layer, and runs the windows that can run.

        Args:
            events: bool (shots, n) for the n detectors of the layer, in the order of their numbers; of a single shot
                bool (n,), too.
            bit_packed: Whether the events are uint8 (shots, ceil(n/8)), bit-packed in little-endian order.

        Where a decoder fails, the layer has come all the same; the next `push`, or `finish`, runs its windows again.

        Raises:
            InputError: The events have another shape or type, all layers have come, or the stream is finished.
                Nothing has changed then.
        """
        if self._finished or self.num_layers_pushed == self.num_layers:
            done = "it is finished" if self._finished else "all of them have come"
            raise InputError(f"the stream has {self.num_layers} layers, and {done}: make a new one for the next shots")
        layer = self.num_layers_pushed
        row = self._checked(events, layer, bit_packed)
        self._layers.add(layer, row)
        self.num_layers_pushed += 1
        self._run()
        return self.committed

    @property
    def committed(self) -> Committed:
        """What is decided by now."""
        observables = np.packbits(self._frame, axis=1, bitorder="little")
        return Committed(observables, self._layers.first_kept(self.num_layers_pushed), self._discarded.copy())

    def finish(self) -> NDArray[np.uint8]:
        """Returns the prediction, uint8 (shots, ceil(O/8)), bit-packed, and a byte of discards if the decoder has one.

        Raises:
            InputError: Layers are missing. The stream goes on then.
        """
        if self.num_layers_pushed < self.num_layers:
            raise InputError(
                f"the stream has {self.num_layers} layers, and {self.num_layers_pushed} have come: push the rest, or "
                f"make the stream for a shorter memory"
            )
        self._run()
        self._finished = True
        observables = self.committed.observables
        if not self._has_discards:
            return observables
        return np.concatenate([observables, self._discarded[:, None].astype(np.uint8)], axis=1)

    def _checked(self, events: object, layer: int, bit_packed: bool) -> NDArray[np.bool_]:
        """bool (shots, n): the events of a layer; or raises `InputError`."""
        width = int(self._layers.widths[layer])
        if self.num_shots == 1 and isinstance(events, np.ndarray) and events.ndim == 1:
            events = events[None]
        if bit_packed:
            packed = check_bit_packed("events", events, width)
            given = len(packed)
            row = np.unpackbits(packed, axis=1, count=width, bitorder="little").astype(np.bool_)
        elif isinstance(events, np.ndarray) and events.dtype == np.bool_ and events.shape[1:] == (width,):
            given, row = len(events), events.copy()
        else:
            got = f"{events.dtype} of shape {events.shape}" if isinstance(events, np.ndarray) else type(events).__name__
            raise InputError(
                f"the events of layer {layer} must be bool of shape ({self.num_shots}, {width}), got {got}; pass "
                f"bit_packed=True for uint8 of shape ({self.num_shots}, {-(-width // 8)})"
            )
        if given != self.num_shots:
            raise InputError(f"the stream has {self.num_shots} shots, got the events of {given}")
        return row

    def _run(self) -> None:
        """Runs all windows that can run now, those together that can."""
        while ready := self._schedule.ready(self.num_layers_pushed):
            windows = [self._schedule.windows[number] for number in ready]
            jobs = [(window.model, self._layers.seen_by(window)) for window in windows]
            answers = self._decode(jobs)
            for number, window, answer in zip(ready, windows, answers, strict=True):
                flips, discarded = read_predictions(answer, self.num_shots, self._num_observables + len(window.seam))
                if discarded is not None:
                    self._discarded |= discarded
                    self._has_discards = True
                self._frame ^= flips[:, : self._num_observables]
                self._layers.flip(window, flips[:, self._num_observables :])
                self._layers.let_go(window)
                self._schedule.done(number)


class _Layers:
    """The events that windows still have to see, layer by layer, and the flips of committed corrections in them."""

    def __init__(self, plan: WindowPlan, num_shots: int) -> None:
        self.num_shots = num_shots
        self.widths = np.bincount(plan.layers, minlength=plan.num_layers)
        self._layer_of = plan.layers
        order = np.argsort(plan.layers, kind="stable")
        self._place = np.empty(plan.num_detectors, dtype=np.int64)
        firsts = np.cumsum(self.widths) - self.widths
        self._place[order] = np.arange(plan.num_detectors) - np.repeat(firsts, self.widths)
        self._viewers = np.zeros(plan.num_layers, dtype=np.int64)  # how many windows still have to see a layer
        for window in plan.windows:
            self._viewers[np.unique(plan.layers[window.detectors])] += 1
        # Of each layer a row of events, under _EVENTS, and a row of flips for each stage that has made some.
        self._kept: dict[int, dict[int, NDArray[np.bool_]]] = {}
        self._first_kept = 0

    @property
    def num_bytes(self) -> int:
        return sum(row.nbytes for rows in self._kept.values() for row in rows.values())

    def first_kept(self, num_pushed: int) -> int:
        """The first layer that a window still has to see, of those that have come; or their number."""
        while self._first_kept < num_pushed and not self._viewers[self._first_kept]:
            self._first_kept += 1
        return self._first_kept

    def add(self, layer: int, row: NDArray[np.bool_]) -> None:
        if self._viewers[layer]:
            self._kept.setdefault(layer, {})[_EVENTS] = row

    def seen_by(self, window: Window) -> NDArray[np.uint8]:
        layers, places = self._layer_of[window.detectors], self._place[window.detectors]
        seen = np.empty((self.num_shots, len(places)), dtype=np.bool_)
        for layer in np.unique(layers).tolist():
            here = layers == layer
            rows = [row for stage, row in self._kept[layer].items() if stage < window.stage]
            seen[:, here] = functools.reduce(np.bitwise_xor, rows)[:, places[here]]
        return np.packbits(seen, axis=1, bitorder="little")

    def flip(self, window: Window, flips: NDArray[np.bool_]) -> None:
        """Flips events at the seam of a window, some of which may come only later."""
        layers, places = self._layer_of[window.seam], self._place[window.seam]
        for layer in np.unique(layers).tolist():
            if self._viewers[layer]:
                here = layers == layer
                rows = self._kept.setdefault(layer, {})
                if window.stage not in rows:
                    rows[window.stage] = np.zeros((self.num_shots, int(self.widths[layer])), dtype=np.bool_)
                rows[window.stage][:, places[here]] ^= flips[:, here]

    def let_go(self, window: Window) -> None:
        for layer in np.unique(self._layer_of[window.detectors]).tolist():
            self._viewers[layer] -= 1
            if not self._viewers[layer]:
                self._kept.pop(layer, None)


@dataclasses.dataclass(eq=False)
class _Schedule:
    """Which windows can run: their layers have come, and the windows of earlier stages that flip what they see ran."""

    windows: tuple[Window, ...]
    waits_for: list[int]  # how many windows have to run before it
    followers: list[list[int]]
    by_last_layer: dict[int, list[int]]
    free: list[int] = dataclasses.field(default_factory=list)  # of the layers that have come; waits for nothing
    num_layers: int = 0

    @classmethod
    def of(cls, plan: WindowPlan) -> "_Schedule":
        from scipy.sparse import csr_array

        def table(sets: list[NDArray[np.int64]]) -> csr_array:
            ends = np.cumsum([0, *map(len, sets)])
            columns = np.concatenate([np.zeros(0, dtype=np.int64), *sets])
            shape = len(sets), plan.num_detectors
            return csr_array((np.ones(len(columns), dtype=np.int64), columns, ends), shape=shape)

        seen = table([window.detectors for window in plan.windows])
        flipped = table([window.seam for window in plan.windows])
        meet = (flipped @ seen.T).tocoo()
        waits_for = [0] * len(plan.windows)
        followers: list[list[int]] = [[] for _ in plan.windows]
        for before, after in zip(*(each.tolist() for each in meet.coords), strict=True):
            if plan.windows[before].stage < plan.windows[after].stage:
                followers[before].append(after)
                waits_for[after] += 1
        by_last_layer: dict[int, list[int]] = defaultdict(list)
        for number, window in enumerate(plan.windows):
            by_last_layer[window.last_layer].append(number)
        return cls(plan.windows, waits_for, followers, by_last_layer)

    def ready(self, num_layers: int) -> list[int]:
        """The windows that can run now that some layers have come, in the plan's order, one stage of them at a time."""
        while self.num_layers < num_layers:
            came = self.by_last_layer.get(self.num_layers, [])
            self.free += [number for number in came if not self.waits_for[number]]
            self.num_layers += 1
        first = min((self.windows[number].stage for number in self.free), default=0)
        return sorted(number for number in self.free if self.windows[number].stage == first)

    def done(self, number: int) -> None:
        self.free.remove(number)
        for follower in self.followers[number]:
            self.waits_for[follower] -= 1
            if not self.waits_for[follower] and self.windows[follower].last_layer < self.num_layers:
                self.free.append(follower)
