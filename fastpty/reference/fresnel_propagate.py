"""psi' = F^-1{ H F{psi} }: free-space propagation over one gap."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty.optics.propagator import propagator
from fastpty.reference.fourier import forward, inverse

__all__ = ["fresnel_propagate"]


def fresnel_propagate(
    wave: torch.Tensor,
    thickness: torch.Tensor | float,
    tilt: torch.Tensor | None = None,
    *,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str = "angular_spectrum",
) -> torch.Tensor:
    """Propagate waves by a distance, with the crystal-tilt ramp folded in.

    Parameters
    ----------
    wave : [B, ..., Ny, Nx] complex.
    thickness : distance in Angstrom, a number or a scalar tensor.
    tilt : None, [1, 2] or [B, 2] in mrad, (y, x).
    wavelength : Angstrom.
    pixel_size : Angstrom, one number or (dy, dx).
    model : "angular_spectrum" or "fresnel"; see :mod:`fastpty.optics.propagator`.

    Returns
    -------
    wave : the shape of the input.
    """
    distance = torch.as_tensor(thickness, dtype=wave.real.dtype, device=wave.device)
    shape = (wave.shape[-2], wave.shape[-1])
    transfer = propagator(
        shape, distance, tilt, wavelength=wavelength, pixel_size=pixel_size, model=model
    )
    if tilt is not None:
        transfer = transfer.reshape(-1, *([1] * (wave.ndim - 3)), *shape)
    return inverse(forward(wave) * transfer)
