"""sqrt(mean((I^p - M^p)^2)) / mean(M^p): relative RMS misfit of I^p.

With r = (I + floor)^p - M^p in the good pixels, n of them, and a = mean(M^p)::

    L     = sqrt(sum r^2 / n) / a
    dL/dI = r p (I + floor)^(p - 1) / (n a^2 L)

Both come from one pass: the gradient is kept in place of the arrays that it is made of, and the
backward only scales it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable

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
    """Root-mean-square misfit over a batch, relative to the mean; differentiable in ``intensity``.

    With ``power`` 0.5 it compares amplitudes, which makes Poisson noise uniform (the
    variance-stabilising transform; Godard et al., Opt. Express 20 (2012) 25914, discuss it for
    ptychography). The square root outside makes its gradient independent of the data's scale.

    Nothing waits for the device, so a CUDA graph may hold it.

    Parameters
    ----------
    intensity, measured : [B, Ny, Nx] scaled intensity.
    mask : [Ny, Nx], true where a pixel counts.
    """
    loss: torch.Tensor = _Gaussian.apply(intensity, measured, power, mask)  # type: ignore[no-untyped-call]
    return loss


class _Gaussian(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        intensity: torch.Tensor,
        measured: torch.Tensor,
        power: float,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        raised = intensity + FLOOR
        if power == 0.5:
            simulated, target = raised.sqrt(), measured.sqrt()
        else:
            simulated, target = raised.pow(power), measured.pow(power)
        misfit = simulated - target
        good: float | torch.Tensor = float(measured.numel())
        if mask is not None:
            misfit.mul_(mask)
            target.mul_(mask)
            good = mask.sum(dtype=misfit.dtype) * len(measured)
        # The smallest normal number keeps the root's slope finite at a perfect fit, the floor the
        # quotient at a batch without counts (the beam was blanked).
        tiny = torch.finfo(misfit.dtype).tiny
        mean = (target.sum() / good).clamp(min=FLOOR**power)
        root = (misfit.square().sum() / good + tiny).sqrt()
        if ctx.needs_input_grad[0]:
            # The chain rule, factor by factor: products of all of them could leave the range.
            slope = 1 / mean / (2 * root) / good
            gradient = misfit.mul_(2).mul_(slope)
            if mask is not None:
                gradient.mul_(mask)
            if power == 0.5:
                gradient.div_(simulated.mul_(2))
            else:
                gradient.mul_(raised.pow_(power - 1).mul_(power))
            ctx.save_for_backward(gradient)
        return root / mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None, None
