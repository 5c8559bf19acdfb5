"""Muon: against torch's own, matrix by matrix, and against what it is meant to compute."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from quell.decoders.predecoder.muon import Muon

SHAPES = [(4, 8), (4, 8), (8, 4), (6, 6), (1, 5), (5, 1), (64, 288)]


def parameters(shapes: list[tuple[int, int]], seed: int = 1) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def gradients(shapes: list[tuple[int, int]], seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(100 + seed)
    return [torch.randn(shape, generator=generator) for shape in shapes]


def stepped(
    kind: Any, shapes: list[tuple[int, int]], steps: int, together: bool = True, **options: Any
) -> list[Tensor]:
    matrices = parameters(shapes)
    groups = [matrices] if together else [[matrix] for matrix in matrices]
    optimizers = [kind(group, **options) for group in groups]
    for step in range(steps):
        for matrix, gradient in zip(matrices, gradients(shapes, step), strict=True):
            matrix.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    return [matrix.detach() for matrix in matrices]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1},
        {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0},
        {"lr": 0.02, "momentum": 0.0, "weight_decay": 0.01},
    ],
)
def test_steps_are_those_of_torch(options: dict[str, float], steps: int) -> None:
    begin = parameters(SHAPES)
    found = stepped(Muon, SHAPES, steps, **options)
    expected = stepped(torch.optim.Muon, SHAPES, steps, **options)
    for matrix, mine, theirs in zip(begin, found, expected, strict=True):
        moved = (theirs - matrix.detach()).norm()
        assert moved > 0
        # bfloat16 has eight bits, and five iterations of a polynomial round many times.
        assert (mine - theirs).norm() < 0.1 * moved


@pytest.mark.parametrize("steps", [1, 3])
def test_matrices_together_move_as_they_do_one_by_one(steps: int) -> None:
    options = {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}
    together = stepped(Muon, SHAPES, steps, **options)
    alone = stepped(Muon, SHAPES, steps, together=False, **options)
    for begin, mine, other in zip(parameters(SHAPES), together, alone, strict=True):
        assert (mine - other).norm() < 0.02 * (other - begin.detach()).norm()


@pytest.mark.parametrize("shape", [(6, 6), (4, 16), (16, 4)])
def test_a_step_is_nearly_the_orthogonal_factor_of_the_gradient(shape: tuple[int, int]) -> None:
    """The polar factor by singular values, which the iteration brings to between 0.7 and 1.2."""
    weight = nn.Parameter(torch.zeros(shape))
    (gradient,) = gradients([shape], seed=3)
    weight.grad = gradient.clone()
    Muon([weight], lr=1.0, momentum=0.0, weight_decay=0.0).step()
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    step = -weight.detach() / max(1.0, shape[0] / shape[1]) ** 0.5
    core = left.mT @ step @ right.mT
    diagonal = core.diagonal()
    assert 0.6 < diagonal.min() <= diagonal.max() < 1.3
    assert (core - torch.diag(diagonal)).abs().max() < 0.05


def test_matrices_without_a_gradient_stay() -> None:
    first, second, third = parameters([(4, 8), (4, 8), (4, 8)])
    before = second.detach().clone()
    optimizer = Muon([first, second, third], lr=0.1)
    first.grad = torch.ones(4, 8)
    third.grad = torch.zeros(4, 8)
    optimizer.step()
    torch.testing.assert_close(second.detach(), before, rtol=0, atol=0)
    assert torch.isfinite(third).all()
    assert set(optimizer.state) == {first, third}


def test_its_state_can_be_saved() -> None:
    mine, other = parameters([(4, 8), (6, 6)]), parameters([(4, 8), (6, 6)])
    optimizer = Muon(mine, lr=0.1)

    def step(matrices: list[nn.Parameter], with_optimizer: Muon, seed: int) -> None:
        for matrix, gradient in zip(matrices, gradients([(4, 8), (6, 6)], seed), strict=True):
            matrix.grad = gradient
        with_optimizer.step()

    step(mine, optimizer, 1)
    with torch.no_grad():
        for source, target in zip(mine, other, strict=True):
            target.copy_(source)
    again = Muon(other, lr=0.5)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # torch would share the tensors
    step(mine, optimizer, 2)
    step(other, again, 2)
    for first, second in zip(mine, other, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
