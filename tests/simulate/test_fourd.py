"""The multislice loop: against the reference, analytic limits, and what microscopists know."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fastpty.optics import focused_probe, interaction_parameter, spatial_frequencies
from fastpty.reference import fresnel_propagate, slice_transmit
from fastpty.simulate.fourd import add_patterns, prepare_optics
from fastpty.simulate.geometry import lay_out
from fastpty.simulate.potential import (
    band_limit,
    frozen_slices,
    projected_potential,
    smeared_slices,
    transmission_function,
)
from fastpty.simulate.structure import Structure, displacement_from_b, srtio3

A = 3.905  # lattice parameter of SrTiO3, Angstrom
SIGMA = interaction_parameter(300.0)
# Windows cut at other pixels see other atoms at their edge, where the probe's tails are weak but
# not zero: measured 8e-5 of the brightest pixel.
OTHER_WINDOW = 2e-4


def box_of(config, positions, cell=None):
    """(geometry, atoms of the crystal in its box)."""
    geometry = lay_out(config, np.asarray(positions, dtype=float))
    extent = np.array(geometry.fine_shape) * geometry.fine_pixel
    return geometry, (cell or srtio3()).fill(geometry.origin, extent)


def transmissions(potentials, geometry):
    return [transmission_function(v, SIGMA, geometry.fine_pixel) for v in potentials]


def crystal(config, positions, cells, cell=None):
    """(geometry, transmission functions) of ``cells`` cells of a smeared crystal."""
    geometry, atoms = box_of(config, positions, cell)
    slices = smeared_slices(
        atoms, config.specimen.slice_thickness_A, geometry.fine_shape, geometry.fine_pixel
    )
    return geometry, transmissions(slices, geometry) * cells


def diffract(config, geometry, slices, dz=A / 2):
    patterns = np.zeros((len(geometry.corner), *[config.detector.pixels] * 2), np.float32)
    add_patterns(patterns, prepare_optics(config, dz), slices, geometry)
    return patterns.astype(float)


def vacuum(geometry):
    return [torch.ones(geometry.fine_shape, dtype=torch.complex64)]


def angles(config):
    """Scattering angle of every detector pixel in mrad."""
    index = np.arange(config.detector.pixels) - config.detector.pixels // 2
    return np.hypot(index[:, None], index) * config.frequency_step * config.wavelength * 1e3


# --- vacuum: the detector and its centre -------------------------------------------------------


@pytest.mark.parametrize("pixels", [32, 33])
def test_vacuum_gives_a_disc_centred_on_n_half(make_config, pixels):
    config = make_config(detector={"pixels": pixels})
    geometry = lay_out(config, np.array([[0.3, 0.4]]))
    pattern = diffract(config, geometry, vacuum(geometry))[0]
    index = np.arange(pixels)
    centre = [(pattern.sum(axis=1 - i) * index).sum() / pattern.sum() for i in (0, 1)]
    np.testing.assert_allclose(centre, pixels // 2, atol=1e-4)


def test_vacuum_disc_has_the_radius_of_the_aperture(make_config):
    config = make_config()
    geometry = lay_out(config, np.array([[0.0, 0.0]]))
    pattern = diffract(config, geometry, vacuum(geometry))[0]
    radius = np.sqrt(pattern.sum() / pattern[16, 16] / np.pi)  # from the area of a flat disc
    expected = 20e-3 / (config.wavelength * config.frequency_step)
    assert expected == pytest.approx(8.0)  # 20 of 40 mrad, 16 pixels
    assert radius == pytest.approx(expected, abs=0.25)


def test_vacuum_keeps_every_electron(make_config):
    config = make_config()
    geometry = lay_out(config, np.array([[0.0, 0.0]]))
    assert diffract(config, geometry, vacuum(geometry)).sum() == pytest.approx(1, abs=1e-5)


# --- the wave equation ------------------------------------------------------------------------


def test_agrees_with_the_reference_operations(make_config):
    """Same slices, same fine grid, the reference's transmission and propagation in double."""
    config = make_config(optics={"defocus_A": 30.0})
    geometry, slices = crystal(config, [[0.2, 1.3]], 3)
    pattern = diffract(config, geometry, slices)[0]

    n, fine = geometry.window, geometry.fine_pixel
    lens = {"semiangle_mrad": 20.0, "wavelength": config.wavelength, "aberrations": config.lens()}
    spectrum = np.fft.fft2(focused_probe((n, n), fine, **lens))
    f = np.fft.fftfreq(n)
    spectrum = spectrum * np.exp(
        -2j * np.pi * (f[:, None] * geometry.shift[0, 0] + f * geometry.shift[0, 1])
    )
    band = torch.from_numpy(band_limit(*spatial_frequencies((n, n), fine), fine))
    wave = torch.from_numpy(np.fft.ifft2(spectrum))[None, None]
    corner = torch.from_numpy(geometry.corner)
    for z, transmission in enumerate(slices):
        wave = slice_transmit(wave, transmission[None].to(torch.complex128), corner)
        if z < len(slices) - 1:
            wave = fresnel_propagate(wave, A / 2, wavelength=config.wavelength, pixel_size=fine)
        wave = torch.fft.ifft2(torch.fft.fft2(wave) * band)
    intensity = (torch.fft.fft2(wave[0, 0, 0], norm="ortho").abs() ** 2).numpy()
    centred = np.fft.fftshift(intensity)
    # Detector pixel i by hand: half, one, half round the even fine frequency.
    weights = {-1: 0.5, 0: 1.0, 1: 0.5}
    first = n // 2 - 2 * 16
    expected = np.zeros((32, 32))
    for dy, wy in weights.items():
        for dx, wx in weights.items():
            rows, columns = first + dy + 2 * np.arange(32), first + dx + 2 * np.arange(32)
            expected += wy * wx * centred[np.ix_(rows, columns)]
    # Six slices in single precision, each with two transforms.
    np.testing.assert_allclose(pattern, expected, atol=3e-6 * expected.max(), rtol=1e-4)


