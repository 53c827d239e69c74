"""psi' = F^-1{ H F{psi} }: free-space propagation over one gap."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty import reference
from fastpty.ops.checks import check_complex, check_thickness, check_tilt

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
    """Propagate waves by ``thickness``, differentiable in wave, thickness and tilt.

    Parameters
    ----------
    wave : [B, ..., Ny, Nx] complex64 or complex128.
    thickness : Angstrom, a number or a scalar tensor.
    tilt : None, [1, 2] or [B, 2] mrad, (y, x); positive moves the wave by -thickness tan(tilt).
    wavelength : Angstrom.
    pixel_size : Angstrom, one number or (dy, dx).
    model : "angular_spectrum" or "fresnel".

    Returns
    -------
    wave : the shape of the input.

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device, shape or value is wrong.
    """
    check_complex(wave=wave)
    if wave.ndim < 3:
        raise ValueError(f"wave: must have the shape [B, ..., Ny, Nx], found {list(wave.shape)}")
    check_thickness(thickness, wave=wave)
    if isinstance(thickness, torch.Tensor):
        if thickness.numel() != 1:
            raise ValueError(f"thickness: must be one number, found {list(thickness.shape)}")
        thickness = thickness.reshape(())
    check_tilt(tilt, wave.shape[0], wave=wave)
    return reference.fresnel_propagate(
        wave, thickness, tilt, wavelength=wavelength, pixel_size=pixel_size, model=model
    )
