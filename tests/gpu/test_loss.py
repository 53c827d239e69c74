"""Losses and batches on CUDA: the values of the CPU, without a wait, and as graphs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastpty.loss.gaussian import gaussian_loss
from fastpty.loss.sparse import coverage, sparse_loss
from tests.gpu.on_device import no_wait, recorded
from tests.tolerances import tolerance

pytestmark = pytest.mark.gpu


def intensities(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Simulated and measured, some pixels of each dark."""
    rng = np.random.default_rng(seed)
    simulated, measured = rng.gamma(0.5, 0.3, (2, 8, 64, 48)).astype(np.float32)
    measured[0, 1] = 0
    simulated[1, :, 2] = 0
    return torch.from_numpy(simulated), torch.from_numpy(measured)


MASK = torch.from_numpy(np.random.default_rng(1).random((64, 48)) < 0.7)


def with_gradient(
    simulated: torch.Tensor, measured: torch.Tensor, power: float, mask: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = simulated.clone().requires_grad_()
    loss = gaussian_loss(leaf, measured, power, mask)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("power", [0.5, 0.3, 1.0])
def test_gaussian(device: torch.device, power: float, mask: torch.Tensor | None) -> None:
    simulated, measured = intensities()
    expected = with_gradient(simulated.double(), measured.double(), power, mask)
    there = None if mask is None else mask.to(device)
    arguments = simulated.to(device), measured.to(device), power, there
    with no_wait():
        found = with_gradient(*arguments)
    for f, e in zip(found, expected, strict=True):
        scale = float(e.abs().max())
        torch.testing.assert_close(
            f.cpu(), e.float(), **tolerance("sum", torch.float32, scale=scale)
        )


def test_gaussian_as_a_graph(cuda: torch.device) -> None:
    simulated, measured = (x.to(cuda) for x in intensities())
    mask = MASK.to(cuda)
    graph, results = recorded(lambda: with_gradient(simulated, measured, 0.5, mask))
    simulated.mul_(1.7)
    graph.replay()
    for f, e in zip(results, with_gradient(simulated, measured, 0.5, mask), strict=True):
        torch.testing.assert_close(f, e, **tolerance("sum", torch.float32))


def test_coverage(device: torch.device) -> None:
    corner = torch.randint(0, 40, (50, 2), generator=torch.Generator().manual_seed(0))
    expected = coverage(corner, (16, 20), (56, 60))
    there = corner.to(device)
    with no_wait():
        found = coverage(there, (16, 20), (56, 60))
    assert torch.equal(found.cpu(), expected)


def test_sparse_as_a_graph(cuda: torch.device) -> None:
    phase = torch.randn(1, 3, 56, 60, device=cuda).requires_grad_()
    corner = torch.randint(0, 40, (50, 2), device=cuda)

    def step() -> tuple[torch.Tensor, torch.Tensor]:
        loss = sparse_loss(phase, corner, (16, 20))
        return loss.detach(), torch.autograd.grad(loss, phase)[0]

    graph, results = recorded(step)
    corner.copy_(corner.flip(0, 1))
    graph.replay()
    for f, e in zip(results, step(), strict=True):
        torch.testing.assert_close(f, e, **tolerance("sum", torch.float32))
