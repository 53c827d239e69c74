"""psi[j,m] = F^-1{ F{P[m]} exp(-2 pi i (f_y s_y + f_x s_x)) }: the probe, moved within a pixel."""

from __future__ import annotations

import math

import torch

from fastpty.reference.fourier import forward, inverse

__all__ = ["probe_shift", "ramps"]


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
    ramp_y, ramp_x = ramps((probe.shape[-2], probe.shape[-1]), shift)
    ramp = ramp_y[:, None, :, None] * ramp_x[:, None, None, :]
    return inverse(forward(probe) * ramp)


def ramps(window: tuple[int, int], shift: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(exp(-2 pi i f_y s_y) [B, Ny], exp(-2 pi i f_x s_x) [B, Nx])."""
    factors = []
    for axis, n in enumerate(window):
        f = torch.fft.fftfreq(n, dtype=shift.dtype, device=shift.device)
        phase = -2 * math.pi * shift[:, axis, None] * f
        factors.append(torch.polar(torch.ones_like(phase), phase))
    return factors[0], factors[1]
