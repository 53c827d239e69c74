"""Figures of an ablation: numbers against what was varied, and the objects beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import (
    PAGE,
    Scale,
    add_scale_bar,
    grid_columns,
    hide_ticks,
    new_figure,
    robust_limits,
    style,
)

__all__ = ["AblationView", "draw_heat_maps", "draw_objects", "draw_panels"]

_ROWS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("R factor", (("r_factor", "fitted"), ("free_r_factor", "left out"))),
    ("free −log\nlikelihood", (("free_nll", ""),)),
    ("FRC area", (("frc", ""),)),
    ("correlation\nwith the truth", (("truth_correlation", ""),)),
)
"""What a row of panels shows: its label, and the numbers with their names in the legend."""


_LARGEST = 2.3
"""Width of an image among others, inches."""


@dataclass(frozen=True)
class AblationView:
    """Runs that are complete.

    Parameters
    ----------
    factors : what was varied -> its values, as texts, in their order.
    runs : the values of a run by what was varied, and its numbers.
    """

    factors: Mapping[str, Sequence[str]]
    runs: Sequence[tuple[Mapping[str, str], Mapping[str, float | None]]]

    def of(self, number: str, levels: Mapping[str, str]) -> NDArray[np.float64]:
        """[K] a number in all runs of these levels that have it."""
        found = [
            value
            for given, numbers in self.runs
            if all(given.get(name) == label for name, label in levels.items())
            and (value := numbers.get(number)) is not None
        ]
        return np.asarray(found, np.float64)

    def has(self, number: str) -> bool:
        return any(numbers.get(number) is not None for _, numbers in self.runs)


@style()
def draw_panels(view: AblationView) -> Figure:
    """A column for each thing that was varied: mean and range over its runs, seeds and whatever
    else was varied with it. R factors of fitted and left-out patterns are in the first row."""
    rows = [row for row in _ROWS if any(view.has(name) for name, _ in row[1])]
    columns = len(view.factors)
    width = PAGE * max(columns, 2) / max(columns, 3)
    figure = new_figure(width, 0.4 + 1.7 * len(rows))
    panels = figure.subplots(len(rows), columns, squeeze=False, sharex="col", sharey="row")
    for row, (label, numbers) in enumerate(rows):
        for column, (name, levels) in enumerate(view.factors.items()):
            axes = panels[row, column]
            for number, of in numbers:
                if view.has(number):
                    _plot(axes, [view.of(number, {name: level}) for level in levels], of)
            axes.grid(True, linewidth=0.3, color="0.85")
            axes.set_xticks(range(len(levels)), levels)
            _slant(axes, levels)
            if row == len(rows) - 1:
                axes.set_xlabel(name)
        panels[row, 0].set_ylabel(label)
        if len(numbers) > 1 and panels[row, 0].get_legend_handles_labels()[1]:
            panels[row, 0].legend()
    return figure


def _plot(axes: Axes, groups: Sequence[NDArray[np.float64]], label: str) -> None:
    """Means with their ranges; a level without a run is a gap."""
    known = [place for place, group in enumerate(groups) if group.size]
    mean = np.array([groups[place].mean() for place in known])
    below = mean - [groups[place].min() for place in known]
    above = np.array([groups[place].max() for place in known]) - mean
    axes.errorbar(
        known, mean, (below, above), marker="o", markersize=3.5, capsize=2, label=label or None
    )


def _slant(axes: Axes, labels: Sequence[str]) -> None:
    """Labels that would run into each other."""
    if sum(map(len, labels)) > 24:
        axes.tick_params(axis="x", labelrotation=30)


@style()
def draw_heat_maps(view: AblationView) -> Figure:
    """Of two things varied together: the mean of each number over the seeds. The one with the
    longer names goes down, the other across; empty cells are combinations that failed."""
    # Long names have room beside the rows.
    (across, columns), (down, rows) = sorted(
        view.factors.items(), key=lambda factor: sum(map(len, factor[1]))
    )
    shown = [
        (number, f"{label}\n{of}".strip())
        for label, numbers in _ROWS
        for number, of in numbers
        if view.has(number)
    ]
    figure = new_figure(PAGE * max(len(shown), 3) / 4, 0.7 + 0.3 * len(rows))
    for axes, (number, label) in zip(
        figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True
    ):
        means = np.full((len(rows), len(columns)), np.nan)
        for row, column in np.ndindex(*means.shape):
            cell = view.of(number, {down: rows[row], across: columns[column]})
            if cell.size:
                means[row, column] = cell.mean()
        smaller = number in ("r_factor", "free_r_factor", "free_nll")
        image = axes.imshow(means, cmap="viridis" + "_r" * smaller, aspect="auto")
        for (row, column), value in np.ndenumerate(means):
            if np.isfinite(value):
                dark = sum(image.cmap(image.norm(value))[:3]) < 1.5
                colour = "white" if dark else "black"
                axes.text(column, row, f"{value:.3f}", ha="center", va="center", color=colour)
        axes.set_xticks(range(len(columns)), columns)
        axes.set_yticks(range(len(rows)), rows if axes is figure.axes[0] else [])
        _slant(axes, columns)
        axes.set_xlabel(across)
        axes.set_title(label)
    figure.axes[0].set_ylabel(down)
    return figure


@style()
def draw_objects(images: Mapping[str, tuple[NDArray[Any], NDArray[Any]]]) -> Figure:
    """z-summed phases by their titles, each with the grey levels of its own range.

    Parameters
    ----------
    images : title -> image [Y, X] and its pixel (dy, dx) in Angstrom, NaN if it has none.
    """
    first, _ = next(iter(images.values()))
    aspect = first.shape[0] / first.shape[1]
    columns = grid_columns(len(images), aspect)
    rows = -(-len(images) // columns)
    side = min(PAGE / columns, _LARGEST)
    figure = new_figure(columns * side, rows * (side * aspect + 0.3))
    panels = figure.subplots(rows, columns, squeeze=False)
    for number, (axes, (title, (image, pixel))) in enumerate(
        zip(panels.flat, images.items(), strict=False)
    ):
        low, high = robust_limits(image)
        has_unit = bool(np.isfinite(pixel).all())
        step = (float(pixel[0]), float(pixel[1])) if has_unit else (1.0, 1.0)
        scale = Scale(step, "Å" if has_unit else "px")
        axes.imshow(image, cmap="gray", vmin=low, vmax=high, aspect=scale.aspect)
        axes.set_title(title)
        hide_ticks(axes)
        if number == 0:
            add_scale_bar(axes, image.shape, scale)
    for axes in panels.flat[len(images) :]:
        axes.set_axis_off()
    return figure