def test_a_weak_phase_object_scatters_to_first_order(make_config):
    """I - I0 = 2 Re(conj(F{P}) F{i sigma V P}) for one thin slice, on the bright-field overlap."""
    config = make_config()
    geometry, atoms = box_of(config, [[0.2, 1.3]])
    potential = 2e-3 * projected_potential(atoms, geometry.fine_shape, geometry.fine_pixel)
    bare = diffract(config, geometry, vacuum(geometry))[0]
    change = diffract(config, geometry, transmissions([potential], geometry))[0] - bare

    n = geometry.window
    optics = prepare_optics(config, A)
    f = np.fft.fftfreq(n)
    ramp = np.exp(-2j * np.pi * (f[:, None] * geometry.shift[0, 0] + f * geometry.shift[0, 1]))
    incident = optics.spectrum.numpy() * ramp
    y, x = geometry.corner[0]
    window = SIGMA * potential[y : y + n, x : x + n]
    scattered = np.fft.fft2(1j * window * np.fft.ifft2(incident, norm="ortho"), norm="ortho")
    first_order = 2 * (incident.conj() * scattered).real
    binning = optics.binning.numpy()
    expected = binning @ first_order @ binning.T
    # sigma V is at most 2e-3, so the second order is a few 1e-3 of the first.
    np.testing.assert_allclose(change, expected, atol=5e-3 * np.abs(expected).max())


def test_intensity_is_conserved_through_the_crystal(make_config):
    """Unitary but for what the band limit takes: scattering beyond 53 mrad, and the detector."""
    config = make_config()
    geometry, slices = crystal(config, [[0.0, 0.0], [A / 2, A / 2]], 10)
    total = diffract(config, geometry, slices).sum(axis=(1, 2))
    assert total.max() < 1 + 1e-4
    assert total.min() > 0.97


def test_friedel_symmetry_at_an_inversion_centre(make_config):
    """On the Sr column the projected crystal and the probe are even, so I(k) = I(-k)."""
    config = make_config()
    geometry, slices = crystal(config, [[0.0, 0.0]], 3)
    inner = diffract(config, geometry, slices)[0, 1:, 1:]  # row 0 has no partner
    np.testing.assert_allclose(inner, inner[::-1, ::-1], atol=1e-5 * inner.max())


