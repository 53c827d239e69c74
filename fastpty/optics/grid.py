"""Sampling grids. Axis order is (y, x) everywhere; frequencies are in cycles, without 2 pi."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["frequency_step", "pixel_pair", "spatial_frequencies"]


def pixel_pair(pixel_size: float | Sequence[float]) -> tuple[float, float]:
    """(dy, dx) in Angstrom from one number or a pair.

    Raises
    ------
    ValueError : not one or two positive finite numbers.
    """
    # Without numpy and math.isfinite, on which torch.compile cannot branch.
    given: Any = pixel_size
    values: list[Any] = [given] if isinstance(given, Real) else list(given)
    numbers = len(values) in {1, 2} and all(isinstance(value, Real) for value in values)
    if not (numbers and all(0 < value < math.inf for value in values)):
        raise ValueError(
            f"pixel_size must be one positive number or a pair (dy, dx), got {pixel_size!r}"
        )
    return float(values[0]), float(values[-1])


def frequency_step(
    shape: tuple[int, int], pixel_size: float | Sequence[float]
) -> tuple[float, float]:
    """(dky, dkx) in 1/Angstrom: the width of a detector pixel, ``1 / (N dx)``."""
    dy, dx = pixel_pair(pixel_size)
    return 1.0 / (shape[0] * dy), 1.0 / (shape[1] * dx)


def spatial_frequencies(
    shape: tuple[int, int], pixel_size: float | Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(ky [Ny,1], kx [1,Nx]) in 1/Angstrom, zero frequency at index 0 ("corner order").

    At even N the Nyquist row and column carry the negative frequency, like ``numpy.fft.fftfreq``.
    """
    dy, dx = pixel_pair(pixel_size)
    ky: NDArray[np.float64] = np.fft.fftfreq(shape[0], dy).astype(np.float64)
    kx: NDArray[np.float64] = np.fft.fftfreq(shape[1], dx).astype(np.float64)
    return ky[:, None], kx[None, :]
