"""Patterns as measured and as simulated."""

from __future__ import annotations

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize, PowerNorm
from matplotlib.figure import Figure

from fastpty.figures.common import (
    MASKED,
    add_scale_bar,
    detector_scale,
    hide_ticks,
    new_figure,
    robust_limits,
    style,
)
from fastpty.metrics import r_factor
from fastpty.results import Results, Snapshot

__all__ = ["draw_forward"]

_PANEL = 1.6
"""Width of a pattern in inches."""


@style()
def draw_forward(results: Results, snapshot: Snapshot, *, rows: int = 4) -> Figure:
    """Measured pattern, simulated pattern and ``|sqrt(I_sim) - sqrt(I_meas)|``, one row each.

    Measured and simulated patterns share one colour scale, linear in ``sqrt(I)``; the residual
    has its own, in ``sqrt(counts)``. Both hold for all rows. Bad pixels are grey where a
    measurement enters.

    Parameters
    ----------
    results : gives the detector's scale and the scan's shape.
    snapshot : the patterns.
    rows : positions to draw at most, spread evenly over the snapshot's.

    Raises
    ------
    ValueError : the snapshot holds no pattern.
    """
    count = len(snapshot.measured)
    if count == 0:
        raise ValueError(f"the snapshot of iteration {snapshot.iteration} holds no pattern")
    rows = min(rows, count)
    chosen = np.rint(np.linspace(0, count - 1, rows)).astype(int)

    good = np.isfinite(snapshot.measured[chosen])
    if snapshot.mask is not None:
        good = good & snapshot.mask
    measured = np.ma.masked_array(np.maximum(snapshot.measured[chosen], 0), ~good)
    simulated = np.maximum(snapshot.simulated[chosen], 0)
    residual = np.abs(np.sqrt(simulated) - np.ma.sqrt(measured))

    shape = measured.shape[1:]
    scale = detector_scale(results)
    panel_height = _PANEL * scale.height_over_width(shape)
    figure = new_figure(3 * _PANEL + 0.7, rows * (panel_height + 0.05) + 1.1)
    axes = figure.subplots(rows, 3, squeeze=False)

    counts = PowerNorm(0.5, 0.0, _ceiling(measured))
    roots = Normalize(0.0, _ceiling(residual))
    patterns = colormaps["inferno"].with_extremes(bad=MASKED)
    differences = colormaps["viridis"].with_extremes(bad=MASKED)
    for row, k in enumerate(chosen):
        left, middle, right = axes[row]
        left.imshow(measured[row], cmap=patterns, norm=counts, aspect=scale.aspect)
        middle.imshow(simulated[row], cmap=patterns, norm=counts, aspect=scale.aspect)
        right.imshow(residual[row], cmap=differences, norm=roots, aspect=scale.aspect)
        for panel in axes[row]:
            hide_ticks(panel)
        left.set_ylabel(_place(int(snapshot.index[k]), results.scan_shape))
        right.yaxis.set_label_position("right")
        each = r_factor(snapshot.measured[k], snapshot.simulated[k], snapshot.mask)
        right.set_ylabel(f"R = {each:.3f}" if math.isfinite(each) else "R undefined")
    add_scale_bar(axes[0, 0], shape, scale)
    for panel, title in zip(
        axes[0],
        ("measured", "simulated", r"$\left|\sqrt{I_\mathrm{sim}} - \sqrt{I_\mathrm{meas}}\right|$"),
        strict=True,
    ):
        panel.set_title(title)

    for columns, label in (
        (slice(0, 2), "counts per pixel"),
        (slice(2, 3), r"$\sqrt{\mathrm{counts}}$"),
    ):
        figure.colorbar(
            axes[0, columns][0].images[0],
            ax=axes[:, columns],
            label=label,
            location="bottom",
            shrink=0.9,
            pad=0.02,
            aspect=18 * axes[0, columns].size,
        )
    figure.suptitle(_title(snapshot, bad=not good.all()))
    return figure


def _ceiling(image: np.ma.MaskedArray) -> float:
    """Upper end of a colour scale that starts at 0."""
    _, high = robust_limits(image.filled(np.nan))
    return high if high > 0 else 1.0


def _place(index: int, scan_shape: tuple[int, int] | None) -> str:
    if scan_shape is None:
        return f"position {index}"
    row, column = divmod(index, scan_shape[1])
    return f"position {index}\n(row {row}, column {column})"


def _title(snapshot: Snapshot, bad: bool) -> str:
    count = len(snapshot.measured)
    when = f"Iteration {snapshot.iteration}" if snapshot.iteration else "Before the first iteration"
    r = f"R = {snapshot.r_factor:.3f}" if math.isfinite(snapshot.r_factor) else "R undefined"
    title = f"{when}: {r} over {count} pattern{'s' * (count > 1)}"
    return title + "; grey: masked" * bad
