"""Virtual detectors: weighted sums of patterns, and what is made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastpty import reference
from fastpty.metrics import remove_plane
from fastpty.optics import focused_probe
from fastpty.virtual import (
    VirtualImages,
    align,
    annulus,
    bright_field_segments,
    detector_sums,
    integrate_gradient,
    phase_beside,
    probe_weighted,
    raster_basis,
    segment_sums,
    virtual_images,
)
from tests.figures.conftest import build_results

CENTRE = (8.3, 9.6)
SHAPE = (18, 20)


def pieces(patterns: np.ndarray, size: int = 5):
    for start in range(0, len(patterns), size):
        yield start, patterns[start : start + size]


@pytest.fixture
def patterns() -> np.ndarray:
    return np.random.default_rng(0).poisson(3.0, (12, *SHAPE)).astype(np.uint8)


def test_a_ring_has_its_area() -> None:
    """Edges one pixel wide do not change it."""
    ring = annulus((64, 64), (31.2, 32.7), 10, 20)
    assert ring.sum() == pytest.approx(np.pi * (20**2 - 10**2), rel=2e-3)
    assert annulus((64, 64), (31.2, 32.7), 0, 20).sum() == pytest.approx(np.pi * 400, rel=2e-3)
    assert ring[31, 32] == 0
    assert annulus((64, 64), (31.2, 32.7), 0, 20)[31, 33] == 1


def test_sums_are_those_of_each_pattern(patterns: np.ndarray) -> None:
    weights = np.stack([annulus(SHAPE, CENTRE, 0, 4), annulus(SHAPE, CENTRE, 4, 8)])
    expected = np.einsum("nyx,kyx->kn", patterns, weights)
    np.testing.assert_allclose(detector_sums(pieces(patterns), weights, 12), expected, rtol=1e-5)


def test_images_and_centre_of_mass(patterns: np.ndarray) -> None:
    good = np.ones(SHAPE, bool)
    good[4, 5] = False
    rings = {"BF": (0.0, 5.0), "ADF": (5.0, 30.0), "outside": (60.0, 70.0)}
    found = virtual_images(pieces(patterns), (3, 4), SHAPE, CENTRE, rings, good)
    assert list(found.detectors) == ["BF", "ADF"]
    counted = patterns * good
    total = counted.sum(axis=(1, 2), dtype=float)
    both = found.detectors["BF"] + found.detectors["ADF"]
    np.testing.assert_allclose(both.ravel(), total / total.mean(), rtol=1e-5)
    y, x = np.indices(SHAPE) - np.reshape(CENTRE, (2, 1, 1))
    expected = [(counted * y).sum(axis=(1, 2)) / total, (counted * x).sum(axis=(1, 2)) / total]
    np.testing.assert_allclose(found.centre_of_mass.reshape(2, -1), expected, rtol=1e-4, atol=1e-5)


def test_an_empty_pattern_has_its_mass_in_the_centre() -> None:
    patterns = np.zeros((4, *SHAPE))
    patterns[0, 8, 9] = 1
    found = virtual_images(pieces(patterns), (2, 2), SHAPE, CENTRE, {"BF": (0.0, 5.0)})
    assert np.isfinite(found.centre_of_mass).all()
    assert found.centre_of_mass[:, 1, 1].tolist() == [0, 0]


@pytest.mark.parametrize(("radius", "across"), [(8.0, 5), (8.0, 40), (3.0, 4)])
def test_segments_part_the_disc(radius: float, across: int, patterns: np.ndarray) -> None:
    segments = bright_field_segments(SHAPE, CENTRE, radius, across)
    assert segments.labels.max() == len(segments) - 1
    for number in range(len(segments)):
        inside = np.argwhere(segments.labels == number) - CENTRE
        np.testing.assert_allclose(segments.k[number], inside.mean(axis=0))
        assert np.linalg.norm(inside, axis=1).max() < 0.95 * radius
    sums = segment_sums(pieces(patterns), segments, 12)
    expected = [patterns[:, segments.labels == n].sum(axis=1) for n in range(len(segments))]
    np.testing.assert_array_equal(sums, expected)


def test_bad_pixels_are_in_no_segment() -> None:
    good = np.ones(SHAPE, bool)
    good[8, 9] = False
    assert bright_field_segments(SHAPE, CENTRE, 6, 20, mask=good).labels[8, 9] == -1


def test_align_moves_images_onto_each_other() -> None:
    """Whole steps, so that nothing has to be interpolated; the border sees fewer images."""
    scene = np.random.default_rng(1).normal(size=(20, 22))
    shifts = np.array([[0, 0], [2, -1], [-3, 2], [1, 3]])
    images = [scene[4 + y : 16 + y, 4 + x : 18 + x] for y, x in shifts]
    np.testing.assert_allclose(align(np.stack(images), shifts), scene[4:16, 4:18], atol=1e-10)


@pytest.mark.parametrize("mirrored", [1.0, -1.0])
def test_a_gradient_is_integrated(mirrored: float) -> None:
    """A phase that is flat at the border, on a turned raster of unequal steps."""
    angle = 0.6
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    basis = turn @ np.diag([0.5, 0.8 * mirrored])
    slow, fast = np.indices((32, 40))
    u, v = (slow + 0.5) / 32 * np.pi, (fast + 0.5) / 40 * np.pi
    phase = np.cos(u) * np.cos(2 * v)
    down = -np.sin(u) * np.cos(2 * v) * np.pi / 32
    right = -2 * np.cos(u) * np.sin(2 * v) * np.pi / 40
    field = np.einsum("ji,jkl->ikl", np.linalg.inv(basis), np.stack([down, right])) / (2 * np.pi)
    found = integrate_gradient(field, basis)
    np.testing.assert_allclose(found, phase, atol=1e-10)


def test_the_centre_of_mass_is_the_gradient_under_the_probe() -> None:
    """Patterns of a smooth phase in focus: iCoM gives it back, with its sign and size."""
    rng = np.random.default_rng(2)
    window, scan, pixel, step = 24, 16, 0.4, 2
    canvas = window + step * scan
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(canvas), np.fft.fftfreq(canvas)))
    spectrum = np.fft.fft2(rng.normal(size=(canvas, canvas))) * np.exp(-((k / 0.03) ** 2))
    phase = 0.1 * np.fft.ifft2(spectrum).real / np.fft.ifft2(spectrum).real.std()
    probe = focused_probe((window, window), pixel, semiangle_mrad=14, wavelength=0.02)
    corner = np.indices((scan, scan)).reshape(2, -1).T * step
    intensity = reference.multislice_intensity(
        torch.from_numpy(probe)[None],
        (
            torch.ones(1, 1, canvas, canvas, dtype=torch.float64),
            torch.from_numpy(phase)[None, None],
        ),
        torch.from_numpy(corner),
        torch.zeros(len(corner), 2, dtype=torch.float64),
        1.0,
        wavelength=0.02,
        pixel_size=pixel,
    )
    shifted = np.fft.fftshift(intensity.numpy(), axes=(1, 2))
    found = virtual_images([(0, shifted)], (scan, scan), (window, window), (12, 12), {})
    integrated = integrate_gradient(found.centre_of_mass / window, step * np.eye(2))
    seen = probe_weighted(phase, probe[None], corner).reshape(scan, scan)
    # At the border the integration cannot know how the phase goes on.
    a, b = (remove_plane(image[3:-3, 3:-3]).ravel() for image in (integrated, seen))
    assert np.corrcoef(a, b)[0, 1] > 0.98
    assert np.polyfit(b, a, 1)[0] == pytest.approx(1, abs=0.1)


def test_the_probe_weighs_the_image() -> None:
    rng = np.random.default_rng(3)
    image = rng.normal(size=(30, 26))
    image -= image.mean()
    probe = rng.normal(size=(2, 8, 6)) + 1j * rng.normal(size=(2, 8, 6))
    power = (np.abs(probe) ** 2).sum(axis=0)
    corners = np.array([[0, 0], [5, 7], [22, 20], [10, 3]])
    flat = remove_plane(image)
    expected = [(flat[y : y + 8, x : x + 6] * power).sum() / power.sum() for y, x in corners]
    np.testing.assert_allclose(probe_weighted(image, probe, corners), expected, atol=1e-12)
    between = probe_weighted(image, probe, np.array([[5.25, 7.0]]))
    below = probe_weighted(image, probe, np.array([[6.0, 7.0]]))
    assert between[0] == pytest.approx(0.75 * expected[1] + 0.25 * below[0])


def test_the_raster_behind_positions() -> None:
    basis = np.array([[0.5, -1.2], [1.1, 0.4]])
    positions = np.indices((5, 7)).reshape(2, -1).T @ basis.T + [3.0, 4.0]
    positions[3] = np.nan
    found, origin = raster_basis(positions, (5, 7))
    np.testing.assert_allclose(found, basis, atol=1e-12)
    np.testing.assert_allclose(origin, [3, 4], atol=1e-12)


def test_correlation_with_the_phase() -> None:
    """A dark-field image that is the phase under the probe, a bright field that is its opposite."""
    results = build_results(slices=2)
    phase = results.phase.sum(axis=1).mean(axis=0)
    seen = probe_weighted(phase, results.probe, results.positions).reshape(results.scan_shape)
    field = np.zeros((2, *results.scan_shape))
    images = {"ADF": 3 + seen, "BF": 1 - 0.1 * seen, "flat": np.ones(results.scan_shape)}
    found = phase_beside(VirtualImages(images, field), results)
    assert found == {"ADF": pytest.approx(1), "BF": pytest.approx(-1)}
