"""Virtual detectors beside the reconstructed phase, in one frame and at one scale."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from fastpty.figures.common import (
    MASKED,
    PAGE,
    add_colour_wheel,
    add_scale_bar,
    complex_to_rgb,
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

_IN_A_ROW = 5
_SHOWN = 0.2
"""Least share of the illumination for a pixel of the phase to be shown."""


@style()
def draw_virtual(results: Results, virtual: VirtualImages) -> Figure:
    """What was recorded, seen in other ways, beside the phase; over the scanned area.

    Every virtual detector; the deflection of the beam (DPC), its direction as hue and its size as
    brightness; its integral (iCoM); the parallax-corrected bright field; the phase. All but the
    last are on the scan's raster; they are drawn in the object's frame, each scan position as the
    cell around it.

    Raises
    ------
    ValueError : the results are of no raster.
    """
    if results.scan_shape is None:
        raise ValueError("virtual images need a raster scan")
    area = scanned_area(results)
    phase = results.mean_over_modes(results.phase).sum(axis=0)[area]
    shown = np.where(well_lit(results, _SHOWN)[area], phase, np.nan)
    lit = well_lit(results)[area]
    window = np.array(results.probe.shape[-2:], np.float64)
    field = virtual.centre_of_mass / window[:, None, None]  # cycles per object pixel
    basis, origin = raster_basis(window_centres(results), results.scan_shape)
    panels: dict[str, NDArray[np.floating]] = {
        **virtual.detectors,
        "DPC": _deflection(results, field),
        "iCoM": remove_plane(integrate_gradient(field, basis)),
    }
    if virtual.parallax is not None:
        panels["parallax"] = virtual.parallax
    scale = object_scale(results)
    count = len(panels) + 1
    rows = 1 if count <= _IN_A_ROW else 2
    columns = math.ceil(count / rows)
    height = PAGE / columns * float(np.clip(scale.height_over_width(phase.shape), 0.3, 3.0))
    figure = new_figure(PAGE, rows * (height + 0.25))
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    corner = np.array([area[0].start, area[1].start])
    for panel, (name, image) in zip(axes, panels.items(), strict=False):
        _draw_raster(panel, image, basis, origin - corner)
        _frame(panel, phase.shape, scale.aspect)
        panel.set_title(name)
        if name == "DPC":
            add_colour_wheel(panel.inset_axes((0.76, 0.04, 0.2, 0.2)), labels=False)
    low, high = robust_limits(phase[lit])
    last = axes[count - 1]
    last.imshow(shown, cmap="gray", vmin=low, vmax=high, aspect=scale.aspect)
    _frame(last, phase.shape, scale.aspect)
    last.set_title("phase")
    for panel in axes[count:]:
        panel.set_axis_off()
    add_scale_bar(axes[0], phase.shape, scale, share=0.6)
    return figure


def _deflection(results: Results, field: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours [slow, fast, 3] of the deflection less its mean, as the wheel has its directions: up
    is towards lower y."""
    pixel = np.reshape(results.pixel_size or (1.0, 1.0), (2, 1, 1))
    y, x = (field - field.mean(axis=(1, 2), keepdims=True)) / pixel
    wave = x - 1j * y
    return complex_to_rgb(wave, float(np.quantile(np.abs(wave), 0.99)) or 1.0)


def _draw_raster(
    axes: Axes, image: NDArray[np.floating], basis: NDArray[np.float64], origin: NDArray[np.float64]
) -> None:
    """An image [slow, fast], or its colours, whose pixel n lies at ``origin + basis n``."""
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
