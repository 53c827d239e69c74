"""Leakage between probe and object: what of the object belongs to the probe or to the scan.

A pattern shows the product of probe and object only. Some changes of one can therefore be undone
by the other, and some structure of the object is the scan's:

- a constant factor of a slice: probe times c, slice over c;
- a linear phase ramp of the first slice: probe times exp(i s.r), slice times exp(-i s.r); in
  reciprocal space the probe moves by s / (2 pi). (A ramp of a deeper slice is no such freedom: the
  wave would arrive there displaced.)
- modulation of the object with the period of the scan's raster, which the specimen has no reason to
  have.

All means are weighted with the illumination: how much of the probe has fallen on a pixel.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from fastpty.config.constraints import RemoveLeakageConfig
from fastpty.constraints.raster import notch, raster_frequencies, scan_extent
from fastpty.model import Model

__all__ = ["illumination", "leakage", "remove_leakage"]


@torch.no_grad()
def leakage(model: Model, orders: int = 1) -> dict[str, float]:
    """How much has leaked, for the history of a run.

    Parameters
    ----------
    orders : highest multiple of the raster's frequencies that counts.

    Returns
    -------
    amplitude : product over the slices of their mean amplitude, less 1. Where the detector
        catches all electrons it should be 0; -0.1 says that the probe is too strong by about a
        tenth.
    phase : sum over the slices of their mean phase, rad. It has no meaning of its own; that it
        drifts shows that the object does.
    ramp : mean slope of the phase summed over the slices, in detector pixels: by how much the
        object deflects the beam on the whole.
    raster : share of the object's variance (amplitude and phase, summed over the slices) in
        modulations at the raster's frequencies, beyond that at frequencies close by; 0 to 1.
        Missing where the scan is no raster or its frequencies are beyond the object's grid.
    """
    weight = illumination(model)
    amplitude, phase = _mean_mode(model, model.amplitude), _mean_mode(model, model.phase)
    slope = _slopes(phase, weight).sum(dim=0)
    window = torch.tensor(model.probe.shape[-2:], dtype=torch.float64, device=slope.device)
    values = {
        "amplitude": _mean(amplitude, weight).prod() - 1,
        "phase": _mean(phase, weight).sum(),
        "ramp": (slope * window / (2 * math.pi)).norm(),
    }
    frequencies = raster_frequencies(model, orders)
    if len(frequencies):
        projected = torch.stack([amplitude.sum(dim=0), phase.sum(dim=0)])
        values["raster"] = _raster_share(model, projected, weight, frequencies)
    # One transfer for all, as each would make the host wait for the device.
    return dict(zip(values, torch.stack(list(values.values())).tolist(), strict=True))


def remove_leakage(model: Model, config: RemoveLeakageConfig) -> None:
    """Move constant factors and the first slice's ramp into the probe; damp the raster.

    Factor and ramp leave every pattern as it was: c is the mean amplitude and phase of each slice,
    s the slope of the plane that fits the first slice's phase best, both weighted with the
    illumination. The ramp is turned about the illumination's centre, so that the mean phase stays,
    and the patterns change only where the probe does not vanish at its window's border. The notch
    filter at the raster's frequencies does change the patterns. It also takes true structure of
    these very frequencies, such as a lattice in step with the scan. PtyRAD has no counterpart.
    """
    weight = illumination(model)
    if config.amplitude:
        mean = _mean(_mean_mode(model, model.amplitude), weight)
        model.amplitude.div_(mean[:, None, None].to(model.amplitude.dtype))
        model.probe.mul_(mean.prod().to(model.amplitude.dtype))
    phase = _mean_mode(model, model.phase)
    if config.phase:
        mean = _mean(phase, weight)
        model.phase.sub_(mean[:, None, None].to(model.phase.dtype))
        model.probe.mul_(torch.polar(torch.ones_like(mean[0]), mean.sum()).to(model.probe.dtype))
    if config.ramp:
        slope = _slopes(phase[:1], weight)[0]
        y, x = _coordinates(weight)
        model.phase[:, 0].sub_((slope[0] * y + slope[1] * x).to(model.phase.dtype))
        y, x = (
            torch.arange(n, dtype=torch.float64, device=weight.device) - n // 2
            for n in model.probe.shape[-2:]
        )
        ramp = slope[0] * y[:, None] + slope[1] * x
        model.probe.mul_(torch.polar(torch.ones_like(ramp), ramp).to(model.probe.dtype))
    filter_ = notch(model, config.raster_orders, config.raster_width, config.raster)
    if filter_ is not None and config.raster > 0:
        for volume in (model.amplitude, model.phase):
            spectrum = torch.fft.rfft2(volume)
            volume.copy_(torch.fft.irfft2(spectrum * filter_, s=volume.shape[-2:]))


def illumination(model: Model) -> torch.Tensor:
    """[Y, X] double, of sum 1: sum over positions j and modes m of |P_m(r - corner_j)|^2."""
    y, x = model.phase.shape[-2:]
    hits = torch.zeros(y * x, dtype=torch.float64, device=model.probe.device)
    at = model.corner[:, 0] * x + model.corner[:, 1]
    hits.index_add_(0, at, torch.ones_like(at, dtype=torch.float64))
    power = model.probe.abs().square().sum(dim=0, dtype=torch.float64)
    # Windows lie inside the object, so nothing wraps round.
    spectrum = torch.fft.rfft2(hits.reshape(y, x)) * torch.fft.rfft2(power, s=(y, x))
    weight: torch.Tensor = torch.fft.irfft2(spectrum, s=(y, x)).clamp(min=0)
    return weight / weight.sum()


def _mean_mode(model: Model, volume: torch.Tensor) -> torch.Tensor:
    """[Nz, Y, X] double of [No, Nz, Y, X]: the object modes count by their occupancy."""
    if model.occupancy is None:
        return volume.mean(dim=0, dtype=torch.float64)
    weight = model.occupancy.double() / model.occupancy.sum()
    mean = torch.zeros_like(volume[0], dtype=torch.float64)
    for share, mode in zip(weight, volume, strict=True):
        mean += share * mode
    return mean


def _mean(planes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (planes * weight).sum(dim=(-2, -1))


def _coordinates(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(y [Y, 1], x [X]) px, from the weight's centre of mass."""
    y = torch.arange(weight.shape[0], dtype=weight.dtype, device=weight.device)[:, None]
    x = torch.arange(weight.shape[1], dtype=weight.dtype, device=weight.device)
    return y - (weight * y).sum(), x - (weight * x).sum()


