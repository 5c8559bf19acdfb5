"""The matching model of the shots that a post-selection keeps.

Errors that touch a post-selected detector are dropped; of the others each is split into parts that flip at most two
detectors of one basis, of which matching makes edges. Stim's own decomposition fails on cultivation circuits, where
the logical Y is flipped by the X and by the Z part of an error: the rules are those of Chen et al. (arXiv:2503.18657),
the bases and the observables of the parts are found from the model itself.
"""

import collections
import dataclasses
import itertools
import math
from collections.abc import Iterable

import numpy as np
import stim
from numpy.typing import NDArray

from quell.errors import InputError

__all__ = ["PrunedModel", "post_selected_detectors", "pruned_model"]

Part = tuple[int, ...]  # detectors, sorted
Error = tuple[Part, int]  # and whether the observable is flipped
Edge = tuple[Part, int]

_POST_SELECTED_COORDINATES = 4
_MAX_UNSPLIT = 0.01


@dataclasses.dataclass(frozen=True, eq=False)
class PrunedModel:
    """A model whose errors are split into edges of single-basis matching graphs.

    Attributes:
        dem: The model that stock PyMatching reads: errors with parts parted by `^`, detectors numbered as in the
            circuit. Where two edges join the same detectors and flip different observables, it has the likelier one.
        bases: int8 (D,): 0 or 1 for the basis of each detector; which is X and which Z is not said. -1 for the
            detectors that no kept error flips, among them those that are post-selected.
        ends: int32 (E, 2): the detectors of each edge, the smaller first; -1 in the second place is the boundary.
        labels: uint8 (E,): whether the edge flips the observable. The edges that `dem` leaves out stand here too.
        probabilities: float64 (E,): the chance that an odd number of errors flips the edge.
        alone: float64 (E,): the same, of the errors that flip no other edge.
        partners: int32 (P, 2): the pairs of edges that errors flip together.
        partner_probabilities: float64 (P,): the chance that an odd number of errors flips the pair.
        dropped: How many errors a shot holds on average that touch a post-selected detector.
        kept: How many others.
        unsplit: How many of these could not be split, and are left out. In cultivation at distance 5 it is one error of
            6e-5 of all: an X in the middle of the last double check, which flips eight detectors.
        parallel: Average number of flips of the edges that `dem` leaves out for a likelier one with the same ends.
        undetected: Probability that the observable is flipped by errors that flip no detector.
    """

    dem: stim.DetectorErrorModel
    bases: NDArray[np.int8]
    ends: NDArray[np.int32]
    labels: NDArray[np.uint8]
    probabilities: NDArray[np.float64]
    alone: NDArray[np.float64]
    partners: NDArray[np.int32]
    partner_probabilities: NDArray[np.float64]
    dropped: float
    kept: float
    unsplit: float
    parallel: float
    undetected: float

    @classmethod
    def of(
        cls, model: stim.Circuit | stim.DetectorErrorModel, *, post_selected: Iterable[int] | None = None
    ) -> "PrunedModel":
        """Prunes and splits a model.

        Args:
            model: A circuit, or a model of one, with one observable. Decompositions that it has are not looked at.
            post_selected: Detectors that reject a shot; None for those with four coordinates, (x, y, t, stage).

        Raises:
            InputError: The model has no observable or several, or a detector is not among the model's.

        Examples:
            An error of two bases at a corner is split into its parts, and detector 2 is post-selected.

            >>> import stim
            >>> from quell.decoders.post_selection.pruned import PrunedModel
            >>> model = stim.DetectorErrorModel('''
            ...     error(0.1) D0 L0
            ...     error(0.1) D1
            ...     error(0.1) D0 D1 L0
            ...     error(0.1) D0 D3
            ...     error(0.1) D1 D4
            ...     error(0.1) D0 D1 D4 L0
            ...     error(0.1) D1 D2
            ... ''')
            >>> pruned = PrunedModel.of(model, post_selected=[2])
            >>> pruned.bases.tolist()
            [0, 1, -1, 0, 1]
            >>> print(pruned.dem[1])
            error(0.1) D0 L0 ^ D1
            >>> round(pruned.dropped, 3), pruned.unsplit
            (0.1, 0.0)
        """
        dem = model.detector_error_model() if isinstance(model, stim.Circuit) else model
        if dem.num_observables != 1:
            raise InputError(f"the model must have one observable, got {dem.num_observables}: keep the logical's only")
        rejecting = _checked(post_selected, dem)
        everything = _errors(dem)
        kept = {error: p for error, p in everything.items() if rejecting.isdisjoint(error[0])}
        visible = {error: p for error, p in kept.items() if error[0]}
        colours = _Relations()
        _find_bases(visible, colours)
        bases = _numbered(visible, colours, dem.num_detectors)
        splits = _split(visible, bases)
        edges: dict[Edge, float] = {}
        together: dict[tuple[Edge, ...], float] = {}
        for error, parts in splits.items():
            together[parts] = _either(together.get(parts, 0.0), visible[error])
            for part in parts:
                edges[part] = _either(edges.get(part, 0.0), visible[error])
        order = sorted(edges)
        numbers = {edge: number for number, edge in enumerate(order)}
        pairs = [parts for parts in together if len(parts) > 1]
        left_out = {(part, label) for part, label in order if _hidden(edges, part, label)}
        return cls(
            dem=_written(dem, visible, splits, left_out),
            bases=bases,
            ends=np.array([[*part, -1][:2] for part, _ in order], dtype=np.int32).reshape(-1, 2),
            labels=np.array([label for _, label in order], dtype=np.uint8),
            probabilities=np.array([edges[edge] for edge in order], dtype=np.float64),
            alone=np.array([together.get((edge,), 0.0) for edge in order], dtype=np.float64),
            partners=np.array([[numbers[edge] for edge in pair] for pair in pairs], dtype=np.int32).reshape(-1, 2),
            partner_probabilities=np.array([together[pair] for pair in pairs], dtype=np.float64),
            dropped=math.fsum(everything.values()) - math.fsum(kept.values()),
            kept=math.fsum(kept.values()),
            unsplit=math.fsum(p for error, p in visible.items() if error not in splits),
            parallel=math.fsum(edges[edge] for edge in left_out),
            undetected=kept.get(((), 1), 0.0),
        )

    def check_split(self) -> None:
        """Raises `InputError` if more than 1 % of the errors could not be split."""
        if self.unsplit > _MAX_UNSPLIT * self.kept:
            raise InputError(
                f"errors that a shot holds {self.unsplit:.3g} times on average, of {self.kept:.3g}, cannot be split "
                f"into parts of at most two detectors of a basis, the limit is {_MAX_UNSPLIT:.0%}: matching would not "
                f"see them. A code whose errors have no such parts, such as a colour code, needs another decoder"
            )


