"""The model of a window: the parts of errors that it may still decide about, as far as it sees them.

Towards what no window has committed yet a window is open: a part that reaches out of sight is a part with fewer
detectors here. Towards what is committed it is closed, and may be left with an odd number of events that no matching
explains; where that can be, a detector has a *way out*, which changes in hindsight what was committed.
"""

import dataclasses
import functools
import hashlib
import itertools
import math
from collections.abc import Iterable, Sequence

import numpy as np
import stim
from numpy.typing import NDArray

from quell.decoders.hashes import scrambled
from quell.decoders.windows.parts import Parts
from quell.decoders.windows.plan import Window
from quell.decoders.windows.tiling import Box, Layers
from quell.decoders.windows.ways_out import WaysOut
from quell.errors import InputError

__all__ = ["WindowModels"]

# The weight of a closed part's lightest way out. More would only keep two from being taken where edges would do, and
# windows that are far from where all ways end would not be alike.
_HEAVY = 300.0
_HEAVIEST = 700.0  # exp(-700) is a probability still
_VIEW, _DONE, _REGION = 1, 2, 4  # of a detector: in sight, committed by earlier stages, to be committed here
_NOTHING = 1 << 40  # comes after all numbers

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
    of_error: Ints  # of each error, where its parts begin
    of_part: Ints  # of each part, where its targets begin
    sizes: Ints  # of each part
    detectors: Ints  # of each target
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
        self.parts, self.until, self.since = _in_order(parts, self.times)
        in_space = np.delete(layers.coordinates, layers.time, axis=1).T
        self.order = np.lexsort((np.arange(parts.num_detectors), *in_space[::-1], self.times))
        self.rank = np.empty_like(self.order)
        self.rank[self.order] = np.arange(len(self.order))
        self.first_of_layer = np.searchsorted(self.times[self.order], np.arange(layers.sizes[0] + 1))
        self.done = np.zeros(parts.num_detectors, dtype=np.bool_)
        self.owner = np.full(parts.num_detectors, -1, dtype=np.int64)  # among the regions of a stage
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
    def _components(self) -> tuple[Ints, Flags]:
        """int64 (D,): numbers of the connected parts of the whole graph; and bool: which may lose a single event."""
        starts, detectors = self.parts.part_starts, self.parts.detectors
        numbers = _components(starts, detectors, len(self.done))
        single = np.zeros(int(numbers.max(initial=-1)) + 1, dtype=np.bool_)
        single[numbers[detectors[starts[:-1][np.diff(starts) == 1]]]] = True
        return numbers, single

    def windows(self, boxes: Iterable[Box]) -> list[Window]:
        """Returns the windows of boxes that are ordered by stage."""
        found: list[Window] = []
        for _, stage in itertools.groupby(boxes, key=lambda box: box.stage):
            regions = [(box, region) for box in stage if len(region := self._inside(box.commits))]
            for number, (_, region) in enumerate(regions):
                self.owner[region] = number
            found += [self._window(box, region, number) for number, (box, region) in enumerate(regions)]
            for _, region in regions:
                self.done[region] = True
                self.owner[region] = -1
        return found

    def _inside(self, spans: Sequence[tuple[int, int]]) -> Ints:
        """The detectors of a box that are not committed yet, in order of place and time."""
        first, last = spans[0]
        inside = self.order[self.first_of_layer[first] : self.first_of_layer[last]]
        chosen = ~self.done[inside]
        for numbers, (low, high) in zip(self.layers.numbers[1:], spans[1:], strict=True):
            chosen &= (numbers[inside] >= low) & (numbers[inside] < high)
        return np.asarray(inside[chosen], dtype=np.int64)

    def _window(self, box: Box, region: Ints, number: int) -> Window:
        detectors = self._inside(box.sees)
        self.view[detectors], self.region[region] = True, True
        self.local[detectors] = np.arange(len(detectors))
        try:
            cut = self._cut(box.sees[0])
            seam = self._seam(cut, number)
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
        first, last = np.searchsorted(self.until, span[0]), np.searchsorted(self.since, span[1])
        errors = slice(int(first), max(int(first), int(last)))
        of_parts = slice(int(parts.error_starts[errors.start]), int(parts.error_starts[errors.stop]))
        targets = slice(int(parts.part_starts[of_parts.start]), int(parts.part_starts[of_parts.stop]))
        detectors = parts.detectors[targets]
        starts = parts.part_starts[of_parts.start : of_parts.stop + 1] - targets.start
        states = self.view | self.done * np.uint8(_DONE) | self.region * np.uint8(_REGION)
        of_targets = states[detectors]
        of_error = parts.error_starts[errors] - of_parts.start
        any_of = np.bitwise_or.reduceat(of_targets, starts[:-1]) if len(starts) > 1 else of_targets
        kept = any_of & (_VIEW | _DONE) == _VIEW
        commits = kept & (any_of & _REGION > 0)
        seen = of_targets & _VIEW > 0
        return _Cut(errors, of_parts, targets, of_error, starts[:-1], np.diff(starts), detectors, seen, kept, commits)

    def _seam(self, cut: _Cut, number: int) -> Ints:
        """The detectors outside of the region that committed parts flip, in order of place and time."""
        committed = cut.detectors[np.repeat(cut.commits, cut.sizes)]
        outside = committed[~self.region[committed]]
        taken = outside[(self.owner[outside] >= 0) & (self.owner[outside] != number)]
        if len(taken):
            in_time, *in_space = _reach(self.parts, self.layers)
            raise InputError(
                f"an error that flips D{int(taken[0])} reaches over the gap between two blocks: commit and gap must be "
                f"at least {in_time} in time" + (f" and {max(in_space)} in space" if in_space else "")
            )
        self._check_in_sight(cut, outside[~self.view[outside]])
        seam = np.unique(self.rank[outside])
        return np.asarray(self.order[seam], dtype=np.int64)

    def _check_in_sight(self, cut: _Cut, unseen: Ints) -> None:
        if not len(unseen):
            return
        detector = int(unseen[0])
        of_target = np.repeat(np.arange(len(cut.sizes)), cut.sizes)
        part = of_target[(cut.detectors == detector) & cut.commits[of_target]][0]
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
        of_target = np.repeat(np.arange(len(cut.sizes)), cut.sizes)
        chosen = np.flatnonzero(cut.seen & cut.kept[of_target])
        ends = self.local[cut.detectors[chosen]]
        starts = np.flatnonzero(np.diff(of_target[chosen], prepend=-1))
        starts = np.append(starts, len(ends))
        labels = _components(starts, ends, len(detectors))
        open_ones = labels[ends[starts[:-1][np.diff(starts) == 1]]]
        return np.where(np.isin(labels, open_ones), -1, labels)

    def _exits(self, cut: _Cut, detectors: Ints, key: bytes) -> dict[tuple[_Part, ...], float]:
        """Ways out where a closed part of a window may hold an odd number of events, as errors of the window.

        It may unless it is all that is left of a part of the whole graph that had no boundary and no way out before.
        """
        if not self.graphlike:
            return {}
        if key not in self.closed:
            self.closed[key] = self._closed(cut, detectors)
        labels = self.closed[key]
        places = np.flatnonzero(labels >= 0)
        if not len(places):
            return {}
        numbers, single = self._components
        left = np.bincount(numbers[~self.done], minlength=len(single))
        whole = numbers[detectors[places]]
        odd = single[whole] | (left[whole] > np.bincount(labels[places])[labels[places]])
        single[whole[odd]] = True
        if not odd.any():
            return {}
        weights = self._ways_out.weights[detectors[places]]
        lightest = np.full(len(labels), np.inf)
        np.minimum.at(lightest, labels[places], weights)
        weights -= np.maximum(lightest - _HEAVY, 0)[labels[places]]
        found: dict[tuple[_Part, ...], float] = {}
        for place, weight in zip(places[odd].tolist(), weights[odd].round(6).tolist(), strict=True):
            detector = detectors[place]
            # What is left to later windows flips nothing yet.
            flips = np.flatnonzero(self._ways_out.flips[detector] & self.region[detector])
            found[(((place,), tuple(flips.tolist())),)] = 1 / (1 + math.exp(min(weight, _HEAVIEST)))
        return found

    def _key(self, cut: _Cut, detectors: Ints, seam: Ints) -> bytes:
        """A hash of what a model is made of but ways out, the same for windows that are translations of each other."""
        if len(cut.kept):
            code = scrambled(self.local[cut.detectors].astype(np.uint64))
            sums = np.add.reduceat(np.where(cut.seen, code, np.uint64(0)), cut.of_part)
            effect = self.parts.effects[cut.parts].astype(np.uint64) * np.uint64(2) + np.uint64(1)
            sums = scrambled(sums + np.where(cut.commits, scrambled(effect), np.uint64(0)))
            whole = np.add.reduceat(np.where(cut.kept, sums, np.uint64(0)), cut.of_error)
            there = np.logical_or.reduceat(cut.kept, cut.of_error)
            bits = self.parts.probabilities[cut.errors].view(np.uint64)
            errors = scrambled(scrambled(whole[there]) + bits[there])
        else:
            errors = np.zeros(0, dtype=np.uint64)
        total = (errors.sum(dtype=np.uint64), scrambled(errors).sum(dtype=np.uint64), np.uint64(len(errors)))
        content = hashlib.sha256(np.array(total, dtype=np.uint64).tobytes())
        content.update(self._places(detectors).tobytes())
        content.update(self.local[seam].tobytes())
        return content.digest()

    def _places(self, detectors: Ints) -> NDArray[np.float64]:
        """Coordinates, the time from the first detector on."""
        places = self.layers.coordinates[detectors].copy()
        if len(places):
            time = self.layers.time
            places[:, time] = np.round(places[:, time] - places[0, time], 9)
        return places

    def _model(
        self, cut: _Cut, detectors: Ints, seam: Ints, exits: dict[tuple[_Part, ...], float]
    ) -> stim.DetectorErrorModel:
        num_observables = self.parts.num_observables + len(seam)
        lines = [f"error({p!r}) {text}" for text, p in self._merged(cut, seam).items()]
        lines += [f"error({p!r}) " + " ^ ".join(map(_text, parts)) for parts, p in exits.items()]
        for number, place in enumerate(self._places(detectors).tolist()):
            lines.append(f"detector({', '.join(map(repr, place))}) D{number}")
        if num_observables:
            lines.append(f"logical_observable L{num_observables - 1}")
        return stim.DetectorErrorModel("\n".join(lines))

    def _merged(self, cut: _Cut, seam: Ints) -> dict[str, float]:
        """The errors as far as they are in sight, in the model's order, equal ones as one: targets and probability."""
        kinds, texts = self._kinds(cut, seam)
        found: dict[tuple[int, ...], float] = {}
        stops = np.cumsum(np.add.reduceat(cut.kept, cut.of_error, dtype=np.int64)).tolist() if len(kinds) else []
        start = 0
        for stop, p in zip(stops, self.parts.probabilities[cut.errors].tolist(), strict=False):
            key = tuple(kinds[start:stop])
            if len(key) > 1:
                # What is flipped twice is not flipped.
                key = tuple(sorted(kind for kind in set(key) if key.count(kind) % 2))
            if key:
                q = found.get(key, 0.0)
                found[key] = p + q - 2 * p * q
            start = stop
        return {" ^ ".join([texts[kind] for kind in key]): p for key, p in found.items()}

    def _kinds(self, cut: _Cut, seam: Ints) -> tuple[list[int], list[str]]:
        """Numbers of what the kept parts flip here, one after another, and what that is, as text."""
        parts = self.parts
        of_target = np.repeat(np.where(cut.kept, np.cumsum(cut.kept) - 1, -1), cut.sizes)
        column = np.arange(len(of_target)) - np.repeat(cut.of_part, cut.sizes)
        width = int(cut.sizes.max(initial=0))
        row, column, detectors = (each[of_target >= 0] for each in (of_target, column, cut.detectors))
        of_seam = np.full(len(self.local), _NOTHING)
        of_seam[seam] = parts.num_observables + np.arange(len(seam))
        commits = cut.commits[cut.kept]
        flips = np.full((len(commits), 2 * width), _NOTHING)
        flips[row, column] = np.where(self.local[detectors] >= 0, self.local[detectors], _NOTHING)
        flips[row, width + column] = np.where(commits[row], of_seam[detectors], _NOTHING)
        flips[:, :width].sort(axis=1)
        flips[:, width:].sort(axis=1)
        effects = np.where(commits, parts.effects[cut.parts][cut.kept], 0)
        numbers = effects
        for values in flips.T:
            values = np.unique(values, return_inverse=True)[1]
            numbers = np.unique(numbers * (values.max(initial=0) + 1) + values, return_inverse=True)[1]
        first = np.unique(numbers, return_index=True)[1]
        texts = []
        for effect, values in zip(effects[first].tolist(), flips[first].tolist(), strict=True):
            seen = tuple(value for value in values[:width] if value < _NOTHING)
            flipped = (*parts.observables[effect], *(value for value in values[width:] if value < _NOTHING))
            texts.append(_text((seen, flipped)))
        return numbers.tolist(), texts


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


