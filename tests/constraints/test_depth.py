"""The object in the middle of its slices, and patterns that do not notice."""

from __future__ import annotations

import pytest
import torch

from fastpty.model import Model
from tests.constraints.lens import lens_model, patterns
from tests.constraints.small_model import apply, small_model, values
from tests.tolerances import tolerance

ROUNDING = tolerance("transform", torch.float32)


def layer(index: int, slices: int = 7, **settings: object) -> Model:
    """An object in one slice, empty space before and behind."""
    model = lens_model(slices=slices, **settings)
    phase = model.phase[:, 0].abs() + 0.01
    amplitude = model.amplitude[:, 0].clone()
    model.phase.zero_()
    model.amplitude.fill_(1.0)
    model.phase[:, index] = phase
    model.amplitude[:, index] = amplitude
    return model


@pytest.mark.parametrize("index", [0, 2, 3, 6])
@pytest.mark.parametrize("settings", [{}, {"percentile": None}, {"max_shift": None}])
def test_a_layer_goes_to_the_middle(index: int, settings: dict[str, object]) -> None:
    model, expected = layer(index), layer(3)
    apply(model, "recentre_depth", settings)
    for name in ("amplitude", "phase"):
        torch.testing.assert_close(model.unknowns[name], expected.unknowns[name], **ROUNDING)


@pytest.mark.parametrize("tilt", [None, (4.0, -7.0)])
@pytest.mark.parametrize("index", [1, 5])
def test_the_patterns_stay(index: int, tilt: tuple[float, float] | None) -> None:
    """The probe's focus moves along, and where the crystal is tilted, the probe."""
    model = layer(index, tilt=tilt)
    before, probe = patterns(model), model.probe.clone()
    apply(model, "recentre_depth")
    assert not torch.equal(model.probe, probe)
    torch.testing.assert_close(
        patterns(model), before, **tolerance("chain", torch.float32, scale=float(before.max()))
    )


def test_gaps_of_their_own_count_by_their_mean() -> None:
    """A probe that is moved along by a mean of 15 Angstrom per slice."""
    one, each = layer(1), layer(1)
    each.thickness = torch.tensor([10.0, 20.0, 12.0, 18.0, 15.0, 15.0])
    for model in (one, each):
        apply(model, "recentre_depth")
    torch.testing.assert_close(each.probe, one.probe, **ROUNDING)


@pytest.mark.parametrize(
    ("settings", "moved"),
    [({"scale": 0.5}, 1.5), ({"max_shift": 2}, 2.0), ({"scale": 0}, 0.0), ({"max_shift": 0}, 0.0)],
)
def test_part_of_the_way(settings: dict[str, float], moved: float) -> None:
    model = layer(0)
    total = model.phase.sum(dim=1)
    apply(model, "recentre_depth", settings)
    # The phase of the first Fourier coefficient along z is -2 pi / Nz for each slice of the way.
    turn = torch.fft.fft(model.phase.double().mean(dim=(0, 2, 3)))[1].angle()
    torch.testing.assert_close(
        float(-turn * 7 / (2 * torch.pi)), moved, rtol=0, atol=ROUNDING["atol"]
    )
    torch.testing.assert_close(model.phase.sum(dim=1), total, **ROUNDING)


def test_only_voxels_above_the_percentile_count() -> None:
    """A haze in all slices weighs more than a few atoms, and says nothing."""
    model = layer(1)
    model.phase.zero_()
    model.phase[:, 1, 20:28, 20:28] = 1.0
    model.phase[:, 3:] += 1e-3
    hazy = values(model)["phase"]
    apply(model, "recentre_depth", {"percentile": 99.9})
    torch.testing.assert_close(model.phase, torch.roll(hazy, 2, dims=1), **ROUNDING)


@pytest.mark.parametrize("case", ["one slice", "no phase", "negative phase"])
def test_nothing_to_move(case: str) -> None:
    model = small_model(slices=1 if case == "one slice" else 4)
    with torch.no_grad():
        if case != "one slice":
            model.phase.copy_(torch.zeros(()) if case == "no phase" else -model.phase.abs())
    before = values(model)
    apply(model, "recentre_depth")
    for name, tensor in values(model).items():
        torch.testing.assert_close(tensor, before[name], **ROUNDING)
