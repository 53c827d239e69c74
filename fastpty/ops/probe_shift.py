"""psi[j,m] = F^-1{ F{P[m]} exp(-2 pi i (f_y s_y + f_x s_x)) }: the probe at every position."""

from __future__ import annotations

import torch

from fastpty import reference
from fastpty.ops.checks import check_complex, check_device, check_real_of, check_shape

__all__ = ["probe_shift"]


def probe_shift(probe: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move every probe mode by every sub-pixel shift.

    Parameters
    ----------
    probe : [M, Ny, Nx] complex64 or complex128.
    shift : [B, 2] pixels, (y, x), real of the same precision.

    Returns
    -------
    wave : [B, M, Ny, Nx].

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device or shape is wrong.
    """
    check_complex(probe=probe)
    check_real_of(probe, shift=shift)
    check_device(probe=probe, shift=shift)
    check_shape("probe", probe, "M Ny Nx", {})
    check_shape("shift", shift, "B 2", {})
    return reference.probe_shift(probe, shift)
