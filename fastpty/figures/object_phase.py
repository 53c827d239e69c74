"""The object's phase: summed over the slices, and slice by slice."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import (
    COLUMN,
    MASKED,
    PAGE,
    add_scale_bar,
    grid_columns,
    hide_ticks,
    new_figure,
    object_scale,
    robust_limits,
    style,
)
from fastpty.figures.crop import scanned_area, well_lit
from fastpty.results import Results

__all__ = [
    "draw_phase_sum",
    "draw_slices",
    "shown_area",
    "shown_modes",
    "shown_slices",
    "slice_label",
]

_COLOURS = "gray"
_THINNEST = 8
"""A scanned area with a side below this many px, as from a scan along a line, is not cropped to."""
_SHOWN = 0.2
"""Least share of the illumination for a pixel to be shown: a scan's own corners have 0.25."""


@style()
def draw_phase_sum(results: Results) -> Figure:
    """Phase summed over the slices and averaged over the object modes, in the scanned area."""
    slices, lit = shown_slices(results)
    phase = slices.sum(axis=0)
    scale = object_scale(results)
    aspect = scale.height_over_width(phase.shape)
    figure = new_figure(COLUMN, float(np.clip((COLUMN - 0.6) * aspect, 0.8, 6.0)) + 0.25)
    axes = figure.subplots()
    low, high = robust_limits(phase[lit])
    axes.set_facecolor(MASKED)
    image = axes.imshow(phase, cmap=_COLOURS, vmin=low, vmax=high, aspect=scale.aspect)
    hide_ticks(axes)
    add_scale_bar(axes, phase.shape, scale)
    count = results.phase.shape[1]
    axes.set_title("Phase" if count == 1 else f"Phase, sum over {count} slices")
    figure.colorbar(image, ax=axes, label="phase (rad)", pad=0.02)
    return figure


@style()
def draw_slices(results: Results) -> Figure:
    """Phase of every slice, averaged over the object modes, in the scanned area.

    All slices share one colour scale. The label is the depth of the slice below the entrance
    surface, or its number in pixel units.
    """
    slices, lit = shown_slices(results)
    count, *shape = slices.shape
    scale = object_scale(results)
    aspect = float(np.clip(scale.height_over_width(tuple(shape)), 0.2, 3.0))
    columns = grid_columns(count, aspect)
    rows = math.ceil(count / columns)
    panel = min(2.0, (PAGE - 0.7) / columns)
    figure = new_figure(columns * panel + 0.7, rows * (panel * aspect + 0.2) + 0.1)
    axes = figure.subplots(rows, columns, squeeze=False)
    low, high = robust_limits(slices[:, lit])
    for z, panel_axes in enumerate(axes.flat):
        if z >= count:
            panel_axes.set_axis_off()
            continue
        panel_axes.set_facecolor(MASKED)
        panel_axes.imshow(slices[z], cmap=_COLOURS, vmin=low, vmax=high, aspect=scale.aspect)
        hide_ticks(panel_axes)
        panel_axes.set_title(slice_label(z, results.gaps), pad=2)
    add_scale_bar(axes[0, 0], tuple(shape), scale)
    figure.colorbar(
        axes[0, 0].images[0],
        ax=axes,
        label="phase (rad)",
        pad=0.02,
        aspect=8 * rows * panel * aspect,
    )
    return figure


def shown_slices(
    results: Results, of: str = "phase"
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """(phase of each slice [Nz, Y, X] rad, where it is well lit [Y, X]) in the shown area.

    The phase is averaged over the object modes, and NaN where the scan hardly reached: nothing
    was measured there, and what a fit leaves there would only draw the eye.

    Parameters
    ----------
    of : ``phase`` or ``amplitude``.
    """
    volume = results.phase if of == "phase" else results.amplitude
    return _shown(results, results.mean_over_modes, volume)


def shown_modes(results: Results) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The same of the phase of each object mode, summed over the slices [No, Y, X] rad."""
    return _shown(results, lambda volume: volume.sum(axis=1, dtype=np.float64), results.phase)


def _shown(
    results: Results,
    reduced: Callable[[NDArray[np.float32]], NDArray[np.float64]],
    volume: NDArray[np.float32],
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    area = shown_area(results)
    values = reduced(volume[:, :, area[0], area[1]])
    return (
        np.where(well_lit(results, _SHOWN)[area], values, np.nan),
        well_lit(results)[area],
    )


def shown_area(results: Results) -> tuple[slice, slice]:
    """(y, x) slices of the object: the scanned area, or all of it where that is thin."""
    area = scanned_area(results)
    if min(part.stop - part.start for part in area) < _THINNEST:
        height, width = results.phase.shape[-2:]
        return slice(0, height), slice(0, width)
    return area


def slice_label(z: int, gaps: NDArray[np.float64] | None) -> str:
    """Depth of slice ``z`` below the entrance surface, or its number where no lengths are known.

    Parameters
    ----------
    gaps : [Nz - 1] Angstrom from slice to slice.
    """
    if gaps is None:
        return f"slice {z + 1}"
    return f"z = {gaps[:z].sum():.4g} Å"
