"""Grids against numpy's fftfreq."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fastpty.optics import frequency_step, pixel_pair, spatial_frequencies
from tests.tolerances import tolerance


def relative() -> dict[str, float]:
    return {"rel": tolerance("product", torch.float64)["rtol"]}


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (5, 8), (13, 2)])
def test_frequencies_are_fftfreq(shape: tuple[int, int]) -> None:
    ky, kx = spatial_frequencies(shape, (0.1, 0.3))
    assert np.array_equal(ky, np.fft.fftfreq(shape[0], 0.1)[:, None])
    assert np.array_equal(kx, np.fft.fftfreq(shape[1], 0.3)[None, :])
    assert ky.dtype == kx.dtype == np.float64


@pytest.mark.parametrize("n", [4, 5, 8, 9])
def test_steps_are_even_and_nyquist_is_negative(n: int) -> None:
    ky, _ = spatial_frequencies((n, n), 0.25)
    step, _ = frequency_step((n, n), 0.25)
    steps = np.diff(np.fft.fftshift(ky[:, 0]))
    assert steps == pytest.approx(step, **relative())
    assert ky.min() == (-2.0 if n % 2 == 0 else -(n // 2) * step)
    assert ky.max() < 2.0


@pytest.mark.parametrize("given", [0.2, [0.2], (0.2, 0.2), np.array([0.2, 0.2]), np.float32(0.25)])
def test_pixel_pair(given: object) -> None:
    dy, dx = pixel_pair(given)
    assert dy == dx == float(np.ravel(given)[0])
    assert pixel_pair((0.1, 0.3)) == (0.1, 0.3)


@pytest.mark.parametrize("given", [0, -1.0, math.nan, math.inf, (0.1, 0), (1, 1, 1), [[0.1, 0.2]]])
def test_refusals(given: object) -> None:
    with pytest.raises(ValueError, match="pixel_size must be one positive number or a pair"):
        pixel_pair(given)
