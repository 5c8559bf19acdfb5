"""A detector error model as a factor graph, for belief propagation: variables, checks, and sums over either.

Variables are the mechanisms of the model, checks its detectors. Sums over the neighbours of a node run as one plain sum
for each number of neighbours, which is what tensors are quick at.
"""

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from quell.decoders.edge_graph import EdgeGraph

if TYPE_CHECKING:
    import torch
    from torch import Tensor

__all__ = ["SMALLEST", "Factors", "Segments", "gallager", "put"]

_LARGEST_PRIOR = 60.0  # nat: a mechanism of probability 1 would have an infinite one
SMALLEST = 1e-30  # stands for 0 where 0 would make an infinity


@dataclasses.dataclass(frozen=True, eq=False)
class Factors:
    """The factor graph of a model. Mechanisms that flip the same detectors are one variable: no event tells them apart.

    Attributes:
        prior: float64 (V,): log((1 - p) / p) of each variable.
        slot_variables, slot_checks: int64 (F,): which variable flips which detector.
        pair_edges, pair_variables: int64 (P,): which edge may be flipped by which variable.
        pair_weights: Four of float64 (P,): the chance that the variable's mechanisms flip the edge an odd number of
            times, and an even one, if the variable is odd; the same two if it is even.
        pair_slots: int64 (P, 2): the slots of the variable and the ends of the edge; -1 where it does not flip an end.
        pair_together: bool (P,): whether the variable always flips the edge and all of its ends.
    """

    prior: NDArray[np.float64]
    slot_variables: NDArray[np.int64]
    slot_checks: NDArray[np.int64]
    pair_edges: NDArray[np.int64]
    pair_variables: NDArray[np.int64]
    pair_weights: tuple[NDArray[np.float64], ...]
    pair_slots: NDArray[np.int64]
    pair_together: NDArray[np.bool_]

    @classmethod
    def of(cls, graph: EdgeGraph) -> "Factors":
        """Reads a model."""
        detectors = np.append(graph.ends, [[-1, -1]], axis=0)[graph.mechanism_edges]
        flipped = _odd_ones(detectors.reshape(len(detectors), 2 * graph.mechanism_edges.shape[1]))
        kinds, variable_of = np.unique(flipped, axis=0, return_inverse=True)
        variable_of = variable_of.reshape(-1)
        slot_variables, column = np.nonzero(kinds >= 0)
        slot_checks = kinds[slot_variables, column].astype(np.int64)

        # 1 - 2p multiplies where mechanisms join. None is exactly 0, so that a factor can be divided out again.
        factors = 1 - 2 * graph.mechanism_probabilities
        factors = np.where(np.abs(factors) < 1e-60, 1e-60, factors)
        whole = np.ones(len(kinds))
        np.multiply.at(whole, variable_of, factors)
        edges = _odd_ones(graph.mechanism_edges)
        mechanism, place = np.nonzero(edges >= 0)
        pairs, pair_of = np.unique(
            np.stack([edges[mechanism, place], variable_of[mechanism]], axis=1), axis=0, return_inverse=True
        )
        pair_of = pair_of.reshape(-1)
        inside = np.ones(len(pairs))
        np.multiply.at(inside, pair_of, factors[mechanism])
        variables = pairs[:, 1]
        # Where all of the variable's mechanisms flip the edge, the rest is empty, not the rounding of a quotient.
        everything = np.bincount(pair_of, minlength=len(pairs)) == np.bincount(variable_of)[variables]
        rest = np.where(everything, 1.0, whole[variables] / inside)
        # A variable that is never odd, or never even, has no chances if it is: any will do.
        odd = np.maximum((1 - whole[variables]) / 2, 1e-300)
        even = np.maximum((1 + whole[variables]) / 2, 1e-300)
        odd_inside, even_inside = (1 - inside) / 2, (1 + inside) / 2
        odd_rest, even_rest = (1 - rest) / 2, (1 + rest) / 2
        p = (1 - whole) / 2
        with np.errstate(divide="ignore"):
            prior = np.log((1 - p) / p).clip(-_LARGEST_PRIOR, _LARGEST_PRIOR)
        # Slots stand in order of variable and detector.
        names = slot_variables * graph.num_detectors + slot_checks
        ends = graph.ends[pairs[:, 0]].astype(np.int64)
        looked_for = variables[:, None] * graph.num_detectors + ends
        slots = np.searchsorted(names, looked_for)
        there = (ends >= 0) & (np.append(names, -1)[slots] == looked_for)
        return cls(
            prior=prior,
            slot_variables=slot_variables.astype(np.int64),
            slot_checks=slot_checks,
            pair_edges=pairs[:, 0].astype(np.int64),
            pair_variables=variables.astype(np.int64),
            pair_weights=(
                odd_inside * even_rest / odd,
                even_inside * odd_rest / odd,
                odd_inside * odd_rest / even,
                np.maximum(even_inside * even_rest / even, SMALLEST),
            ),
            pair_slots=np.where(there, slots, -1),
            pair_together=everything & (there | (ends < 0)).all(axis=1),
        )