def pruned_model(
    model: stim.Circuit | stim.DetectorErrorModel, *, post_selected: Iterable[int] | None = None
) -> stim.DetectorErrorModel:
    """Returns a model for the shots that post-selection kept, which stock PyMatching can read.

    Args:
        model: A circuit, or a model of one, with one observable.
        post_selected: Detectors that reject a shot; None for those with four coordinates, (x, y, t, stage).

    Returns:
        The errors that flip no post-selected detector, split into parts of at most two detectors of one basis; the
        detectors are numbered as in the circuit.

    Raises:
        InputError: As for `PrunedModel.of`, or more than 1 % of the errors cannot be split.

    Examples:
        >>> import pymatching
        >>> from quell.circuits import NoiseModel, rotated_surface_memory
        >>> from quell.decoders.post_selection.pruned import pruned_model
        >>> circuit = NoiseModel.uniform_depolarizing(1e-3).apply(rotated_surface_memory(3, 3))
        >>> pymatching.Matching.from_detector_error_model(pruned_model(circuit)).num_detectors
        24
    """
    pruned = PrunedModel.of(model, post_selected=post_selected)
    pruned.check_split()
    return pruned.dem


def post_selected_detectors(model: stim.Circuit | stim.DetectorErrorModel) -> NDArray[np.int64]:
    """Returns the detectors with four coordinates, (x, y, t, stage), in order; int64.

    Examples:
        >>> import stim
        >>> from quell.decoders.post_selection.pruned import post_selected_detectors
        >>> post_selected_detectors(stim.Circuit("M 0 \\n DETECTOR(0, 0, 0, 1) rec[-1] \\n DETECTOR(0, 0, 0) rec[-1]"))
        array([0])
    """
    coordinates = model.get_detector_coordinates()
    found = [detector for detector, place in coordinates.items() if len(place) == _POST_SELECTED_COORDINATES]
    return np.array(sorted(found), dtype=np.int64)


