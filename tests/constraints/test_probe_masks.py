"""Masks on the probe modes, in reciprocal space and at the focus."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fastpty.constraints.common import propagated
from fastpty.model import Model
from tests.constraints.lens import lens_model
from tests.constraints.small_model import apply, small_model, values
from tests.tolerances import bound, tolerance

CLOSE = tolerance("transform", torch.float32)


def with_powers(*powers: float) -> Model:
    """Random modes of these powers."""
    model = small_model(modes=len(powers), dtype=torch.float64)
    with torch.no_grad():
        norm = model.probe.abs().square().sum(dim=(1, 2), keepdim=True)
        model.probe.mul_((torch.tensor(powers)[:, None, None] / norm).sqrt())
    return model


def test_probe_aperture_is_the_formula() -> None:
    model = small_model(modes=1)
    model.pixel_size = None
    spectrum = torch.fft.fft2(model.probe.detach()[0])
    apply(model, "probe_aperture", {"radius": 0.5, "width": 0.3})
    fy, fx = np.fft.fftfreq(6)[:, None], np.fft.fftfreq(5)
    mask = 1 / (1 + np.exp(10 * (np.hypot(fy, fx) - 0.25) / 0.3))
    expected = torch.fft.ifft2(spectrum * torch.from_numpy(mask).float())
    torch.testing.assert_close(model.probe.detach()[0], expected, **CLOSE)


def test_probe_aperture_is_round_in_reciprocal_space() -> None:
    """Pixels of 0.3 x 0.2 Angstrom: the highest frequency is that of the longer side."""
    model = small_model(modes=1)
    before = torch.fft.fft2(model.probe.detach()[0])
    apply(model, "probe_aperture", {"radius": 0.8, "width": 0.2})
    share = (torch.fft.fft2(model.probe.detach()[0]) / before).real
    ky, kx = np.fft.fftfreq(6, 0.3)[:, None], np.fft.fftfreq(5, 0.2)
    expected = 1 / (1 + np.exp(10 * (np.hypot(ky, kx) * 0.3 - 0.4) / 0.2))
    torch.testing.assert_close(share, torch.from_numpy(expected).float(), **CLOSE)


@pytest.mark.parametrize("name", ["probe_aperture", "probe_support"])
@pytest.mark.parametrize(("power", "masked"), [(0.0, 1), (0.65, 1), (0.75, 2), (0.95, 3), (1.0, 3)])
def test_weak_modes_are_not_masked(name: str, power: float, masked: int) -> None:
    """0.7, 0.2, 0.1 of the intensity; they need not stand in order."""
    model = with_powers(0.2, 0.7, 0.1)
    before = model.probe.detach()[[1, 0, 2]]
    # A mask that takes little: the order stays.
    wide = {"radius": 1.3} if name == "probe_aperture" else {"radius": 1.6, "z_range": None}
    apply(model, name, {"power": power, **wide})
    moved = (model.probe.detach() - before).abs().amax(dim=(1, 2)) > 1e-9
    assert moved.tolist() == [index < masked for index in range(3)]


@pytest.mark.parametrize("name", ["probe_aperture", "probe_support"])
def test_modes_are_sorted_again(name: str) -> None:
    """A strong mode of which little is left goes behind a weak one that is not masked."""
    model = with_powers(0.9, 0.1)
    weak = model.probe.detach()[1].clone()
    apply(model, name, {"power": 0.5, "radius": 1e-3})
    if name == "probe_aperture":
        assert torch.equal(model.probe.detach()[0], weak)
    else:  # propagated there and back
        torch.testing.assert_close(model.probe.detach()[0], weak, **CLOSE)


def test_probe_support_is_the_formula() -> None:
    """In units of half the window's shorter side, from the centre N//2."""
    model = small_model(modes=1)
    before = model.probe.detach()[0].clone()
    apply(model, "probe_support", {"radius": 0.8, "order": 2, "z_range": None})
    y, x = (np.arange(6) - 3)[:, None] * 0.3, (np.arange(5) - 2) * 0.2
    half = min(6 * 0.3, 5 * 0.2) / 2
    mask = np.exp(-0.5 * (np.hypot(y, x) / half / 0.8) ** 4)
    torch.testing.assert_close(
        model.probe.detach()[0], before * torch.from_numpy(mask).float(), **CLOSE
    )


@pytest.mark.parametrize("defocus", [-150.0, 0.0, 250.0])
def test_probe_support_finds_the_focus(defocus: float) -> None:
    """A defocused probe, masked at its focus, is the masked focus, defocused."""
    model = lens_model()
    model.probe = model.probe[:1].clone()
    focus = model.probe.clone()
    settings = {"radius": 0.2, "order": 1}
    apply(model, "probe_support", settings | {"z_range": None})
    distance = torch.tensor(defocus)
    expected = propagated(model, model.probe, distance)
    model.probe = propagated(model, focus, distance)
    apply(model, "probe_support", settings | {"z_range": [-400, 400], "z_steps": 17})
    scale = float(expected.abs().max())
    close = tolerance("transform", torch.float32, scale=scale)
    torch.testing.assert_close(model.probe, expected, **close)


def test_probe_support_searches_in_its_range_only() -> None:
    results = []
    for z_range, steps in (([200, 200], 1), ([200, 400], 3), ([-400, 400], 17)):
        model = lens_model()
        model.probe = propagated(model, model.probe[:1], torch.tensor(-200.0))
        apply(
            model,
            "probe_support",
            {"radius": 0.2, "order": 1, "z_range": z_range, "z_steps": steps},
        )
        results.append(model.probe)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_propagation_is_exact_over_a_long_way() -> None:
    """There and back in single precision's storage, double precision's arithmetic."""
    model = lens_model()
    there = propagated(model, model.probe, torch.tensor(500.0))
    back = propagated(model, there, torch.tensor(-500.0))
    torch.testing.assert_close(
        back, model.probe, **tolerance("sum", torch.float32, scale=math.sqrt(10))
    )
    assert (there - model.probe).abs().max() > bound("sampled")


def test_without_lengths_the_mask_acts_where_the_probe_stands() -> None:
    model, other = small_model(), small_model()
    for each in (model, other):
        each.wavelength = each.pixel_size = each.thickness = None
    apply(model, "probe_support")
    apply(other, "probe_support", {"z_range": None})
    assert torch.equal(values(model)["probe"], values(other)["probe"])
