"""The detector's point spread: G[i, j], the share of what arrives in pixel j that shows in i."""

from __future__ import annotations

import math

import torch

__all__ = ["detector_blur"]


def detector_blur(n: int, std: float) -> torch.Tensor:
    """[n, n] float64: a Gaussian blur along one axis of patterns in corner order.

    ``G_y @ pattern @ G_x`` blurs both axes. The kernel is sampled at the pixels and cut at 3 std
    (at least 2 px), with sum 1. At the edges of the detector (in the middle of an axis in corner
    order, between the highest and the lowest frequency) the pattern goes on as its mirror image,
    edge pixel next to edge pixel: as much arrives from outside as leaves, so the sum stays. The
    matrix is symmetric, so it is its own adjoint.

    Parameters
    ----------
    n : pixels along the axis.
    std : pixels, greater than 0.
    """
    radius = max(2, math.ceil(3 * std))
    offset = torch.arange(-radius, radius + 1)
    weight = torch.exp(-0.5 * (offset.double() / std) ** 2)
    source = torch.arange(n)[:, None] + offset
    source = source % (2 * n)
    source = torch.minimum(source, 2 * n - 1 - source)
    centred = torch.zeros(n, n, dtype=torch.float64)
    centred.scatter_add_(1, source, (weight / weight.sum()).expand(n, -1))
    matrix: torch.Tensor = torch.fft.ifftshift(centred)
    return matrix
