"""Belief propagation on a detector error model: for every shot, the odds that each edge of the graph was flipped.

Variables are the mechanisms of the model, whole, so that what a decomposition into edges loses is kept; checks are the
detectors. Given to a matching as weights, the odds make belief-matching (Higgott et al., arXiv:2203.04948); where they
are sure, they can be committed before any other decoder (Caune et al., arXiv:2306.17142).
"""

import dataclasses
import math
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.factor_graph import Factors, Segments, gallager, put
from quell.decoders.posteriors import LOG_ODDS_UNIT, Coordinates, check_bit_packed
from quell.errors import InputError, check_integer, check_known, check_probability, import_extra

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["BeliefPropagation", "CompiledBeliefPropagation", "Method"]

Method: TypeAlias = Literal["min_sum", "product_sum"]
_METHODS: tuple[str, ...] = get_args(Method)

_LARGEST = 32000  # of a log-odds in int16
_LARGEST_MESSAGE = 60.0  # nat
_NEVER = 80.0  # nat: the log-odds of what never happens; their exponential is still a float32
# Scales the messages of min_sum, which are too sure. Of 0.6 and 0.9, 0.6 left fewer logical errors at d = 5, p = 0.006.
_MIN_SUM_SCALE = 0.6
# Of what one iteration holds, per shot and per pair of a mechanism and a detector.
_BYTES_PER_SLOT = 48
# Of a batch: what a core's caches hold nearly, and a bound for a device.
_CPU_BYTES, _CUDA_BYTES = 1 << 24, 1 << 30
# Batches are filled up to a multiple: torch adds the terms of a sum in another order where there are a few sums left.
_BATCH_STEP = 32


class BeliefPropagation:
    """Posteriors by belief propagation. torch is not imported before it is compiled.

    The defaults were chosen by logical errors of the matching that takes the odds as weights, on rotated surface-code
    memories at p = 0.006. 5 iterations, 10, and 20 with a damping of 0.5 left 543, 533 and 534 of 16,000 shots at d = 5
    and 211, 212 and 220 of 8,000 at d = 7 wrong, no difference that counts; plain matching 758 and 370.

    Args:
        num_iterations: Times that all messages are sent, at least 1.
        damping: How much of the last message stays in the next, at least 0 and below 1.
        method: `"product_sum"`, which is exact on trees, or `"min_sum"`, which replaces its products by minima.

    Raises:
        InputError: A setting is outside its limits.

    Examples:
        >>> from quell.decoders.belief_propagation import BeliefPropagation
        >>> BeliefPropagation(num_iterations=20).settings_id()
        'belief propagation method=product_sum num_iterations=20 damping=0.3'
    """

    def __init__(self, *, num_iterations: int = 10, damping: float = 0.3, method: Method = "product_sum") -> None:
        self.num_iterations = check_integer("num_iterations", num_iterations, minimum=1)
        self.damping = check_probability("damping", damping)
        if self.damping == 1:
            raise InputError("damping must be below 1, got 1: messages would never change; 0 is none")
        self.method = check_known("method", method, _METHODS)

    def __repr__(self) -> str:
        return (
            f"BeliefPropagation(num_iterations={self.num_iterations}, damping={self.damping!r}, method={self.method!r})"
        )

    def settings_id(self) -> str:
        """Returns every setting that changes an answer, in a line.

        Examples:
            >>> from quell.decoders.belief_propagation import BeliefPropagation
            >>> BeliefPropagation(method="min_sum", damping=0).settings_id()
            'belief propagation method=min_sum num_iterations=10 damping=0.0'
        """
        return f"belief propagation method={self.method} num_iterations={self.num_iterations} damping={self.damping!r}"

    def compile(
        self, graph: EdgeGraph, coordinates: Coordinates | None, edges: NDArray[np.int64], *, device: str = "cpu"
    ) -> "CompiledBeliefPropagation":
        """Prepares for a model.

        Args:
            graph: The model's edges and mechanisms.
            coordinates: Not needed here; other sources of posteriors need them.
            edges: int64 (n,): which edges' odds are wanted, and in which order.
            device: `"cpu"`, `"cuda"`, `"cuda:1"`, or `"auto"` for CUDA where there is some.

        Raises:
            InputError: There is no such edge or device.
            MissingExtraError: torch is not installed.

        Examples:
            >>> import numpy as np, stim
            >>> from quell.decoders.belief_propagation import BeliefPropagation
            >>> from quell.decoders.edge_graph import EdgeGraph
            >>> graph = EdgeGraph.of(stim.DetectorErrorModel("error(0.1) D0 L0 \\n error(0.2) D0 D1"))
            >>> compiled = BeliefPropagation().compile(graph, None, np.arange(2))
            >>> compiled.log_odds(np.zeros((5, 1), dtype=np.uint8)).shape
            (5, 2)
        """
        del coordinates
        import_extra("torch", "predecoder")
        from quell.decoders.predecoder.network_posteriors import check_device

        return CompiledBeliefPropagation(
            self, graph, _checked_edges(edges, graph.num_edges), device=check_device(device)
        )


