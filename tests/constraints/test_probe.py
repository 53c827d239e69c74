"""Probe modes: the mixed state stays, the modes become the ones that do not overlap."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.model import Model
from tests.constraints.small_model import apply, small_model
from tests.tolerances import tolerance

TIGHT = tolerance("sum", torch.complex64, scale=10)  # the modes' total intensity is about 100


def gram(probe: torch.Tensor) -> torch.Tensor:
    modes = probe.detach().reshape(len(probe), -1).to(torch.complex128)
    return modes.conj() @ modes.T


def density(probe: torch.Tensor) -> torch.Tensor:
    """The mixed state itself: every pattern follows from it."""
    modes = probe.detach().reshape(len(probe), -1).to(torch.complex128)
    return modes.T @ modes.conj()


def with_probe(probe: torch.Tensor) -> Model:
    model = small_model(modes=len(probe))
    model.probe = probe.to(torch.complex64).clone().requires_grad_()
    return model


def orthogonal(modes: int, powers: list[float]) -> torch.Tensor:
    """Modes that do not overlap at all, each on its own pixels."""
    probe = torch.zeros(modes, 6, 5, dtype=torch.complex64)
    for m, power in enumerate(powers):
        phase = torch.exp(1j * torch.arange(5) * (m + 1.0))
        probe[m, m] = phase * (power / 5) ** 0.5
    return probe


@settings(derandomize=True, max_examples=25)
@given(modes=st.integers(1, 6), seed=st.integers(0, 99))
def test_the_same_state_in_orthogonal_modes(modes: int, seed: int) -> None:
    model = small_model(modes=modes, seed=seed)
    before = model.probe.detach().clone()
    apply(model, "orthogonal_modes")
    torch.testing.assert_close(density(model.probe), density(before), **TIGHT)
    overlaps = gram(model.probe)
    power = overlaps.diagonal().real
    torch.testing.assert_close(overlaps, torch.diag(power).to(overlaps.dtype), **TIGHT)
    assert (power.diff() <= 0).all()


def test_intensities_of_shifted_modes_stay() -> None:
    model = small_model()
    before = torch.fft.fft2(model.probe.detach()).abs().square().sum(0)
    apply(model, "orthogonal_modes")
    after = torch.fft.fft2(model.probe.detach()).abs().square().sum(0)
    torch.testing.assert_close(after, before, **tolerance("sum", torch.float32, scale=100))


@pytest.mark.parametrize("modes", [1, 2, 5])
def test_twice_is_once(modes: int) -> None:
    model = small_model(modes=modes)
    apply(model, "orthogonal_modes")
    once = model.probe.detach().clone()
    apply(model, "orthogonal_modes")
    torch.testing.assert_close(model.probe.detach(), once, **TIGHT)


def test_a_single_mode_does_not_move() -> None:
    model = small_model(modes=1)
    before = model.probe.detach().clone()
    apply(model, "orthogonal_modes")
    assert torch.equal(model.probe, before)


@pytest.mark.parametrize(
    "powers", [[4, 2, 1], [3, 3, 3], [4, 4, 1], [4, 1, 1], [4, 2, 0], [0, 0, 0]]
)
def test_orthogonal_modes_do_not_move(powers: list[float]) -> None:
    """Of equal powers every rotation is an eigenbasis; none is taken. A mode may be zero."""
    model = with_probe(orthogonal(3, powers))
    before = model.probe.detach().clone()
    apply(model, "orthogonal_modes")
    assert torch.equal(model.probe, before)


def test_orthogonal_modes_are_sorted() -> None:
    probe = orthogonal(3, [1, 4, 2])
    model = with_probe(probe)
    apply(model, "orthogonal_modes")
    assert torch.equal(model.probe, probe[[1, 2, 0]])


def test_dependent_modes() -> None:
    """Two modes that are one: the second becomes empty, nothing becomes NaN."""
    one = small_model(modes=1).probe.detach()
    model = with_probe(torch.cat([one, one, 2 * one]))
    apply(model, "orthogonal_modes")
    torch.testing.assert_close(density(model.probe), 6 * density(one), **TIGHT)
    power = gram(model.probe).diagonal().real
    assert (power[1:] < power[0] * 1e-12).all()


def test_a_small_overlap_turns_the_modes_a_little() -> None:
    """Continuous, also in phase: the optimiser's moments stay with their modes."""
    probe = orthogonal(3, [4, 2, 1])
    probe[1] += 1e-3 * probe[0]
    model = with_probe(probe)
    apply(model, "orthogonal_modes")
    moved = (model.probe.detach() - probe).abs().max() / probe.abs().max()
    assert 0 < moved < 5e-3  # the overlap over the difference of the powers


@pytest.mark.parametrize("phase", [0.7, 2.5, -3.0])
def test_the_phase_of_a_mode_is_kept(phase: float) -> None:
    model = small_model()
    apply(model, "orthogonal_modes")
    turned = with_probe(model.probe.detach() * torch.exp(torch.tensor(1j * phase)))
    turned.probe.detach()[1] += 1e-3 * turned.probe.detach()[0]
    expected = turned.probe.detach().clone()
    apply(turned, "orthogonal_modes")
    moved = (turned.probe.detach() - expected).abs().max() / expected.abs().max()
    assert 0 < moved < 2e-2


def test_probe_power() -> None:
    model = small_model()
    before = model.probe.detach().clone()
    apply(model, "probe_power")
    after = model.probe.detach()
    power = after.abs().square().sum(dtype=torch.float64)
    torch.testing.assert_close(
        power, torch.tensor(model.power_start, dtype=torch.float64), **tolerance("sum", after.dtype)
    )
    # One common real factor: shape, phases and shares of the modes stay.
    factor = (after / before).flatten()
    torch.testing.assert_close(factor, factor[:1].expand_as(factor), **TIGHT)
    assert abs(float(factor[0].imag)) < 1e-6
