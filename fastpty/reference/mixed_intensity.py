"""I[j] = sum_{m,n} occupancy[n] |F{psi[j,m,n]}|^2: the incoherent sum at the detector."""

from __future__ import annotations

import torch

from fastpty.reference.fourier import forward

__all__ = ["mixed_intensity"]


def mixed_intensity(wave: torch.Tensor, occupancy: torch.Tensor | None = None) -> torch.Tensor:
    """Diffraction pattern of a mixed state (Thibault & Menzel, Nature 494 (2013) 68).

    Parameters
    ----------
    wave : [B, M, No, Ny, Nx] complex exit waves.
    occupancy : [No] real weights of the object modes; None is all ones, the plain sum.

    Returns
    -------
    intensity : [B, Ny, Nx] real, corner order; ``sum(I) = sum(|psi|^2)`` by Parseval.
    """
    spectrum = forward(wave, norm="ortho")
    power = spectrum.real.square() + spectrum.imag.square()
    if occupancy is not None:
        power = power * occupancy[:, None, None]
    intensity: torch.Tensor = power.sum((1, 2))
    return intensity
