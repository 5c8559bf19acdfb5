"""Sampling of circuits that reject shots stage by stage, and decoding of what is kept, with a soft output."""

from quell.decoders.post_selection.pruned import PrunedModel, pruned_model
from quell.decoders.post_selection.sampler import StagedSampler, StageSamples, sample_stages
from quell.decoders.post_selection.soft_output import CompiledSoftOutput, SoftOutputDecoder
from quell.decoders.post_selection.stages import post_selection_stages
from quell.decoders.post_selection.true_t import TrueTCounts, TrueTSampler, sample_true_t
from quell.decoders.post_selection.true_t_symft import to_true_t

__all__ = [
    "CompiledSoftOutput",
    "PrunedModel",
    "SoftOutputDecoder",
    "StageSamples",
    "StagedSampler",
    "TrueTCounts",
    "TrueTSampler",
    "post_selection_stages",
    "pruned_model",
    "sample_stages",
    "sample_true_t",
    "to_true_t",
]
