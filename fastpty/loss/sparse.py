"""(mean |phase|^n)^(1/n) over the patches of a batch, without the patches.

With the weight w of a voxel, the share of the patches' voxels that it is, and for each object mode
of occupancy o, m = max |phase|, u = |phase| / m and S = sum w u^n::

    L         = sum over modes of o m S^(1/n)
    dL/dphase = o w u^(n - 1) S^(1/n - 1) sign(phase)

The division by m keeps powers of small phases within the range of single precision.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty.loss.prepared import Result, prepared

__all__ = ["coverage", "sparse_loss"]


def coverage(
    corner: torch.Tensor, window: tuple[int, int], canvas: tuple[int, int]
) -> torch.Tensor:
    """[Y, X] int64: how many of the windows at ``corner`` [B, 2] cover each pixel.

    Each window is the double running sum of four impulses, so the cost is that of one image.
    """
    (ny, nx), (height, width) = window, canvas
    impulses = torch.zeros(height + 1, width + 1, dtype=torch.int64, device=corner.device)
    at = corner[:, 0] * (width + 1) + corner[:, 1]
    one = torch.ones_like(at)
    for dy, dx, sign in ((0, 0, 1), (ny, 0, -1), (0, nx, -1), (ny, nx, 1)):
        # Not index_put_, which on CUDA has the host wait and look at the indices.
        impulses.view(-1).scatter_add_(0, at + (dy * (width + 1) + dx), sign * one)
    return impulses.cumsum(0).cumsum(1)[:height, :width]


def sparse_loss(
    phase: torch.Tensor,
    corner: torch.Tensor,
    window: tuple[int, int],
    power: float = 1.0,
    occupancy: torch.Tensor | None = None,
) -> torch.Tensor:
    """(mean |phase|^n)^(1/n) over the voxels of every patch, summed over object modes with their
    occupancies; differentiable in ``phase``.

    Equal to the average over the overlapping patches [B, No, Nz, Ny, Nx]: each voxel is weighted
    with the number of patches that hold it. Nothing waits for the device, so a CUDA graph may hold
    it.

    Parameters
    ----------
    phase : [No, Nz, Y, X] rad.
    corner : [B, 2] int64.
    window : (Ny, Nx).
    power : n, at least 1.
    occupancy : [No]; None: 1 for each.
    """

    def compute(wanted: Sequence[bool]) -> Result:
        voxels = len(corner) * phase.shape[1] * window[0] * window[1]
        canvas = (phase.shape[-2], phase.shape[-1])
        weight = coverage(corner, window, canvas).to(phase.dtype) / voxels
        size = phase.abs()
        peak = size.new_ones(len(phase), 1, 1, 1)
        if power != 1:
            size.mul_(weight > 0)  # a phase that no patch holds would set the scale
            tiny = torch.finfo(size.dtype).tiny
            peak = size.amax((1, 2, 3), keepdim=True).clamp(min=tiny)
            size.div_(peak)
        terms = size.pow(power) if power != 1 else size
        # By rows, columns and slices: the same roundings for any number of threads.
        sums = (terms * weight).sum(-1).sum(-1).sum(-1)[:, None, None, None]
        share = peak.new_ones(()) if occupancy is None else occupancy[:, None, None, None]
        value = (share * peak * sums.pow(1 / power)).sum()
        if not wanted[0]:
            return value, [None]
        factor = share * weight
        if power != 1:
            # At least one voxel has u = 1, unless all are zero and the factor below is, too.
            least = torch.finfo(size.dtype).eps / voxels
            factor = factor * sums.clamp(min=least).pow(1 / power - 1) * size.pow(power - 1)
        return value, [phase.sign().mul_(factor)]

    return prepared(compute, phase)
