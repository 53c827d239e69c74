"""Where the probe is: raster, rotation, drift, jitter, and the size of the source."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["actual_positions", "nominal_positions", "source_points"]

FWHM_PER_SIGMA = 2 * math.sqrt(2 * math.log(2))


def nominal_positions(
    shape: tuple[int, int], step: tuple[float, float], rotation_deg: float
) -> NDArray[np.float64]:
    """Positions [Sy Sx, 2] in Angstrom, (y, x), as the microscope reports them.

    ``R (slow step_y, fast step_x)`` with ``R = [[cos, -sin], [sin, cos]]`` acting on (y, x);
    the first is (0, 0), and the fast index runs fastest.
    """
    slow, fast = np.meshgrid(np.arange(shape[0]), np.arange(shape[1]), indexing="ij")
    raster = np.stack([slow.ravel() * step[0], fast.ravel() * step[1]], axis=1)
    angle = math.radians(rotation_deg)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    rotated: NDArray[np.float64] = raster @ rotation.T
    return rotated


def actual_positions(
    nominal: NDArray[np.float64],
    centre: NDArray[np.float64],
    drift: tuple[float, float],
    jitter: float,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Positions [P, 2] in Angstrom in the specimen's frame.

    The nominal raster is centred on ``centre``; position i of P is then displaced by
    ``drift i / (P - 1)`` and by a normal deviate of rms ``jitter`` along each axis.
    """
    count = len(nominal)
    elapsed = np.arange(count) / max(count - 1, 1)
    centred = nominal - (nominal.min(axis=0) + nominal.max(axis=0)) / 2 + centre
    moved: NDArray[np.float64] = (
        centred + elapsed[:, None] * np.array(drift) + jitter * rng.normal(size=(count, 2))
    )
    return moved


def source_points(fwhm: float, order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Shifts [K, 2] in Angstrom and weights [K] of a Gaussian incoherent source.

    A pattern is the weighted sum of the patterns of the shifted probes. The points are the
    product Gauss-Hermite rule, ``K = order^2``, exact where the intensity depends on the
    probe's place as a polynomial up to degree ``2 order - 1``; its variance is the source's.
    A point source (``fwhm = 0``) has one.
    """
    if fwhm == 0:
        return np.zeros((1, 2)), np.ones(1)
    nodes, weights = np.polynomial.hermite_e.hermegauss(order)
    y, x = np.meshgrid(nodes, nodes, indexing="ij")
    shifts = np.stack([y.ravel(), x.ravel()], axis=1) * (fwhm / FWHM_PER_SIGMA)
    return shifts, np.outer(weights, weights).ravel() / weights.sum() ** 2
