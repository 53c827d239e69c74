"""The misfit against its formula, and its gradient where the formula's is infinite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.loss import gaussian_loss
from fastpty.loss.gaussian import FLOOR
from tests.tolerances import tolerance

POWERS = [0.5, 0.3, 0.75, 1.0]


def patterns(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """Simulated and measured, some pixels of each without intensity."""
    rng = np.random.default_rng(seed)
    simulated, measured = rng.gamma(0.5, 0.3, (2, 3, 4, 5))
    measured[0, 1] = 0
    simulated[1, :, 2] = 0
    return torch.from_numpy(simulated).to(dtype), torch.from_numpy(measured).to(dtype)


def formula(
    simulated: torch.Tensor, measured: torch.Tensor, power: float, mask: torch.Tensor | None = None
) -> float:
    """Pixel by pixel, in double precision."""
    squares, targets = [], []
    for b, y, x in np.ndindex(*measured.shape):
        if mask is None or mask[y, x]:
            i, m = float(simulated[b, y, x]), float(measured[b, y, x])
            squares.append(((i + FLOOR) ** power - m**power) ** 2)
            targets.append(m**power)
    return float(np.sqrt(np.mean(squares)) / np.mean(targets))


MASK = torch.tensor(np.random.default_rng(1).random((4, 5)) < 0.7)


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_formula(dtype: torch.dtype, power: float, mask: torch.Tensor | None) -> None:
    simulated, measured = patterns(dtype=dtype)
    found = gaussian_loss(simulated, measured, power, mask)
    assert found.dtype == dtype
    expected = torch.tensor(formula(simulated, measured, power, mask), dtype=dtype)
    torch.testing.assert_close(found, expected, **tolerance("sum", dtype))


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("power", POWERS)
def test_gradient(power: float, mask: torch.Tensor | None) -> None:
    simulated, measured = patterns()
    simulated = (simulated + 0.1).requires_grad_()  # away from the steep slope at zero
    assert torch.autograd.gradcheck(
        lambda intensity: gaussian_loss(intensity, measured, power, mask), simulated
    )


def by_autograd(
    intensity: torch.Tensor, measured: torch.Tensor, power: float, mask: torch.Tensor | None
) -> torch.Tensor:
    """The formula in torch's words."""
    good = torch.ones(measured.shape[1:], dtype=torch.bool) if mask is None else mask
    count = float(good.sum()) * len(measured)
    misfit = ((intensity + FLOOR).pow(power) - measured.pow(power)) * good
    mean = (measured.pow(power) * good).sum() / count
    return (misfit.square().sum() / count).sqrt() / mean


@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("power", POWERS)
def test_gradient_in_single_precision(power: float, mask: torch.Tensor | None) -> None:
    """Where pixels are dark, too: the slope there is the formula's own."""
    simulated, measured = patterns()
    wide = simulated.requires_grad_()
    (expected,) = torch.autograd.grad(3 * by_autograd(wide, measured, power, mask), wide)
    narrow = simulated.detach().float().requires_grad_()
    loss = 3 * gaussian_loss(narrow, measured.float(), power, mask)
    (found,) = torch.autograd.grad(loss, narrow)
    torch.testing.assert_close(
        found,
        expected.float(),
        **tolerance("sum", torch.float32, scale=float(expected.abs().max())),
    )


def test_one_array_is_kept_for_the_backward() -> None:
    """The gradient itself, and nothing where none is wanted."""
    simulated, measured = patterns()
    kept: list[torch.Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        gaussian_loss(simulated, measured)
        assert not kept
        gaussian_loss(simulated.requires_grad_(), measured, 0.5, MASK)
    assert [tensor.shape for tensor in kept] == [measured.shape]


def test_masked_pixels_have_no_say() -> None:
    simulated, measured = patterns()
    expected = gaussian_loss(simulated, measured, 0.5, MASK)
    simulated[:, ~MASK], measured[:, ~MASK] = 1e6, 0
    simulated.requires_grad_()
    loss = gaussian_loss(simulated, measured, 0.5, MASK)
    (gradient,) = torch.autograd.grad(loss, simulated)
    torch.testing.assert_close(loss.detach(), expected, **tolerance("sum", torch.float64))
    assert not gradient[:, ~MASK].any()
    assert gradient[:, MASK].any()


@settings(derandomize=True, max_examples=20)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_the_scale_of_the_data_does_not_matter(scale: float, seed: int) -> None:
    """Up to the floor, which is far below these intensities."""
    simulated, measured = patterns(seed)
    simulated += 1
    once = gaussian_loss(simulated, measured)
    scaled = gaussian_loss(simulated * scale, measured * scale)
    assert abs(float(scaled / once) - 1) < FLOOR / scale + 1e-9


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_perfect_fit(dtype: torch.dtype, power: float) -> None:
    """Loss about zero; the root's infinite slope there must not reach the gradient."""
    _, measured = patterns(dtype=dtype)
    simulated = measured.clone().requires_grad_()
    loss = gaussian_loss(simulated, measured, power)
    loss.backward()
    assert 0 <= float(loss.detach()) <= 10 * FLOOR**power
    assert torch.isfinite(simulated.grad).all()
    without_floor = (measured - FLOOR).clamp(min=0).requires_grad_()
    loss = gaussian_loss(without_floor, without_floor.detach() + FLOOR, power)
    loss.backward()
    assert torch.isfinite(without_floor.grad).all()


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_no_intensity_at_all(dtype: torch.dtype, power: float) -> None:
    """A dark simulation, and a batch that was recorded with the beam off."""
    _, measured = patterns(dtype=dtype)
    dark = torch.zeros_like(measured)
    for simulated, target in ((dark, measured), (measured, dark), (dark, dark)):
        intensity = simulated.clone().requires_grad_()
        loss = gaussian_loss(intensity, target, power)
        loss.backward()
        assert torch.isfinite(loss)
        assert torch.isfinite(intensity.grad).all()