def _slopes(planes: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """[K, 2] per pixel (y, x) of the planes [K, Y, X]: the weighted least-squares fit of a plane.

    Zero where the illumination lies on a line, which has no slope across.
    """
    y, x = _coordinates(weight)
    yy, xx, yx = ((weight * a * b).sum() for a, b in ((y, y), (x, x), (y, x)))
    along_y, along_x = _mean(planes * y, weight), _mean(planes * x, weight)
    determinant = yy * xx - yx**2
    slopes = torch.stack([xx * along_y - yx * along_x, yy * along_x - yx * along_y], dim=-1)
    flat = determinant <= 1e-9 * (yy + xx) ** 2
    return torch.where(flat, torch.zeros_like(slopes), slopes / determinant)


def _raster_share(
    model: Model, fields: torch.Tensor, weight: torch.Tensor, frequencies: np.ndarray
) -> torch.Tensor:
    """Share of the variance of the fields [2, Y, X] at +-G, less the mean of the neighbours'.

    A modulation m cos(2 pi G.r + c) has m = 2 |sum w v exp(-2 pi i G.r)| and the variance m^2 / 2.
    The neighbours lie 2 / extent from G along both axes.
    """
    y, x = _coordinates(weight)
    slope = _slopes(fields, weight)[:, :, None, None]
    fields = fields - _mean(fields, weight)[:, None, None] - slope[:, 0] * y - slope[:, 1] * x
    aside = 2 / scan_extent(model)
    offsets = np.array([[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]]) * aside
    at = torch.from_numpy(frequencies[:, None] + offsets).to(weight.device)  # [K, 5, 2]
    waves_y = torch.exp(-2j * math.pi * at[..., :1] * y[:, 0])
    waves_x = torch.exp(-2j * math.pi * at[..., 1:] * x)
    weighted = (fields * weight).to(torch.complex128)
    sums = torch.einsum("koy,vyx,kox->vko", waves_y, weighted, waves_x)
    variances = 2 * sums.abs().square()
    total = _mean(fields.square(), weight).sum()
    excess = (variances[..., 0] - variances[..., 1:].mean(dim=-1)).sum()
    share = (excess / total).clamp(0, 1)
    return torch.where(total > 0, share, torch.zeros_like(share))
