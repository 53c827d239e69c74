"""-mean(M^p log(I^p + eps) - I^p) / mean(M^p): the negative log-likelihood of counts.

With J = I + floor, s = J^p, t = M^p in the good pixels, n of them, and a = mean(t)::

    L     = sum(s - t log(s + eps)) / (n a)
    dL/dI = (1 - t / (s + eps)) p J^(p - 1) / (n a)
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fastpty.loss.misfit import FLOOR, chain_power, good_pixels, mean_target, raised
from fastpty.loss.prepared import Result, prepared, total
from fastpty.loss.whole import Whole, sum_of

__all__ = ["poisson_loss"]


def poisson_loss(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float = 1.0,
    mask: torch.Tensor | None = None,
    *,
    eps: float = 1e-6,
    whole: Whole | None = None,
) -> torch.Tensor:
    """Negative log-likelihood over a batch, relative to the mean; differentiable in ``intensity``.

    With ``power`` 1 it is that of Poisson-distributed counts, up to what does not depend on the
    intensity (Thibault & Guizar-Sicairos, New J. Phys. 14 (2012) 063004). It may be
    negative, and a perfect fit does not make it zero. Its gradient at a perfect fit is zero, up to
    ``eps``.

    Nothing waits for the device, so a CUDA graph may hold it.

    Parameters
    ----------
    intensity, measured : [B, Ny, Nx] scaled intensity.
    mask : [Ny, Nx], true where a pixel counts.
    eps : added to I^p in the logarithm; bounds the slope where counts meet a dark simulation.
    whole : the batch, where these are only some of its patterns.
    """

    def compute(wanted: Sequence[bool]) -> Result:
        floored = intensity + FLOOR
        simulated, target = raised(floored, power), raised(measured, power)
        softened = simulated + eps
        # New memory costs more than the work done in it.
        terms = softened.log().mul_(target)
        torch.sub(simulated, terms, out=terms)
        if mask is not None:
            terms.mul_(mask)
        good, mean = good_pixels(target, mask, whole), mean_target(target, mask, whole)
        value = sum_of(total(terms), whole) / good / mean
        if not wanted[0]:
            return value, [None]
        gradient = torch.div(target, softened, out=softened).sub_(1).mul_(-1 / mean / good * power)
        if mask is not None:
            gradient.mul_(mask)
        return value, [chain_power(gradient, floored, power, simulated)]

    return prepared(compute, intensity)
