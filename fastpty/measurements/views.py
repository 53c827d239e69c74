"""The measured patterns as virtual detectors see them, from where the model has them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config.solve import VirtualConfig
from fastpty.measurements.load import Measurements
from fastpty.virtual import VirtualImages, virtual_images

__all__ = ["measured_views"]

_BATCH = 256


def measured_views(measurements: Measurements, section: VirtualConfig) -> VirtualImages | None:
    """Ring detectors and centre of mass of a raster; None where the scan is none.

    Rings lie around the fitted disc. In mrad they need a scale; without one, in pixel units, they
    are in units of the disc's radius whatever ``section.unit`` says.
    """
    patterns, disc = measurements.patterns, measurements.disc
    if measurements.scan_shape is None or disc.radius <= 0:
        return None
    shape = patterns.shape[1], patterns.shape[2]
    unit = disc.radius
    if section.unit == "mrad" and measurements.pixel_size and measurements.wavelength:
        width = [n * d for n, d in zip(shape, measurements.pixel_size, strict=True)]
        unit = 1e-3 / measurements.wavelength * math.sqrt(width[0] * width[1])
    corner = math.hypot(*shape)
    rings = {
        name: (inner * unit, corner if outer is None else outer * unit)
        for name, (inner, outer) in section.rings.items()
    }
    return virtual_images(
        _centred(measurements),
        measurements.scan_shape,
        shape,
        disc.centre,
        rings,
        patterns.centred_mask,
    )


def _centred(measurements: Measurements) -> Iterator[tuple[int, NDArray[np.float32]]]:
    patterns = measurements.patterns
    for start in range(0, len(patterns), _BATCH):
        index = torch.arange(start, min(start + _BATCH, len(patterns)), device=patterns.device)
        counts = patterns.counts(index).cpu().numpy()
        yield start, np.fft.fftshift(counts, axes=(1, 2))
