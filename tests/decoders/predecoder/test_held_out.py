"""Figures on held-out shots: what they are of, and how far they can be trusted."""

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy import stats

from quell.errors import InputError

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch")

from quell.decoders.predecoder import held_out
from quell.decoders.predecoder.held_out import HeldOut, held_out_cross_entropy
from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork
from quell.decoders.predecoder.training import Trainer, TrainingConfig


def network() -> PosteriorNetwork:
    """A network that was trained for a moment."""
    config = TrainingConfig(width=4, depth=1, volumes=((3, 1),), num_steps=30, sites_per_step=2048, learning_rate=0.02)
    trainer = Trainer(config, mixed_precision=False, num_processes=1)
    trainer.run()
    return trainer.network


def measured(made: PosteriorNetwork, seed: int, shots_per_circuit: int = 60, p: float = 0.02) -> HeldOut:
    return held_out_cross_entropy(
        made, distance=3, rounds=1, p=p, training_seed=seed, shots_per_circuit=shots_per_circuit
    )


def test_a_network_that_adds_nothing_has_the_priors_cross_entropy() -> None:
    fresh = PosteriorNetwork(NetworkConfig(width=4, depth=1))
    assert measured(fresh, 1) == HeldOut(3, 1, 0.02, 360, 1.0, (1.0, 1.0))


def test_the_interval_is_as_wide_as_the_spread_of_other_shots() -> None:
    made = network()
    found = [measured(made, seed) for seed in range(40)]
    ratios = np.array([figure.relative_cross_entropy for figure in found])
    widths = np.array([figure.interval[1] - figure.interval[0] for figure in found]) / (2 * 1.96)
    assert ratios.mean() < 0.98
    for figure in found:
        assert math.isclose(sum(figure.interval) / 2, figure.relative_cross_entropy)
    # Of 40 normal numbers the variance is outside these limits less than once in 10^6; a factor is left to the tails.
    low, high = stats.chi2.interval(1 - 1e-6, 39)
    assert low / 1.5 < 39 * ratios.var(ddof=1) / (widths**2).mean() < high * 1.5


def test_batches_change_nothing_but_the_order_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    made = network()
    first = measured(made, 1, 300)
    assert first.shots == 1800
    assert measured(made, 1, 300) == first
    monkeypatch.setattr(held_out, "_SHOTS_AT_A_TIME", 1000)
    other = measured(made, 1, 300)
    sigma = (first.interval[1] - first.interval[0]) / (2 * 1.96)
    # Two independent estimates: this fails by chance less than once in 10^6.
    assert abs(other.relative_cross_entropy - first.relative_cross_entropy) < 5 * math.sqrt(2) * sigma


def test_training_never_drew_these_shots() -> None:
    # torch takes 32 bits of a seed on a CPU, so that a seed and the same plus 2^32 draw the same.
    drawn = []
    for seed in (1, 1 + 2**32, (1 + held_out._SEED_OFFSET) % 2**32):
        drawn.append(torch.rand(5, generator=torch.Generator().manual_seed(seed)).tolist())
    assert drawn[0] == drawn[1] != drawn[2]
    assert measured(network(), 1) != measured(network(), 2)


def test_shots_are_needed() -> None:
    with pytest.raises(InputError, match="shots_per_circuit must be an integer >= 1, got 0"):
        measured(PosteriorNetwork(NetworkConfig(width=4, depth=1)), 1, 0)
