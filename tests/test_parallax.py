"""Images of the disc's segments, shifted by a known matrix, come together again."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpty.parallax import FEWEST, aligned_bright_field, measure_shifts
from fastpty.virtual import Segments, bright_field_segments

SCAN = (20, 24)
SLOPE = np.array([[-0.22, 0.03], [0.05, -0.18]])  # scan steps per detector pixel


@pytest.fixture
def segments() -> Segments:
    return bright_field_segments((32, 32), (16.0, 16.0), 12.0, 7)


def seen(shift: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blobs [slow, fast] under the shift ``I(n) = I_0(n + shift)``."""
    rng = np.random.default_rng(4)
    y, x = np.indices(SCAN) + np.reshape(shift, (2, 1, 1))
    image = np.zeros(SCAN)
    for _ in range(25):
        place = rng.uniform(-3, 3 + np.array(SCAN))
        image += np.exp(-((y - place[0]) ** 2 + (x - place[1]) ** 2) / 4)
    return image


def test_shifts_are_found_and_undone(segments: Segments) -> None:
    counts = np.stack([100 + 5 * seen(SLOPE @ k) for k in segments.k])
    counts *= np.linspace(0.8, 1.2, len(segments))[:, None, None]  # uneven illumination
    relative = counts / counts.mean(axis=(1, 2), keepdims=True) - 1
    slope, _ = measure_shifts(relative, segments)
    np.testing.assert_allclose(slope, SLOPE, atol=0.02)  # a quarter step at the disc's edge
    found = aligned_bright_field(counts, segments)
    assert found is not None
    inner = np.s_[3:-3, 3:-3]  # at the border fewer images are averaged
    truth = seen(np.zeros(2))[inner].ravel()
    blurred = counts.sum(axis=0)[inner].ravel()
    aligned = np.corrcoef(found[inner].ravel(), truth)[0, 1]
    assert aligned > 0.99 > np.corrcoef(blurred, truth)[0, 1]


def test_what_is_too_small_has_none(segments: Segments) -> None:
    few = np.ones((len(segments), FEWEST - 1, 30))
    assert aligned_bright_field(few, segments) is None
    coarse = bright_field_segments((32, 32), (16.0, 16.0), 1.0, 7)
    assert aligned_bright_field(np.ones((len(coarse), 20, 20)), coarse) is None
