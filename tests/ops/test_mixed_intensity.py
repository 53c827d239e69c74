"""mixed_intensity against its pure-torch twin, and its refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty import ops, reference
from tests.reference.cases import CASES, DTYPES, Case, assert_near, cases, gradients


def assert_same(case: Case, dtype: torch.dtype, weighted: bool) -> None:
    inputs = [case.wave(dtype), *([case.occupancy(dtype)] if weighted else [])]
    actual = gradients(ops.mixed_intensity, case, *inputs)
    expected = gradients(reference.mixed_intensity, case, *inputs)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert_near(a, e, "transform")


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "occupancy"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(case: Case, dtype: torch.dtype, weighted: bool) -> None:
    assert_same(case, dtype, weighted)


@settings(max_examples=20, derandomize=True)
@given(case=cases(), dtype=st.sampled_from(DTYPES), weighted=st.booleans())
def test_matches_the_reference_anywhere(case: Case, dtype: torch.dtype, weighted: bool) -> None:
    assert_same(case, dtype, weighted)


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_gradcheck(case: Case) -> None:
    wave = case.wave(torch.complex128).requires_grad_()
    occupancy = case.occupancy(torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(ops.mixed_intensity, (wave, occupancy))


@pytest.mark.parametrize("wanted", [0, 1], ids=["wave", "occupancy"])
def test_one_gradient_alone(wanted: int) -> None:
    case = CASES[0]
    inputs = [case.wave(torch.complex64), case.occupancy(torch.complex64)]
    both = gradients(ops.mixed_intensity, case, *inputs)[1:]
    inputs[wanted].requires_grad_()
    out = ops.mixed_intensity(*inputs)
    out.backward(case.gradient_like(out))
    assert inputs[1 - wanted].grad is None
    assert_near(inputs[wanted].grad, both[wanted], "transform")


WAVE, OCCUPANCY = CASES[0].wave(torch.complex64), CASES[0].occupancy(torch.complex64)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"wave": WAVE.real}, TypeError, "^wave: must be complex64 or .*, found float32"),
        (
            {"wave": WAVE[0]},
            ValueError,
            r"^wave: must have the shape \[B, M, No, Ny, Nx\], found 4 axes: \[2, 2, 5, 7\]",
        ),
        ({"occupancy": OCCUPANCY.double()}, TypeError, "^occupancy: must be float32, found float"),
        (
            {"occupancy": OCCUPANCY[:1]},
            ValueError,
            r"^occupancy: must have the shape \[No\] with No = 2, found \[1\]",
        ),
        (
            {"occupancy": OCCUPANCY.to("meta")},
            ValueError,
            "^occupancy: must be on the device of wave, cpu, found meta",
        ),
    ],
)
def test_refusals(changed: dict[str, torch.Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ops.mixed_intensity(**({"wave": WAVE, "occupancy": OCCUPANCY} | changed))
