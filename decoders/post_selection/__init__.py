"""Sampling of circuits that reject shots stage by stage, and decoding of what is kept, with a soft output."""

from quell.decoders.post_selection.sampler import StagedSampler, StageSamples, sample_stages
from quell.decoders.post_selection.stages import post_selection_stages

__all__ = ["StageSamples", "StagedSampler", "post_selection_stages", "sample_stages"]