def test_the_crystal_is_periodic(make_config):
    config = make_config()
    geometry, slices = crystal(config, [(0.31, 1.17), (0.31 + A, 1.17 + 2 * A)], 3)
    first, second = diffract(config, geometry, slices)
    np.testing.assert_allclose(first, second, atol=OTHER_WINDOW * first.max())


def test_tilt_is_a_shear_of_the_crystal(make_config):
    """A tilt t moves the wave by -dz tan t per slice: slices moved by +z tan t instead match."""
    tilt = 30.0  # mrad
    positions = [[0.4, 1.0]]
    tilted = make_config(specimen={"tilt_mrad": (tilt, 0.0)})
    geometry, slices = crystal(tilted, positions, 6)
    with_tilt = diffract(tilted, geometry, slices)[0]

    straight = make_config()
    geometry, atoms = box_of(straight, positions)
    sheared = []
    for z in range(12):
        layer = atoms.select(np.floor(atoms.positions[:, 2] / (A / 2) + 1e-6) == z % 2)
        layer.positions[:, 0] += z * A / 2 * np.tan(tilt * 1e-3)
        sheared.append(projected_potential(layer, geometry.fine_shape, geometry.fine_pixel))
    by_shear = diffract(straight, geometry, transmissions(sheared, geometry))[0]
    without = diffract(straight, *crystal(straight, positions, 6))[0]
    assert np.abs(without - with_tilt).max() > 0.05 * with_tilt.max()
    np.testing.assert_allclose(with_tilt, by_shear, atol=2e-3 * with_tilt.max())


# --- images -----------------------------------------------------------------------------------


def raster(points, span):
    """Positions [points^2, 2] with ``points`` per axis over ``span`` Angstrom."""
    line = np.arange(points) * span / points
    return np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)


def dark_field(config, patterns, inner):
    image = patterns[:, angles(config) > inner].sum(axis=1)
    side = round(np.sqrt(len(image)))
    return image.reshape(side, side)


@pytest.fixture
def wide_detector(make_config):
    """100 mrad, so that a dark field from 50 mrad fits."""
    return make_config(
        optics={"semiangle_mrad": 25.0}, detector={"max_angle_mrad": 100.0, "pixels": 40}
    )


def test_dark_field_shows_strontium_brightest_then_titanium(wide_detector):
    """Frozen phonons, 4 cells: Sr at (0, 0), Ti-O at the centre, O between them."""
    config = wide_detector
    geometry, atoms = box_of(config, raster(4, A))
    total = 0.0
    rng = np.random.default_rng(7)
    for _ in range(4):
        args = (2.0, 4, geometry.fine_shape, geometry.fine_pixel, rng)
        slices = transmissions(frozen_slices(atoms, *args), geometry)
        total = total + dark_field(config, diffract(config, geometry, slices), 50.0)
    assert np.unravel_index(total.argmax(), total.shape) == (0, 0)
    assert total[0, 0] > 1.2 * total[2, 2] > 1.2 * 1.2 * total[0, 2]
    assert total[2, 2] > 2 * total[1, 1]  # between the columns


def test_dark_field_grows_with_the_atomic_number(wide_detector):
    """Single atoms: Z^1.7 or so; between Z^1.4 and Rutherford's Z^2."""
    config = wide_detector
    signal = {}
    for number in (14, 32, 79):
        atom = Structure(
            np.array([number]), np.array([[10.0, 10.0, 0.0]]), (20.0, 20.0, 1.0), np.array([0.05])
        )
        geometry, slices = crystal(config, [[10.0, 10.0]], 1, atom)
        signal[number] = dark_field(config, diffract(config, geometry, slices), 50.0).item()
    for light, heavy in [(14, 32), (32, 79)]:
        exponent = np.log(signal[heavy] / signal[light]) / np.log(heavy / light)
        assert 1.4 < exponent < 2.0


def test_thermal_motion_scatters_between_the_reflections(wide_detector):
    """Frozen phonons send to 50 mrad and beyond what a smeared potential keeps inside."""
    config = wide_detector
    geometry, slices = crystal(config, [[0.0, 0.0]], 6)
    smeared = dark_field(config, diffract(config, geometry, slices), 50.0).item()
    _, atoms = box_of(config, [[0.0, 0.0]])
    args = (2.0, 6, geometry.fine_shape, geometry.fine_pixel, np.random.default_rng(3))
    frozen = diffract(config, geometry, transmissions(frozen_slices(atoms, *args), geometry))
    assert dark_field(config, frozen, 50.0).item() > 1.5 * smeared


