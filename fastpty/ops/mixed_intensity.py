"""I[j] = sum_{m,n} occupancy[n] |F{psi[j,m,n]}|^2: the pattern of a mixed state."""

from __future__ import annotations

import torch

from fastpty import reference
from fastpty.ops.checks import check_complex, check_device, check_real_of, check_shape

__all__ = ["mixed_intensity"]


def mixed_intensity(wave: torch.Tensor, occupancy: torch.Tensor | None = None) -> torch.Tensor:
    """Incoherent sum over probe and object modes at the detector.

    Parameters
    ----------
    wave : [B, M, No, Ny, Nx] complex64 or complex128 exit waves.
    occupancy : [No] weights of the object modes, real of the same precision; None: all ones.

    Returns
    -------
    intensity : [B, Ny, Nx], corner order; the transform is unitary, so sum(I) = sum(|psi|^2).

    Raises
    ------
    TypeError, ValueError : an argument's dtype, device or shape is wrong.
    """
    check_complex(wave=wave)
    axes: dict[str, int] = {}
    check_shape("wave", wave, "B M No Ny Nx", axes)
    if occupancy is not None:
        check_real_of(wave, occupancy=occupancy)
        check_device(wave=wave, occupancy=occupancy)
        check_shape("occupancy", occupancy, "No", axes)
    return reference.mixed_intensity(wave, occupancy)
