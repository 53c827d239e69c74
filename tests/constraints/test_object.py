"""Constraints on the object's values: clamps, positivity, amplitude from phase."""

from __future__ import annotations

import pytest
import torch

from tests.constraints.small_model import apply, small_model, values
from tests.tolerances import tolerance

CLOSE = tolerance("product", torch.float32)


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


def test_positive_phase_by_a_constant() -> None:
    model = small_model()
    before = model.phase.detach().clone()
    apply(model, "positive_phase", {"mode": "subtract_min"})
    assert torch.equal(model.phase, before - before.min())


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("amplitude_clamp", "amplitude"),
        ("mirrored_amplitude", "amplitude"),
        ("positive_phase", "phase"),
        ("recentre_positions", "positions"),
    ],
)
def test_relax(name: str, part: str) -> None:
    """The share of the old value that stays."""
    before, hard = values(small_model())[part], small_model()
    apply(hard, name, {"relax": 0.0})
    for relax in (1.0, 0.25):
        model = small_model()
        apply(model, name, {"relax": relax})
        expected = relax * before + (1 - relax) * values(hard)[part]
        torch.testing.assert_close(model.unknowns[part].detach(), expected, **CLOSE)
    assert not torch.equal(values(hard)[part], before)


def test_mirrored_amplitude() -> None:
    model = small_model()
    phase = model.phase.detach().clone()
    apply(model, "mirrored_amplitude", {"relax": 0, "scale": 0.2, "power": 2})
    expected = torch.where(phase > 0, 1 - 0.2 * phase**2, 1.0)
    torch.testing.assert_close(model.amplitude.detach(), expected, **CLOSE)
    assert torch.equal(model.phase, phase)


def test_complex_ratio_makes_the_amplitude_from_the_phase() -> None:
    """alpha1 = 1: ln a = -C phi everywhere."""
    model = small_model(dtype=torch.float64)
    before = values(model)
    apply(model, "complex_ratio")
    ratio = before["amplitude"].log().abs().sum() / before["phase"].abs().sum()
    torch.testing.assert_close(
        model.amplitude.detach().log(), -ratio * before["phase"], **tolerance("sum", torch.float64)
    )
    assert torch.equal(model.phase, before["phase"])


def test_complex_ratio_makes_the_phase_from_the_amplitude() -> None:
    model = small_model(dtype=torch.float64)
    before = values(model)
    apply(model, "complex_ratio", {"alpha1": 0, "alpha2": 1})
    ratio = before["amplitude"].log().abs().sum() / before["phase"].abs().sum()
    close = tolerance("sum", torch.float64)
    torch.testing.assert_close(model.phase.detach(), -before["amplitude"].log() / ratio, **close)
    torch.testing.assert_close(model.amplitude.detach(), before["amplitude"], **close)


@pytest.mark.parametrize("alphas", [{}, {"alpha1": 0.3, "alpha2": 0.6}])
def test_an_object_that_has_the_ratio_stays(alphas: dict[str, float]) -> None:
    model = small_model(dtype=torch.float64)
    with torch.no_grad():
        model.amplitude.copy_(torch.exp(-0.1 * model.phase))
    before = values(model)
    apply(model, "complex_ratio", alphas)
    for name in ("amplitude", "phase"):
        torch.testing.assert_close(
            model.unknowns[name].detach(), before[name], **tolerance("sum", torch.float64)
        )


@pytest.mark.parametrize("empty", ["amplitude", "phase"])
def test_complex_ratio_of_nothing_changes_nothing(empty: str) -> None:
    """The object at the start has no ratio."""
    model = small_model()
    with torch.no_grad():
        model.unknowns[empty].fill_(1.0 if empty == "amplitude" else 0.0)
    before = values(model)
    apply(model, "complex_ratio", {"alpha1": 0.5, "alpha2": 0.5})
    for name in ("amplitude", "phase"):
        assert torch.equal(model.unknowns[name], before[name])


def test_complex_ratio_of_a_black_pixel_is_finite() -> None:
    model = small_model()
    with torch.no_grad():
        model.amplitude[0, 0, 0, :2] = torch.tensor([0.0, -0.3])
    apply(model, "complex_ratio", {"alpha2": 0.5})
    assert model.amplitude.isfinite().all()
    assert model.phase.isfinite().all()
