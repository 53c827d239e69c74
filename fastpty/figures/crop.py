"""Which part of the object to show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpty.results import Results

__all__ = ["illumination", "scanned_area", "well_lit", "window_centres"]


def window_centres(results: Results) -> NDArray[np.float64]:
    """Centres [N, 2] of the windows in object px: ``positions + N//2``."""
    half = np.array(results.probe.shape[-2:]) // 2
    return np.asarray(results.positions + half, dtype=np.float64)


def scanned_area(results: Results) -> tuple[slice, slice]:
    """(y, x) slices of the object from the first to the last window centre, rounded.

    Outside this box the object is lit by the probe's tails alone, and seldom to be trusted.
    Positions that are not finite are passed over; without any, the area is the whole object.
    """
    height, width = results.phase.shape[-2:]
    centres = window_centres(results)
    centres = centres[np.isfinite(centres).all(axis=1)]
    if len(centres) == 0:
        return slice(0, height), slice(0, width)
    first = np.rint(centres.min(axis=0)).astype(int).tolist()
    last = np.rint(centres.max(axis=0)).astype(int).tolist()
    return (
        slice(max(0, first[0]), min(height, last[0] + 1)),
        slice(max(0, first[1]), min(width, last[1] + 1)),
    )


def illumination(results: Results) -> NDArray[np.float64]:
    """Probe intensity that each object pixel received over the scan [Y, X], counts.

    Windows are placed at whole pixels; the sum over the scan is one convolution.
    """
    shape = results.phase.shape[-2:]
    power = (np.abs(results.probe) ** 2).sum(axis=0, dtype=np.float64)
    visits = np.zeros(shape)
    known = results.positions[np.isfinite(results.positions).all(axis=1)]
    corners = np.rint(known).astype(int)
    inside = ((corners >= 0) & (corners + power.shape <= shape)).all(axis=1)
    np.add.at(visits, tuple(corners[inside].T), 1.0)
    # Windows inside the canvas never wrap round, so the cyclic convolution is the plain one.
    spectrum = np.fft.rfft2(visits) * np.fft.rfft2(power, shape)
    return np.maximum(np.fft.irfft2(spectrum, shape), 0.0)


def well_lit(results: Results, share: float = 0.5) -> NDArray[np.bool_]:
    """[Y, X], true where the illumination is at least ``share`` of its median at the scan's
    positions: 0.5 is reached at the straight edge of a scan, 0.25 at its corner."""
    light = illumination(results)
    centres = window_centres(results)
    centres = centres[np.isfinite(centres).all(axis=1)]
    if len(centres) == 0 or not light.any():
        return np.ones(light.shape, dtype=bool)
    y, x = np.clip(np.rint(centres).astype(int), 0, np.array(light.shape) - 1).T
    return np.asarray(light >= share * np.median(light[y, x]))
