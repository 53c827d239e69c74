"""Virtual detectors of the patterns that a reconstruction holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fastpty.config.solve import VirtualConfig
from fastpty.measurements.views import measured_views
from fastpty.parallax import aligned_bright_field
from fastpty.virtual import annulus, bright_field_segments, segment_sums
from tests.recon_cases import SCAN, WINDOW, make_tiny, tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return tiny_run(make_tiny(tmp_path_factory.mktemp("views")))


def test_rings_around_the_disc(run, tmp_path: Path) -> None:
    measured = run.measurements
    section = VirtualConfig(rings={"BF": (0, 1), "ADF": (1.1, None)})
    found = measured_views(measured, section)
    counts = measured.patterns.counts(torch.arange(len(measured.patterns))).numpy()
    counts = np.fft.fftshift(counts, axes=(1, 2))
    ring = annulus(WINDOW, measured.disc.centre, 0, measured.disc.radius)
    expected = (counts * ring).sum(axis=(1, 2)) / counts.sum(axis=(1, 2)).mean()
    np.testing.assert_allclose(found.detectors["BF"].ravel(), expected, rtol=1e-4)
    assert found.detectors["ADF"].shape == SCAN


def test_the_parallax_image_is_that_of_the_disc(run, monkeypatch) -> None:
    assert measured_views(run.measurements, VirtualConfig()).parallax is None  # too few positions
    monkeypatch.setattr("fastpty.parallax.FEWEST", min(SCAN))
    measured = run.measurements
    counts = measured.patterns.counts(torch.arange(len(measured.patterns))).numpy()
    counts = np.fft.fftshift(counts, axes=(1, 2))
    disc = measured.disc
    segments = bright_field_segments(WINDOW, disc.centre, disc.radius, 11)
    sums = segment_sums([(0, counts)], segments, len(counts)).reshape(-1, *SCAN)
    expected = aligned_bright_field(sums, segments)
    found = measured_views(measured, VirtualConfig()).parallax
    assert expected is not None
    np.testing.assert_array_equal(found, expected)


def test_radii_in_mrad(run) -> None:
    """The disc has 14 mrad; in units of the detector's pixel it is the geometric mean of both."""
    measured = run.measurements
    ny, nx = (n * d for n, d in zip(WINDOW, measured.pixel_size, strict=True))
    radius_mrad = measured.disc.radius * 1e3 * measured.wavelength / np.sqrt(ny * nx)
    by_angle = measured_views(measured, VirtualConfig(unit="mrad", rings={"BF": (0, radius_mrad)}))
    by_disc = measured_views(measured, VirtualConfig(rings={"BF": (0, 1)}))
    np.testing.assert_allclose(by_angle.detectors["BF"], by_disc.detectors["BF"], rtol=1e-6)


def test_no_raster_no_images(run, monkeypatch) -> None:
    monkeypatch.setattr(run.measurements, "scan_shape", None)
    assert measured_views(run.measurements, VirtualConfig()) is None
