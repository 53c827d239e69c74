"""Points of a source against the moments and the Fourier transform of a Gaussian."""

from __future__ import annotations

import math

import pytest
import torch

from fastpty.optics import source_points
from tests.tolerances import tolerance


@pytest.mark.parametrize("points", [2, 3, 5, 9])
def test_moments(points: int) -> None:
    """Exact up to degree 2 k - 1 along each axis: E[s^n] = size^n (n - 1)!!."""
    size, pixel = 0.7, (0.5, 0.25)
    shift, weight = source_points(size, points, pixel)
    assert shift.shape == (points**2, 2)
    assert shift.dtype == weight.dtype == torch.float64
    assert (weight > 0).all()
    y, x = (shift[:, axis] * pixel[axis] / size for axis in (0, 1))
    for a in range(2 * points):
        for b in range(2 * points):
            expected = math.prod(_moment(n) for n in (a, b))
            terms = weight * y**a * x**b
            torch.testing.assert_close(
                terms.sum(),
                torch.tensor(expected, dtype=torch.float64),
                **tolerance("sum", torch.float64, scale=float(terms.abs().sum())),
            )


def _moment(n: int) -> float:
    return 0.0 if n % 2 else float(math.prod(range(1, n, 2)))


@pytest.mark.parametrize("points", [2, 3, 4, 6])
@pytest.mark.parametrize("frequency", [0.1, 0.3, 0.6])  # cycles per Angstrom
def test_the_error_that_is_promised(points: int, frequency: float) -> None:
    size = 0.5
    shift, weight = source_points(size, points, 1.0)
    omega = 2 * math.pi * frequency
    found = float((weight * torch.cos(omega * shift[:, 0])).sum())
    error = abs(found - math.exp(-0.5 * (omega * size) ** 2))
    promised = (omega * size) ** (2 * points) * math.factorial(points) / math.factorial(2 * points)
    assert error < promised + tolerance("sum", torch.float64)["atol"]
    if points == 2 and frequency == 0.1:
        assert error > promised / 4  # and it is no empty promise
