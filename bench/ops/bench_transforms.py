"""probe_shift, fresnel_propagate, mixed_intensity: backward passes by hand against autograd's.

Forward with backward on one thread, every gradient or that of the wave alone. Both sides call the
same Fourier transforms, which take most of the time; the difference is what is done between them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from fastpty import ops, reference

POSITIONS, WAVE_MODES, OBJECT_MODES, WINDOW = 32, 6, 1, 128
OPTICS = {"wavelength": 0.0197, "pixel_size": 0.2}
Problem = tuple[Callable[..., torch.Tensor], list[torch.Tensor]]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=["ops", "reference"])
def implementation(request: pytest.FixtureRequest) -> object:
    return {"ops": ops, "reference": reference}[request.param]


@pytest.fixture(params=["probe_shift", "fresnel_propagate", "mixed_intensity"])
def problem(request: pytest.FixtureRequest, implementation: object) -> Problem:
    generator = torch.Generator().manual_seed(0)
    modes = (WAVE_MODES, OBJECT_MODES, WINDOW, WINDOW)
    wave = torch.randn((POSITIONS, *modes), dtype=torch.complex64, generator=generator)
    tilt = torch.randn((POSITIONS, 2), generator=generator)
    inputs = {
        "probe_shift": [wave[0, :, 0], torch.rand(POSITIONS, 2, generator=generator) - 0.5],
        "fresnel_propagate": [wave, torch.tensor(10.0), tilt],
        "mixed_intensity": [wave, torch.rand(OBJECT_MODES, generator=generator)],
    }[request.param]
    op = getattr(implementation, request.param)
    if request.param == "fresnel_propagate":
        op = partial(op, **OPTICS)
    return op, [x.clone() for x in inputs]


@pytest.mark.benchmark(group="transforms: forward and backward")
@pytest.mark.parametrize("wanted", ["first gradient", "every gradient"])
def bench_forward_backward(benchmark: BenchmarkFixture, problem: Problem, wanted: str) -> None:
    op, inputs = problem
    leaves = inputs[:1] if wanted == "first gradient" else inputs
    for leaf in leaves:
        leaf.requires_grad_()
    grad_out = torch.randn_like(op(*inputs))

    def step() -> None:
        torch.autograd.grad(op(*inputs), leaves, grad_out)

    benchmark.pedantic(step, rounds=20, warmup_rounds=3)
