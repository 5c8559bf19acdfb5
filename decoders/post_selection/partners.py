"""What one flipped edge says of edges in other graphs, from the errors that flip both.

Of errors of both bases each graph sees a part. If the other graph's correction lacks its part, the error has not
happened, or that correction is wrong; if it holds it, the error is likely. The first makes edges less likely than their
share of all errors, the second makes a few of them much likelier.
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from quell.decoders.post_selection.pruned import PrunedModel

__all__ = ["partner_lists", "without_partners"]

_LEAST = 1e-3  # of an edge's probability: what is left where only errors of both bases flip it
_LIGHTER_BY = 0.7  # nats: partners that gain less are not worth a shortcut


def without_partners(model: PrunedModel) -> PrunedModel:
    """Returns a model whose edges have the probabilities that hold where no edge of another graph is flipped.

    That is half of the errors that flip two graphs, and all that flip one: with all of the former the gaps of clean
    shots come out too small, with none of them those of crowded shots too large, since corrections may be wrong; with
    half of them gaps come true to within a factor of two (benchmarks/cultivation/soft_output).

    Examples:
        >>> import stim
        >>> from quell.decoders.post_selection.partners import without_partners
        >>> from quell.decoders.post_selection.pruned import PrunedModel
        >>> model = PrunedModel.of(stim.DetectorErrorModel(
        ...     "error(.1) D0 D1 L0 \\n error(.2) D2 D3 \\n error(.05) D0 D1 D2 D3 L0"))
        >>> model.probabilities.round(3).tolist(), without_partners(model).probabilities.round(3).tolist()
        ([0.14, 0.23], [0.12, 0.215])
    """
    alone = np.maximum(model.alone, _LEAST * model.probabilities)
    return dataclasses.replace(model, probabilities=(model.probabilities + alone) / 2)


def partner_lists(
    model: PrunedModel, conditional: PrunedModel
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Returns for each edge which others are likelier where it is flipped.

    Args:
        model: Its E edges.
        conditional: The same edges, with the probabilities that they have otherwise.

    Returns:
        first: int32 (E + 1,): the partners of edge e are those from first[e] to first[e + 1].
        partner: int32: the other edges.
        weight: float64: their weight where e is flipped, in nats; they are at least as likely not to be.

    Examples:
        >>> import stim
        >>> from quell.decoders.post_selection.partners import partner_lists, without_partners
        >>> from quell.decoders.post_selection.pruned import PrunedModel
        >>> model = PrunedModel.of(stim.DetectorErrorModel(
        ...     "error(.01) D0 D1 L0 \\n error(.1) D2 D3 \\n error(.05) D0 D1 D2 D3 L0"))
        >>> first, partner, weight = partner_lists(model, without_partners(model))
        >>> first.tolist(), partner.tolist(), weight.round(2).tolist()
        ([0, 1, 2], [1, 0], [0.0, 0.59])
    """
    one, other = model.partners.T
    edge, partner = np.concatenate((one, other)), np.concatenate((other, one))
    # Conditional on the edge, at most one half: shortcuts must not weigh less than nothing.
    likely = np.minimum(np.tile(model.partner_probabilities, 2) / model.probabilities[edge], 0.5)
    weight = np.log1p(-likely) - np.log(likely)
    base = np.log1p(-conditional.probabilities) - np.log(conditional.probabilities)
    useful = weight < base[partner] - _LIGHTER_BY
    edge, partner, weight = edge[useful], partner[useful], weight[useful]
    order = np.lexsort((weight, edge))
    first = np.searchsorted(edge[order], np.arange(len(model.probabilities) + 1)).astype(np.int32)
    return first, partner[order].astype(np.int32), weight[order].astype(np.float64)
