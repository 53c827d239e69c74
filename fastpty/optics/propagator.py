"""Free-space propagators on the detector grid, corner order.

``H = exp(i dz chi0) exp(i dz (Ky tan ty + Kx tan tx))`` with ``K = 2 pi f / dx`` and

- ``angular_spectrum``: ``chi0 = sqrt(k^2 - K^2) - k``, ``k = 2 pi / lambda`` (the constant phase
  ``exp(i k dz)`` is dropped; evanescent components are removed);
- ``fresnel``: ``chi0 = -pi lambda (f/dx)^2``, its paraxial limit (Kirkland, *Advanced Computing
  in Electron Microscopy*, eq. 6.65).

A positive ``dz`` moves the wave with the beam; a positive tilt moves it by ``-dz tan(t)``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.optics.grid import spatial_frequencies
from fastpty.optics.wavelength import check_wavelength

__all__ = ["MODELS", "axial_phase", "axial_wavenumber", "propagator"]

MODELS = ("angular_spectrum", "fresnel")


def axial_phase(
    k2: NDArray[np.float64], wavelength: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(chi0 in rad/Angstrom, propagating) of the angular spectrum at squared frequencies
    ``k2`` in 1/Angstrom^2, any shape.

    ``chi0`` is formed as ``-K^2 / (sqrt(k^2 - K^2) + k)``: the difference of two large numbers
    would lose three digits in single precision.
    """
    wavenumber = 2 * math.pi / wavelength
    lateral2 = 4 * math.pi**2 * k2
    propagating = lateral2 < wavenumber**2
    root = np.sqrt(np.where(propagating, wavenumber**2 - lateral2, 0.0))
    return np.where(propagating, -lateral2 / (root + wavenumber), 0.0), propagating


def axial_wavenumber(
    shape: tuple[int, int],
    *,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str = "angular_spectrum",
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(chi0 [Ny,Nx] in rad/Angstrom, propagating [Ny,Nx]) at zero tilt.

    Raises
    ------
    ValueError : an unknown model, or a wavelength that is not positive.
    """
    if model not in MODELS:
        raise ValueError(f"model must be one of {', '.join(MODELS)}, got {model!r}")
    check_wavelength(wavelength)
    ky, kx = spatial_frequencies(shape, pixel_size)
    k2 = ky**2 + kx**2
    if model == "fresnel":
        chi0 = -math.pi * wavelength * k2
        propagating = np.ones(shape, dtype=bool)
    else:
        chi0, propagating = axial_phase(k2, wavelength)
    chi0.setflags(write=False)
    propagating.setflags(write=False)
    return chi0, propagating


def propagator(
    shape: tuple[int, int],
    thickness: torch.Tensor,
    tilt: torch.Tensor | None = None,
    *,
    wavelength: float,
    pixel_size: float | Sequence[float],
    model: str = "angular_spectrum",
) -> torch.Tensor:
    """Transfer function H over a distance, differentiable in distance and tilt.

    Parameters
    ----------
    shape : (Ny, Nx).
    thickness : scalar tensor, Angstrom; its dtype and device are those of the result.
    tilt : None, [1, 2] or [B, 2] in mrad, (y, x).

    Returns
    -------
    H : complex, [Ny, Nx] without tilt, [1, Ny, Nx] or [B, Ny, Nx] with it.
    """
    chi0, propagating = axial_wavenumber(
        shape, wavelength=wavelength, pixel_size=pixel_size, model=model
    )
    dtype, device = thickness.dtype, thickness.device
    chi = torch.tensor(chi0, dtype=dtype, device=device)
    if tilt is not None:
        ky, kx = spatial_frequencies(shape, pixel_size)
        slope = torch.tan(tilt * 1e-3)
        lateral_y = torch.as_tensor(2 * math.pi * ky, dtype=dtype, device=device)
        lateral_x = torch.as_tensor(2 * math.pi * kx, dtype=dtype, device=device)
        chi = chi + lateral_y * slope[:, 0, None, None] + lateral_x * slope[:, 1, None, None]
    phase = thickness * chi
    modulus = torch.tensor(propagating, dtype=dtype, device=device)
    return torch.polar(modulus.expand_as(phase).contiguous(), phase)
