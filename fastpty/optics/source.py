"""A source of finite size: a few incoherent points that stand for a Gaussian."""

from __future__ import annotations

import numpy as np
import torch

from fastpty.optics.grid import pixel_pair

__all__ = ["source_points"]


def source_points(
    size: float, points: int, pixel_size: float | tuple[float, float]
) -> tuple[torch.Tensor, torch.Tensor]:
    """(shift [k^2, 2] px, weight [k^2]) float64 of the points of a Gaussian source's image.

    Gauss-Hermite quadrature along both axes: the mean over the Gaussian of a function of the
    shift is sum weight f(shift), exact for polynomials up to degree 2 k - 1 along each axis. For a
    part of f that varies with the spatial frequency q it is good to
    (2 pi q size)^(2 k) k! / (2 k)!  (Abramowitz & Stegun, 25.4.46).

    Parameters
    ----------
    size : standard deviation of the source's image on the specimen, Angstrom.
    points : k, per axis.
    pixel_size : Angstrom, one number or (y, x).
    """
    node, weight = np.polynomial.hermite.hermgauss(points)
    node, weight = np.sqrt(2) * size * node, weight / np.sqrt(np.pi)
    y, x = (node / d for d in pixel_pair(pixel_size))
    shift = np.stack(np.meshgrid(y, x, indexing="ij"), axis=-1).reshape(-1, 2)
    return torch.from_numpy(shift), torch.from_numpy(np.outer(weight, weight).ravel())
