"""mixed_intensity against explicit sums and Parseval."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from fastpty import reference
from tests.reference import explicit
from tests.reference.cases import CASES, DTYPES, Case, assert_near, cases, gradients


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "occupancy"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_explicit_sums(case: Case, dtype: torch.dtype, weighted: bool) -> None:
    inputs = [case.wave(dtype), *([case.occupancy(dtype)] if weighted else [])]
    out, *grads = gradients(reference.mixed_intensity, case, *inputs)
    wide = explicit.double(inputs[0]), explicit.double(inputs[1]) if weighted else None
    assert_near(out, explicit.mixed_intensity(*wide), "transform")
    g = explicit.double(case.gradient_like(out))
    expected = explicit.mixed_intensity_adjoint(g, *wide)
    for actual, wanted in zip(grads, expected, strict=False):  # no occupancy, no gradient
        assert_near(actual, wanted, "chain")


@settings(max_examples=25, derandomize=True)
@given(case=cases())
def test_parseval(case: Case) -> None:
    wave = case.wave(torch.complex128)
    patterns = reference.mixed_intensity(wave)
    assert bool((patterns >= 0).all())
    assert_near(patterns.sum((1, 2)), wave.abs().square().sum((1, 2, 3, 4)), "transform")


def test_occupancy_of_ones_is_the_plain_sum() -> None:
    wave = CASES[0].wave(torch.complex128)
    weighted = reference.mixed_intensity(wave, torch.ones(2, dtype=torch.float64))
    assert_near(weighted, reference.mixed_intensity(wave), "product")


def test_modes_do_not_interfere() -> None:
    """Swapping modes, or multiplying each by its own phase, changes no pattern."""
    wave = CASES[0].wave(torch.complex128)
    phases = torch.exp(1j * torch.tensor([[0.1, 2.0], [-1.0, 3.0]], dtype=torch.float64))
    other = (wave * phases[:, :, None, None]).flip(1).flip(2)
    assert_near(reference.mixed_intensity(other), reference.mixed_intensity(wave), "transform")


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_gradcheck(case: Case) -> None:
    wave = case.wave(torch.complex128).requires_grad_()
    occupancy = case.occupancy(torch.complex128).requires_grad_()
    assert torch.autograd.gradcheck(reference.mixed_intensity, (wave, occupancy))
