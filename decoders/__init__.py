"""What turns detection events into corrections. Everything here is, or takes, a `sinter.Decoder`."""

from quell.decoders.belief_propagation import BeliefPropagation
from quell.decoders.edge_graph import EdgeGraph
from quell.decoders.join_decompositions import join_equal_errors
from quell.decoders.large_batches import LargeBatches
from quell.decoders.ldpc_decoders import BPLSD, BPOSD
from quell.decoders.noise_learning.learn import (
    learn_detector_error_model,
    learn_detector_error_model_with_intervals,
)
from quell.decoders.noise_learning.learned_noise import LearnedNoise
from quell.decoders.noise_learning.learner import NoiseLearner
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
from quell.decoders.predecoder.network_source import NetworkSource
from quell.decoders.predecoder.predecoded import PreDecoded
from quell.decoders.predecoder.predecoder import PreDecoder
from quell.decoders.registry import sinter_decoders
from quell.decoders.windows.stream import Committed, WindowedStream
from quell.decoders.windows.windowed import Windowed

__all__ = [
    "BPLSD",
    "BPOSD",
    "BeliefPropagation",
    "Committed",
    "EdgeGraph",
    "LargeBatches",
    "LearnedNoise",
    "NetworkSource",
    "NoiseLearner",
    "PosteriorMatching",
    "PreDecoded",
    "PreDecoder",
    "PrunedModel",
    "SoftOutputDecoder",
    "StageSamples",
    "StagedSampler",
    "TrueTSampler",
    "Windowed",
    "WindowedStream",
    "choose_confidence",
    "join_equal_errors",
    "learn_detector_error_model",
    "learn_detector_error_model_with_intervals",
    "post_selection_stages",
    "pruned_model",
    "sample_stages",
    "sample_true_t",
    "sinter_decoders",
]
