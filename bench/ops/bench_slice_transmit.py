"""slice_transmit: the native kernel against its pure-torch twin.

Forward, and forward with backward, on one thread and on all. The wave of the first slice is shared
by the object modes; that of a later slice has their axis. Time is that of a whole call, the
allocation of its results included.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from fastpty import ops, reference

POSITIONS, WAVE_MODES, OBJECT_MODES, SLICES = 32, 6, 1, 8
WINDOW, EXTENT = 128, 256

IMPLEMENTATIONS = {"native": ops.slice_transmit, "reference": reference.slice_transmit}
Op = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@pytest.fixture(params=sorted({1, os.cpu_count() or 1}), ids=lambda n: f"{n}threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(params=["shared", "per-object-mode"])
def inputs(request: pytest.FixtureRequest) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    modes = [WAVE_MODES] if request.param == "shared" else [WAVE_MODES, OBJECT_MODES]
    shape = (POSITIONS, *modes, WINDOW, WINDOW)
    wave = torch.randn(shape, dtype=torch.complex64, generator=generator)
    obj = torch.randn(
        (OBJECT_MODES, SLICES, EXTENT, EXTENT), dtype=torch.complex64, generator=generator
    )
    corner = torch.randint(0, EXTENT - WINDOW, (POSITIONS, 2), generator=generator)
    return wave, obj[:, SLICES // 2], corner


@pytest.fixture(params=IMPLEMENTATIONS)
def op(request: pytest.FixtureRequest) -> Op:
    return IMPLEMENTATIONS[request.param]


@pytest.mark.benchmark(group="slice_transmit: forward")
@pytest.mark.usefixtures("threads")
def bench_forward(benchmark: BenchmarkFixture, op: Op, inputs: tuple[torch.Tensor, ...]) -> None:
    benchmark.pedantic(op, args=inputs, rounds=30, warmup_rounds=5)


@pytest.mark.benchmark(group="slice_transmit: forward and backward")
@pytest.mark.usefixtures("threads")
def bench_forward_backward(
    benchmark: BenchmarkFixture, op: Op, inputs: tuple[torch.Tensor, ...]
) -> None:
    wave, obj_slice, corner = inputs
    wave.requires_grad_()
    obj_slice.requires_grad_()
    grad_out = torch.randn(
        (POSITIONS, WAVE_MODES, OBJECT_MODES, WINDOW, WINDOW), dtype=torch.complex64
    )

    def step() -> None:
        out = op(wave, obj_slice, corner)
        torch.autograd.grad(out, (wave, obj_slice), grad_out)

    benchmark.pedantic(step, rounds=20, warmup_rounds=3)
