"""The model of a window: the parts of errors that it may still decide about, as far as it sees them.

Towards what no window has committed yet a window is open: a part that reaches out of sight is a part with fewer
detectors here. Towards what is committed it is closed, and may be left with an odd number of events that no matching
explains; where that can be, a detector has a *way out*, which changes in hindsight what was committed.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterable, Sequence

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.windows.parts import Parts
from quell.decoders.windows.plan import Window
from quell.decoders.windows.tiling import Box, Layers
from quell.decoders.windows.ways_out import WaysOut
from quell.errors import InputError

__all__ = ["WindowModels"]

_HEAVIEST = 600.0  # of a way out: exp(-600) is a probability still

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Hashes = NDArray[np.uint64]
_Part = tuple[tuple[int, ...], tuple[int, ...]]  # detectors and observables of the window


@dataclasses.dataclass(frozen=True, eq=False)
class _Cut:
    """The errors near a window, and what of them is in sight."""

    errors: slice
    parts: slice
    targets: slice
    seen: Flags  # of each target
    kept: Flags  # of each part
    commits: Flags  # of each part


class WindowModels:
    """Makes windows and their models, box after box, each model once.

    Args:
        parts: Of the whole model.
        layers: Of its detectors.
    """

    def __init__(self, parts: Parts, layers: Layers) -> None:
        self.layers = layers
        self.times = layers.numbers[0]
        self.graphlike = bool(np.diff(parts.part_starts).max(initial=0) <= 2)
        self.parts, self.error_layers, self.reach = _sorted_by_layer(parts, self.times)
        self.order = np.lexsort((np.arange(parts.num_detectors), *layers.coordinates.T[:-1][::-1], self.times))
        self.rank = np.empty_like(self.order)
        self.rank[self.order] = np.arange(len(self.order))
        self.first_of_layer = np.searchsorted(self.times[self.order], np.arange(layers.sizes[0] + 1))
        self.done = np.zeros(parts.num_detectors, dtype=np.bool_)
        self.view = np.zeros_like(self.done)
        self.region = np.zeros_like(self.done)
        self.local = np.full(parts.num_detectors, -1, dtype=np.int64)
        self.models: list[stim.DetectorErrorModel] = []
        self.numbers: dict[bytes, int] = {}
        self.closed: dict[bytes, Ints] = {}

    @functools.cached_property
    def _ways_out(self) -> WaysOut:
        return WaysOut.of(self.parts)

    @functools.cached_property
    def _components(self) -> Ints:
        """int64 (D,): a number for each connected part of the graph of the whole model."""
        return _components(self.parts.part_starts, self.parts.detectors, len(self.done))

    def windows(self, boxes: Iterable[Box]) -> list[Window]:
        """Returns the windows of boxes that are ordered by stage."""
        found: list[Window] = []
        stage: int = 0
        committed: list[Ints] = []
        owner = np.full(len(self.done), -1, dtype=np.int64)
        for number, box in enumerate(boxes):
            if box.stage != stage:
                self.done[np.concatenate(committed)] = True
                owner[:] = -1
                stage, committed = box.stage, []
            region = self._inside(box.commits)
            committed.append(region)
            owner[region] = number
            found.append(self._window(box, region, owner))
        return [window for window in found if len(window.detectors)]

    def _inside(self, spans: Sequence[tuple[int, int]]) -> Ints:
        """The detectors of a box that are not committed yet, in order of place and time."""
        first, last = spans[0]
        inside = self.order[self.first_of_layer[first] : self.first_of_layer[last]]
        chosen = ~self.done[inside]
        for numbers, (low, high) in zip(self.layers.numbers[1:], spans[1:], strict=True):
            chosen &= (numbers[inside] >= low) & (numbers[inside] < high)
        return np.asarray(inside[chosen], dtype=np.int64)

    def _window(self, box: Box, region: Ints, owner: Ints) -> Window:
        detectors = self._inside(box.sees)
        self.view[detectors], self.region[region] = True, True
        self.local[detectors] = np.arange(len(detectors))
        try:
            cut = self._cut(box.sees[0])
            seam = self._seam(cut, box, owner)
            key = self._key(cut, detectors, seam)
            exits = self._exits(cut, detectors, key)
            key += repr(exits).encode()
            if key not in self.numbers:
                self.numbers[key] = len(self.models)
                self.models.append(self._model(cut, detectors, seam, exits))
            return Window(box.stage, detectors, self.numbers[key], seam, region, box.sees[0][1] - 1)
        finally:
            self.view[detectors], self.region[region] = False, False
            self.local[detectors] = -1

    def _cut(self, span: tuple[int, int]) -> _Cut:
        parts = self.parts
        first, last = np.searchsorted(self.error_layers, (span[0] - self.reach, span[1]))
        of_parts = slice(int(parts.error_starts[first]), int(parts.error_starts[last]))
        targets = slice(int(parts.part_starts[of_parts.start]), int(parts.part_starts[of_parts.stop]))
        detectors = parts.detectors[targets]
        starts = parts.part_starts[of_parts] - targets.start
        seen = self.view[detectors]
        if not len(starts):
            return _Cut(slice(int(first), int(last)), of_parts, targets, seen, np.zeros(0, bool), np.zeros(0, bool))
        kept = np.logical_or.reduceat(seen, starts) & ~np.logical_or.reduceat(self.done[detectors], starts)
        commits = kept & np.logical_or.reduceat(self.region[detectors], starts)
        return _Cut(slice(int(first), int(last)), of_parts, targets, seen, kept, commits)

    def _part_of_target(self, cut: _Cut) -> Ints:
        sizes = np.diff(self.parts.part_starts[cut.parts.start : cut.parts.stop + 1])
        return np.repeat(np.arange(len(sizes)), sizes)

    def _seam(self, cut: _Cut, box: Box, owner: Ints) -> Ints:
        """The detectors outside of the region that committed parts flip, in order of place and time."""
        detectors = self.parts.detectors[cut.targets]
        reaching = cut.commits[self._part_of_target(cut)] & ~self.region[detectors]
        outside = detectors[reaching]
        taken = outside[owner[outside] >= 0]
        if len(taken):
            in_time, *in_space = _reach(self.parts, self.layers)
            raise InputError(
                f"an error that flips D{int(taken[0])} reaches over the gap between two blocks: commit and gap must be "
                f"at least {in_time} in time" + (f" and {max(in_space)} in space" if in_space else "")
            )
        self._check_in_sight(cut, box, outside[~self.view[outside]])
        seam = np.unique(self.rank[outside])
        return np.asarray(self.order[seam], dtype=np.int64)

    def _check_in_sight(self, cut: _Cut, box: Box, unseen: Ints) -> None:
        if not len(unseen):
            return
        detector = int(unseen[0])
        part = self._part_of_target(cut)[
            (self.parts.detectors[cut.targets] == detector) & cut.commits[self._part_of_target(cut)]
        ][0]
        start, stop = self.parts.part_starts[cut.parts.start + part : cut.parts.start + part + 2]
        names = ", ".join(f"D{d}" for d in self.parts.detectors[start:stop])
        in_time, *in_space = _reach(self.parts, self.layers)
        raise InputError(
            f"the error {names} is committed by a window that does not see D{detector}, so that it cannot be told from "
            f"errors with other effects across the seam: errors of this model reach over {in_time} layers in time"
            + (f" and {max(in_space)} in space" if in_space else "")
            + ", and the buffer must be at least that"
        )

    def _closed(self, cut: _Cut, detectors: Ints) -> Ints:
        """int64 (n,): numbers of the connected parts of a window that have no boundary, -1 for detectors of others."""
        of_target = self._part_of_target(cut)
        chosen = np.flatnonzero(cut.seen & cut.kept[of_target])
        ends = self.local[self.parts.detectors[cut.targets][chosen]]
        starts = np.flatnonzero(np.diff(of_target[chosen], prepend=-1))
        starts = np.append(starts, len(ends))
        labels = _components(starts, ends, len(detectors))
        open_ones = labels[ends[starts[:-1][np.diff(starts) == 1]]]
        return np.where(np.isin(labels, open_ones), -1, labels)

    def _exits(self, cut: _Cut, detectors: Ints, key: bytes) -> dict[tuple[_Part, ...], float]:
        """Ways out where a closed part of a window may hold an odd number of events, as errors of the window.

        It may if its part of the whole graph has other detectors that are not committed: else it has all events left.
        """
        if not self.graphlike:
            return {}
        if key not in self.closed:
            self.closed[key] = self._closed(cut, detectors)
        labels = self.closed[key]
        places = np.flatnonzero(labels >= 0)
        if not len(places):
            return {}
        left = np.bincount(self._components[~self.done], minlength=int(self._components.max()) + 1)
        odd = left[self._components[detectors[places]]] > np.bincount(labels[places])[labels[places]]
        found: dict[tuple[_Part, ...], float] = {}
        for place in places[odd].tolist():
            detector = detectors[place]
            # What is left to later windows flips nothing yet.
            flips = np.flatnonzero(self._ways_out.flips[detector] & self.region[detector])
            weight = min(float(self._ways_out.weights[detector].round(6)), _HEAVIEST)
            found[(((place,), tuple(flips.tolist())),)] = float(1 / (1 + np.exp(weight)))
        return found

    def _key(self, cut: _Cut, detectors: Ints, seam: Ints) -> bytes:
        """A hash of what a model is made of but ways out, the same for windows that are translations of each other."""
        parts = self.parts
        of_target = self._part_of_target(cut)
        targets = parts.detectors[cut.targets]
        place = self.local[targets].astype(np.uint64)
        code = _mix(place * np.uint64(2) + (self.region[targets]).astype(np.uint64))
        sums = _sum_by(of_target, np.where(cut.seen, code, np.uint64(0)), len(cut.kept))
        effect = parts.effects[cut.parts].astype(np.uint64) * np.uint64(2) + np.uint64(1)
        sums = _mix(sums + np.where(cut.commits, _mix(effect), np.uint64(0)))
        counts = np.diff(parts.error_starts[cut.errors.start : cut.errors.stop + 1])
        of_part = np.repeat(np.arange(len(counts)), counts)
        whole = _sum_by(of_part, np.where(cut.kept, sums, np.uint64(0)), len(counts))
        there = _sum_by(of_part, cut.kept.astype(np.uint64), len(counts)) > 0
        bits = np.ascontiguousarray(parts.probabilities[cut.errors]).view(np.uint64)
        errors = _mix(_mix(whole) + bits)[there]
        total = (errors.sum(dtype=np.uint64), _mix(errors).sum(dtype=np.uint64), np.uint64(len(errors)))
        content = hashlib.sha256(np.array(total, dtype=np.uint64).tobytes())
        content.update(self._places(detectors).tobytes())
        content.update(self.local[seam].tobytes())
        return content.digest()

    def _places(self, detectors: Ints) -> NDArray[np.float64]:
        """Coordinates, the time from the first detector on."""
        places = self.layers.coordinates[detectors].copy()
        if len(places):
            places[:, -1] = np.round(places[:, -1] - places[0, -1], 9)
        return places

    def _model(
        self, cut: _Cut, detectors: Ints, seam: Ints, exits: dict[tuple[_Part, ...], float]
    ) -> stim.DetectorErrorModel:
        errors = self._merged(cut, seam) | exits
        num_observables = self.parts.num_observables + len(seam)
        lines = [
            f"error({probability!r}) " + " ^ ".join(_text(part) for part in parts)
            for parts, probability in sorted(errors.items())
        ]
        for number, place in enumerate(self._places(detectors).tolist()):
            lines.append(f"detector({', '.join(map(repr, place))}) D{number}")
        if num_observables:
            lines.append(f"logical_observable L{num_observables - 1}")
        return stim.DetectorErrorModel("\n".join(lines))

    def _merged(self, cut: _Cut, seam: Ints) -> dict[tuple[_Part, ...], float]:
        """The errors as far as they are in sight, equal ones as one."""
        parts = self.parts
        of_seam = {int(d): parts.num_observables + number for number, d in enumerate(seam)}
        local, detectors = self.local, parts.detectors
        found: dict[tuple[_Part, ...], float] = {}
        for error in range(cut.errors.start, cut.errors.stop):
            rows: set[_Part] = set()
            for part in range(int(parts.error_starts[error]), int(parts.error_starts[error + 1])):
                if not cut.kept[part - cut.parts.start]:
                    continue
                flips = detectors[parts.part_starts[part] : parts.part_starts[part + 1]].tolist()
                effect: tuple[int, ...] = ()
                if cut.commits[part - cut.parts.start]:
                    effect = (*parts.observables[parts.effects[part]], *(of_seam[d] for d in flips if d in of_seam))
                # What is flipped twice is not flipped.
                rows ^= {(tuple(sorted(int(local[d]) for d in flips if local[d] >= 0)), effect)}
            if rows:
                key = tuple(sorted(rows))
                p, q = float(parts.probabilities[error]), found.get(key, 0.0)
                found[key] = p + q - 2 * p * q
        return found


def _components(starts: Ints, ends: Ints, number: int) -> Ints:
    """int64 (number,): which connected part each node is in, of a graph of edges with one end or two."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = starts[:-1][np.diff(starts) == 2]
    graph = coo_array((np.ones(len(first), dtype=np.int8), (ends[first], ends[first + 1])), shape=(number, number))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _reach(parts: Parts, layers: Layers) -> list[int]:
    """How many layers further than its first detector a part reaches, at most, along each axis."""
    starts = parts.part_starts[:-1]
    placed = [numbers[parts.detectors] for numbers in layers.numbers]
    return [int((np.maximum.reduceat(at, starts) - np.minimum.reduceat(at, starts)).max()) for at in placed]


