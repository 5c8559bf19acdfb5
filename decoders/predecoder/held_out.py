"""How good a network is on shots that its training never drew."""

import dataclasses
import math

import torch
from tqdm import tqdm

from quell.decoders.predecoder.labels import LatticeSampler
from quell.decoders.predecoder.network import PosteriorNetwork
from quell.decoders.predecoder.training import edge_losses, training_models
from quell.errors import check_integer

__all__ = ["HeldOut", "held_out_cross_entropy"]

_SHOTS_AT_A_TIME = 256
# Far from the seeds that trainings have, so that none draws these shots. torch's CPU generator takes 32 bits of a seed.
_SEED_OFFSET = 2_654_435_769
_SIGMAS = 1.96


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A network's cross-entropy on shots of its own.

    Attributes:
        distance: Of the circuits.
        rounds: Of the circuits.
        p: The strength of their uniform noise.
        shots: Shots.
        relative_cross_entropy: Of all edges, over that of the prior odds: 1 for a network that adds nothing.
        interval: Its 95 % interval, for other shots of these circuits.
    """

    distance: int
    rounds: int
    p: float
    shots: int
    relative_cross_entropy: float
    interval: tuple[float, float]


def held_out_cross_entropy(
    network: PosteriorNetwork,
    *,
    distance: int,
    rounds: int,
    p: float,
    training_seed: int,
    shots_per_circuit: int = 1024,
    progress: bool = False,
) -> HeldOut:
    """Measures a network on the circuits of `training_circuits`, in single precision.

    Args:
        network: On the device where it is to run.
        distance: Of the circuits.
        rounds: Of the circuits.
        p: The strength of their noise.
        training_seed: The seed that the training had; the shots are drawn with another.
        shots_per_circuit: Shots of each circuit.
        progress: Whether a bar shows how far it is.

    Raises:
        InputError: There are no shots.

    Examples:
        >>> from quell.decoders.predecoder.held_out import held_out_cross_entropy
        >>> from quell.decoders.predecoder.network import NetworkConfig, PosteriorNetwork
        >>> fresh = PosteriorNetwork(NetworkConfig(width=4, depth=1))
        >>> held_out_cross_entropy(fresh, distance=3, rounds=1, p=0.01, training_seed=1, shots_per_circuit=20)
        HeldOut(distance=3, rounds=1, p=0.01, shots=120, relative_cross_entropy=1.0, interval=(1.0, 1.0))
    """
    check_integer("shots_per_circuit", shots_per_circuit, minimum=1)
    device = next(network.parameters()).device
    generator = torch.Generator(device).manual_seed((training_seed + _SEED_OFFSET) % 2**32)
    models = training_models((distance, rounds), p)
    pairs = []
    for graph, lattice in tqdm(models, desc=f"held-out shots, p = {p:g}", leave=False, disable=not progress):
        sampler = LatticeSampler(graph, lattice, device)
        parts = []
        for start in range(0, shots_per_circuit, _SHOTS_AT_A_TIME):
            batch = sampler.sample(min(_SHOTS_AT_A_TIME, shots_per_circuit - start), generator)
            with torch.no_grad():
                losses = edge_losses(network, batch, mixed_precision=False)
            parts.append(torch.stack([each.flatten(1).sum(dim=1, dtype=torch.float64) for each in losses]).cpu())
        pairs.append(torch.cat(parts, dim=1))
    whole = torch.cat(pairs, dim=1).sum(dim=1)
    ratio = float(whole[0] / whole[1])
    # The spread of a ratio of sums, with as many shots of each circuit every time.
    rests = [pair[0] - ratio * pair[1] for pair in pairs]
    variance = sum(len(rest) * float(rest.var(correction=0)) for rest in rests)
    width = _SIGMAS * math.sqrt(variance) / float(whole[1])
    shots = shots_per_circuit * len(models)
    return HeldOut(distance, rounds, p, shots, ratio, (ratio - width, ratio + width))
