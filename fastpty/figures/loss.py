"""Loss against iteration."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from fastpty.figures.common import COLUMN, new_figure, plot_per_iteration, style
from fastpty.results import Results

__all__ = ["draw_loss", "format_seconds", "mark_stages"]

_LOG_RANGE = 10.0
"""A range of values from this factor on is drawn on a logarithmic axis."""


@style()
def draw_loss(results: Results) -> Figure:
    """The total loss and each weighted term, with the time that it took.

    The axis is logarithmic if no value is negative and they span a decade or more. A term that
    is the whole loss, or zero throughout, has no curve of its own. Learning rates that a schedule
    changes are drawn below, relative to their highest. Dotted lines stand where a stage begins.

    Raises
    ------
    ValueError : the history is empty.
    """
    history = results.history
    total = np.array(history.loss, dtype=np.float64)
    if total.size == 0:
        raise ValueError("the history holds no iteration, so there is no loss to draw")
    terms = {name: np.array(values, dtype=np.float64) for name, values in history.terms.items()}
    terms = {
        name: values
        for name, values in terms.items()
        if np.any(values != 0) and not np.array_equal(values, total, equal_nan=True)
    }

    rates = _changing_rates(history.lr)
    figure = new_figure(COLUMN, 3.5 if rates else 2.5)
    if rates:
        axes, below = figure.subplots(2, 1, height_ratios=[3, 1])
        _draw_rates(below, rates)
    else:
        axes = figure.subplots()
    # The terms lie on top of the total, which would hide a term that is nearly all of it.
    plot_per_iteration(axes, total, label="total", width=2.0)
    for name, values in terms.items():
        plot_per_iteration(axes, values, label=name, width=1.0)
    if _wants_log([total, *terms.values()]):
        axes.set_yscale("log", nonpositive="mask")
    axes.set_ylabel("loss")
    mark_stages(figure.axes, results)
    if terms:
        axes.legend()
    axes.set_title(_title(total, history.seconds), loc="left")
    return figure


def mark_stages(panels: Sequence[Axes], results: Results) -> None:
    """Where a stage begins, in panels with iterations as x; its name is in the first."""
    plan = results.config.get("plan") or []
    stages = np.asarray(results.history.stage)
    top = panels[0]
    for place in np.flatnonzero(np.diff(stages)):
        number = int(stages[place + 1])
        name = plan[number].get("name") if number < len(plan) else None
        for axes in panels:
            axes.axvline(place + 1.5, color="0.6", linewidth=0.8, linestyle=":")
        top.annotate(
            name or f"stage {number + 1}",
            (place + 1.5, 1),
            xycoords=("data", "axes fraction"),
            xytext=(2, -2),
            textcoords="offset points",
            rotation=90,
            va="top",
            fontsize="small",
            color="0.4",
        )


def _changing_rates(lr: dict[str, list[float]]) -> dict[str, NDArray[np.float64]]:
    """Shares of the highest rate, of the unknowns whose rate is not always the same; NaN where one
    is fixed."""
    found = {}
    for name, values in lr.items():
        rates = np.where(np.array(values) > 0, values, np.nan)
        if len(np.unique(rates[np.isfinite(rates)])) > 1:
            found[name] = rates / np.nanmax(rates)
    return found


def _draw_rates(axes: Axes, rates: dict[str, NDArray[np.float64]]) -> None:
    """Unknowns of the same rates throughout share a curve."""
    curves: dict[bytes, list[str]] = {}
    for name, values in rates.items():
        curves.setdefault(values.tobytes(), []).append(name)
    for names in curves.values():
        plot_per_iteration(axes, rates[names[0]], label=", ".join(names), width=1.0)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("learning rate")
    axes.legend()


def _wants_log(curves: list[NDArray[np.float64]]) -> bool:
    values = np.concatenate(curves)
    values = values[np.isfinite(values)]
    if values.size == 0 or values.min() < 0:
        return False
    positive = values[values > 0]
    return bool(positive.size and positive.max() >= _LOG_RANGE * positive.min())


def _title(total: NDArray[np.float64], seconds: list[float]) -> str:
    lines = [f"Loss {total[-1]:.4g} after {total.size} iteration{'s' * (total.size > 1)}"]
    if missing := int(np.count_nonzero(~np.isfinite(total))):
        lines[0] += f", {missing} not finite"
    if seconds:
        # The median leaves out the first iteration's warm-up.
        lines.append(
            f"{format_seconds(sum(seconds))} in all, "
            f"{format_seconds(float(np.median(seconds)))} per iteration (median)"
        )
    return "\n".join(lines)


def format_seconds(seconds: float) -> str:
    """``85 ms``, ``12.3 s``, ``4 min 05 s``, ``2 h 10 min``."""
    if seconds < 1:
        return f"{1e3 * seconds:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"
