"""Scan positions of the probe: (y, x), in the unit of the scan."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["jittered", "raster_positions", "rotate_positions"]

# Keeps these numbers apart from those that shuffle the batches of the same seed.
_JITTER = 0x5A


def raster_positions(
    scan_shape: tuple[int, int], step: float | Sequence[float]
) -> NDArray[np.float64]:
    """[slow * fast, 2] positions of a raster, the slow axis along y; ``step`` or (slow, fast)."""
    slow, fast = np.meshgrid(*(np.arange(n) for n in scan_shape), indexing="ij")
    grid = np.stack([slow.ravel(), fast.ravel()], axis=1).astype(np.float64)
    return grid * np.broadcast_to(np.asarray(step, np.float64), (2,))


def rotate_positions(
    positions: NDArray[np.float64],
    rotation_deg: float = 0.0,
    affine: ArrayLike = ((1.0, 0.0), (0.0, 1.0)),
) -> NDArray[np.float64]:
    """``R(rotation) affine`` on each (y, x), with ``R = [[cos, -sin], [sin, cos]]``."""
    angle = math.radians(rotation_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = rotation @ np.asarray(affine, np.float64)
    return np.asarray(positions @ matrix.T)


def jittered(positions: NDArray[np.float64], std: float, seed: int) -> NDArray[np.float64]:
    """Positions displaced at random, ``std`` along each axis; the same seed, the same ones.

    A raster without errors lets the fit write its period into the object.
    """
    if std == 0:
        return positions
    generator = np.random.default_rng([_JITTER, seed % 2**64])
    return positions + std * generator.standard_normal(positions.shape)
