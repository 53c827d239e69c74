"""probe_shift against explicit sums and the shift theorem."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings

from fastpty import reference
from tests.reference import explicit
from tests.reference.cases import CASES, DTYPES, Case, assert_near, cases, gradients


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_explicit_sums(case: Case, dtype: torch.dtype) -> None:
    probe, shift = case.probe(dtype), case.shift(dtype)
    out, *grads = gradients(reference.probe_shift, case, probe, shift)
    wide = explicit.double(probe), explicit.double(shift)
    assert out.dtype == dtype
    assert_near(out, explicit.probe_shift(*wide), "transform")
    g = explicit.double(case.gradient_like(out))
    for actual, expected in zip(grads, explicit.probe_shift_adjoint(g, *wide), strict=True):
        assert_near(actual, expected, "chain")


@settings(max_examples=25, derandomize=True)
@given(case=cases())
def test_integer_shifts_roll_the_window(case: Case) -> None:
    probe = case.probe(torch.complex128)
    shift = torch.tensor([[2.0, -3.0]], dtype=torch.float64)
    rolled = probe.roll((2, -3), (-2, -1))
    assert_near(reference.probe_shift(probe, shift)[0], rolled, "transform")


@settings(max_examples=25, derandomize=True)
@given(case=cases())
def test_shifts_keep_the_intensity_and_add_up(case: Case) -> None:
    """Also at even sizes: the Nyquist row is moved by a phase of modulus 1, like all others."""
    probe, shift = case.probe(torch.complex128), case.shift(torch.complex128)
    once = reference.probe_shift(probe, shift[:1])
    power, before = once.abs().square().sum(), probe.abs().square().sum()
    assert_near(power, before, "transform")
    twice = reference.probe_shift(once[0], 2 * shift[:1])
    assert_near(twice, reference.probe_shift(probe, 3 * shift[:1]), "transform")


@pytest.mark.parametrize("n", [8, 9])
def test_a_smooth_probe_arrives_between_pixels(n: int) -> None:
    """A plane wave is moved exactly: psi(y - s)."""
    y = torch.arange(n, dtype=torch.float64)
    wave = torch.exp(2j * torch.pi * 2 * y / n)[:, None].expand(n, n).contiguous()
    moved = torch.exp(2j * torch.pi * 2 * (y - 0.3) / n)[:, None].expand(n, n)
    out = reference.probe_shift(wave[None], torch.tensor([[0.3, 0.4]], dtype=torch.float64))
    assert_near(out[0, 0], moved, "transform")


@pytest.mark.parametrize("case", CASES[:4], ids=str)
def test_gradcheck(case: Case) -> None:
    probe, shift = case.probe(torch.complex128), case.shift(torch.complex128)
    inputs = (probe.requires_grad_(), shift.requires_grad_())
    assert torch.autograd.gradcheck(reference.probe_shift, inputs)
