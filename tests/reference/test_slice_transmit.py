"""slice_transmit against explicit sums."""

from __future__ import annotations

import pytest
import torch

from fastpty import reference
from tests.reference import explicit
from tests.reference.cases import CASES, DTYPES, Case, assert_near, gradients


@pytest.mark.parametrize("rank", [4, 5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_explicit_sums(case: Case, dtype: torch.dtype, rank: int) -> None:
    wave, obj_slice, corner = case.wave(dtype), case.obj(dtype)[:, 0], case.corner()
    wave = wave[:, :, 0] if rank == 4 else wave

    def transmit(wave: torch.Tensor, obj_slice: torch.Tensor) -> torch.Tensor:
        return reference.slice_transmit(wave, obj_slice, corner)

    out, *grads = gradients(transmit, case, wave, obj_slice)
    wide = explicit.double(wave), explicit.double(obj_slice), corner.numpy()
    assert_near(out, explicit.slice_transmit(*wide), "product")
    g = explicit.double(case.gradient_like(out))
    for actual, expected in zip(grads, explicit.slice_transmit_adjoint(g, *wide), strict=True):
        assert_near(actual, expected, "sum")


@pytest.mark.parametrize("rank", [4, 5])
def test_gradcheck(rank: int) -> None:
    case = CASES[0]
    wave, obj_slice = case.wave(torch.complex128), case.obj(torch.complex128)[:, 0]
    wave = wave[:, :, 0].clone() if rank == 4 else wave
    inputs = (wave.requires_grad_(), obj_slice.clone().requires_grad_(), case.corner())
    assert torch.autograd.gradcheck(reference.slice_transmit, inputs)
