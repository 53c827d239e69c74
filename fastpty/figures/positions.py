"""Scan positions before and after refinement."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import (
    PAGE,
    ROUNDING,
    Scale,
    new_figure,
    object_scale,
    plot_per_iteration,
    round_length,
    style,
)
from fastpty.figures.crop import window_centres
from fastpty.figures.loss import mark_stages
from fastpty.metrics import displacement
from fastpty.results import Results

__all__ = ["draw_positions"]

_DRAWN = 1100
"""Positions drawn at most; of a denser scan every so many rows and columns are taken."""
_VISIBLE = 1.5
"""Length of a typical arrow, in distances between the drawn positions, once exaggerated."""
_FRAME = 0.6
"""Shortest side of the frame over its longest, for scans that are long and thin."""


@style()
def draw_positions(results: Results) -> Figure:
    """Start and final window centres, with the displacement as arrows.

    Arrows that would be too short to see are drawn longer by a round factor, which the figure
    names; the dots are always where the positions are. The numbers are over all positions, even
    if a dense scan is drawn thinned. If the history has them, mean, RMS and largest displacement
    after each iteration are beside it.
    """
    history = np.array(results.history.displacement, dtype=np.float64)
    if np.any(history > ROUNDING):
        figure = new_figure(PAGE, 3.9)
        scan, curve = figure.subplots(1, 2, width_ratios=(1.3, 1))
        _draw_history(curve, results)
    else:
        figure = new_figure(4.2, 3.9)
        scan = figure.subplots()
    _draw_scan(scan, results)
    figure.legend(
        *scan.get_legend_handles_labels(), loc="outside lower center", ncols=2, markerscale=2
    )
    return figure


def _draw_history(axes: Axes, results: Results) -> None:
    history = results.history
    curves = {"mean": history.displacement, **history.positions}
    names = {"rms": "RMS"}
    for name, values in curves.items():
        label = names.get(name, name)
        plot_per_iteration(axes, np.array(values, np.float64), label=label, width=1.2)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("displacement (px)")
    axes.legend(loc="upper left")
    mark_stages([axes], results)


def _draw_scan(axes: Axes, results: Results) -> None:
    scale = object_scale(results)
    step = np.array(scale.step)
    axes.set_aspect("equal")
    axes.set_xlabel(f"x ({scale.unit})")
    axes.set_ylabel(f"y ({scale.unit})")

    pixels = results.positions - results.positions_start
    distance = np.hypot(pixels[:, 0], pixels[:, 1])
    finite = np.isfinite(distance)
    shown = _thinned(len(pixels), results.scan_shape)
    shown = shown[finite[shown]]
    if len(shown) == 0:
        axes.set_title("No finite position to draw", loc="left")
        return

    largest = float(distance[finite].max())
    end, moved = window_centres(results)[shown] * step, pixels[shown] * step
    start = end - moved
    for place, colour, area, label in (
        (start, "0.6", 5.0, "start"),
        (end, "#D55E00", 2.0, "final"),
    ):
        axes.scatter(place[:, 1], place[:, 0], s=area, color=colour, linewidths=0, label=label)
    lines = ["Positions were not moved"]
    if largest > ROUNDING:
        lines = ["Displacement", *_statistics(results, finite, scale)]
        factor = _exaggeration(start, moved)
        arrows = axes.quiver(
            start[:, 1],
            start[:, 0],
            factor * moved[:, 1],
            factor * moved[:, 0],
            distance[shown],
            angles="xy",
            scale_units="xy",
            scale=1,
            clim=(0, largest),
            cmap="viridis",
            width=0.004,
        )
        label = "displacement (px)" if factor == 1 else f"displacement (px), arrows {factor:g} ×"
        axes.figure.colorbar(arrows, ax=axes, label=label, pad=0.02)
    if len(shown) < len(pixels):
        lines[0] += f" ({len(shown)} of {len(pixels)} positions drawn)"
    axes.set_title("\n".join(lines), loc="left")
    (top, left), (bottom, right) = _frame(np.concatenate([start, end]))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)


def _frame(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """First and last corner (y, x) of a frame around ``points`` [n, 2], not too thin to read."""
    low, high = points.min(axis=0), points.max(axis=0)
    side = 1.12 * (high - low)
    side = np.maximum(side, _FRAME * side.max()) if side.any() else np.ones(2)
    middle = (low + high) / 2
    return middle - side / 2, middle + side / 2


def _statistics(results: Results, finite: NDArray[np.bool_], scale: Scale) -> list[str]:
    """One line in px and, if the pixel's size is known, one in Angstrom."""
    end, start = results.positions[finite], results.positions_start[finite]
    lines = []
    for step, unit in dict.fromkeys([((1.0, 1.0), "px"), (scale.step, scale.unit)]):
        mean, rms, largest = displacement(end * step, start * step)
        lines.append(f"mean {mean:.3g}, RMS {rms:.3g}, max {largest:.3g} {unit}")
    return lines


def _thinned(count: int, scan_shape: tuple[int, int] | None) -> NDArray[np.intp]:
    """Indices of the positions to draw."""
    if count <= _DRAWN:
        return np.arange(count)
    if scan_shape is None:
        return np.arange(0, count, math.ceil(count / _DRAWN))
    stride = math.ceil(math.sqrt(count / _DRAWN))
    return np.arange(count).reshape(scan_shape)[::stride, ::stride].ravel()


def _exaggeration(start: NDArray[np.float64], moved: NDArray[np.float64]) -> float:
    """Round factor, 1 or more, that makes a typical arrow about as long as the dots are apart."""
    extent = np.ptp(start, axis=0)
    # The second term is for scans along a line, whose box has no area.
    apart = max(math.sqrt(extent[0] * extent[1] / len(start)), extent.max() / len(start))
    typical = float(np.quantile(np.hypot(moved[:, 0], moved[:, 1]), 0.9))
    return max(1.0, round_length(_VISIBLE * apart / typical)) if apart * typical > 0 else 1.0
