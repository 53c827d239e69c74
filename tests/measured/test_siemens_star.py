"""X-ray ptychography of a Siemens star, in pixel units (configs/siemens_star_xray.yaml)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fastpty.figures.crop import scanned_area
from fastpty.metrics import remove_plane
from fastpty.results import Results

pytestmark = pytest.mark.slow

SPOKES = 30
HUB = (-6, -24)  # px, of the star from the middle of the scan


@pytest.fixture(scope="module")
def star(reconstruct) -> Results:
    return reconstruct("siemens_star_xray")


def test_the_model_explains_the_patterns(star: Results) -> None:
    # A single-mode ePIE of 60 iterations reaches 0.139.
    assert star.r_factor is not None
    assert star.r_factor <= 0.145


@pytest.mark.parametrize("radius", [60, 100, 140])
def test_the_star_is_clean(star: Results, radius: float) -> None:
    """On a circle round the hub the phase repeats 30 times, once a spoke, and does little else."""
    phase = remove_plane(star.phase[0, 0][scanned_area(star)])
    ring = on_ring(phase, radius)
    power = np.abs(np.fft.rfft(ring - ring.mean())) ** 2
    low, high = np.quantile(ring, (0.1, 0.9))
    assert power.argmax() == SPOKES
    assert power[SPOKES] > 0.6 * power.sum()
    assert high - low > 0.6  # rad, between spoke and gap


def on_ring(phase: np.ndarray, radius: float) -> np.ndarray:
    """Phase along a circle round the star's hub."""
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    centre = np.array(phase.shape) / 2 + HUB
    path = [centre[0] + radius * np.sin(angle), centre[1] + radius * np.cos(angle)]
    return ndimage.map_coordinates(phase, path, order=1)
