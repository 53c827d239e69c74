"""Fourier ring correlation against frequency, with its thresholds."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.figure import Figure

from fastpty.figures.common import COLUMN, new_figure, style
from fastpty.metrics import RingCorrelation

__all__ = ["draw_ring_correlation"]


@style()
def draw_ring_correlation(curves: Mapping[str, RingCorrelation], unit: str) -> Figure:
    """Each correlation by its name; the thresholds and where the first curve crosses them.

    Parameters
    ----------
    curves : all of the same rings; the first is the one that the title speaks of.
    unit : of a length, Å or px.
    """
    first = next(iter(curves.values()))
    figure = new_figure(COLUMN, 2.7)
    axes = figure.subplots()
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(curve.frequency, curve.correlation, label=name, linewidth=1.0 if number else 1.6)
    lines = []
    for name, threshold, dashes in (
        ("half-bit", first.half_bit, "--"),
        ("1/7", first.one_seventh, ":"),
    ):
        axes.plot(first.frequency, threshold, dashes, color="0.45", linewidth=1.0, label=name)
        found = first.crossing(threshold)
        if found is None:
            continue
        sign = "< " if found.at_limit else ""
        lines.append(f"{name}: {sign}{found.resolution:.3g} {unit}")
        if not found.at_limit:
            axes.axvline(found.frequency, color="0.45", linewidth=0.6, linestyle=dashes)
    axes.axhline(0, color="0.8", linewidth=0.6)
    axes.set_xlim(0, float(first.frequency[-1]))
    axes.set_ylim(min(-0.1, 1.05 * min(float(c.correlation.min()) for c in curves.values())), 1.05)
    axes.set_xlabel("spatial frequency (Å⁻¹)" if unit == "Å" else "spatial frequency (1/px)")
    axes.set_ylabel("Fourier ring correlation")
    axes.legend()
    axes.set_title(", ".join(lines) or "no ring above the half-bit threshold", loc="left")
    return figure
