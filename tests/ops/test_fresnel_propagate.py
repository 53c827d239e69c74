"""fresnel_propagate against its pure-torch twin, and its refusals."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty import ops, reference
from tests.reference.cases import (
    CASES,
    DTYPES,
    OPTICS,
    Case,
    assert_near,
    cases,
    gradients,
    real_of,
)

TILTS = ["none", "shared", "each"]


def inputs_of(case: Case, dtype: torch.dtype, tilt: str) -> list[torch.Tensor]:
    """Wave, thickness and, where there is one, tilt."""
    tilts = [] if tilt == "none" else [case.tilt(dtype, shared=tilt == "shared")]
    return [case.wave(dtype), torch.tensor(-3.1, dtype=real_of(dtype)), *tilts]


def assert_same(case: Case, dtype: torch.dtype, tilt: str, optics: dict[str, Any]) -> None:
    inputs = inputs_of(case, dtype, tilt)
    actual = gradients(lambda *x: ops.fresnel_propagate(*x, **optics), case, *inputs)
    expected = gradients(lambda *x: reference.fresnel_propagate(*x, **optics), case, *inputs)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        assert_near(a, e, "chain")


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(
    case: Case, dtype: torch.dtype, tilt: str, optics: dict[str, Any]
) -> None:
    assert_same(case, dtype, tilt, optics)


@settings(max_examples=20, derandomize=True)
@given(
    case=cases(),
    dtype=st.sampled_from(DTYPES),
    tilt=st.sampled_from(TILTS),
    optics=st.sampled_from(list(OPTICS)),
)
def test_matches_the_reference_anywhere(
    case: Case, dtype: torch.dtype, tilt: str, optics: str
) -> None:
    assert_same(case, dtype, tilt, OPTICS[optics])


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("tilt", TILTS)
def test_gradcheck(tilt: str, optics: dict[str, Any]) -> None:
    case = Case(2, 1, 2, 1, (4, 5), (4, 5))
    inputs = [x.requires_grad_() for x in inputs_of(case, torch.complex128, tilt)]
    assert torch.autograd.gradcheck(lambda *x: ops.fresnel_propagate(*x, **optics), inputs)


@pytest.mark.parametrize("wanted", [0, 1, 2], ids=["wave", "thickness", "tilt"])
def test_one_gradient_alone(wanted: int) -> None:
    case, optics = CASES[0], OPTICS["evanescent"]
    inputs = inputs_of(case, torch.complex64, "each")
    all_three = gradients(lambda *x: ops.fresnel_propagate(*x, **optics), case, *inputs)[1:]
    inputs[wanted].requires_grad_()
    out = ops.fresnel_propagate(*inputs, **optics)
    out.backward(case.gradient_like(out))
    assert [x.grad is not None for x in inputs] == [i == wanted for i in range(3)]
    assert_near(inputs[wanted].grad, all_three[wanted], "transform")


@pytest.mark.parametrize("thickness", [5, 5.0, torch.tensor(5.0), torch.tensor([5.0])], ids=repr)
def test_a_distance_may_be_any_one_number(thickness: torch.Tensor | float) -> None:
    wave, optics = CASES[0].wave(torch.complex64), OPTICS["fresnel"]
    expected = reference.fresnel_propagate(wave, 5.0, **optics)
    assert_near(ops.fresnel_propagate(wave, thickness, **optics), expected, "transform")


WAVE, TILT = CASES[0].wave(torch.complex64), CASES[0].tilt(torch.complex64)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"wave": WAVE.real}, TypeError, "^wave: must be complex64 or .*, found float32"),
        ({"wave": WAVE[0, 0, 0]}, ValueError, r"^wave: .* \[B, ..., Ny, Nx\], found \[5, 7\]"),
        ({"thickness": torch.ones(2)}, ValueError, r"^thickness: must be one .*, found \[2\]"),
        ({"thickness": [1.0]}, TypeError, "^thickness: must be a number or a tensor, found list"),
        ({"thickness": float("nan")}, ValueError, "^thickness: must be finite, found nan"),
        ({"thickness": torch.tensor(math.nan)}, ValueError, "^thickness: must be finite, found"),
        ({"wavelength": -0.02}, ValueError, "^wavelength must be a positive number .* got -0.02"),
        (
            {"thickness": torch.ones((), dtype=torch.float64)},
            TypeError,
            "^thickness: must be float32, found float64",
        ),
        (
            {"thickness": torch.ones((), device="meta")},
            ValueError,
            "^thickness: must be on the device of wave, cpu, found meta",
        ),
        ({"tilt": TILT.double()}, TypeError, "^tilt: must be float32, found float64"),
        ({"tilt": TILT.to("meta")}, ValueError, "^tilt: must be on the device of wave, cpu"),
        ({"tilt": TILT[0]}, ValueError, r"^tilt: .* \[1, 2\] or \[B, 2\] .* found \[2\]"),
        ({"tilt": TILT[:2]}, ValueError, r"^tilt: .* with B = 3, found \[2, 2\]"),
        ({"tilt": TILT[:, :1]}, ValueError, r"^tilt: .* found \[3, 1\]"),
        ({"model": "ray"}, ValueError, "^model must be one of angular_spectrum, fresnel, got"),
        ({"wavelength": 0.0}, ValueError, "^wavelength must be a positive number .* got 0.0"),
        ({"pixel_size": -0.1}, ValueError, r"^pixel_size must be .* \(dy, dx\), got -0.1"),
        ({"pixel_size": (0.1, 0.1, 0.1)}, ValueError, "^pixel_size must be one positive number"),
    ],
)
def test_refusals(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    given = {"wave": WAVE, "thickness": 1.0, "tilt": TILT} | OPTICS["fresnel"]
    with pytest.raises(error, match=message):
        ops.fresnel_propagate(**(given | changed))
