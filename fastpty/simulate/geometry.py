"""Where the windows lie: the box of specimen that is computed, its two grids, one origin.

The *coarse* grid is the reconstruction's: pixel ``1 / (N dk)``. The *fine* grid is the
simulation's, ``refine`` times finer. Both have pixel (0, 0) at the same point of the specimen,
``origin``; the coarse grid is every ``refine``-th point of the fine one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.simulate.config import SimulateConfig

__all__ = ["RIM_A", "Geometry", "lay_out"]

# The box is periodic, so atoms at its rim miss their neighbours. At 3 Angstrom a projected
# potential is below 0.2 % of its peak (the widest atom, Cs), and no window comes nearer.
RIM_A = 3.0


@dataclass(frozen=True)
class Geometry:
    """Box and windows.

    Attributes
    ----------
    origin : [2] place of pixel (0, 0) of the box in the specimen, Angstrom.
    pixel, fine_pixel : Angstrom.
    shape, fine_shape : (Y, X) of the box on the two grids.
    window : pixels along an axis of a fine window.
    corner, shift : [P, 2] fine window of each position: top-left pixel (int64), and the probe's
        place against the window's centre in fine pixels, within half a pixel.
    coarse : [P, 2] top-left corner of the reconstruction's window, in coarse pixels of the box.
    """

    origin: NDArray[np.float64]
    pixel: float
    fine_pixel: float
    shape: tuple[int, int]
    fine_shape: tuple[int, int]
    window: int
    corner: NDArray[np.int64]
    shift: NDArray[np.float64]
    coarse: NDArray[np.float64]


def lay_out(config: SimulateConfig, positions: NDArray[np.float64]) -> Geometry:
    """Choose the box for probe positions [P, 2], Angstrom in the specimen's frame.

    A probe's centre is at index N//2 of its window, on either grid.
    """
    pixels, refine = config.detector.pixels, config.grid.refine
    pixel, window = config.pixel_size, config.window_pixels
    fine_pixel = pixel / refine
    reach = int(np.ceil(window / 2 / refine + RIM_A / pixel)) + 1  # coarse pixels round a probe
    first = np.floor(positions.min(axis=0) / pixel).astype(int) - reach
    last = np.ceil(positions.max(axis=0) / pixel).astype(int) + reach
    rows, columns = (int(n) for n in last - first + 1)
    origin = first * pixel
    centre = (positions - origin) / fine_pixel
    nearest = np.rint(centre)
    return Geometry(
        origin=origin,
        pixel=pixel,
        fine_pixel=fine_pixel,
        shape=(rows, columns),
        fine_shape=(rows * refine, columns * refine),
        window=window,
        corner=nearest.astype(np.int64) - window // 2,
        shift=centre - nearest,
        coarse=(positions - origin) / pixel - pixels // 2,
    )
