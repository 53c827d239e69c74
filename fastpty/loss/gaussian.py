"""sqrt(mean((I^p - M^p)^2)) / mean(M^p): relative RMS misfit of I^p."""

from __future__ import annotations

import torch

__all__ = ["gaussian_loss"]

# I^p has an infinite slope at I = 0. The floor bounds it; in scaled intensity, where the mean
# pattern's brightest pixel is 1, it lies far below a single electron.
FLOOR = 1e-10


def gaussian_loss(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float = 0.5,
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """Root-mean-square misfit over a batch, relative to the mean.

    With ``power`` 0.5 it compares amplitudes, which makes Poisson noise uniform (the
    variance-stabilising transform; Godard et al., Opt. Express 20 (2012) 25914, discuss it for
    ptychography). The square root outside makes its gradient independent of the data's scale.

    Parameters
    ----------
    intensity, measured : [B, Ny, Nx] scaled intensity.
    mask : [Ny, Nx], true where a pixel counts.
    """
    if power == 0.5:
        simulated, target = (intensity + FLOOR).sqrt(), measured.sqrt()
    else:
        simulated, target = (intensity + FLOOR).pow(power), measured.pow(power)
    misfit = simulated - target
    good = float(measured.numel())
    if mask is not None:
        misfit, target = misfit * mask, target * mask
        good = float(mask.sum()) * len(measured)
    # The smallest normal number keeps the root's slope finite at a perfect fit, the floor the
    # quotient at a batch without counts (the beam was blanked).
    tiny = torch.finfo(misfit.dtype).tiny
    mean = (target.sum() / good).clamp(min=FLOOR**power)
    return (misfit.square().sum() / good + tiny).sqrt() / mean