class CompiledBeliefPropagation:
    """Belief propagation ready for one model. `BeliefPropagation.compile` makes it.

    Tensors hold a row for each slot, a pair of a mechanism and a detector that it flips, and a column for each shot.

    Args:
        settings: The settings.
        graph: The model's edges and mechanisms.
        edges: int64 (n,): which edges' odds are wanted.
        device: Where to run.
    """

    def __init__(
        self, settings: BeliefPropagation, graph: EdgeGraph, edges: NDArray[np.int64], *, device: "torch.device"
    ) -> None:
        self.num_iterations, self.damping, self.method = settings.num_iterations, settings.damping, settings.method
        self.num_detectors = graph.num_detectors
        self.device = device
        factors = Factors.of(graph)
        checks = Segments(factors.slot_checks, graph.num_detectors, device)
        self._checks = checks
        # Variables, too, stand in order of their degrees: what reaches those of one degree is added row by row.
        variables = Segments(factors.slot_variables[checks.order], len(factors.prior), device)
        self._prior = put(factors.prior[variables.segments].astype(np.float32), device)
        self._slot_variables = put(variables.rank[factors.slot_variables[checks.order]], device)
        self._variable_slots = [put(slots, device) for slots in variables.tables()]
        detectors = checks.segments
        self._event_bytes, self._event_bits = put(detectors // 8, device), put(detectors % 8, device)

        self._pairs = Segments(factors.pair_edges, graph.num_edges, device)
        order = self._pairs.order
        self._pair_variables = put(variables.rank[factors.pair_variables[order]], device)
        self._pair_weights = [put(weights[order, None].astype(np.float32), device) for weights in factors.pair_weights]
        self._together = put(factors.pair_together[order, None], device)
        self._any_apart = not factors.pair_together.all()
        self._ends = [_End.of(end, graph, factors, checks, self._pairs, device) for end in range(2)]
        self._wanted = put(self._pairs.rank[edges], device)

        held = _BYTES_PER_SLOT * max(1, len(factors.slot_checks), len(factors.pair_edges))
        budget = _CPU_BYTES if device.type == "cpu" else _CUDA_BYTES
        self.batch_size = _in_steps(budget // held)
        self._without_events: NDArray[np.int16] | None = None

    def log_odds(self, events: NDArray[np.uint8]) -> NDArray[np.int16]:
        """Returns log(q / (1 - q)) of each edge, int16 (shots, edges) in units of `LOG_ODDS_UNIT`.

        q is the chance that an odd number of mechanisms flipped the edge, given all events of the shot. It is exact
        where the mechanisms and detectors make a tree, apart from edges with the same ends. A device that runs out of
        memory gets smaller batches from then on.

        Args:
            events: uint8 (shots, ceil(D/8)): detection events, bit-packed in little-endian order.

        Raises:
            InputError: The events have another shape or type.

        Examples:
            >>> import numpy as np, stim
            >>> from quell.decoders.belief_propagation import BeliefPropagation
            >>> from quell.decoders.edge_graph import EdgeGraph
            >>> graph = EdgeGraph.of(stim.DetectorErrorModel("error(0.1) D0 L0 \\n error(0.2) D0 D1"))
            >>> compiled = BeliefPropagation().compile(graph, None, np.arange(2))
            >>> (compiled.log_odds(np.array([[0b01], [0b11]], dtype=np.uint8)) > 0).tolist()
            [[True, False], [False, True]]
        """
        check_bit_packed("events", events, self.num_detectors)
        found = np.empty((len(events), len(self._wanted)), dtype=np.int16)
        busy = events.any(axis=1)
        if not busy.all():
            if self._without_events is None:
                self._without_events = self._run(np.zeros((1, events.shape[1]), dtype=np.uint8))[0]
            found[~busy] = self._without_events
        rows = np.flatnonzero(busy)
        start = 0
        while start < len(rows):
            batch = rows[start : start + self.batch_size]
            answer = self._run_or_shrink(events[batch])
            if answer is not None:
                found[batch] = answer
                start += len(batch)
        return found

    def _run_or_shrink(self, packed: NDArray[np.uint8]) -> NDArray[np.int16] | None:
        """Returns the answer, or None after the batch size was halved because memory ran out."""
        import torch

        try:
            return self._run(packed)
        except torch.OutOfMemoryError:
            if self.batch_size <= _BATCH_STEP:
                raise
            self.batch_size = _in_steps(min(self.batch_size, len(packed)) // 2)
        torch.cuda.empty_cache()
        return None

    def _run(self, packed: NDArray[np.uint8]) -> NDArray[np.int16]:
        import torch

        num_shots = len(packed)
        packed = np.pad(packed, ((0, -num_shots % _BATCH_STEP), (0, 0)))
        with torch.inference_mode():
            rows = put(packed.T, self.device)
            events = ((rows[self._event_bytes] >> self._event_bits[:, None]) & 1).float()
            answer = self._edges(self._propagate(events), events).div_(-LOG_ODDS_UNIT)
            return answer.round().clamp(-_LARGEST, _LARGEST).to(torch.int16).T[:num_shots].cpu().numpy()

    def _propagate(self, events: "Tensor") -> "Tensor":
        """Returns the last messages to variables, float32 (slots, shots), for events (checks, shots)."""
        import torch

        answers = self._product_sum if self.method == "product_sum" else self._min_sum
        to_variables = torch.zeros((len(self._slot_variables), events.shape[1]), device=self.device)
        for iteration in range(self.num_iterations):
            to_checks = self._beliefs(to_variables).index_select(0, self._slot_variables).sub_(to_variables)
            # An answer's sign is that of all other messages to the check, and of its event.
            odd = (self._checks.sum((to_checks < 0).float()) + events).remainder_(2)
            sent = answers(to_checks.abs()).clamp_(max=_LARGEST_MESSAGE)
            sent.mul_(torch.where(to_checks < 0, -1.0, 1.0)).mul_((1 - 2 * odd).index_select(0, self._checks.of_slot))
            # The first messages have none before them to be damped by.
            to_variables = sent if not iteration else to_variables.lerp_(sent, 1 - self.damping)
        return to_variables

    def _beliefs(self, to_variables: "Tensor") -> "Tensor":
        """Adds what reaches each variable to its prior: float32 (V, shots)."""
        beliefs = self._prior[:, None].repeat(1, to_variables.shape[1])
        start = len(beliefs) - sum(slots.shape[1] for slots in self._variable_slots)
        for slots in self._variable_slots:
            part = beliefs[start : start + slots.shape[1]]
            for row in slots:
                part += to_variables.index_select(0, row)
            start += len(part)
        return beliefs

    def _product_sum(self, sizes: "Tensor") -> "Tensor":
        """The size of each answer of a check to messages of these sizes, all float32 (slots, shots)."""
        terms = gallager(sizes)
        # In double precision, or what is left of a sum after its largest term is taken out again would be lost.
        others = self._checks.sum(terms.double()).index_select(0, self._checks.of_slot).sub_(terms)
        return gallager(others.float())

    def _min_sum(self, sizes: "Tensor") -> "Tensor":
        """The same, approximated by the smallest of the other messages."""
        import torch

        answers = []
        for view in self._checks.views(sizes):
            smallest, where = view.min(dim=1, keepdim=True)
            second = view.scatter(1, where, math.inf).amin(dim=1, keepdim=True)
            answers.append(smallest.expand_as(view).scatter(1, where, second).flatten(0, 1))
        return torch.cat(answers).mul_(_MIN_SUM_SCALE) if answers else sizes

    def _edges(self, to_variables: "Tensor", events: "Tensor") -> "Tensor":
        """Returns log((1 - q) / q) of each wanted edge, float32 (n, shots)."""
        import torch

        beliefs = self._beliefs(to_variables)
        found = self._flipped_together(beliefs, to_variables, events)
        if self._any_apart:
            # All terms are positive, so these are as exact for a probability near one as for one near zero.
            odds = beliefs.clamp(-_NEVER, _NEVER).neg_().exp_().index_select(0, self._pair_variables)
            odd_if_odd, even_if_odd, odd_if_even, even_if_even = self._pair_weights
            parts = torch.log((even_if_even + even_if_odd * odds) / (odd_if_even + odd_if_odd * odds))
            apart = self._pairs.odd(parts.masked_fill_(self._together, _NEVER))
            sizes = gallager(gallager(found.abs()) + gallager(apart.abs()))
            found = sizes.copysign_(found).mul_(torch.sign(apart))
        return found.index_select(0, self._wanted)

    def _flipped_together(self, beliefs: "Tensor", to_variables: "Tensor", events: "Tensor") -> "Tensor":
        """log((1 - q) / q) of each edge, by the variables that flip it with both its ends: float32 (E, shots).

        They are taken as one, as the detectors at the ends see no difference between them. Taken as independent, two
        that explain the same event would have half of the chance each, and the edge too little. Logical errors of
        matching were the same; the chances are better calibrated, which matters where they are committed.
        """
        to_checks = beliefs.index_select(0, self._slot_variables).sub_(to_variables)
        terms = gallager(to_checks.abs())
        negative = (to_checks < 0).float()
        totals = self._checks.sum(terms.double())
        odd = self._checks.sum(negative) + events
        elsewhere = beliefs.index_select(0, self._pair_variables)
        messages = []
        for end in self._ends:
            elsewhere -= to_variables.index_select(0, end.slots).mul_(end.mine)
            own = self._pairs.sum(terms.index_select(0, end.slots).mul_(end.mine).double())
            sizes = gallager((totals.index_select(0, end.checks) - own).float()).clamp_(max=_LARGEST_MESSAGE)
            others = odd.index_select(0, end.checks)
            others -= self._pairs.sum(negative.index_select(0, end.slots).mul_(end.mine))
            messages.append(sizes.mul_(1 - 2 * others.remainder_(2)).mul_(end.exists))
        return self._pairs.odd(elsewhere.masked_fill_(~self._together, _NEVER)) + messages[0] + messages[1]


@dataclasses.dataclass(frozen=True, eq=False)
class _End:
    """What is needed of one end of each edge.

    Attributes:
        checks: int64 tensor (E,): its check, or 0.
        exists: bool tensor (E, 1): whether there is one, and variables that flip the edge with all its ends.
        slots: int64 tensor (P,): for each of the pairs, the slot of its variable and this check, or 0.
        mine: bool tensor (P, 1): whether there is one, and the variable flips the edge with all its ends.
    """

    checks: "Tensor"
    exists: "Tensor"
    slots: "Tensor"
    mine: "Tensor"

    @classmethod
    def of(
        cls,
        end: int,
        graph: EdgeGraph,
        factors: "Factors",
        checks: "Segments",
        pairs: "Segments",
        device: "torch.device",
    ) -> "_End":
        detectors = graph.ends[pairs.segments, end]
        used = np.bincount(factors.pair_edges[factors.pair_together], minlength=graph.num_edges) > 0
        slots = factors.pair_slots[pairs.order, end]
        # A last number for what has none, which is -1.
        rank = np.append(checks.rank, 0)
        place = np.append(np.argsort(checks.order), 0)
        return cls(
            checks=put(rank[detectors], device),
            exists=put(((detectors >= 0) & used[pairs.segments])[:, None], device),
            slots=put(place[slots], device),
            mine=put(((slots >= 0) & factors.pair_together[pairs.order])[:, None], device),
        )


def _in_steps(num_shots: int) -> int:
    return max(_BATCH_STEP, num_shots // _BATCH_STEP * _BATCH_STEP)


def _checked_edges(edges: object, num_edges: int) -> NDArray[np.int64]:
    if not isinstance(edges, np.ndarray) or edges.ndim != 1 or edges.dtype.kind not in "iu":
        got = f"{edges.dtype} of shape {edges.shape}" if isinstance(edges, np.ndarray) else type(edges).__name__
        raise InputError(f"edges must be an array of integers of shape (n,), got {got}: np.arange({num_edges}) is all")
    outside = edges[(edges < 0) | (edges >= num_edges)]
    if len(outside):
        raise InputError(f"edges must be from 0 to {num_edges - 1}, got {outside[0]}: the graph has {num_edges} edges")
    return edges.astype(np.int64)
