"""The detector's point spread against scipy's blur of the centred axis."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from fastpty.optics import detector_blur
from tests.tolerances import tolerance

CASES = [(1, 0.5), (2, 1.0), (7, 0.3), (8, 1.2), (9, 2.0), (16, 4.0), (5, 7.0)]


@pytest.mark.parametrize(("n", "std"), CASES)
def test_the_centred_axis_is_blurred(n: int, std: float) -> None:
    """scipy's "reflect" mirrors between the edge pixel and what follows, as often as it takes."""
    pattern = np.random.default_rng(0).random(n)
    radius = max(2, math.ceil(3 * std))
    expected = gaussian_filter1d(pattern, std, mode="reflect", radius=radius)
    corner = torch.from_numpy(np.fft.ifftshift(pattern))
    found = np.fft.fftshift((detector_blur(n, std) @ corner).numpy())
    np.testing.assert_allclose(found, expected, **tolerance("sum", torch.float64))


@pytest.mark.parametrize(("n", "std"), CASES)
def test_counts_are_kept(n: int, std: float) -> None:
    matrix = detector_blur(n, std)
    one = torch.ones(n, dtype=torch.float64)
    torch.testing.assert_close(matrix.sum(0), one, **tolerance("sum", torch.float64))
    torch.testing.assert_close(matrix, matrix.T, **tolerance("product", torch.float64))


def test_a_spot_becomes_a_gaussian() -> None:
    """At the zero frequency, so on both sides of index 0."""
    column = detector_blur(15, 1.5)[:, 0]
    distance = torch.fft.fftfreq(15, 1 / 15, dtype=torch.float64)
    expected = torch.exp(-0.5 * (distance / 1.5) ** 2) * (distance.abs() <= 5)
    torch.testing.assert_close(column, expected / expected.sum(), **tolerance("sum", torch.float64))


def test_the_two_edges_of_the_detector_do_not_mix() -> None:
    """They are neighbours in corner order."""
    matrix = detector_blur(8, 0.5)
    highest, lowest = 3, 4  # frequencies 3 and -4
    assert matrix[highest, lowest] == matrix[lowest, highest] == 0
