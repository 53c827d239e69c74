"""Losses and batches on CUDA: the values of the CPU, without a wait, and as graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

pytest.importorskip("pydantic", reason="the losses' config needs pydantic")

from fastpty.config.loss import LossConfig
from fastpty.loss import total_loss
from fastpty.loss.gaussian import gaussian_loss
from fastpty.loss.sparse import coverage, sparse_loss
from tests.gpu.on_device import no_wait, recorded
from tests.loss import test_total as small
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


def every_term(device: torch.device) -> tuple[torch.Tensor, Callable[[], list[torch.Tensor]]]:
    """The intensity, and what finds total, terms and gradients of all losses at once."""
    model = small.some_model()
    for name in ("amplitude", "phase", "probe", "corner", "occupancy"):
        setattr(model, name, getattr(model, name).to(device))
    intensity, measured = (tensor.to(device) for tensor in small.some_patterns())
    unknowns = [intensity, model.amplitude, model.phase]
    for tensor in unknowns:
        tensor.requires_grad_()
    index, mask = small.INDEX.to(device), small.MASK.to(device)
    settings = {**small.SETTINGS, "similarity": {**small.SETTINGS["similarity"], "parts": "both"}}
    config = LossConfig(**settings)

    def step() -> list[torch.Tensor]:
        loss, terms = total_loss(config, model, index, intensity, measured, mask)
        values = [value.detach() for value in (loss, *terms.values())]
        return [*values, *torch.autograd.grad(loss, unknowns)]

    return intensity, step


def test_every_term(device: torch.device) -> None:
    _, expected = every_term(torch.device("cpu"))
    _, step = every_term(device)
    with no_wait():
        found = step()
    for f, e in zip(found, expected(), strict=True):
        torch.testing.assert_close(f.cpu(), e, **tolerance("sum", torch.float32))


def test_every_term_as_a_graph(cuda: torch.device) -> None:
    intensity, step = every_term(cuda)
    graph, results = recorded(step)
    with torch.no_grad():
        intensity.mul_(1.7)
    graph.replay()
    for f, e in zip(results, step(), strict=True):
        torch.testing.assert_close(f, e, **tolerance("sum", torch.float32))
