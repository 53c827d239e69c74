"""Model -> patterns: the explicit call of the reference, argument by argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastpty import reference
from fastpty.forward import simulate_patterns
from tests.recon_cases import PIXEL, THICKNESS, Tiny, bare_model, make_tiny, tiny_run
from tests.tolerances import tolerance


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.mark.parametrize("propagator", ["angular_spectrum", "fresnel"])
def test_equals_the_reference(tiny: Tiny, propagator: str) -> None:
    section = {"tilt_mrad": [3.0, -5.0], "propagator": propagator}
    model = tiny_run(tiny, object=section).model
    model.phase += 0.3 * torch.randn(model.phase.shape, generator=torch.Generator().manual_seed(0))
    index = torch.tensor([7, 0, 29])
    expected = reference.multislice_intensity(
        model.probe.to(torch.complex128),
        (model.amplitude.double(), model.phase.double()),
        model.corner[index],
        model.shift[index].double(),
        THICKNESS,
        torch.tensor([[3.0, -5.0]], dtype=torch.float64),
        wavelength=model.wavelength,
        pixel_size=PIXEL,
        model=propagator,
    )
    actual = simulate_patterns(model, index)
    scale = float(expected.max())
    torch.testing.assert_close(
        actual, expected.float(), **tolerance("chain", torch.float32, scale=scale)
    )


def test_the_true_model_gives_the_data(tiny: Tiny) -> None:
    """The file's frame, order and units: what was simulated is what is loaded and modelled."""
    run = tiny_run(tiny)
    model = run.model
    model.phase = tiny.phase.float()
    model.amplitude = tiny.amplitude.float()
    corner = np.rint(tiny.positions)
    model.corner = torch.from_numpy(corner.astype(np.int64))
    model.shift = torch.from_numpy((tiny.positions - corner).astype(np.float32))
    model.probe = (tiny.probe * run.measurements.patterns.scale**0.5).to(torch.complex64)
    everything = torch.arange(len(tiny.positions))
    measured = run.measurements.patterns.batch(everything)
    torch.testing.assert_close(
        simulate_patterns(model, everything), measured, **tolerance("chain", torch.float32)
    )


def test_pixel_units_need_no_optics() -> None:
    """A single slice is never propagated, whatever stands in for the missing lengths."""
    model = bare_model([[3, 4]], [[0.25, -0.5]])
    assert model.wavelength is model.pixel_size is model.thickness is None
    expected = reference.multislice_intensity(
        model.probe,
        (model.amplitude, model.phase),
        model.corner,
        model.shift,
        7.0,
        wavelength=3.0,
        pixel_size=11.0,
    )
    actual = simulate_patterns(model, torch.tensor([0]))
    scale = float(expected.max())
    torch.testing.assert_close(actual, expected, **tolerance("chain", torch.float32, scale=scale))
