"""sqrt(mean((Ia^p - Ma^p)^2)) / mean(M^p), Ia and Ma the means of the batch's B patterns.

The gradient in Ia is that of the Gaussian loss of a single pattern; a pattern of the batch has
1/B of it, the same for each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty.loss.misfit import FLOOR, mean_target, raised, relative_rms
from fastpty.loss.prepared import Result, prepared
from fastpty.loss.whole import Whole, count_of, mean_of

__all__ = ["pacbed_loss"]


def pacbed_loss(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float = 1.0,
    mask: torch.Tensor | None = None,
    *,
    eps: float = FLOOR,
    whole: Whole | None = None,
) -> torch.Tensor:
    """Root-mean-square misfit of the batch's mean pattern, relative to the mean of M^p;
    differentiable in ``intensity``.

    The mean pattern is the position-averaged convergent-beam pattern (PACBED; LeBeau et al.,
    Ultramicroscopy 110 (2010) 118) of the positions in the batch: it has little noise and knows
    thickness and tilt, but not where the atoms are.

    Nothing waits for the device, so a CUDA graph may hold it.

    Parameters
    ----------
    intensity, measured : [B, Ny, Nx] scaled intensity.
    mask : [Ny, Nx], true where a pixel counts.
    eps : added to the mean pattern; bounds the slope of I^p at I = 0.
    whole : the batch, where these are only some of its patterns.
    """

    def compute(wanted: Sequence[bool]) -> Result:
        average = mean_of(measured, whole)
        # The mean of M itself is that of the mean pattern.
        if power == 1:
            mean = mean_target(average, mask)
        else:
            mean = mean_target(raised(measured, power), mask, whole)
        value, gradient = relative_rms(
            mean_of(intensity, whole),
            raised(average, power),
            mean,
            power=power,
            eps=eps,
            mask=mask,
            wanted=wanted[0],
        )
        return value, [None if gradient is None else gradient.div_(count_of(intensity, whole))]

    return prepared(compute, intensity)
