"""psi'[j,m,n] = psi[j,m(,n)] * O[n, window of j]: transmission through one slice."""

from __future__ import annotations

import torch

__all__ = ["slice_transmit"]


def slice_transmit(
    wave: torch.Tensor, obj_slice: torch.Tensor, corner: torch.Tensor
) -> torch.Tensor:
    """Multiply every wave by the object in its window.

    Parameters
    ----------
    wave : [B, M, Ny, Nx] or [B, M, No, Ny, Nx] complex.
    obj_slice : [No, Y, X] complex transmission of one slice.
    corner : [B, 2] int64, the window's top-left pixel; the window lies inside the object.

    Returns
    -------
    wave : [B, M, No, Ny, Nx] complex.
    """
    if wave.ndim == 4:
        wave = wave[:, :, None]
    ny, nx = wave.shape[-2:]
    rows = corner[:, 0, None] + torch.arange(ny, device=corner.device)
    columns = corner[:, 1, None] + torch.arange(nx, device=corner.device)
    window = obj_slice[:, rows[:, :, None], columns[:, None, :]]
    return wave * window.transpose(0, 1)[:, None]
