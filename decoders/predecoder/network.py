"""The network: a local, translation-invariant 3D convolution from events to the posterior odds of every edge.

It starts from what the model says without any event, the prior odds, and adds what the events change. What depends on
the model alone (which detectors exist, the edges' odds, how much of them is shared with other edges) goes through
layers of its own, once for each model, so that the network knows the noise it decodes and pays nothing for it per shot.
"""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from quell.decoders.predecoder.lattice import NUM_CLASSES

__all__ = ["NUM_FEATURES", "NetworkConfig", "PosteriorNetwork"]

NUM_FEATURES = 2 + 3 * NUM_CLASSES
_SMALL = 20480  # numbers in an image; at::native::use_mkldnn has this limit


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
    """The size of a network.

    Attributes:
        width: Channels.
        depth: Blocks; each sees one site further in space and in time.
    """

    width: int = 64
    depth: int = 8


class _Convolution(nn.Module):
    """A convolution in space, in time or at one site, over tensors of shape (shots, T, H, W, channels).

    The weights are a matrix, outputs by inputs, as the optimizer wants them. Both kinds are two-dimensional
    convolutions of the same memory seen in two ways, which is what every library computes fastest.
    """

    def __init__(self, inputs: int, outputs: int, along: str, *, gain: float = 1.0) -> None:
        super().__init__()
        self.along = along
        self.kernel = {"space": (3, 3), "time": (3, 1), "site": (1, 1)}[along]
        taps = inputs * self.kernel[0] * self.kernel[1]
        self.weight = nn.Parameter(torch.randn(outputs, taps) * gain * taps**-0.5)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        if self.along == "site":
            return functional.linear(x, self.weight, self.bias)
        shots, rounds, height, width, channels = x.shape
        seen = (shots * rounds, height, width) if self.along == "space" else (shots, rounds, height * width)
        # Channels last in the matrix, as in memory.
        weight = self.weight.view(-1, *self.kernel, channels).permute(0, 3, 1, 2)
        padding = self.kernel[0] // 2, self.kernel[1] // 2
        images = x.reshape(*seen, channels).permute(0, 3, 1, 2)
        if len(images) == 1 and images.numel() <= _SMALL and images.device.type == "cpu":
            # Alone, torch gives it to another library than oneDNN, which adds in another order; to the last bit a
            # shot's answer would depend on the shots, or rounds, that it comes with.
            images = images.expand(2, -1, -1, -1)
        found = functional.conv2d(images, weight, self.bias, padding=padding)[: seen[0]]
        return found.permute(0, 2, 3, 1).reshape(shots, rounds, height, width, -1)


class _Block(nn.Module):
    """Two convolutions, one in space and one in time, added to what came in."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.space = _Convolution(width, width, "space")
        self.time = _Convolution(width, width, "time", gain=depth**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.space(functional.silu(x))
        return x + self.time(functional.silu(hidden))  # type: ignore[no-any-return]  # torch does not say what layers return


class PosteriorNetwork(nn.Module):
    """Events in, log-odds of every edge out.

    Examples:
        >>> import torch
        >>> from quell.decoders.predecoder.network import NetworkConfig, NUM_FEATURES, PosteriorNetwork
        >>> network = PosteriorNetwork(NetworkConfig(width=8, depth=2))
        >>> static = network.encode(torch.zeros(1, 4, 4, 4, NUM_FEATURES))
        >>> network(torch.zeros(5, 4, 4, 4, 2), static).shape
        torch.Size([5, 4, 4, 4, 7])
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, depth = config.width, config.depth
        self.config = config
        self.features = _Convolution(NUM_FEATURES, width, "site")
        self.around = nn.Sequential(_Block(width, 2), _Block(width, 2))
        self.events = _Convolution(2, width, "site")
        self.blocks = nn.Sequential(*(_Block(width, depth) for _ in range(depth)))
        self.head = _Convolution(width, NUM_CLASSES, "site", gain=0.0)

    def encode(self, features: Tensor) -> Tensor:
        """What the network makes of a model.

        Args:
            features: (1, T, H, W, NUM_FEATURES).

        Returns:
            (1, T, H, W, width), to be passed to `forward` with every batch of events.
        """
        found: Tensor = self.around(self.features(features))
        return found

    def forward(self, events: Tensor, static: Tensor) -> Tensor:
        """What the events add to the prior log-odds.

        Args:
            events: (shots, T, H, W, 2): 0 or 1, a channel for each kind of check.
            static: What `encode` returned.

        Returns:
            (shots, T, H, W, NUM_CLASSES).
        """
        found: Tensor = self.head(functional.silu(self.blocks(self.events(events) + static)))
        return found
