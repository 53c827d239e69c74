"""The measured patterns as virtual detectors see them, from where the model has them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.config.solve import VirtualConfig
from fastpty.measurements.load import Measurements
from fastpty.parallax import aligned_bright_field
from fastpty.virtual import VirtualImages, bright_field_segments, segment_sums, virtual_images

__all__ = ["measured_views"]

_BATCH = 256
_ACROSS = 11
"""Segments along the disc's diameter, whose images are aligned."""


def measured_views(measurements: Measurements, section: VirtualConfig) -> VirtualImages | None:
    """Ring detectors, centre of mass and parallax of a raster; None where the scan is none.

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
    raster, mask = measurements.scan_shape, patterns.centred_mask
    images = virtual_images(_centred(measurements), raster, shape, disc.centre, rings, mask)
    segments = bright_field_segments(shape, disc.centre, disc.radius, _ACROSS, mask=mask)
    sums = segment_sums(_centred(measurements), segments, math.prod(raster))
    return replace(images, parallax=aligned_bright_field(sums.reshape(-1, *raster), segments))


def _centred(measurements: Measurements) -> Iterator[tuple[int, NDArray[np.float32]]]:
    patterns = measurements.patterns
    for start in range(0, len(patterns), _BATCH):
        index = torch.arange(start, min(start + _BATCH, len(patterns)), device=patterns.device)
        counts = patterns.counts(index).cpu().numpy()
        yield start, np.fft.fftshift(counts, axes=(1, 2))
