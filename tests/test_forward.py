"""Model -> patterns: the explicit call of the reference, argument by argument."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fastpty import reference
from fastpty.forward import simulate_patterns
from fastpty.recon import Reconstruction
from tests.recon_cases import PIXEL, THICKNESS, Tiny, bare_model, make_tiny, tiny_run
from tests.tolerances import bound, tolerance


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


def test_detector_blur(tiny: Tiny) -> None:
    """As scipy does it to the centred pattern; its "reflect" mirrors beyond the edge pixel."""
    run = tiny_run(tiny, detector={"blur": 0.8})
    index = torch.tensor([3, 17])
    blurred = simulate_patterns(run.model, index)
    run.model.detector_blur = None
    sharp = simulate_patterns(run.model, index)
    centred = torch.fft.fftshift(sharp, dim=(1, 2)).double().numpy()
    expected = gaussian_filter(centred, (0, 0.8, 0.8), mode="reflect", radius=(0, 3, 3))
    expected = torch.fft.ifftshift(torch.from_numpy(expected), dim=(1, 2)).float()
    torch.testing.assert_close(
        blurred, expected, **tolerance("sum", torch.float32, scale=float(sharp.max()))
    )


def over_the_source(run: Reconstruction, index: torch.Tensor, size: float) -> torch.Tensor:
    """Mean pattern over positions within 5 standard deviations, half of one apart.

    For a Gaussian the error of this sum is below exp(-2 (2 pi)^2) and that of its tails.
    """
    start, total, weights = run.model.shift.clone(), torch.zeros(()), 0.0
    steps = torch.arange(-10, 11) / 2
    for y, x in torch.cartesian_prod(steps, steps).tolist():
        run.model.shift = start + torch.tensor([y, x]) * size / PIXEL
        weight = np.exp(-0.5 * (y**2 + x**2))
        total = total + weight * simulate_patterns(run.model, index).double()
        weights += weight
    run.model.shift = start
    return total / weights


def test_a_finite_source(tiny: Tiny) -> None:
    """A single thin slice: the mean over many positions of the scanned point."""
    size, index, found = 0.15, torch.tensor([3, 17]), {}
    for points in (2, 4, 8):
        section = {"source_size": size, "source_points": points}
        run = tiny_run(tiny, object={"slices": 1}, probe=section)
        generator = torch.Generator().manual_seed(0)
        run.model.phase = 0.3 * torch.randn(run.model.phase.shape, generator=generator)
        found[points] = simulate_patterns(run.model, index)
    run.model.source = None
    point = simulate_patterns(run.model, index)
    expected = over_the_source(run, index, size).float()
    errors = [float((pattern - expected).abs().max()) for pattern in found.values()]
    assert float((point - expected).abs().max()) > 5 * errors[0] > 50 * errors[1]
    torch.testing.assert_close(
        found[8], expected, **tolerance("chain", torch.float32, scale=float(expected.max()))
    )


def test_a_finite_source_has_a_gradient(tiny: Tiny) -> None:
    """Every point's modes are the same probe: their gradients come together in it."""
    run = tiny_run(tiny, probe={"source_size": 0.3, "source_points": 2}, detector={"blur": 0.6})
    model, index = run.model, torch.tensor([3, 17])
    generator = torch.Generator().manual_seed(0)
    upstream = torch.rand(2, 24, 20, generator=generator)
    change = 1e-2 * torch.randn(model.probe.shape, dtype=torch.complex64, generator=generator)
    probe = model.probe.clone()
    model.probe = probe.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(
        (simulate_patterns(model, index) * upstream).sum(), model.probe
    )
    slope = float((gradient.conj() * change).real.sum())
    # The intensity is quadratic in the probe, so the central difference is exact.
    ends = []
    for sign in (1, -1):
        model.probe = probe + sign * change
        ends.append(float((simulate_patterns(model, index).double() * upstream).sum()))
    assert slope == pytest.approx((ends[0] - ends[1]) / 2, rel=bound("single gradient") * 10)


def test_object_modes_count_by_their_occupancy() -> None:
    model = bare_model([[3, 4]], [[0.25, -0.5]])
    generator = torch.Generator().manual_seed(0)
    model.phase = torch.randn(2, 1, *model.phase.shape[2:], generator=generator)
    model.amplitude = torch.ones_like(model.phase)
    index = torch.tensor([0])
    patterns = []
    for occupancy in ([1.0, 0.0], [0.0, 1.0], [0.7, 0.2]):
        model.occupancy = torch.tensor(occupancy)
        patterns.append(simulate_patterns(model, index))
    model.occupancy = None
    patterns.append(simulate_patterns(model, index))
    for found, (a, b) in ((patterns[2], (0.7, 0.2)), (patterns[3], (1, 1))):
        expected = a * patterns[0] + b * patterns[1]
        scale = float(expected.max())
        torch.testing.assert_close(found, expected, **tolerance("sum", torch.float32, scale=scale))
