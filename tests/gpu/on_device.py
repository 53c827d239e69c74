"""Problems on a device, and the promise that nothing waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from fastpty import ops
from tests.multislice_cases import Problem

__all__ = ["changed", "fits", "leaves_of", "moved", "no_wait", "recorded", "step_of"]


def moved(case: Problem, device: torch.device) -> Problem:
    """The same numbers on a device."""
    inputs = {name: tensor.to(device) for name, tensor in case.inputs.items()}
    return Problem(inputs, case.corner.to(device), case.upstream.to(device))


def changed(case: Problem, seed: int) -> Problem:
    """Other numbers of the same size, at other positions."""
    torch.manual_seed(seed)
    inputs = {
        name: tensor * (1 + 0.1 * torch.rand_like(tensor, dtype=torch.float32))
        for name, tensor in case.inputs.items()
    }
    corner = (case.corner + torch.randint_like(case.corner, 20)) % 14
    return Problem(inputs, corner, case.upstream * 1.5)


def leaves_of(case: Problem) -> dict[str, torch.Tensor]:
    return {name: tensor.clone().requires_grad_() for name, tensor in case.inputs.items()}


def step_of(
    case: Problem, leaves: dict[str, torch.Tensor]
) -> Callable[[], tuple[torch.Tensor, ...]]:
    """Forward and backward: the intensity, and every gradient in the order of the leaves."""

    def step() -> tuple[torch.Tensor, ...]:
        intensity = case.forward(ops.multislice_intensity, leaves)
        return intensity, *torch.autograd.grad(intensity, [*leaves.values()], case.upstream)

    return step


@contextmanager
def no_wait() -> Iterator[None]:
    """torch raises where the host would wait for the device. For the CPU it never does."""
    if not torch.cuda.is_available():
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def recorded(step: Callable[[], Any]) -> tuple[torch.cuda.CUDAGraph, Any]:
    """A CUDA graph of a step, and where its results are after a replay."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = step()
    return graph, results


def fits(device: torch.device, nbytes: float) -> bool:
    """Whether the device has so much memory free; not asked of the CPU, which may swap."""
    return device.type == "cuda" and torch.cuda.mem_get_info(device)[0] > nbytes
