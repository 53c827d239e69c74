"""psi[j,m] = F^-1{ F{P[m]} exp(-2 pi i (f_y s_y + f_x s_x)) }: the probe, moved within a pixel."""

from __future__ import annotations

import math

import torch

from fastpty.reference.fourier import forward, inverse

__all__ = ["probe_shift"]


def probe_shift(probe: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move every probe mode to every position by the Fourier shift theorem.

    The transform of the probe is taken once, not once per position. At even N the Nyquist row
    and column use f = -1/2, like ``torch.fft.fftfreq``.

    Parameters
    ----------
    probe : [M, Ny, Nx] complex, natural order.
    shift : [B, 2] real, (y, x) in pixels; a positive shift moves the probe to higher indices.

    Returns
    -------
    wave : [B, M, Ny, Nx] complex.
    """
    ny, nx = probe.shape[-2:]
    fy = torch.fft.fftfreq(ny, dtype=shift.dtype, device=shift.device)
    fx = torch.fft.fftfreq(nx, dtype=shift.dtype, device=shift.device)
    phase_y = -2 * math.pi * shift[:, 0, None] * fy
    phase_x = -2 * math.pi * shift[:, 1, None] * fx
    ramp_y = torch.polar(torch.ones_like(phase_y), phase_y)
    ramp_x = torch.polar(torch.ones_like(phase_x), phase_x)
    ramp = ramp_y[:, None, :, None] * ramp_x[:, None, None, :]
    return inverse(forward(probe) * ramp)
