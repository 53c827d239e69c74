"""The four single operations on CUDA, against the reference in double precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from fastpty import ops, reference
from tests.gpu.on_device import no_wait
from tests.multislice_cases import relative
from tests.reference.cases import DTYPES, OPTICS, Case, assert_near, real_of
from tests.tolerances import bound, tolerance

pytestmark = pytest.mark.gpu

CASES = [
    Case(5, 3, 2, 1, (64, 64), (80, 90)),
    Case(3, 2, 1, 1, (128, 128), (150, 133)),
    Case(4, 2, 2, 1, (31, 48), (40, 50)),  # no power of two
    Case(2, 1, 1, 1, (96, 243), (96, 250)),  # odd; the window fills an axis
    Case(1, 1, 1, 1, (512, 512), (530, 520)),
]


def inputs_of(op: str, case: Case, dtype: torch.dtype) -> list[torch.Tensor]:
    """The tensors that the op takes, those first that have gradients."""
    make: dict[str, Callable[[], list[torch.Tensor]]] = {
        "probe_shift": lambda: [case.probe(dtype), case.shift(dtype)],
        "slice_transmit": lambda: [case.wave(dtype), case.obj(dtype)[:, 0], case.corner()],
        "fresnel_propagate": lambda: [
            case.wave(dtype),
            torch.tensor(7.5, dtype=real_of(dtype)),
            case.tilt(dtype),
        ],
        "mixed_intensity": lambda: [case.wave(dtype), case.occupancy(dtype)],
    }
    return make[op]()


def bound_to(module: Any, op: str) -> Callable[..., torch.Tensor]:
    settings = OPTICS["angular_spectrum"] if op == "fresnel_propagate" else {}
    return partial(getattr(module, op), **settings)


def gradients(
    function: Callable[..., torch.Tensor], inputs: list[torch.Tensor], upstream: torch.Tensor
) -> list[torch.Tensor]:
    """(output, gradient of every floating input)."""
    leaves = [x.clone().requires_grad_(x.is_floating_point() or x.is_complex()) for x in inputs]
    out = function(*leaves)
    free = [leaf for leaf in leaves if leaf.requires_grad]
    return [out.detach(), *torch.autograd.grad(out, free, upstream.to(out.dtype))]


def upstream_for(out: torch.Tensor) -> torch.Tensor:
    """Near (1 + i) times the output: for such an upstream the sums of the backward, over moduli
    and over phases, do not cancel to nothing."""
    noise = torch.randn(out.shape, dtype=out.dtype, generator=torch.Generator().manual_seed(5))
    return out * (1 + 1j if out.is_complex() else 1) + noise * out.abs().mean()


def double(x: torch.Tensor) -> torch.Tensor:
    if x.is_complex():
        return x.to(torch.complex128)
    return x.double() if x.is_floating_point() else x


EVERY_OP = pytest.mark.parametrize(
    "op", ["probe_shift", "slice_transmit", "fresnel_propagate", "mixed_intensity"]
)


@EVERY_OP
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_output_and_gradients(
    device: torch.device, case: Case, dtype: torch.dtype, op: str
) -> None:
    inputs = inputs_of(op, case, dtype)
    wide = [double(x) for x in inputs]
    upstream = upstream_for(bound_to(reference, op)(*wide))
    expected = gradients(bound_to(reference, op), wide, upstream)
    on_device = [x.to(device) for x in inputs]
    found = gradients(bound_to(ops, op), on_device, upstream.to(device))
    single = bound("single gradient")
    limit = single if dtype == torch.complex64 else tolerance("chain", dtype)["rtol"]
    largest = max(float(e.abs().max()) for e in expected[1:])
    for f, e in zip(found, expected, strict=True):
        assert f.device == device
        if e.is_complex() or e is expected[0]:
            assert relative(f.cpu(), e) < limit
        else:  # sums over all pixels and modes, which may cancel
            assert_near(f.cpu(), e, "chain", largest)


@EVERY_OP
def test_nothing_waits(device: torch.device, op: str) -> None:
    inputs = [x.to(device) for x in inputs_of(op, CASES[0], torch.complex64)]
    function = bound_to(ops, op)
    upstream = torch.ones_like(function(*inputs))
    gradients(function, inputs, upstream)
    with no_wait():
        gradients(function, inputs, upstream)
