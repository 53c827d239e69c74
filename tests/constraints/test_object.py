"""Blurs against scipy, clamps against their bounds."""

from __future__ import annotations

import pytest
import torch
from scipy.ndimage import gaussian_filter

from fastpty.config.solve import ConstraintsConfig
from fastpty.constraints import apply_constraints
from fastpty.model import Model
from tests.constraints.small_model import small_model
from tests.tolerances import tolerance

OFF = dict.fromkeys(ConstraintsConfig.model_fields)


def apply(model: Model, name: str, settings: object = True) -> None:
    """One constraint alone."""
    apply_constraints(model, ConstraintsConfig(**(OFF | {name: settings})), 1)


def blurred(volume: torch.Tensor, sigma: tuple[float, ...]) -> torch.Tensor:
    """scipy's own filter, with the radius that the constraint documents."""
    radius = [max(2, -int(-3 * s // 1)) if s else 0 for s in sigma]
    array = gaussian_filter(volume.detach().double().numpy(), sigma, mode="nearest", radius=radius)
    return torch.from_numpy(array).to(volume.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("std", [0.1, 0.4, 1.0, 2.3])
@pytest.mark.parametrize("canvas", [(11, 9), (1, 1), (2, 30)])
def test_blur_xy(canvas: tuple[int, int], std: float, dtype: torch.dtype) -> None:
    """Also where the filter is longer than the plane."""
    model = small_model(canvas=canvas, dtype=dtype)
    before = {name: tensor.clone() for name, tensor in model.unknowns.items()}
    apply(model, "blur_xy", {"std": std})
    for name in ("amplitude", "phase"):
        expected = blurred(before[name], (0, 0, std, std))
        torch.testing.assert_close(
            model.unknowns[name].detach(), expected, **tolerance("sum", dtype)
        )
    for name in ("probe", "positions"):
        assert torch.equal(model.unknowns[name], before[name])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("std", [0.1, 1.0, 2.3])
@pytest.mark.parametrize("slices", [2, 4, 17])
def test_blur_z(slices: int, std: float, dtype: torch.dtype) -> None:
    model = small_model(slices=slices, dtype=dtype)
    before = {name: tensor.clone() for name, tensor in model.unknowns.items()}
    apply(model, "blur_z", {"std": std})
    for name in ("amplitude", "phase"):
        expected = blurred(before[name], (0, std, 0, 0))
        torch.testing.assert_close(
            model.unknowns[name].detach(), expected, **tolerance("sum", dtype)
        )


def test_blur_z_leaves_a_single_slice_alone() -> None:
    model = small_model(slices=1)
    before = model.phase.clone()
    apply(model, "blur_z", {"std": 3})
    assert torch.equal(model.phase, before)


@pytest.mark.parametrize("name", ["blur_xy", "blur_z"])
def test_a_blur_keeps_a_constant(name: str) -> None:
    model = small_model()
    with torch.no_grad():
        model.phase.fill_(0.7)
    apply(model, name, {"std": 1.5})
    torch.testing.assert_close(
        model.phase.detach(), torch.full_like(model.phase, 0.7), **tolerance("sum", torch.float32)
    )


def test_amplitude_clamp() -> None:
    model = small_model()
    before, phase = model.amplitude.detach().clone(), model.phase.clone()
    apply(model, "amplitude_clamp", {"low": 0.9, "high": 1.05})
    after = model.amplitude.detach()
    inside = (before >= 0.9) & (before <= 1.05)
    assert torch.equal(after[inside], before[inside])
    assert after[before < 0.9].eq(torch.tensor(0.9)).all()
    assert after[before > 1.05].eq(torch.tensor(1.05)).all()
    assert not inside.all()
    assert torch.equal(model.phase, phase)


def test_positive_phase() -> None:
    model = small_model()
    before, amplitude = model.phase.detach().clone(), model.amplitude.clone()
    apply(model, "positive_phase")
    assert torch.equal(model.phase, torch.where(before > 0, before, 0.0))
    assert (before < 0).any()
    assert torch.equal(model.amplitude, amplitude)
