"""The distance of the slices over the iterations."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import COLUMN, PAGE, new_figure, plot_per_iteration, style
from fastpty.figures.loss import mark_stages
from fastpty.results import Results

__all__ = ["draw_thickness"]


@style()
def draw_thickness(results: Results) -> Figure:
    """The distance from slice to slice after each iteration, and the sum of all distances.

    Where each gap has a thickness of its own, curves are coloured from the first gap to the last.

    Raises
    ------
    ValueError : the thickness was fixed.
    """
    if "thickness" not in results.history.unknowns:
        raise ValueError("the thickness was fixed")
    gaps = np.array(results.history.unknowns["thickness"], np.float64)
    count = results.phase.shape[1] - 1
    total = gaps[:, 0] * count if gaps.shape[1] == 1 else gaps.sum(axis=1)
    figure = new_figure(PAGE, 0.7 * COLUMN)
    each, whole = figure.subplots(1, 2)
    colours = _draw_gaps(each, gaps)
    plot_per_iteration(whole, total)
    each.set_ylabel("distance of slices (Å)" if len(colours) == 1 else "thickness of each gap (Å)")
    whole.set_ylabel(f"sum of {count} gap{'s' * (count > 1)} (Å)")
    whole.set_title(f"{total[-1]:.4g} Å after {len(total)} iterations", loc="left")
    for axes in (each, whole):
        # An offset on the axis hides how large the thickness is.
        axes.ticklabel_format(axis="y", useOffset=False)
    mark_stages(figure.axes, results)
    if len(colours) > 1:  # after the stages, which belong in no colour bar
        norm = BoundaryNorm(np.arange(len(colours) + 1) + 0.5, len(colours))
        bar = figure.colorbar(
            ScalarMappable(norm, ListedColormap(colours)),
            ax=each,
            label="gap",
            pad=0.02,
        )
        bar.set_ticks(np.unique(np.linspace(1, len(colours), 6).round()).tolist())
        bar.minorticks_off()
        bar.ax.invert_yaxis()  # the first gap on top, as the beam meets it
    return figure


def _draw_gaps(axes: Axes, gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve for each column of [iterations, n]; their colours [n, 4]."""
    count = gaps.shape[1]
    shades = colormaps["viridis"](np.linspace(0, 0.9, count)) if count > 1 else np.zeros((1, 4))
    shades[:, 3] = 1
    axes.set_prop_cycle(color=shades)
    for column in gaps.T:
        plot_per_iteration(axes, column, width=1.0)
    return np.asarray(shades, np.float64)