def _in_order(parts: Parts, times: Ints) -> tuple[Parts, Ints, Ints]:
    """The errors about in order of time, the last layer of all up to each, and the first of all from each on."""
    if not len(parts.probabilities):
        return parts, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    of_errors = parts.part_starts[parts.error_starts[:-1]]
    layers = times[parts.detectors]
    first, last = np.minimum.reduceat(layers, of_errors), np.maximum.reduceat(layers, of_errors)
    until, since = np.maximum.accumulate(last), np.minimum.accumulate(first[::-1])[::-1]
    # Models that come from circuits are in order but for a few layers.
    if (until - since).mean() <= 2 * (last - first).max() + 4:
        return parts, until, since
    order = np.argsort(first, kind="stable")
    chosen_parts = _ranges(parts.error_starts, order)
    moved = dataclasses.replace(
        parts,
        probabilities=parts.probabilities[order],
        error_starts=np.concatenate([[0], np.cumsum(np.diff(parts.error_starts)[order])]),
        part_starts=np.concatenate([[0], np.cumsum(np.diff(parts.part_starts)[chosen_parts])]),
        detectors=parts.detectors[_ranges(parts.part_starts, chosen_parts)],
        effects=parts.effects[chosen_parts],
    )
    return moved, np.maximum.accumulate(last[order]), first[order]


def _ranges(starts: Ints, order: Ints) -> Ints:
    """The numbers of the members of groups, group after group in another order."""
    sizes = np.diff(starts)[order]
    ends = np.cumsum(sizes)
    return np.asarray(np.repeat(starts[order] - (ends - sizes), sizes) + np.arange(ends[-1] if len(ends) else 0))
