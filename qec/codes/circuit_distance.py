"""The distance of a circuit: the least number of faults that flip an observable without a detection event, proven by
exhaustion. Sets of faults meet in the middle (pairs against pairs make all sets of four), so that hyperedges cost no
more than edges and nothing has to be decomposed; what lies beyond the exhausted weights comes from Stim's search.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import stim

from quell.errors import CircuitError, InputError, TooLargeError, check_integer

__all__ = ["CircuitDistance", "Mechanism", "circuit_distance"]

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int32]

_MOST = 5
_MOST_OBSERVABLES = 64
_MOST_PAIRS = 50_000_000
_BYTES_PER_PAIR = 64  # hashes, observables, members and their order while they are sorted
_MOST_TRIPLES = 3_000_000_000  # some thirty nanoseconds each
_CHUNK = 1 << 22
_SEED = 20_240_925  # of the hash; matches are verified, so no result depends on it
_SEARCH_SIZE = 6


class Mechanism(NamedTuple):
    """A fault as a detector error model has it: what it flips.

    Attributes:
        detectors: Indices, ascending.
        observables: Indices, ascending.
    """

    detectors: tuple[int, ...]
    observables: tuple[int, ...]


@dataclass(frozen=True)
class CircuitDistance:
    """What is known of the distance of a circuit.

    Attributes:
        lower: No set of fewer mechanisms flips an observable undetected.
        upper: The size of `witness`, or None where no witness was found.
        witness: Mechanisms that together flip an observable and no detector.
        num_mechanisms: Different mechanisms in the model.
        method: How the bounds were found, in words.
    """

    lower: int
    upper: int | None
    witness: tuple[Mechanism, ...]
    num_mechanisms: int
    method: str

    @property
    def distance(self) -> int | None:
        """The distance, where lower and upper meet; None otherwise."""
        return self.lower if self.lower == self.upper else None


def circuit_distance(model: stim.Circuit | stim.DetectorErrorModel, *, exhaust: int = 4) -> CircuitDistance:
    """Bounds, and mostly finds, the least weight of an undetectable logical error.

    Faults are the mechanisms of the detector error model, not decomposed: each Pauli that a channel can apply, on two
    qubits as on one, counts as one fault, whatever its probability. Those that flip the same are merged. Weights up
    to `exhaust` are looked through completely; with n mechanisms that is n²/2 pairs for weights 3 and 4, and n³/6
    triples for weight 5. If nothing is found there, Stim's `search_for_undetectable_logical_errors`, cut to six
    detection events at a time, looks for a witness above.

    Args:
        model: A circuit with noise, or a detector error model.
        exhaust: The greatest weight to look through completely, 1 to 5.

    Raises:
        InputError: `exhaust` is outside its limits, or `model` is neither a circuit nor a model.
        CircuitError: There is no noise or no observable, or a detector is random.
        TooLargeError: There are too many mechanisms for that weight.

    Examples:
        >>> import stim
        >>> from quell.qec.codes.circuit_distance import circuit_distance
        >>> circuit = stim.Circuit.generated(
        ...     "repetition_code:memory", distance=5, rounds=3, before_round_data_depolarization=0.01
        ... )
        >>> found = circuit_distance(circuit)
        >>> found.lower, found.upper, found.distance
        (5, 5, 5)
    """
    exhaust = check_integer("exhaust", exhaust, minimum=1)
    if exhaust > _MOST:
        raise InputError(f"exhaust must be <= {_MOST}, got {exhaust}: more is out of reach of meeting in the middle")
    mechanisms = _mechanisms(_model(model))
    if exhaust == _MOST:
        _check_size(len(mechanisms), exhaust)
    table = _Table(mechanisms)
    for weight in range(1, exhaust + 1):
        _check_size(len(mechanisms), weight)
        if found := table.find(weight):
            witness = tuple(mechanisms[index] for index in found)
            return CircuitDistance(weight, weight, witness, len(mechanisms), "exhausted up to the witness")
    witness = _search(mechanisms)
    method = f"exhausted up to weight {exhaust}; " + ("witness by Stim's search" if witness else "no witness found")
    return CircuitDistance(exhaust + 1, len(witness) or None, witness, len(mechanisms), method)


class _Table:
    """Mechanisms in a form in which sets of them are compared.

    The hash is linear: that of a symmetric difference is the XOR of the hashes. Equal symptoms have equal hashes, so
    that nothing is missed; what matches is verified.
    """

    def __init__(self, mechanisms: list[Mechanism]) -> None:
        num_detectors = 1 + max((d for m in mechanisms for d in m.detectors), default=-1)
        codes = np.random.default_rng(_SEED).integers(0, 2**64, size=num_detectors, dtype=np.uint64)
        zero = np.uint64(0)
        self.mechanisms = mechanisms
        self.hashes = np.array(
            [np.bitwise_xor.reduce(codes[list(m.detectors)], initial=zero) for m in mechanisms], np.uint64
        )
        self.observables = np.array([sum(1 << o for o in m.observables) for m in mechanisms], np.uint64)

    def find(self, weight: int) -> tuple[int, ...] | None:
        """Returns mechanisms, `weight` at most, that are undetectable and logical, or None if there are none.

        Smaller weights are taken to have been looked through.
        """
        size = len(self.hashes)
        candidates: Iterator[tuple[int, ...]]
        if weight == 1:
            candidates = ((int(i),) for i in np.flatnonzero(self.hashes == 0))
        elif weight == 2:
            candidates = _equal(self.hashes, self.observables, lambda i: (int(i),))
        elif weight == 4:
            left, right = _pairs(size)
            hashes, observables = self._sums([left, right])
            candidates = _equal(hashes, observables, lambda i: (int(left[i]), int(right[i])))
        else:
            smaller = [np.arange(size, dtype=np.int32)] if weight == 3 else list(_pairs(size))
            candidates = self._opposites(smaller, _pairs_in_chunks(size) if weight == 3 else _triples(size))
        return next((found for found in map(_without_repeats, candidates) if self._is_logical(found)), None)

    def _opposites(self, members: list[Indices], others: Iterator[list[Indices]]) -> Iterator[tuple[int, ...]]:
        """Yields unions of one of `members` and one of `others` with equal hashes and different observables."""
        hashes, observables = self._sums(members)
        order = np.lexsort((observables, hashes))
        hashes, observables = hashes[order], observables[order]
        # A bitmap of the hashes' first bits answers most questions without a search.
        bits = min(28, 7 + len(hashes).bit_length())
        shift = np.uint64(64 - bits)
        bitmap = np.zeros(1 << bits, bool)
        bitmap[hashes >> shift] = True
        for each in others:
            sums, flips = self._sums(each)
            maybe = np.flatnonzero(bitmap[sums >> shift])
            begin, end = (np.searchsorted(hashes, sums[maybe], side) for side in ("left", "right"))
            for which, low, high in zip(maybe[begin < end], begin[begin < end], end[begin < end], strict=True):
                # Sorted by observables within: if any differs, the first or the last does.
                for place in {low, high - 1}:
                    if observables[place] != flips[which]:
                        first = (int(part[order[place]]) for part in members)
                        yield (*first, *(int(part[which]) for part in each))

    def _sums(self, members: list[Indices]) -> tuple[Words, Words]:
        hashes, observables = self.hashes[members[0]], self.observables[members[0]]
        for part in members[1:]:
            hashes, observables = hashes ^ self.hashes[part], observables ^ self.observables[part]
        return hashes, observables

    def _is_logical(self, members: tuple[int, ...]) -> bool:
        detectors: set[int] = set()
        observables: set[int] = set()
        for index in members:
            detectors ^= set(self.mechanisms[index].detectors)
            observables ^= set(self.mechanisms[index].observables)
        return not detectors and bool(observables)


def _equal(
    hashes: Words, observables: Words, members: Callable[[np.intp], tuple[int, ...]]
) -> Iterator[tuple[int, ...]]:
    """Yields the members of neighbours of the same hash and different observables."""
    order = np.lexsort((observables, hashes))
    hashes, observables = hashes[order], observables[order]
    for place in np.flatnonzero((hashes[1:] == hashes[:-1]) & (observables[1:] != observables[:-1])):
        yield (*members(order[place]), *members(order[place + 1]))


def _pairs(size: int) -> tuple[Indices, Indices]:
    left, right = np.triu_indices(size, 1)
    return left.astype(np.int32), right.astype(np.int32)


def _pairs_in_chunks(size: int) -> Iterator[list[Indices]]:
    left, right = _pairs(size)
    for begin in range(0, len(left), _CHUNK):
        yield [left[begin : begin + _CHUNK], right[begin : begin + _CHUNK]]


def _triples(size: int) -> Iterator[list[Indices]]:
    left, right = _pairs(size)
    starts = np.searchsorted(left, np.arange(size))
    for first in range(size - 2):
        # Pairs are sorted by their smaller member.
        begin = starts[first + 1]
        yield [np.full(len(left) - begin, first, np.int32), left[begin:], right[begin:]]


def _without_repeats(members: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(index for index in set(members) if members.count(index) % 2))


def _model(model: object) -> stim.DetectorErrorModel:
    if isinstance(model, stim.Circuit):
        try:
            return model.detector_error_model(flatten_loops=True, approximate_disjoint_errors=True)
        except ValueError as error:
            raise CircuitError(f"Stim makes no detector error model of the circuit: {error}") from error
    if isinstance(model, stim.DetectorErrorModel):
        return model.flattened()
    raise InputError(f"model must be a stim.Circuit or a stim.DetectorErrorModel, got {type(model).__name__}")


def _mechanisms(model: stim.DetectorErrorModel) -> list[Mechanism]:
    """Returns the different mechanisms of a flat model, sorted."""
    if not 0 < model.num_observables <= _MOST_OBSERVABLES:
        raise CircuitError(
            f"there must be 1 to {_MOST_OBSERVABLES} observables, got {model.num_observables}: "
            "add OBSERVABLE_INCLUDE for what an error should flip, or leave some out"
        )
    found: set[Mechanism] = set()
    for instruction in (model[index] for index in range(len(model))):
        if not isinstance(instruction, stim.DemInstruction) or instruction.type != "error":
            continue
        detectors: set[int] = set()
        observables: set[int] = set()
        for target in instruction.targets_copy() if instruction.args_copy()[0] else []:
            # What stands in two parts of a decomposition flips nothing.
            if isinstance(target, int) or target.is_separator():
                continue
            (detectors if target.is_relative_detector_id() else observables).symmetric_difference_update({target.val})
        found.add(Mechanism(tuple(sorted(detectors)), tuple(sorted(observables))))
    found.discard(Mechanism((), ()))
    if not found:
        raise CircuitError("no fault flips anything: put noise on the circuit first, for example with NoiseModel")
    return sorted(found)


def _check_size(num_mechanisms: int, weight: int) -> None:
    pairs = num_mechanisms * (num_mechanisms - 1) // 2
    triples = pairs * (num_mechanisms - 2) // 3
    if weight >= 3 and pairs > _MOST_PAIRS:
        raise TooLargeError(
            f"{num_mechanisms:,} mechanisms make {pairs:,} pairs, which take {pairs * _BYTES_PER_PAIR / 2**30:.1f} "
            f"GiB; the limit is {_MOST_PAIRS:,}: pass exhaust=2, or take a smaller circuit"
        )
    if weight >= 5 and triples > _MOST_TRIPLES:
        raise TooLargeError(
            f"{num_mechanisms:,} mechanisms make {triples:,} triples; the limit is {_MOST_TRIPLES:,}: pass exhaust=4, "
            "and a witness of weight 5 comes from Stim's search"
        )


def _search(mechanisms: list[Mechanism]) -> tuple[Mechanism, ...]:
    """Returns what Stim's search finds, empty if nothing."""
    num_detectors = 1 + max((d for m in mechanisms for d in m.detectors), default=-1)
    num_observables = 1 + max(o for m in mechanisms for o in (-1, *m.observables))
    if not num_detectors or not num_observables:
        return ()
    # Stim searches circuits: a qubit stands for each detector and observable, a correlated error for a mechanism.
    circuit = stim.Circuit()
    for mechanism in mechanisms:
        flipped = [*mechanism.detectors, *(num_detectors + o for o in mechanism.observables)]
        circuit.append("E", [stim.target_x(qubit) for qubit in flipped], 0.01)
    size = num_detectors + num_observables
    circuit.append("M", range(size))
    for index in range(num_detectors):
        circuit.append("DETECTOR", [stim.target_rec(index - size)])
    for index in range(num_observables):
        circuit.append("OBSERVABLE_INCLUDE", [stim.target_rec(index - num_observables)], index)
    try:
        explained = circuit.search_for_undetectable_logical_errors(
            dont_explore_detection_event_sets_with_size_above=_SEARCH_SIZE,
            dont_explore_edges_with_degree_above=_SEARCH_SIZE,
            dont_explore_edges_increasing_symptom_degree=False,
        )
    except ValueError:  # it found none
        return ()
    witness = []
    for each in explained:
        targets = [term.dem_target for term in each.dem_error_terms]
        detectors = sorted(t.val for t in targets if t.is_relative_detector_id())
        observables = sorted(t.val for t in targets if t.is_logical_observable_id())
        witness.append(Mechanism(tuple(detectors), tuple(observables)))
    return tuple(witness)
