"""fresnel_propagate against explicit sums: complex targets, for intensity is blind to a phase."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty import reference
from tests.reference import explicit
from tests.reference.cases import CASES, DTYPES, OPTICS, Case, assert_near, cases, gradients

TILTS = ["none", "shared", "each"]


def inputs_of(case: Case, dtype: torch.dtype, tilt: str) -> list[torch.Tensor]:
    """Wave, thickness and, where there is one, tilt."""
    thickness = torch.tensor(4.7, dtype=case.shift(dtype).dtype)
    tilts = [] if tilt == "none" else [case.tilt(dtype, shared=tilt == "shared")]
    return [case.wave(dtype), thickness, *tilts]


def propagate(optics: dict[str, Any]) -> Any:
    return lambda *inputs: reference.fresnel_propagate(*inputs, **optics)


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("tilt", TILTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_explicit_sums(
    case: Case, dtype: torch.dtype, tilt: str, optics: dict[str, Any]
) -> None:
    inputs = inputs_of(case, dtype, tilt)
    out, *grads = gradients(propagate(optics), case, *inputs)
    assert out.dtype == dtype
    wide = [explicit.double(x) for x in inputs] + ([None] if tilt == "none" else [])
    assert_near(out, explicit.fresnel_propagate(*wide, **optics), "transform")
    g = explicit.double(case.gradient_like(out))
    expected = explicit.fresnel_propagate_adjoint(g, *wide, **optics)
    _, chi = explicit.transfer(case.window, 1.0, np.zeros(2), **optics)
    # The thickness gradient is one sum over all pixels, which may cancel.
    sizes = (0.0, float(np.abs(chi).max() * np.linalg.norm(g)), 0.0)
    for actual, wanted, size in zip(grads, expected, sizes, strict=False):  # perhaps no tilt
        assert_near(actual, wanted, "chain", size)


@settings(max_examples=20, derandomize=True)
@given(case=cases(), optics=st.sampled_from(["angular_spectrum", "fresnel"]))
def test_energy_is_kept_and_distances_add_up(case: Case, optics: str) -> None:
    wave, tilt = case.wave(torch.complex128), case.tilt(torch.complex128)

    def over(wave: torch.Tensor, distance: float) -> torch.Tensor:
        return reference.fresnel_propagate(wave, distance, tilt, **OPTICS[optics])

    there = over(wave, 3.0)
    assert_near(there.abs().square().sum(), wave.abs().square().sum(), "transform")
    assert_near(over(there, 4.5), over(wave, 7.5), "transform")
    assert_near(over(there, -3.0), wave, "transform")


def test_wave_of_any_rank() -> None:
    """[B, Ny, Nx] and [B, M, Ny, Nx], with a tilt of its own for every position."""
    case = CASES[0]
    wave, tilt = case.wave(torch.complex128), case.tilt(torch.complex128)
    whole = reference.fresnel_propagate(wave, 5.0, tilt, **OPTICS["fresnel"])
    for part, expected in ((wave[:, 0], whole[:, 0]), (wave[:, 0, 1], whole[:, 0, 1])):
        actual = reference.fresnel_propagate(part, 5.0, tilt, **OPTICS["fresnel"])
        assert_near(actual, expected, "transform")


@pytest.mark.parametrize("optics", OPTICS.values(), ids=OPTICS)
@pytest.mark.parametrize("tilt", TILTS)
def test_gradcheck(tilt: str, optics: dict[str, Any]) -> None:
    case = Case(2, 1, 2, 1, (4, 5), (4, 5))
    inputs = [x.requires_grad_() for x in inputs_of(case, torch.complex128, tilt)]
    assert torch.autograd.gradcheck(propagate(optics), inputs)
