"""sqrt(mean((I^p - M^p)^2)) / mean(M^p): relative RMS misfit of I^p.

With r = (I + eps)^p - M^p in the good pixels, n of them, and a = mean(M^p)::

    L     = sqrt(sum r^2 / n) / a
    dL/dI = r p (I + eps)^(p - 1) / (n a^2 L)

The form "ratio" has sqrt(a) in the place of a.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty.loss.misfit import FLOOR, mean_target, raised, relative_rms
from fastpty.loss.prepared import Result, prepared
from fastpty.loss.whole import Whole

__all__ = ["gaussian_loss"]


def gaussian_loss(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float = 0.5,
    mask: torch.Tensor | None = None,
    *,
    eps: float = FLOOR,
    form: str = "rms",
    whole: Whole | None = None,
) -> torch.Tensor:
    """Root-mean-square misfit over a batch, relative to the mean; differentiable in ``intensity``.

    With ``power`` 0.5 it compares amplitudes, which makes Poisson noise uniform (the
    variance-stabilising transform; Godard et al., Opt. Express 20 (2012) 25914, discuss it for
    ptychography). The square root outside makes its gradient independent of the data's scale.

    Nothing waits for the device, so a CUDA graph may hold it.

    Parameters
    ----------
    intensity, measured : [B, Ny, Nx] scaled intensity.
    mask : [Ny, Nx], true where a pixel counts.
    eps : added to ``intensity``; bounds the slope of I^p at I = 0.
    form : "rms", or "ratio" for sqrt(mean((I^p - M^p)^2) / mean(M^p)).
    whole : the batch, where these are only some of its patterns.
    """

    def compute(wanted: Sequence[bool]) -> Result:
        target = raised(measured, power)
        mean = mean_target(target, mask, whole)
        if form == "ratio":
            mean = mean.sqrt()
        value, gradient = relative_rms(
            intensity, target, mean, power=power, eps=eps, mask=mask, wanted=wanted[0], whole=whole
        )
        return value, [gradient]

    return prepared(compute, intensity)
