"""Tilt, occupancy and aberrations over the iterations, and the tilt over the scan."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import (
    COLUMN,
    PAGE,
    new_figure,
    plot_per_iteration,
    robust_limits,
    style,
)
from fastpty.results import Results

__all__ = ["UNKNOWNS", "draw_tilt", "draw_unknowns"]

UNKNOWNS = {
    "tilt": "tilt (mrad)",
    "occupancy": "occupancy",
    "aberrations": "aberrations (Å)",
}
"""Labels of what :func:`draw_unknowns` draws, by their names in the history."""
_NAMED = 8
"""Curves of a panel that a legend can name."""


@style()
def draw_unknowns(results: Results) -> Figure:
    """A panel for each of tilt, occupancy and aberrations that was free.

    Where each position has its own tilt, the curve is the mean over them, and the band its standard
    deviation.

    Raises
    ------
    ValueError : none was free.
    """
    history = {name: np.array(values) for name, values in results.history.unknowns.items()}
    drawn = [name for name in UNKNOWNS if name in history]
    if not drawn:
        raise ValueError("none of tilt, occupancy and aberrations was free")
    columns = min(2, len(drawn))
    rows = math.ceil(len(drawn) / columns)
    figure = new_figure(columns * COLUMN, 2.3 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, name in zip(panels, drawn, strict=False):
        names = _names(results, name, history[name].shape[1])
        _draw_curves(axes, history[name], names, history.get(f"{name}_spread"))
        axes.set_ylabel(UNKNOWNS[name])
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()
    return figure


def _names(results: Results, unknown: str, count: int) -> list[str]:
    if unknown == "tilt":
        return ["y", "x"]
    if unknown == "aberrations":
        return list(results.aberrations)
    return [f"mode {i + 1}" for i in range(count)]


def _draw_curves(
    axes: Axes,
    values: NDArray[np.float64],
    names: list[str],
    spread: NDArray[np.float64] | None,
) -> None:
    """Columns of [iterations, n], each within a band of its spread."""
    iteration = np.arange(1, len(values) + 1)
    for i, name in enumerate(names):
        colour = plot_per_iteration(axes, values[:, i], label=name, width=1.0)
        if spread is not None:
            low, high = values[:, i] - spread[:, i], values[:, i] + spread[:, i]
            axes.fill_between(iteration, low, high, color=colour, alpha=0.15, linewidth=0)
    if len(names) <= _NAMED:
        axes.legend()


@style()
def draw_tilt(results: Results) -> Figure:
    """The tilt at each position of a raster, its y and its x part on a scale of their own.

    Raises
    ------
    ValueError : there is no raster with a tilt for each position.
    """
    shape = results.scan_shape
    if shape is None or len(results.tilt) != shape[0] * shape[1]:
        raise ValueError("there is no raster with a tilt for each position")
    figure = new_figure(PAGE, float(np.clip(PAGE / 2 * shape[0] / shape[1], 1.2, 5.0)) + 0.4)
    for i, (axes, name) in enumerate(zip(figure.subplots(1, 2), "yx", strict=True)):
        part = results.tilt[:, i].reshape(shape)
        low, high = robust_limits(part)
        image = axes.imshow(part, cmap="viridis", vmin=low, vmax=high)
        mean = f"{part.mean():.3g}".replace("-", "−")
        axes.set_title(f"Tilt {name}: {mean} ± {part.std():.3g} mrad", loc="left")
        axes.set_xlabel("fast scan axis")
        axes.set_ylabel("slow scan axis")
        figure.colorbar(image, ax=axes, label="mrad", pad=0.02)
    return figure
