"""Model -> diffraction patterns."""

from __future__ import annotations

import torch

from fastpty.model import Model
from fastpty.ops import fused, multislice_intensity, probe_shift, raise_device_errors

__all__ = [
    "illumination",
    "raise_device_errors",
    "runs_fused",
    "simulate_patterns",
    "wave_memory",
]


def simulate_patterns(model: Model, index: torch.Tensor) -> torch.Tensor:
    """Scaled intensity [B, Ny, Nx] at the scan positions ``index`` [B], corner order."""
    tilt = model.tilt
    intensity = multislice_intensity(
        illumination(model.aberrated_probe, model.source),
        (model.amplitude, model.phase),
        model.corner[index],
        model.shift[index],
        # A single slice is never propagated: in pixel units these three have no meaning.
        0.0 if model.thickness is None else model.thickness,
        tilt if tilt is None or len(tilt) == 1 else tilt[index],
        _weights(model),
        wavelength=model.wavelength or 1.0,
        pixel_size=model.pixel_size or 1.0,
        model=model.propagator,
    )
    if model.detector_blur is None:
        return intensity
    blur_y, blur_x = model.detector_blur
    return blur_y @ intensity @ blur_x


def illumination(
    probe: torch.Tensor, source: tuple[torch.Tensor, torch.Tensor] | None
) -> torch.Tensor:
    """Modes [K M, Ny, Nx]: those of a probe [M, Ny, Nx] from each of the K points of a source."""
    if source is None:
        return probe
    shift, weight = source
    modes = probe_shift(probe, shift) * weight.sqrt()[:, None, None, None]
    return modes.flatten(0, 1)


def _weights(model: Model) -> torch.Tensor | None:
    """The occupancy over its sum: 1 it is already, but so a gradient does not pull at the sum, of
    which a step would be made mostly, and which is then taken out."""
    occupancy = model.occupancy
    if occupancy is None or not occupancy.requires_grad:
        return occupancy
    return occupancy / occupancy.sum()


def runs_fused(model: Model) -> bool:
    """Whether a fused kernel serves the model's probe on its device."""
    return fused.covers(model.probe)


def wave_memory(model: Model, batch: int) -> int:
    """Bytes of waves that exist at once between the forward and backward of a batch, estimated."""
    object_modes, slices = model.phase.shape[:2]
    probe = model.probe
    if model.source is not None:  # as many modes as there will be; only the shape matters
        probe = probe[:1].expand(len(probe) * len(model.source[1]), -1, -1)
    if runs_fused(model):
        return fused.memory(probe, object_modes, slices, batch)
    # The single operations keep the wave before and after each propagation; about four more live
    # at the detector and in the transforms' work space.
    return (2 * slices + 4) * batch * object_modes * probe.nbytes
