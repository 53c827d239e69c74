"""Aperture, probe and modes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fastpty.optics import (
    Aberrations,
    aperture,
    electron_wavelength,
    focused_probe,
    frequency_step,
    hermite_modes,
    spatial_frequencies,
)
from tests.tolerances import bound, tolerance

WAVELENGTH = electron_wavelength(300)
SHAPES = [(64, 64), (65, 64), (61, 79), (48, 96)]


def near(actual: object, expected: object, kind: str = "chain", scale: float = 1.0) -> None:
    actual, expected = (torch.from_numpy(np.asarray(x)) for x in (actual, expected))
    torch.testing.assert_close(actual, expected, **tolerance(kind, torch.float64, scale=scale))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pixel_size", [0.3, (0.3, 0.2)])
def test_area_is_pi_r_squared(shape: tuple[int, int], pixel_size: float) -> None:
    dky, dkx = frequency_step(shape, pixel_size)
    for semiangle in (20.0, 20.3, 21.1, 22.0):
        radius = semiangle * 1e-3 / WAVELENGTH
        area = aperture(shape, pixel_size, semiangle, WAVELENGTH).sum() * dky * dkx
        assert area == pytest.approx(math.pi * radius**2, rel=bound("disc") * 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_edge_is_one_pixel_wide(shape: tuple[int, int]) -> None:
    pixel = (0.3, 0.25)
    disc = aperture(shape, pixel, 20.0, WAVELENGTH)
    ky, kx = spatial_frequencies(shape, pixel)
    step, cut = max(frequency_step(shape, pixel)), 20e-3 / WAVELENGTH
    k = np.hypot(ky, kx)
    assert (disc[k < cut - 0.51 * step] == 1).all()
    assert (disc[k > cut + 0.51 * step] == 0).all()
    assert disc.min() == 0
    assert disc.max() == 1
    near(disc, np.roll(disc[::-1, ::-1], (1, 1), (0, 1)))  # k and -k


def test_edge_along_each_axis_has_that_axis_pixel() -> None:
    """Where the cut passes through a pixel's centre the value is one half, on either axis."""
    shape, pixel = (40, 50), (0.5, 0.2)
    for axis, step in enumerate(frequency_step(shape, pixel)):
        disc = aperture(shape, pixel, 5.25 * step * WAVELENGTH * 1e3, WAVELENGTH)
        row = disc[:, 0] if axis == 0 else disc[0]
        near(row[4:7], [1.0, 0.75, 0.0])


