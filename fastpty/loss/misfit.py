"""What the misfits to the patterns share: powers of intensities, means over the good pixels."""

from __future__ import annotations

import math

import torch

from fastpty.loss.prepared import total
from fastpty.loss.whole import Whole, count_of, sum_of

__all__ = ["FLOOR", "chain_power", "good_pixels", "mean_target", "raised", "relative_rms"]

# I^p with p < 1 has an infinite slope at I = 0. The floor bounds it; in scaled intensity, where
# the mean pattern's brightest pixel is 1, it lies far below a single electron.
FLOOR = 1e-10


def raised(intensity: torch.Tensor, power: float) -> torch.Tensor:
    """I^p; the intensity itself for p = 1, which must then not be changed in place."""
    if power == 1:
        return intensity
    return intensity.sqrt() if power == 0.5 else intensity.pow(power)


def chain_power(
    gradient: torch.Tensor, intensity: torch.Tensor, power: float, result: torch.Tensor
) -> torch.Tensor:
    """Multiply with I^(p - 1), in place: what is left of the slope when p is in the gradient
    already. ``result`` is I^p; another power would cost more."""
    if power == 1:
        return gradient
    if power == 0.5:
        return gradient.div_(result)
    return gradient.mul_(result).div_(intensity)


def good_pixels(
    patterns: torch.Tensor, mask: torch.Tensor | None, whole: Whole | None = None
) -> float | torch.Tensor:
    """How many pixels of the batch's patterns [B, Ny, Nx] count."""
    count = count_of(patterns, whole)
    if mask is None:
        return float(count * math.prod(patterns.shape[1:]))
    return mask.sum(dtype=patterns.dtype) * count


def mean_target(
    target: torch.Tensor, mask: torch.Tensor | None, whole: Whole | None = None
) -> torch.Tensor:
    """Mean of M^p over the good pixels; 1, the scale of the data, for a batch without counts (the
    beam was blanked), which nothing can be relative to."""
    counted = target if mask is None else target * mask
    mean = sum_of(total(counted), whole) / good_pixels(target, mask, whole)
    return torch.where(mean > 0, mean, torch.ones_like(mean))


def relative_rms(
    intensity: torch.Tensor,
    target: torch.Tensor,
    mean: torch.Tensor,
    *,
    power: float,
    eps: float,
    mask: torch.Tensor | None,
    wanted: bool,
    whole: Whole | None = None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(L, dL/dI) of L = sqrt(sum r^2 / n) / a with r = (I + eps)^p - target in the good pixels::

        dL/dI = r p (I + eps)^(p - 1) / (n a^2 L)

    Parameters
    ----------
    intensity, target : [B, Ny, Nx]; the target is used up unless ``power`` is 1.
    mean : a, a positive number.
    mask : [Ny, Nx], true where a pixel counts.
    """
    floored = intensity + eps
    simulated = raised(floored, power)
    # New memory costs more than the work done in it.
    misfit = torch.sub(simulated, target, out=None if power == 1 else target)
    if mask is not None:
        misfit.mul_(mask)
    good = good_pixels(intensity, mask, whole)
    # The smallest normal number keeps the root's slope finite at a perfect fit.
    tiny = torch.finfo(misfit.dtype).tiny
    rows = torch.linalg.vector_norm(misfit, dim=-1)
    root = (sum_of(total(rows.square()), whole) / good + tiny).sqrt()
    gradient = None
    if wanted:
        # The chain rule, factor by factor: products of all of them could leave the range.
        slope = 1 / mean / root / good * power
        gradient = chain_power(misfit.mul_(slope), floored, power, simulated)
    return root / mean, gradient