def _text(part: _Part) -> str:
    return " ".join([*(f"D{d}" for d in part[0]), *(f"L{o}" for o in part[1])])


def _sorted_by_layer(parts: Parts, times: Ints) -> tuple[Parts, Ints, int]:
    """The errors in order of their first layer, these layers, and how many layers an error reaches over."""
    if not len(parts.probabilities):
        return parts, np.zeros(0, dtype=np.int64), 0
    of_errors = parts.part_starts[parts.error_starts]
    layers = times[parts.detectors]
    first = np.minimum.reduceat(layers, of_errors[:-1])
    reach = int((np.maximum.reduceat(layers, of_errors[:-1]) - first).max())
    order = np.argsort(first, kind="stable")
    chosen_parts = _ranges(parts.error_starts, order)
    chosen_targets = _ranges(parts.part_starts, chosen_parts)
    moved = dataclasses.replace(
        parts,
        probabilities=parts.probabilities[order],
        error_starts=np.concatenate([[0], np.cumsum(np.diff(parts.error_starts)[order])]),
        part_starts=np.concatenate([[0], np.cumsum(np.diff(parts.part_starts)[chosen_parts])]),
        detectors=parts.detectors[chosen_targets],
        effects=parts.effects[chosen_parts],
    )
    return moved, first[order], reach


def _ranges(starts: Ints, order: Ints) -> Ints:
    """The numbers of the members of groups, group after group in another order."""
    sizes = np.diff(starts)[order]
    ends = np.cumsum(sizes)
    return np.asarray(np.repeat(starts[order] - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0))


def _sum_by(groups: Ints, values: Hashes, number: int) -> Hashes:
    """Sums of 64 bits; groups stand one after another."""
    found = np.zeros(number, dtype=np.uint64)
    if len(groups):
        starts = np.flatnonzero(np.diff(groups, prepend=-1))
        found[groups[starts]] = np.add.reduceat(values, starts)
    return found


def _mix(values: Hashes) -> Hashes:
    """Scrambles 64 bits, one to one (the finaliser of splitmix64, Steele, Lea & Flood, OOPSLA 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)
