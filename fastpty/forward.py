"""Model -> diffraction patterns."""

from __future__ import annotations

import torch

from fastpty.model import Model
from fastpty.ops import multislice_intensity

__all__ = ["simulate_patterns"]


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