# --- the source -------------------------------------------------------------------------------


def test_a_source_is_the_weighted_sum_of_shifted_scans(make_config):
    config = make_config(optics={"source_fwhm_A": 0.6, "source_order": 2})
    position = np.array([0.3, 0.9])
    geometry, slices = crystal(config, [position], 2)
    blurred = diffract(config, geometry, slices)[0]

    sigma = 0.6 / 2.3548200450309493
    corners = position + sigma * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])
    point = make_config()
    geometry, slices = crystal(point, corners, 2)
    expected = diffract(point, geometry, slices).mean(axis=0)
    np.testing.assert_allclose(blurred, expected, atol=OTHER_WINDOW * expected.max())


def test_a_source_lowers_lattice_contrast_as_a_gaussian_does(make_config):
    """The (1, 1) harmonic of any image falls by exp(-2 pi^2 sigma^2 (1/a^2 + 1/a^2))."""
    fwhm = 0.8
    harmonic = []
    for width in (0.0, fwhm):
        config = make_config(optics={"source_fwhm_A": width, "source_order": 3})
        # An image has frequencies up to 2 semiangle / lambda = 7.9 / a: in 10 points none
        # aliases to 1 / a.
        geometry, slices = crystal(config, raster(10, A), 1)
        image = dark_field(config, diffract(config, geometry, slices), 15.0)
        harmonic.append(np.abs(np.fft.fft2(image)[1, 1]))
    sigma = fwhm / 2.3548200450309493
    expected = np.exp(-4 * np.pi**2 * (sigma / A) ** 2)
    # The quadrature is within 2e-4 of the Gaussian here.
    assert harmonic[1] / harmonic[0] == pytest.approx(expected, rel=2e-3)


# --- the machinery ----------------------------------------------------------------------------


def test_the_number_of_threads_changes_no_bit(make_config):
    config = make_config()
    geometry, slices = crystal(config, raster(3, A), 2)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(diffract(config, geometry, slices))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    np.testing.assert_array_equal(results[0], results[1])


def test_patterns_are_added_with_their_scale(make_config):
    config = make_config()
    geometry = lay_out(config, np.array([[0.0, 0.0]]))
    patterns = np.ones((1, 32, 32), np.float32)
    add_patterns(patterns, prepare_optics(config, A), vacuum(geometry), geometry, scale=0.25)
    assert patterns.sum() - 32 * 32 == pytest.approx(0.25, abs=1e-3)  # float32 sums near one


def test_windows_reach_neither_the_rim_nor_beyond(make_config):
    config = make_config(scan={"shape": (5, 5)})
    positions = raster(5, 9.0) - 4.0
    geometry = lay_out(config, positions)
    rim = 3.0 / geometry.fine_pixel
    assert geometry.corner.min() >= rim
    assert (geometry.corner + geometry.window + rim <= geometry.fine_shape).all()


def test_corner_and_shift_are_the_position(make_config):
    geometry = lay_out(make_config(), raster(5, 9.0))
    centre = geometry.corner + geometry.shift + geometry.window // 2
    np.testing.assert_allclose(geometry.origin + centre * geometry.fine_pixel, raster(5, 9.0))
    assert np.abs(geometry.shift).max() <= 0.5


def test_both_grids_share_their_origin(make_config):
    config = make_config()
    geometry = lay_out(config, raster(5, 9.0))
    coarse_centre = geometry.coarse + config.detector.pixels // 2
    np.testing.assert_allclose(geometry.origin + coarse_centre * geometry.pixel, raster(5, 9.0))


def test_the_smeared_and_the_still_crystal_differ(make_config):
    """u enters the patterns at all: B = 0 against the published values."""
    config = make_config()
    still = replace(srtio3(), displacement=np.full(5, displacement_from_b(0.0)))
    warm = diffract(config, *crystal(config, [[0.0, 0.0]], 4))
    cold = diffract(config, *crystal(config, [[0.0, 0.0]], 4, still))
    assert np.abs(warm - cold).max() > 0.01 * warm.max()
