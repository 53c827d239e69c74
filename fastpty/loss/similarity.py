"""Mean standard deviation between object modes, of what a blur leaves of them.

With x = occupancy * (blurred object), its mean xm over the No modes and the weight w of a voxel,
the share of the patches' voxels that it is::

    L     = sum w s,    s^2 = sum over modes of (x - xm)^2 / (No - 1)
    dL/dx = w (x - xm) / ((No - 1) s)

Blur and block average are symmetric matrices, so they take the gradient back, too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F

from fastpty.loss.prepared import Result, prepared, total
from fastpty.loss.sparse import coverage

__all__ = ["similarity_loss", "similarity_reach"]

RADIUS = 2  # of the blur, px
# Deviations this small are roundings; below it the slope of the root goes to zero instead.
LEAST = 1e-12


def similarity_loss(
    amplitude: torch.Tensor,
    phase: torch.Tensor,
    corner: torch.Tensor,
    window: tuple[int, int],
    *,
    parts: str = "both",
    blur: float = 1.0,
    blocks: tuple[int, int, int] = (1, 1, 1),
    occupancy: torch.Tensor | None = None,
) -> torch.Tensor:
    """Standard deviation over object modes of amplitude and of phase, each averaged over the voxels
    of every patch, and added; differentiable in both.

    Without blur and blocks it is equal to the average over the overlapping patches
    [B, No, Nz, Ny, Nx]: each voxel is weighted with the number of patches that hold it. Blur and
    blocks belong to the object, not to the patches, so they know no edge of a patch.

    A single mode has no deviation: the loss is 0. Nothing waits for the device, so a CUDA graph may
    hold it.

    Parameters
    ----------
    amplitude, phase : [No, Nz, Y, X]; phase in rad.
    corner : [B, 2] int64.
    window : (Ny, Nx).
    parts : "amplitude", "phase" or "both".
    blur : standard deviation of a Gaussian of 5 x 5 px in the plane, px; 0 for none. The object
        goes on beyond its edge as its mirror image.
    blocks : slices and px (z, y, x) of blocks whose average stands for each of their voxels; they
        are counted from the object's corner, and those at the far edges may be smaller.
    occupancy : [No], factors before the deviation is taken; None: 1 for each.
    """

    def compute(wanted: Sequence[bool]) -> Result:
        modes, slices, *canvas = amplitude.shape
        voxels = len(corner) * slices * window[0] * window[1]
        covered = coverage(corner, window, (canvas[0], canvas[1]))
        weight = covered.to(amplitude.dtype) / voxels
        share = amplitude.new_ones(()) if occupancy is None else occupancy[:, None, None, None]
        freedom = max(modes - 1, 1)
        value = amplitude.new_zeros(())
        gradients: list[torch.Tensor | None] = []
        for name, volume, wants in zip(
            ("amplitude", "phase"), (amplitude, phase), wanted, strict=True
        ):
            gradient = None
            if parts in (name, "both"):
                x = _block_average(_blurred(volume, blur), blocks) * share
                deviation = x.sub_(x.mean(0))
                spread = (deviation.square().sum(0) / freedom).sqrt()
                value = value + total(spread * weight)
                if wants:
                    slope = weight / (freedom * spread.clamp(min=LEAST))
                    gradient = _blurred(_block_average(deviation * slope * share, blocks), blur)
            gradients.append(gradient)
        return value, gradients

    return prepared(compute, amplitude, phase)


def similarity_reach(blur: float, blocks: tuple[int, int, int]) -> tuple[int, int]:
    """Pixels (y, x) beyond the windows on which the loss depends, for the same arguments."""
    beyond = RADIUS if blur > 0 else 0
    return blocks[1] - 1 + beyond, blocks[2] - 1 + beyond


def _blurred(volume: torch.Tensor, std: float) -> torch.Tensor:
    """A Gaussian of 5 x 5 px in the plane; its matrix is symmetric, edges included."""
    if std == 0:
        return volume
    weights = [math.exp(-0.5 * (k / std) ** 2) for k in range(RADIUS + 1)]
    norm = weights[0] + 2 * sum(weights[1:])
    for axis in (-2, -1):
        n = volume.shape[axis]
        at = torch.arange(n, device=volume.device)
        blurred = volume * (weights[0] / norm)
        for k in range(1, RADIUS + 1):
            for step in (-k, k):
                # Mirrored at the edge between two pixels: ... 1 0 | 0 1 ... n-1 | n-1 ...
                source = (at + step) % (2 * n)
                source = torch.minimum(source, 2 * n - 1 - source)
                blurred.add_(volume.index_select(axis, source), alpha=weights[k] / norm)
        volume = blurred
    return volume


def _block_average(volume: torch.Tensor, blocks: tuple[int, int, int]) -> torch.Tensor:
    """Every voxel as the average of its block: a symmetric matrix."""
    if blocks == (1, 1, 1):
        return volume
    size = volume.shape[1:]
    kernel = [min(b, n) for b, n in zip(blocks, size, strict=True)]
    averages = F.avg_pool3d(volume, kernel, ceil_mode=True, count_include_pad=False)
    for axis, (b, n) in enumerate(zip(kernel, size, strict=True), start=1):
        averages = averages.repeat_interleave(b, axis).narrow(axis, 0, n)
    return averages