class _Relations:
    """Which things are alike and which differ: a union-find whose links carry a bit."""

    def __init__(self) -> None:
        self._above: dict[int, tuple[int, int]] = {}

    def root(self, thing: int) -> tuple[int, int]:
        """Returns the thing's representative, and 1 if it differs from it."""
        above, bit = self._above.get(thing, (thing, 0))
        if above == thing:
            return thing, 0
        top, further = self.root(above)
        self._above[thing] = top, bit ^ further
        return self._above[thing]

    def between(self, first: int, second: int) -> int | None:
        """Returns 0 if they are alike, 1 if they differ, None if it is not known."""
        (root, bit), (other, further) = self.root(first), self.root(second)
        return bit ^ further if root == other else None

    def link(self, first: int, second: int, bit: int) -> bool:
        """Notes that they are alike or differ, and returns whether that is new."""
        (root, here), (other, there) = self.root(first), self.root(second)
        if root == other:
            return False
        self._above[other] = root, bit ^ here ^ there
        return True


def _checked(post_selected: Iterable[int] | None, dem: stim.DetectorErrorModel) -> set[int]:
    if post_selected is None:
        return set(post_selected_detectors(dem).tolist())
    found = {int(detector) for detector in post_selected}
    for detector in found:
        if not 0 <= detector < dem.num_detectors:
            raise InputError(f"post_selected must hold detectors from 0 to {dem.num_detectors - 1}, got {detector}")
    return found


def _either(p: float, q: float) -> float:
    """The chance that exactly one of two independent things happens."""
    return p * (1 - q) + q * (1 - p)


def _errors(dem: stim.DetectorErrorModel) -> dict[Error, float]:
    """Returns what the errors flip, decompositions joined, and how likely it is."""
    found: dict[Error, float] = {}
    flat = dem.flattened()
    for instruction in (flat[number] for number in range(len(flat))):
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        detectors: set[int] = set()
        label = 0
        for target in itertools.chain.from_iterable(instruction.target_groups()):
            if target.is_relative_detector_id():
                detectors ^= {target.val}
            else:
                label ^= 1
        error = tuple(sorted(detectors)), label
        probability = instruction.args_copy()[0]
        if probability > 0 and (detectors or label):
            found[error] = _either(found.get(error, 0.0), probability)
    return found


def _find_bases(errors: dict[Error, float], colours: _Relations) -> None:
    """Finds which detectors are of one basis.

    An error of both bases that flips two detectors consists of two that flip one each. So a pair of which one detector
    is never flipped alone is of one basis. The rest follows from errors of three and four detectors, of which no three
    are of one basis; where nothing says otherwise, what an error flips together is.
    """
    alone = {detectors[0] for detectors, _ in errors if len(detectors) == 1}
    doubtful: dict[Part, float] = {}
    for (detectors, _), probability in errors.items():
        if len(detectors) == 2:
            if alone.issuperset(detectors):
                doubtful[detectors] = doubtful.get(detectors, 0.0) + probability
            else:
                colours.link(detectors[0], detectors[1], 0)
    several = sorted({detectors for detectors, _ in errors if 3 <= len(detectors) <= 4})
    queue = collections.deque(sorted(doubtful, key=lambda pair: (-doubtful[pair], pair)))
    while True:
        while sum(_infer(detectors, colours) for detectors in several):
            pass
        while queue and colours.between(*queue[0]) is not None:
            queue.popleft()
        if not queue:
            return
        first, second = queue.popleft()
        colours.link(first, second, 0)


