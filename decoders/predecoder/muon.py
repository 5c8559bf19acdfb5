"""Muon: momentum whose matrices are made orthogonal before they are added to the weights.

Jordan et al., kellerjordan.github.io/posts/muon. torch has the same rule in `torch.optim.Muon`, one matrix after the
other; here matrices of one shape go through the iteration together, which halves the time of a step where a GPU waits
for the next operation most of the time.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Muon"]

# Of the quintic iteration that brings all singular values near one.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum, for matrices.

    Args:
        parameters: Matrices.
        lr: The learning rate; a matrix with more rows than columns has it times the root of their ratio.
        momentum: Of the gradients' average.
        weight_decay: The share of the weights, times the learning rate, that each step takes away.

    Examples:
        >>> import torch
        >>> from quell.decoders.predecoder.muon import Muon
        >>> weight = torch.nn.Parameter(torch.zeros(4, 8))
        >>> optimizer = Muon([weight], lr=0.1)
        >>> weight.grad = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
        >>> optimizer.step()
        >>> bool((torch.linalg.svdvals(weight.detach()) < 0.13).all())
        True
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 (the base class has it)
        """Moves every matrix that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for (rows, columns), parameters in shapes.items():
                gradients = torch.stack([grad for parameter in parameters if (grad := parameter.grad) is not None])
                buffers = [self._buffer(parameter) for parameter in parameters]
                averages = torch.stack(buffers).lerp_(gradients, 1 - group["momentum"])
                torch._foreach_copy_(buffers, list(averages.unbind()))
                steps = _orthogonal(gradients.lerp_(averages, group["momentum"])).to(gradients.dtype)
                rate = group["lr"] * max(1.0, rows / columns) ** 0.5
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, list(steps.unbind()), alpha=-rate)

    def _buffer(self, parameter: Tensor) -> Tensor:
        state = self.state[parameter]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(parameter)
        found: Tensor = state["momentum_buffer"]
        return found


def _orthogonal(matrices: Tensor) -> Tensor:
    """bfloat16 (count, rows, columns): the matrices with their singular values brought near one."""
    first, second, third = _COEFFICIENTS
    x: Tensor = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ITERATIONS):
        square = x @ x.mT
        x = first * x + (second * square + third * square @ square) @ x
    return x.mT if tall else x
