"""mean |phase| over the patches of a batch, without the patches."""

from __future__ import annotations

import torch

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


def sparse_loss(phase: torch.Tensor, corner: torch.Tensor, window: tuple[int, int]) -> torch.Tensor:
    """Mean |phase| over the voxels of every patch, summed over object modes.

    Equal to the average over the overlapping patches [B, No, Nz, Ny, Nx]: each voxel is weighted
    with the number of patches that hold it.

    Parameters
    ----------
    phase : [No, Nz, Y, X] rad.
    corner : [B, 2] int64.
    window : (Ny, Nx).
    """
    canvas = (phase.shape[-2], phase.shape[-1])
    voxels = corner.shape[0] * phase.shape[1] * window[0] * window[1]
    weight = coverage(corner, window, canvas).to(phase.dtype) / voxels
    return (phase.abs().sum((0, 1)) * weight).sum()
