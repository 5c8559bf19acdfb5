"""What turns detection events into corrections. Everything here is, or takes, a `sinter.Decoder`."""

from quell.decoders.belief_propagation import BeliefPropagation
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.join_decompositions import join_equal_errors
from quell.decoders.large_batches import LargeBatches
from quell.decoders.ldpc_decoders import BPLSD, BPOSD
from quell.decoders.post_selection import (
    PrunedModel,
    SoftOutputDecoder,
    StagedSampler,
    StageSamples,
    TrueTSampler,
    post_selection_stages,
    pruned_model,
    sample_stages,
    sample_true_t,
)
from quell.decoders.posterior_matching import PosteriorMatching
from quell.decoders.predecoder.confidence import choose_confidence
from quell.decoders.predecoder.predecoded import PreDecoded
from quell.decoders.predecoder.predecoder import PreDecoder
from quell.decoders.registry import sinter_decoders

__all__ = [
    "BPLSD",
    "BPOSD",
    "BeliefPropagation",
    "EdgeGraph",
    "LargeBatches",
    "PosteriorMatching",
    "PreDecoded",
    "PreDecoder",
    "PrunedModel",
    "SoftOutputDecoder",
    "StageSamples",
    "StagedSampler",
    "TrueTSampler",
    "choose_confidence",
    "join_equal_errors",
    "post_selection_stages",
    "pruned_model",
    "sample_stages",
    "sample_true_t",
    "sinter_decoders",
]
