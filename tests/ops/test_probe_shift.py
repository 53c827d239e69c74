"""probe_shift against its pure-torch twin, and its refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty import ops, reference
from tests.reference.cases import CASES, DTYPES, Case, assert_near, cases, gradients


def assert_same(case: Case, dtype: torch.dtype) -> None:
    inputs = case.probe(dtype), case.shift(dtype)
    actual = gradients(ops.probe_shift, case, *inputs)
    expected = gradients(reference.probe_shift, case, *inputs)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert_near(a, e, "transform")


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(case: Case, dtype: torch.dtype) -> None:
    assert_same(case, dtype)


@settings(max_examples=20, derandomize=True)
@given(case=cases(), dtype=st.sampled_from(DTYPES))
def test_matches_the_reference_anywhere(case: Case, dtype: torch.dtype) -> None:
    assert_same(case, dtype)


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_gradcheck(case: Case) -> None:
    probe, shift = case.probe(torch.complex128), case.shift(torch.complex128)
    inputs = (probe.requires_grad_(), shift.requires_grad_())
    assert torch.autograd.gradcheck(ops.probe_shift, inputs)


@pytest.mark.parametrize("wanted", [0, 1], ids=["probe", "shift"])
def test_one_gradient_alone(wanted: int) -> None:
    case = CASES[0]
    inputs = [case.probe(torch.complex64), case.shift(torch.complex64)]
    both = gradients(ops.probe_shift, case, *inputs)[1:]
    inputs[wanted].requires_grad_()
    out = ops.probe_shift(*inputs)
    out.backward(case.gradient_like(out))
    assert inputs[1 - wanted].grad is None
    assert_near(inputs[wanted].grad, both[wanted], "transform")


PROBE, SHIFT = CASES[0].probe(torch.complex64), CASES[0].shift(torch.complex64)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"probe": PROBE.real}, TypeError, "^probe: must be complex64 or .*, found float32"),
        ({"shift": SHIFT.double()}, TypeError, "^shift: must be float32, found float64"),
        ({"probe": PROBE[0]}, ValueError, r"^probe: .* \[M, Ny, Nx\], found 2 axes: \[5, 7\]"),
        ({"shift": SHIFT[0]}, ValueError, r"^shift: .* \[B, 2\], found 1 axes: \[2\]"),
        ({"shift": SHIFT[:, :1]}, ValueError, r"^shift: .* \[B, 2\], found \[3, 1\]"),
        ({"shift": SHIFT.to("meta")}, ValueError, "^shift: must be on the device of probe, cpu"),
    ],
)
def test_refusals(changed: dict[str, torch.Tensor], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ops.probe_shift(**({"probe": PROBE, "shift": SHIFT} | changed))
