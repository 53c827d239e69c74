"""Model -> diffraction patterns."""

from __future__ import annotations

import torch

from fastpty.model import Model
from fastpty.ops import fused, multislice_intensity, raise_device_errors

__all__ = ["raise_device_errors", "runs_fused", "simulate_patterns", "wave_memory"]


def simulate_patterns(model: Model, index: torch.Tensor) -> torch.Tensor:
    """Scaled intensity [B, Ny, Nx] at the scan positions ``index`` [B], corner order."""
    return multislice_intensity(
        model.probe,
        (model.amplitude, model.phase),
        model.corner[index],
        model.shift[index],
        # A single slice is never propagated: in pixel units these three have no meaning.
        model.thickness or 0.0,
        model.tilt,
        wavelength=model.wavelength or 1.0,
        pixel_size=model.pixel_size or 1.0,
        model=model.propagator,
    )


def runs_fused(model: Model) -> bool:
    """Whether a fused kernel serves the model's probe on its device."""
    return fused.covers(model.probe)


def wave_memory(model: Model, batch: int) -> int:
    """Bytes of waves that exist at once between the forward and backward of a batch, estimated."""
    object_modes, slices = model.phase.shape[:2]
    if runs_fused(model):
        return fused.memory(model.probe, object_modes, slices, batch)
    # The single operations keep the wave before and after each propagation; about four more live
    # at the detector and in the transforms' work space.
    return (2 * slices + 4) * batch * object_modes * model.probe.nbytes
