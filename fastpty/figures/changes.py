"""By how much the unknowns changed in each iteration."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from fastpty.figures.common import COLUMN, ROUNDING, new_figure, plot_per_iteration, style
from fastpty.figures.loss import mark_stages
from fastpty.results import Results

__all__ = ["draw_changes"]


@style()
def draw_changes(results: Results) -> Figure:
    """The change of each unknown in each iteration, relative to its size; of positions in px.

    The axis is logarithmic; iterations in which an unknown did not move are gaps. Dotted
    lines stand where a stage begins.

    Raises
    ------
    ValueError : the history holds no change.
    """
    changes = results.history.change
    if not changes:
        raise ValueError("the history does not say how far unknowns moved")
    figure = new_figure(COLUMN, 2.9)
    axes = figure.subplots()
    for name, values in changes.items():
        moved = np.array(values, dtype=np.float64)
        moved[moved < ROUNDING] = np.nan
        if np.isfinite(moved).any():
            label = "positions (px)" if name == "positions" else name
            plot_per_iteration(axes, moved, label=label, width=1.0)
    axes.set_yscale("log")
    axes.set_ylabel("change in an iteration")
    handles, labels = axes.get_legend_handles_labels()
    if labels:  # below, where it covers no curve
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    mark_stages(figure.axes, results)
    return figure
