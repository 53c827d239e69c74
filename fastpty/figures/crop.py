"""Which part of the object to show."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpty.results import Results

__all__ = ["scanned_area", "window_centres"]


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
