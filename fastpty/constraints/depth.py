"""The constraint on where along the beam the object stands."""

from __future__ import annotations

import math

import torch

from fastpty.config.constraints import RecentreDepthConfig
from fastpty.constraints.common import propagated
from fastpty.model import Model

__all__ = ["recentre_depth"]


def recentre_depth(model: Model, config: RecentreDepthConfig) -> None:
    """Move the object to the middle of its slices, and the probe's focus with it.

    The centre of mass along z of the positive phases above the percentile is moved to
    (Nz - 1) / 2, by ``scale`` of the way and no more than ``max_shift``, through a Fourier shift
    by s slices that wraps round; the probe is propagated by -s times the slices' mean distance, at
    the mean tilt. PtyRAD:
    ``obj_z_recenter``, which shifts a exp(i phi) instead of a and phi, and so wraps the phase.
    A single slice, or an object without positive phase, stays.
    """
    slices = model.phase.shape[1]
    if slices == 1 or model.thickness is None:
        return
    shift = _shift(model.phase, config)
    matrix = _shift_matrix(slices, shift).to(model.phase.dtype)
    for volume in (model.amplitude, model.phase):
        volume.copy_(torch.einsum("zw,nwyx->nzyx", matrix, volume))
    tilt = None if model.tilt is None else model.tilt.mean(dim=0, keepdim=True)
    distance = -shift * model.thickness.mean(dtype=torch.float64)
    model.probe.copy_(propagated(model, model.probe, distance, tilt))


def _shift_matrix(slices: int, shift: torch.Tensor) -> torch.Tensor:
    """[Nz, Nz] double: the Fourier shift F^-1{F{x} exp(-2 pi i f s)} of a real column x.

    As a product with the columns, whose bits do not depend on the number of threads.
    """
    frequency = torch.fft.rfftfreq(slices, dtype=torch.float64, device=shift.device)
    ramp = torch.polar(torch.ones_like(frequency), -2 * math.pi * frequency * shift)
    columns = torch.eye(slices, dtype=torch.float64, device=shift.device)
    matrix: torch.Tensor = torch.fft.irfft(torch.fft.rfft(columns, dim=0).T * ramp, n=slices)
    return matrix.T


def _shift(phase: torch.Tensor, config: RecentreDepthConfig) -> torch.Tensor:
    """s in slices, a scalar in double precision; positive towards higher indices."""
    slices = phase.shape[1]
    weight = phase.clamp(min=0)
    if config.percentile is not None:
        flat = weight.flatten()
        rank = math.ceil(config.percentile / 100 * (len(flat) - 1))
        weight = weight * (weight >= flat.kthvalue(1 + rank).values)
    profile = weight.sum(dim=(0, 2, 3), dtype=torch.float64)
    index = torch.arange(slices, dtype=torch.float64, device=phase.device)
    total = profile.sum()
    middle = (slices - 1) / 2
    shift = config.scale * (middle - (index * profile).sum() / total)
    limit = middle if config.max_shift is None else min(config.max_shift, middle)
    return torch.where(total > 0, shift, torch.zeros_like(shift)).clamp(-limit, limit)
