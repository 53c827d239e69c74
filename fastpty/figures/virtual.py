"""Virtual detectors beside the reconstructed phase, in one frame and at one scale."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from fastpty.figures.common import (
    MASKED,
    PAGE,
    add_scale_bar,
    hide_ticks,
    new_figure,
    object_scale,
    robust_limits,
    style,
)
from fastpty.figures.crop import scanned_area, well_lit, window_centres
from fastpty.metrics import remove_plane
from fastpty.results import Results
from fastpty.virtual import VirtualImages, integrate_gradient, raster_basis

__all__ = ["draw_virtual"]

_SHOWN = 0.2
"""Least share of the illumination for a pixel of the phase to be shown."""


@style()
def draw_virtual(results: Results, virtual: VirtualImages) -> Figure:
    """Every virtual detector, the integrated centre of mass and the phase, over the scanned area.

    The virtual images are recorded on the scan's raster; they are drawn in the object's frame,
    each scan position as the cell around it.

    Raises
    ------
    ValueError : the results are of no raster.
    """
    if results.scan_shape is None:
        raise ValueError("virtual images need a raster scan")
    area = scanned_area(results)
    phase = results.phase.sum(axis=1).mean(axis=0)[area]
    shown = np.where(well_lit(results, _SHOWN)[area], phase, np.nan)
    lit = well_lit(results)[area]
    window = np.array(results.probe.shape[-2:], np.float64)
    field = virtual.centre_of_mass / window[:, None, None]  # cycles per object pixel
    basis, origin = raster_basis(window_centres(results), results.scan_shape)
    panels = {
        **virtual.detectors,
        "iCoM": remove_plane(integrate_gradient(field, basis)),
    }
    scale = object_scale(results)
    count = len(panels) + 1
    width = PAGE / count
    height = width * float(np.clip(scale.height_over_width(phase.shape), 0.3, 3.0))
    figure = new_figure(PAGE, height + 0.3)
    axes = figure.subplots(1, count, squeeze=False)[0]
    corner = np.array([area[0].start, area[1].start])
    for panel, (name, image) in zip(axes[:-1], panels.items(), strict=True):
        _draw_raster(panel, image, basis, origin - corner)
        _frame(panel, phase.shape, scale.aspect)
        panel.set_title(name)
    low, high = robust_limits(phase[lit])
    axes[-1].imshow(shown, cmap="gray", vmin=low, vmax=high, aspect=scale.aspect)
    _frame(axes[-1], phase.shape, scale.aspect)
    axes[-1].set_title("phase")
    add_scale_bar(axes[0], phase.shape, scale, share=0.6)
    return figure


def _draw_raster(
    axes: Axes, image: NDArray[np.float64], basis: NDArray[np.float64], origin: NDArray[np.float64]
) -> None:
    """An image [slow, fast] whose pixel n lies at ``origin + basis n``."""
    low, high = robust_limits(image)
    drawn = axes.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    # Affine2D takes (x, y): x is the fast index, y the slow one.
    matrix = np.array(
        [
            [basis[1, 1], basis[1, 0], origin[1]],
            [basis[0, 1], basis[0, 0], origin[0]],
            [0.0, 0.0, 1.0],
        ]
    )
    drawn.set_transform(Affine2D(matrix) + axes.transData)


def _frame(axes: Axes, shape: tuple[int, ...], aspect: float) -> None:
    axes.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5), aspect=aspect)
    axes.set_facecolor(MASKED)
    hide_ticks(axes)
