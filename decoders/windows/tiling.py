"""Where windows lie: which detectors each commits, in which order, and how far each looks around.

Detectors stand in layers along each axis: time, which is their last coordinate, and for blocks in space x and y too. A
tiling is a list of boxes of layers. What an earlier box has committed is out of sight for a later one.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
import stim
from numpy.typing import NDArray

from quell.errors import InputError

__all__ = ["Box", "Layers", "block_boxes", "sliding_boxes"]

_GRID = 1 << 40  # coordinates that differ by less than the inverse of this, of the largest, are the same

Span = tuple[int, int]  # the first layer, and the one behind the last


@dataclasses.dataclass(frozen=True)
class Box:
    """Layers along each axis, time first.

    Attributes:
        stage: Boxes of one stage are decoded independently of each other, after those of earlier stages.
        commits: What it decides.
        sees: What it looks at.
    """

    stage: int
    commits: tuple[Span, ...]
    sees: tuple[Span, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """The layers of detectors.

    Attributes:
        numbers: int64 (axes, D): the layer of each detector along each axis, time first.
        coordinates: float64 (D, coordinates), in the model's order.
        time: Which of them is the time.
    """

    numbers: NDArray[np.int64]
    coordinates: NDArray[np.float64]
    time: int

    @classmethod
    def of(cls, dem: stim.DetectorErrorModel, axis: str, time: int = -1) -> "Layers":
        """Finds the layers.

        Args:
            dem: Its detectors have coordinates.
            axis: `"time"`, or `"space-time"`, for which they have three: x, y and time.
            time: Which coordinate is the time; -1 is the last.

        Raises:
            InputError: A detector has too few coordinates, or others than the rest.
        """
        wanted = 1 if axis == "time" else 3
        coordinates = dem.get_detector_coordinates()
        number = dem.num_detectors
        lengths = np.array([len(coordinates.get(d, ())) for d in range(number)], dtype=np.int64)
        longest = int(lengths.max(initial=0))
        missing = np.flatnonzero(lengths < max(wanted, 1))
        if len(missing):
            first = int(missing[0])
            raise InputError(
                f"{len(missing)} of {number} detectors have no {'time' if wanted == 1 else 'x, y and time'} (D{first} "
                f"has the coordinates {list(coordinates.get(first, ()))}), by which windows are laid: write "
                f"DETECTOR(x, y, t) in the circuit, the time last"
            )
        if not -longest <= time < longest and number:
            raise InputError(
                f"time must be which of {longest} coordinates it is, from 0, or -1 for the last, got {time}"
            )
        uneven = np.flatnonzero(lengths != longest)
        if len(uneven):
            first = int(uneven[0])
            raise InputError(
                f"D{first} has {lengths[first]} coordinates and others have {longest}, so which of them is the time is "
                f"not known: give all detectors as many, the time last"
            )
        values = np.array([coordinates[d] for d in range(number)], dtype=np.float64).reshape(number, longest)
        if not number:
            return cls(np.zeros((wanted, 0), dtype=np.int64), values, 0)
        time %= longest
        columns = [time, *(column for column in range(longest) if column != time)][:wanted]
        numbers = [_numbered(values[:, column]) for column in columns]
        return cls(np.stack(numbers).astype(np.int64), values, time)

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many layers there are along each axis."""
        return tuple(int(size) for size in self.numbers.max(axis=1, initial=-1) + 1)


def _numbered(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Values as 0, 1, … in their order; those that differ by rounding alone are the same."""
    scale = float(np.abs(values).max()) or 1.0
    return np.unique(np.rint(values / scale * _GRID), return_inverse=True)[1].reshape(-1).astype(np.int64)


def sliding_boxes(num_layers: int, commit: int, buffer: int) -> list[Box]:
    """Windows that follow one another in time; the last one commits all that it sees.

    Examples:
        >>> from quell.decoders.windows.tiling import sliding_boxes
        >>> [(box.commits, box.sees) for box in sliding_boxes(8, commit=2, buffer=3)]
        [(((0, 2),), ((0, 5),)), (((2, 4),), ((2, 7),)), (((4, 8),), ((4, 8),))]
    """
    boxes: list[Box] = []
    for start in range(0, num_layers, commit):
        if start + commit + buffer >= num_layers:
            return [*boxes, Box(len(boxes), ((start, num_layers),), ((start, num_layers),))]
        boxes.append(Box(len(boxes), ((start, start + commit),), ((start, start + commit + buffer),)))
    return boxes


def block_boxes(sizes: Sequence[int], commit: Sequence[int], gap: Sequence[int], buffer: Sequence[int]) -> list[Box]:
    """Blocks side by side with gaps between them, and then the gaps, along every axis.

    Along an axis cores of `commit` layers and gaps of `gap` layers take turns. What is in the core along all axes is
    decoded first; then, kind by kind, what is in a gap along some.

    Examples:
        >>> from quell.decoders.windows.tiling import block_boxes
        >>> for box in block_boxes([10], commit=[3], gap=[2], buffer=[2]):
        ...     print(box.stage, box.commits, box.sees)
        0 ((0, 3),) ((0, 5),)
        0 ((5, 8),) ((3, 10),)
        1 ((3, 5),) ((1, 7),)
        1 ((8, 10),) ((6, 10),)
    """
    turns = [_turns(*each) for each in zip(sizes, commit, gap, strict=True)]
    kinds = sorted(itertools.product((0, 1), repeat=len(turns)), key=lambda kind: (sum(kind), kind))
    boxes: list[Box] = []
    stage = 0
    for kind in kinds:
        chosen = [
            [(turn[n][1], _around(turn, n, more)) for n in range(len(turn)) if turn[n][0] == which]
            for which, turn, more in zip(kind, turns, buffer, strict=True)
        ]
        cells = list(itertools.product(*chosen))
        boxes += [Box(stage, *(tuple(spans) for spans in zip(*cell, strict=True))) for cell in cells]
        stage += bool(cells)
    return boxes


def _around(turn: list[tuple[int, Span]], number: int, more: int) -> Span:
    """A core or gap with what is seen around it: what lies behind the cores beside a gap has nothing to do with it."""
    which, (first, last) = turn[number]
    low, high = turn[0][1][0], turn[-1][1][1]
    if which:
        low = turn[number - 1][1][0]
        high = turn[number + 1][1][1] if number + 1 < len(turn) else high
    return max(low, first - more), min(high, last + more)


def _turns(size: int, commit: int, gap: int) -> list[tuple[int, Span]]:
    """Cores (0) and gaps (1) in turn. A rest of less than half of its length goes to the one before."""
    found: list[tuple[int, Span]] = []
    start = which = 0
    while start < size:
        length = (commit, gap)[which]
        end = min(size, start + length)
        if found and 2 * (end - start) < length:
            kind, (first, _) = found.pop()
            found.append((kind, (first, end)))
        else:
            found.append((which, (start, end)))
        start, which = end, 1 - which
    return found