@pytest.mark.parametrize("shape", [(16, 16), (16, 32), (15, 40)])
def test_too_large_an_aperture_is_refused(shape: tuple[int, int]) -> None:
    step = frequency_step(shape, 0.5)
    edge = min(step[0] * (shape[0] // 2), step[1] * (shape[1] // 2)) * WAVELENGTH * 1e3
    aperture(shape, 0.5, 0.999 * edge, WAVELENGTH)
    with pytest.raises(ValueError, match=r"semiangle_mrad = .* is larger than the detector"):
        aperture(shape, 0.5, 1.001 * edge, WAVELENGTH)


@pytest.mark.parametrize("semiangle", [0.0, -1.0, math.nan, math.inf])
def test_semiangles_that_are_refused(semiangle: float) -> None:
    with pytest.raises(ValueError, match="semiangle_mrad"):
        aperture((16, 16), 0.5, semiangle, WAVELENGTH)


@pytest.mark.parametrize("wavelength", [0.0, -0.02, math.nan])
def test_wavelengths_that_are_refused(wavelength: float) -> None:
    with pytest.raises(ValueError, match=f"wavelength must be a positive .* got {wavelength}"):
        aperture((16, 16), 0.5, 5.0, wavelength)


@pytest.mark.parametrize("shape", SHAPES)
def test_probe_is_centred_and_normalised(shape: tuple[int, int]) -> None:
    probe = focused_probe(shape, 0.3, semiangle_mrad=20, wavelength=WAVELENGTH)
    assert probe.dtype == np.complex128
    centre = (shape[0] // 2, shape[1] // 2)
    assert np.unravel_index(np.abs(probe).argmax(), shape) == centre
    near((np.abs(probe) ** 2).sum(), 1.0)
    # In focus the probe is even about its centre, so real up to rounding.
    near(probe.imag, np.zeros(shape))


def test_focused_probe_is_an_airy_disc() -> None:
    """Its first zero is at 0.61 lambda / alpha."""
    probe = focused_probe((256, 256), 0.05, semiangle_mrad=30, wavelength=WAVELENGTH)
    line = np.abs(probe[128, 128:])
    first_minimum = int(np.argmax(np.diff(line) > 0)) * 0.05
    expected = 0.6098 * WAVELENGTH / 30e-3
    assert abs(first_minimum - expected) <= 0.05


def test_defocused_probe_has_the_geometric_radius() -> None:
    """Far from focus the disc's radius is |defocus| tan(alpha)."""
    for defocus in (2000.0, -2000.0):
        probe = focused_probe(
            (256, 256),
            0.5,
            semiangle_mrad=15,
            wavelength=WAVELENGTH,
            aberrations=Aberrations({"defocus": defocus}),
        )
        power = np.abs(probe) ** 2
        y, x = (np.arange(256) - 128) * 0.5, (np.arange(256) - 128) * 0.5
        mean_square = (power * (y[:, None] ** 2 + x**2)).sum()
        radius = math.sqrt(2 * mean_square)  # of the uniform disc with that mean square
        assert radius == pytest.approx(2000 * 15e-3, rel=3 * bound("sampled"))


def test_coma_moves_the_probe_along_its_azimuth() -> None:
    """-grad chi / 2 pi is the ray's displacement in the specimen: chi = +C21 ... cos(phi) at
    azimuth 90 degrees displaces the probe along y only."""
    ky, _ = spatial_frequencies((128, 128), 0.2)
    lens = Aberrations({"C21": 3e4, "phi21": 90.0})
    probe = focused_probe(
        (128, 128), 0.2, semiangle_mrad=20, wavelength=WAVELENGTH, aberrations=lens
    )
    power = np.abs(probe) ** 2
    y, x = np.arange(128) - 64, np.arange(128) - 64
    assert abs((power.sum(0) * x).sum()) < bound("sampled")
    spectrum = np.fft.fft2(probe)
    spread = np.abs(spectrum) ** 2 / (np.abs(spectrum) ** 2).sum()
    k = np.hypot(ky, ky.T)
    # chi = 2 pi lambda^2 C21 / 3 k^2 ky, whose mean slope along y over a disc is that of 2 k^2.
    slope = 2 * np.pi * WAVELENGTH**2 * 3e4 / 3 * (spread * 2 * k**2).sum()
    expected = slope / (2 * np.pi) / 0.2
    assert (power.sum(1) * y).sum() == pytest.approx(expected, rel=5 * bound("sampled"))


PROBES = {
    "in focus": focused_probe((32, 33), 0.3, semiangle_mrad=20, wavelength=WAVELENGTH),
    "aberrated": focused_probe(
        (40, 30),
        (0.3, 0.4),
        semiangle_mrad=20,
        wavelength=WAVELENGTH,
        aberrations=Aberrations({"defocus": 80, "C12": 60, "phi12": 20, "B2": 500}),
    ),
}


@pytest.mark.parametrize("probe", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("modes", [1, 2, 3, 6, 8])
def test_modes_are_orthogonal_with_their_powers(probe: np.ndarray, modes: int) -> None:
    made = hermite_modes(3 * probe, modes, 0.05).reshape(modes, -1)
    gram = made.conj() @ made.T
    powers = [9 * (1 - 0.05 * (modes - 1))] + [9 * 0.05] * (modes - 1)
    near(gram, np.diag(powers).astype(complex), scale=9)


def test_first_mode_is_the_probe() -> None:
    probe = PROBES["aberrated"]
    near(hermite_modes(probe, 1)[0], probe)
    near(hermite_modes(probe, 3, 0.1)[0], math.sqrt(0.8) * probe)


def test_second_and_third_modes_are_derivatives_of_a_gaussian() -> None:
    """Of a Gaussian they are the Hermite functions y g and x g."""
    y, x = np.arange(41)[:, None] - 20.0, np.arange(37)[None, :] - 18.0
    gaussian = np.exp(-(y**2 + x**2) / 18)
    made = hermite_modes(gaussian, 3, 0.1)
    for mode, axis in ((made[1], y), (made[2], x)):
        expected = axis * gaussian
        overlap = np.vdot(mode, expected) / np.linalg.norm(mode) / np.linalg.norm(expected)
        near(abs(overlap), 1.0)


def test_modes_of_a_narrow_window_skip_what_is_no_new_mode() -> None:
    """Along an axis of one pixel there is nothing to grow."""
    made = hermite_modes(np.ones((1, 6)), 5, 0.1).reshape(5, -1)
    near(made.conj() @ made.T, np.diag([6 * 0.6] + [0.6] * 4), scale=6)


@pytest.mark.parametrize(
    ("probe", "modes", "power", "message"),
    [
        (np.ones((4, 4)), 0, 0.1, "modes must be at least 1, got 0"),
        (np.ones((4, 4)), 3, 0.5, "power = 0.5 for each of 2 further modes leaves 0 for the first"),
        (np.ones((4, 4)), 2, 0.0, "power = 0 for each of 1 further modes"),
        (np.zeros((4, 4)), 2, 0.1, "probe must have some intensity, found a norm of 0"),
        (np.eye(4)[:1], 2, 0.1, "modes = 2 is more than the 1 that this probe of 1 x 4 pixels"),
    ],
)
def test_modes_that_are_refused(probe: np.ndarray, modes: int, power: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hermite_modes(probe, modes, power)
