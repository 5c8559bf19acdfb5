"""The errors of a detector error model as arrays of parts, repeated blocks read once however often they repeat.

A *part* is what stands between two `^` of an error: an edge of the matching graph, or the whole of an error that is not
decomposed. A memory of a thousand rounds has millions, of which all but a few rounds' worth are translations.
"""

import dataclasses

import numpy as np
import stim
from numpy.typing import NDArray

__all__ = ["Parts", "read_parts"]

Ints = NDArray[np.int64]


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """Errors, their parts, and the detectors of these, one after another.

    Attributes:
        num_detectors: D.
        num_observables: O.
        probabilities: float64 (E,): of the errors; those that flip no detector, or never happen, are left out.
        error_starts: int64 (E + 1,): which parts belong to each error.
        part_starts: int64 (P + 1,): which of `detectors` belong to each part; at least one does.
        detectors: int64: in each part in order, without repetition.
        effects: int64 (P,): which of `observables` each part flips.
        observables: Sets of observables, the first of them empty.
    """

    num_detectors: int
    num_observables: int
    probabilities: NDArray[np.float64]
    error_starts: Ints
    part_starts: Ints
    detectors: Ints
    effects: Ints
    observables: tuple[tuple[int, ...], ...]


class _Reader:
    """Reads blocks of instructions; detectors are relative to where a block begins."""

    def __init__(self) -> None:
        self.numbers: dict[tuple[int, ...], int] = {(): 0}

    def block(self, dem: stim.DetectorErrorModel) -> tuple[list[NDArray[np.generic]], int]:
        """Probabilities, counts of parts, sizes of parts, effects, detectors; and by how much the block shifts."""
        pieces: list[list[NDArray[np.generic]]] = []
        rows: tuple[list[float], list[int], list[int], list[int], list[int]] = ([], [], [], [], [])
        shift = 0

        def flush() -> None:
            nonlocal rows
            types = (np.float64, np.int64, np.int64, np.int64, np.int64)
            pieces.append([np.array(row, dtype=kind) for row, kind in zip(rows, types, strict=True)])
            rows = ([], [], [], [], [])

        for instruction in (dem[i] for i in range(len(dem))):
            if isinstance(instruction, stim.DemRepeatBlock):
                flush()
                body, step = self.block(instruction.body_copy())
                count = instruction.repeat_count
                moved = [np.broadcast_to(array, (count, len(array))).reshape(-1) for array in body[:4]]
                offsets = shift + step * np.arange(count)
                pieces.append([*moved, (offsets[:, None] + body[4].astype(np.int64)).reshape(-1)])
                shift += step * count
            elif instruction.type == "shift_detectors":
                shift += int(instruction.targets_copy()[0])  # type: ignore[arg-type]  # a number here
            elif instruction.type == "error" and instruction.args_copy()[0] > 0:
                self.error(instruction, shift, rows)
        flush()
        return [np.concatenate(arrays) for arrays in zip(*pieces, strict=True)], shift

    def error(
        self,
        instruction: stim.DemInstruction,
        shift: int,
        rows: tuple[list[float], list[int], list[int], list[int], list[int]],
    ) -> None:
        probabilities, counts, sizes, effects, detectors = rows
        parts: list[tuple[list[int], list[int]]] = []
        rest: set[int] = set()
        for group in instruction.target_groups():
            flips: set[int] = set()
            observables: set[int] = set()
            for target in group:
                if target.is_relative_detector_id():
                    flips ^= {target.val}
                else:
                    observables ^= {target.val}
            if flips:
                parts.append((sorted(flips), sorted(observables)))
            else:
                rest ^= observables
        if not parts:
            return
        if rest:
            parts[0] = parts[0][0], sorted(rest ^ set(parts[0][1]))
        probabilities.append(instruction.args_copy()[0])
        counts.append(len(parts))
        for flipped, effect in parts:
            sizes.append(len(flipped))
            effects.append(self.numbers.setdefault(tuple(effect), len(self.numbers)))
            detectors += [shift + d for d in flipped]


def read_parts(dem: stim.DetectorErrorModel) -> Parts:
    """Reads a model.

    Examples:
        >>> import stim
        >>> from quell.decoders.windows.parts import read_parts
        >>> parts = read_parts(stim.DetectorErrorModel('''
        ...     repeat 3 {
        ...         error(0.1) D0 D1 ^ D2 L0
        ...         shift_detectors 1
        ...     }'''))
        >>> parts.error_starts.tolist(), parts.detectors.tolist()
        ([0, 2, 4, 6], [0, 1, 2, 1, 2, 3, 2, 3, 4])
    """
    reader = _Reader()
    (probabilities, counts, sizes, effects, detectors), _ = reader.block(dem)
    return Parts(
        num_detectors=dem.num_detectors,
        num_observables=dem.num_observables,
        probabilities=probabilities.astype(np.float64, copy=False),
        error_starts=np.concatenate([[0], np.cumsum(counts.astype(np.int64, copy=False))]),
        part_starts=np.concatenate([[0], np.cumsum(sizes.astype(np.int64, copy=False))]),
        detectors=detectors.astype(np.int64, copy=False),
        effects=effects.astype(np.int64, copy=False),
        observables=tuple(reader.numbers),
    )