def _infer(detectors: Part, colours: _Relations) -> bool:
    """Draws what conclusions an error of three or four detectors allows, and returns whether any is new."""
    new = False
    for i, first in enumerate(detectors):
        for second in detectors[:i]:
            relation = colours.between(first, second)
            rest = [detector for detector in detectors if detector not in (first, second)]
            if relation == 0:  # two of one basis: the others are of the other one
                for other in rest:
                    new |= colours.link(first, other, 1)
            elif relation == 1 and len(rest) == 2:  # one of each: so are the other two
                new |= colours.link(rest[0], rest[1], 1)
    return new


def _numbered(errors: dict[Error, float], colours: _Relations, num_detectors: int) -> NDArray[np.int8]:
    bases = np.full(num_detectors, -1, dtype=np.int8)
    for detector in sorted({detector for detectors, _ in errors for detector in detectors}):
        # Of parts of the graph that nothing relates each has a basis 0 of its own, which is as good as any.
        root, bit = colours.root(detector)
        if bases[root] < 0:
            bases[root] = bit
        bases[detector] = bases[root] ^ bit
    return bases


def _split(errors: dict[Error, float], bases: NDArray[np.int8]) -> dict[Error, tuple[Edge, ...]]:
    """Returns the edges that each error flips, for the errors that can be split."""
    single: dict[Edge, float] = {}
    composite: dict[Error, tuple[Part, Part]] = {}
    for error, probability in errors.items():
        parts = [tuple(d for d in error[0] if bases[d] == basis) for basis in (0, 1)]
        if any(len(part) > 2 for part in parts):
            continue
        if all(parts):
            composite[error] = parts[0], parts[1]
        else:
            single[error] = probability
    splits: dict[Error, tuple[Edge, ...]] = {error: (error,) for error in single}
    known = dict(single)
    waiting = sorted(composite, key=lambda error: (-errors[error], error))
    while waiting:
        later = []
        for error in waiting:
            edges = _labelled(composite[error], error[1], known)
            if edges is None:
                later.append(error)
                continue
            splits[error] = edges
            for edge in edges:
                known.setdefault(edge, 0.0)
        if len(later) == len(waiting):
            first = composite[later[0]][0]
            if any((first, label) in known for label in (0, 1)):
                break  # both parts are known, and do not make up this error
            # Neither part of what is left is met with anything else: which one flips the observable is a convention.
            known[first, 0] = 0.0
        waiting = later
    return splits


def _labelled(parts: tuple[Part, Part], label: int, known: dict[Edge, float]) -> tuple[Edge, ...] | None:
    """Returns the two edges whose observables add up to the error's, the likeliest where there are several."""
    choices: list[tuple[float, tuple[Edge, Edge]]] = []
    missing = [not any((part, bit) in known for bit in (0, 1)) for part in parts]
    for bit in (0, 1):
        pair = (parts[0], bit), (parts[1], bit ^ label)
        seen = [edge in known for edge in pair]
        if all(have or lacks for have, lacks in zip(seen, missing, strict=True)) and any(seen):
            choices.append((math.prod(known.get(edge, 1.0) for edge in pair), pair))
    return max(choices)[1] if choices else None


def _hidden(edges: dict[Edge, float], part: Part, label: int) -> bool:
    """Whether another edge with the same ends is likelier."""
    other = edges.get((part, 1 - label), 0.0)
    return other > edges[part, label] or (other == edges[part, label] and label == 1)


def _written(
    dem: stim.DetectorErrorModel,
    errors: dict[Error, float],
    splits: dict[Error, tuple[Edge, ...]],
    left_out: set[Edge],
) -> stim.DetectorErrorModel:
    """Returns the model with its errors split, and all of its detectors and observables declared."""
    written = stim.DetectorErrorModel()
    for error in sorted(splits):
        targets: list[object] = []
        for part, label in (edge for edge in splits[error] if edge not in left_out):
            if targets:
                targets.append(stim.target_separator())
            targets += [stim.target_relative_detector_id(detector) for detector in part]
            if label:
                targets.append(stim.target_logical_observable_id(0))
        if targets:
            written.append("error", errors[error], targets)
    coordinates = dem.get_detector_coordinates()
    for detector in range(dem.num_detectors):
        written.append("detector", coordinates.get(detector, []), [stim.target_relative_detector_id(detector)])
    written.append("logical_observable", [], [stim.target_logical_observable_id(0)])
    return written
