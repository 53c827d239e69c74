"""Figures of a search by trials: what it found when, and where."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fastpty.figures.common import COLUMN, PAGE, new_figure, style

__all__ = ["SearchView", "draw_history", "draw_landscape", "draw_slices"]

_LABELS = {
    "loss": "loss",
    "r_factor": "R factor",
    "free_r_factor": "free R factor",
    "frc": "area of the FRC",
    "contrast": "contrast (rad)",
}
_TYPICAL, _ROOM = 0.85, 3.0
"""A scale of the objective reaches three times as far from the best as this part of the trials:
those far off would leave nothing to be seen of the others."""


@dataclass(frozen=True)
class SearchView:
    """Trials in the order in which they began.

    Parameters
    ----------
    objective : its name in the study; ``more_is_better`` says which way it is sought.
    number : of each trial.
    value : the objective; NaN where a trial has none.
    given_up : trials that were pruned.
    fields : field -> its value in each trial, numbers or anything else.
    logarithmic : fields on a logarithmic scale.
    importances : field -> share; may be empty.
    """

    objective: str
    more_is_better: bool
    number: Sequence[int]
    value: Sequence[float]
    given_up: Sequence[bool]
    fields: Mapping[str, Sequence[Any]]
    logarithmic: frozenset[str]
    importances: Mapping[str, float]

    @property
    def label(self) -> str:
        return _LABELS[self.objective]

    @property
    def values(self) -> NDArray[np.float64]:
        return np.asarray(self.value, np.float64)

    @property
    def best(self) -> int:
        """Place of the best trial."""
        values = self.values
        return int(np.nanargmax(values) if self.more_is_better else np.nanargmin(values))

    def limits(self) -> tuple[float, float]:
        """Of the objective's axis."""
        values = np.sort(self.values[np.isfinite(self.values)])
        if self.more_is_better:
            values = -values[::-1]
        typical = values[min(max(1, int(_TYPICAL * (values.size - 1))), values.size - 1)]
        last = values[values <= values[0] + _ROOM * (typical - values[0])][-1]
        room = 0.08 * (last - values[0]) or 0.05 * abs(values[0]) or 1.0
        low, high = float(values[0] - room), float(last + room)
        return (-high, -low) if self.more_is_better else (low, high)


@style()
def draw_history(view: SearchView) -> Figure:
    """The objective of each trial, and the best so far. A mark on the frame is a trial beyond it,
    or one that failed or was pruned."""
    figure = new_figure(COLUMN, 2.5)
    axes = figure.subplots()
    number, values = np.asarray(view.number), view.values
    complete = np.isfinite(values)
    axes.plot(number[complete], values[complete], "o", markersize=3, label="trial")
    _mark_others(axes, view)
    best = np.fmax if view.more_is_better else np.fmin
    so_far = best.accumulate(values)
    known = np.isfinite(so_far)
    axes.step(number[known], so_far[known], where="post", label="best so far")
    axes.set_ylim(view.limits())
    axes.set_xlabel("trial")
    axes.set_ylabel(view.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(True, linewidth=0.3, color="0.85")
    axes.legend()
    return figure


def _mark_others(axes: Axes, view: SearchView) -> None:
    number, values = np.asarray(view.number), view.values
    given_up = np.asarray(view.given_up, bool)
    low, high = view.limits()
    beyond = (values < low) | (values > high)
    worst = 0.0 if view.more_is_better else 1.0
    for chosen, marker, label in (
        (beyond, "^", "beyond the axis"),
        (given_up, "x", "pruned"),
        (~np.isfinite(values) & ~given_up, "s", "failed"),
    ):
        if chosen.any():
            axes.plot(
                number[chosen],
                np.full(chosen.sum(), worst),
                marker,
                markersize=3.5,
                color="0.5",
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                label=label,
            )


@style()
def draw_slices(view: SearchView) -> Figure:
    """The objective against each field; later trials are darker, the best is ringed. Above each
    the share of what the objective varies by that is the field's."""
    count = len(view.fields)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = new_figure(PAGE * columns / 3, 0.3 + 2.0 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for axes, (name, given) in zip(panels.flat, view.fields.items(), strict=False):
        places = _places(axes, given)
        axes.scatter(places, view.values, c=view.number, cmap="Blues", s=12, vmin=-len(places))
        best = view.best
        axes.plot(
            places[best], view.values[best], "o", markersize=8, fillstyle="none", color="#D55E00"
        )
        if name in view.logarithmic:
            axes.set_xscale("log")
        axes.set_ylim(view.limits())
        axes.set_xlabel(name)
        axes.grid(True, linewidth=0.3, color="0.85")
        share = view.importances.get(name, math.nan)
        if math.isfinite(share):
            axes.set_title(f"importance {100 * share:.0f} %")
    for axes in panels[:, 0]:
        axes.set_ylabel(view.label)
    for axes in panels.flat[count:]:
        axes.set_axis_off()
    return figure


def _places(axes: Axes, given: Sequence[Any]) -> NDArray[np.float64]:
    """Where values stand: themselves if they are numbers, else one beside the other."""
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in given):
        return np.asarray(given, np.float64)
    texts = [str(value) for value in given]
    known = list(dict.fromkeys(texts))
    axes.set_xticks(range(len(known)), known)
    return np.asarray([known.index(text) for text in texts], np.float64)


@style()
def draw_landscape(view: SearchView, x: str, y: str) -> Figure:
    """The objective over two fields whose values are numbers. Between trials it is drawn on
    straight lines, whatever the other fields were."""
    figure = new_figure(COLUMN, 2.9)
    axes = figure.subplots()
    across, up = (np.asarray(view.fields[name], np.float64) for name in (x, y))
    values, (low, high) = view.values, view.limits()
    known = np.isfinite(values)
    cmap = "viridis" if view.more_is_better else "viridis_r"
    x_known, y_known, shown = across[known], up[known], np.clip(values[known], low, high)
    for name, set_scale in ((x, axes.set_xscale), (y, axes.set_yscale)):
        if name in view.logarithmic:
            set_scale("log")
    if _spreads(x_known, y_known):
        levels = np.linspace(low, high, 13)
        axes.tricontourf(x_known, y_known, shown, levels=levels, alpha=0.6, cmap=cmap)
    points = axes.scatter(
        x_known, y_known, c=shown, s=14, edgecolors="black", linewidths=0.4, cmap=cmap
    )
    points.set_clim(low, high)
    best = view.best
    axes.plot(across[best], up[best], "o", markersize=9, fillstyle="none", color="#D55E00")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    figure.colorbar(points, ax=axes, label=view.label, extend="both")
    return figure


def _spreads(x: NDArray[np.float64], y: NDArray[np.float64]) -> bool:
    """Whether points span triangles: not all on one line."""
    points = np.unique(np.stack([x, y], axis=1), axis=0)
    if len(points) < 4:
        return False
    span = np.ptp(points, axis=0)
    scaled = (points - points.mean(axis=0)) / np.where(span > 0, span, 1)
    return bool(np.linalg.matrix_rank(scaled, tol=1e-6) == 2)
