"""Constraints that lower the object's total variation: noise is flattened, edges stay.

One application replaces x by the u that minimises

    |u - x|^2 / 2 + weight TV(u),    TV(u) = sum |grad u|

(the proximal step of Rudin, Osher & Fatemi, Physica D 60 (1992) 259), found by the dual
iterations of A. Chambolle, J. Math. Imaging Vis. 20 (2004) 89, eq. 9:

    g = grad(div p - x / weight),    p <- (p + tau g) / (1 + tau |g|),    u = x - weight div p

from p = 0. grad is the forward difference, zero at the last pixel; div is minus its adjoint.
"""

from __future__ import annotations

import torch

from fastpty.config.constraints import TotalVariationConfig
from fastpty.constraints.common import volumes
from fastpty.model import Model

__all__ = ["lower_variation", "total_variation_xy", "total_variation_z"]


def total_variation_xy(model: Model, config: TotalVariationConfig) -> None:
    """Lower the isotropic total variation sum |(dx/dy, dx/dx)| in the plane of every slice.

    The mean of a slice stays.
    """
    for volume in volumes(model, config.of):
        volume.copy_(lower_variation(volume, (2, 3), config.weight, config.inner))


def total_variation_z(model: Model, config: TotalVariationConfig) -> None:
    """Lower the total variation sum |dx/dz| along the beam; the sum over the slices stays."""
    if model.phase.shape[1] > 1:
        for volume in volumes(model, config.of):
            volume.copy_(lower_variation(volume, (1,), config.weight, config.inner))


def lower_variation(
    volume: torch.Tensor, axes: tuple[int, ...], weight: float, inner: int
) -> torch.Tensor:
    """u after ``inner`` iterations, for the total variation along ``axes`` taken together.

    tau = 1 / (4 number of axes), for which Chambolle's theorem 3.1 has the convergence: |div|^2 is
    at most 4 for each axis.
    """
    tau = 1 / (4 * len(axes))
    scaled = volume / weight
    dual = [torch.zeros_like(volume) for _ in axes]
    for _ in range(inner):
        residual = _divergence(dual, axes).sub_(scaled)
        slopes = [_difference(residual, axis) for axis in axes]
        length = slopes[0].square()
        for slope in slopes[1:]:
            length.addcmul_(slope, slope)
        shrink = length.sqrt_().mul_(tau).add_(1)
        for p, slope in zip(dual, slopes, strict=True):
            p.add_(slope, alpha=tau).div_(shrink)
    return volume - weight * _divergence(dual, axes)


def _difference(volume: torch.Tensor, axis: int) -> torch.Tensor:
    """x[i + 1] - x[i], and zero at the last index."""
    result = torch.zeros_like(volume)
    count = volume.shape[axis] - 1
    result.narrow(axis, 0, count).copy_(volume.diff(dim=axis))
    return result


def _divergence(dual: list[torch.Tensor], axes: tuple[int, ...]) -> torch.Tensor:
    """Sum over the axes of p[i] - p[i - 1], with p[-1] = 0; p is zero at the last index."""
    result = torch.zeros_like(dual[0])
    for p, axis in zip(dual, axes, strict=True):
        count = p.shape[axis] - 1
        result += p
        result.narrow(axis, 1, count).sub_(p.narrow(axis, 0, count))
    return result