class Segments:
    """Sums over parts of the rows of a tensor, as one plain sum for each size of a part.

    Args:
        segment_of: int64 (rows,): the segment of each row.
        num_segments: How many segments there are; some may be empty.
        device: Where to sum.

    Attributes:
        order: int64 (rows,): the rows, in the order that the sums need.
        segments: int64 (num_segments,): the segments in the order of the sums.
        rank: int64 (num_segments,): where each segment stands in it.
        of_slot: int64 tensor (rows,): of each row, in the new order, where its segment stands.
    """

    def __init__(self, segment_of: NDArray[np.int64], num_segments: int, device: "torch.device") -> None:
        sizes = np.bincount(segment_of, minlength=num_segments)
        self.segments = np.argsort(sizes, kind="stable")
        self.rank = np.argsort(self.segments)
        self.order = np.argsort(self.rank[segment_of], kind="stable")
        self.of_slot = put(self.rank[segment_of][self.order], device)
        values, counts = np.unique(sizes, return_counts=True)
        self.num_empty = int(counts[values == 0].sum())
        self.sizes = [(int(size), int(count)) for size, count in zip(values, counts, strict=True) if size]

    def tables(self) -> list[NDArray[np.int64]]:
        """The rows of the segments of each size but 0, int64 (size, segments)."""
        ends = np.cumsum([size * count for size, count in self.sizes])
        parts = np.split(self.order, ends[:-1]) if self.sizes else []
        return [part.reshape(-1, size).T for part, (size, _) in zip(parts, self.sizes, strict=True)]

    def views(self, values: "Tensor") -> list["Tensor"]:
        """Views of (rows, shots), in the new order, as (segments, size, shots) for each size but 0."""
        import torch

        parts = torch.split(values, [size * count for size, count in self.sizes]) if self.sizes else ()
        return [part.view(-1, size, part.shape[1]) for part, (size, _) in zip(parts, self.sizes, strict=True)]

    def sum(self, values: "Tensor") -> "Tensor":
        """Sums (rows, shots), in the new order, to (segments, shots)."""
        import torch

        empty = values.new_zeros((self.num_empty, values.shape[1]))
        return torch.cat([empty, *(view.sum(dim=1) for view in self.views(values))])

    def odd(self, log_odds: "Tensor") -> "Tensor":
        """log((1 - q) / q) of an odd number of happenings in each segment, from those of each row, if independent."""
        odd = self.sum((log_odds < 0).float()).remainder_(2)
        return gallager(self.sum(gallager(log_odds.abs()))).mul_(1 - 2 * odd)


def gallager(sizes: "Tensor") -> "Tensor":
    """-log(tanh(x / 2)) of x >= 0, its own inverse, without loss for small or large x."""
    return sizes.clamp(min=SMALLEST).expm1_().reciprocal_().mul_(2).log1p_()


def put(values: NDArray[np.generic], device: "torch.device") -> "Tensor":
    """Returns an array as a tensor on a device."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(values)).to(device)


def _odd_ones(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Returns each row's numbers that stand in it an odd number of times, sorted, after -1s for what is left out."""
    rows = np.sort(rows, axis=1)
    for column in range(rows.shape[1] - 1):
        equal = rows[:, column] == rows[:, column + 1]
        rows[equal, column : column + 2] = -1
    return np.sort(rows, axis=1)
