"""The object cut along the beam."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from fastpty.figures.common import (
    MASKED,
    add_scale_bar,
    format_length,
    hide_ticks,
    new_figure,
    object_scale,
    robust_limits,
    round_length,
    style,
)
from fastpty.figures.object_phase import shown_area, shown_slices
from fastpty.metrics import remove_plane
from fastpty.results import Results

__all__ = ["Depth", "draw_depth_sections", "strongest_point"]

_FLATTEST, _DEEPEST = 0.3, 1.0
"""Depth over the wider side; beyond these the depth is drawn on a scale of its own."""
_WIDEST, _HIGHEST = 5.4, 5.6
"""Inches that plan and sections take together."""
_GAP = 0.08
"""Inches between them."""
_ALONG_X, _ALONG_Y = "#E69F00", "#56B4E9"


@dataclass(frozen=True)
class Depth:
    """Where the slices lie along the beam.

    Parameters
    ----------
    middle : [Nz] of each slice, the first at 0; slice numbers from 1 where no lengths are known.
    edges : [Nz + 1] half way between the slices; the outer layers are as thick as between two of
        their gaps.
    unit : of both: Å, or slice.
    """

    middle: NDArray[np.float64]
    edges: NDArray[np.float64]
    unit: str

    @classmethod
    def of(cls, results: Results) -> Depth:
        """Of an object of two slices or more."""
        gaps, first, unit = results.gaps, 0.0, "Å"
        if gaps is None:
            gaps, first, unit = np.ones(results.phase.shape[1] - 1), 1.0, "slice"
        middle = first + np.concatenate([[0.0], np.cumsum(gaps)])
        half = gaps / 2
        edges = np.concatenate([[middle[0] - half[0]], middle[:-1] + half, [middle[-1] + half[-1]]])
        return cls(middle, edges, unit)

    @property
    def thickness(self) -> float:
        """From the first edge to the last."""
        return float(self.edges[-1] - self.edges[0])

    def stretch(self, width: float) -> float:
        """Round factor by which depths are drawn longer than lateral lengths; 1 to scale.

        Parameters
        ----------
        width : of the object's wider side, Angstrom.
        """
        share = self.thickness / width
        if self.unit != "Å":
            return 0.6 / share
        if _FLATTEST <= share <= _DEEPEST:
            return 1.0
        return round_length((0.6 if share < _FLATTEST else _DEEPEST) / share)


def strongest_point(results: Results) -> tuple[int, int]:
    """(y, x) of the object, px, where the z-summed phase, less its plane, is highest of all places
    that are well lit."""
    slices, lit = shown_slices(results)
    total = remove_plane(np.nan_to_num(slices.sum(axis=0)))
    y, x = np.unravel_index(int(np.where(lit, total, -np.inf).argmax()), total.shape)
    area = shown_area(results)
    return int(y) + area[0].start, int(x) + area[1].start


@style()
def draw_depth_sections(results: Results, *, point: tuple[int, int] | None = None) -> Figure:
    """The phase along x and z and along y and z through one point, and against the depth there.

    The sections stand below and beside the z-summed phase, on its lateral scale. Each slice is
    drawn as a layer that ends half way to its neighbours. Where a section to scale would be too
    deep or too flat, the depth is drawn longer by a round factor, which the title says.

    Parameters
    ----------
    point : (y, x) of the object, px; None: :func:`strongest_point`.

    Raises
    ------
    ValueError : there is one slice only, or the point lies outside of the scanned area.
    """
    if results.phase.shape[1] < 2:
        raise ValueError("an object of one slice has no section along the beam")
    slices, lit = shown_slices(results)
    area, scale, depth = shown_area(results), object_scale(results), Depth.of(results)
    place = strongest_point(results) if point is None else point
    y, x = place[0] - area[0].start, place[1] - area[1].start
    shape = slices.shape[1:]
    if not (0 <= y < shape[0] and 0 <= x < shape[1]):
        raise ValueError(f"the point {place} lies outside of the scanned area")
    height, width = (n * d for n, d in zip(shape, scale.step, strict=True))
    stretch = depth.stretch(max(height, width))
    figure, (plan, along_y, along_x, profile, bar) = _panels(
        width, height, stretch * depth.thickness
    )

    total = slices.sum(axis=0)
    low, high = robust_limits(total[lit])
    plan.imshow(total, cmap="gray", vmin=low, vmax=high, aspect="auto")
    plan.axhline(y, color=_ALONG_X, linewidth=0.8, linestyle="--")
    plan.axvline(x, color=_ALONG_Y, linewidth=0.8, linestyle="--")
    plan.set_facecolor(MASKED)
    hide_ticks(plan)
    add_scale_bar(plan, shape, scale)

    low, high = robust_limits(slices[:, lit])
    ys, xs = (np.arange(n + 1) * d for n, d in zip(shape, scale.step, strict=True))
    for axes, edges, section, colour in (
        (along_x, (xs, depth.edges), slices[:, y], _ALONG_X),
        (along_y, (depth.edges, ys), slices[:, :, x].T, _ALONG_Y),
    ):
        image = axes.pcolormesh(*edges, section, cmap="gray", vmin=low, vmax=high)
        across, down = edges
        axes.set(xlim=(across[0], across[-1]), ylim=(down[-1], down[0]), facecolor=MASKED)
        hide_ticks(axes)
        for spine in axes.spines.values():
            spine.set(edgecolor=colour, linewidth=1.0, linestyle="--")
    _add_corner_bars(along_x, scale.unit, depth.unit)
    _add_corner_bars(along_y, depth.unit, scale.unit)
    along_x.set_ylabel("x–z, beam downwards")
    along_y.yaxis.set_label_position("right")
    along_y.set_ylabel("y–z, beam to the right")
    figure.colorbar(image, cax=bar, label="phase of a slice (rad)")
    _draw_profile(profile, slices[:, y, x], depth)

    how = f"z drawn at {stretch:g} × the lateral scale" if stretch != 1 else "z to scale"
    lines = [
        f"Phase of {len(slices)} slices: their sum, and sections through [y, x] = {list(place)} px",
        how if depth.unit == "Å" else "the distance of the slices is not known",
    ]
    plan.set_title("\n".join(lines), loc="left")
    return figure


def _panels(width: float, height: float, depth: float) -> tuple[Figure, tuple[Axes, ...]]:
    """(plan, section at its right, section below, corner, colour bar), all on one scale."""
    inch = min(_WIDEST / (width + depth), _HIGHEST / (height + depth))
    w, h, d = width * inch, height * inch, depth * inch
    left, right, top = 0.25, 1.0, 0.45
    bottom = 0.4
    page = left + w + _GAP + d + right, bottom + d + _GAP + h + top
    figure = new_figure(*page)
    figure.set_layout_engine("none")

    def panel(x: float, y: float, across: float, up: float) -> Axes:
        return figure.add_axes((x / page[0], y / page[1], across / page[0], up / page[1]))

    return figure, (
        panel(left, bottom + d + _GAP, w, h),
        panel(left + w + _GAP, bottom + d + _GAP, d, h),
        panel(left, bottom, w, d),
        panel(left + w + _GAP, bottom, d, d),
        panel(left + w + _GAP + d + 0.3, bottom + d + _GAP, 0.1, h),
    )


def _add_corner_bars(axes: Axes, across: str, down: str) -> None:
    """Scale bars along both axes, from the lower left corner; each of its own unit."""
    outline = [withStroke(linewidth=3, foreground="black")]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    corner = left + 0.06 * (right - left), bottom + 0.08 * (top - bottom)
    for size, unit, x, y in (
        (abs(right - left), across, 1.0, 0.0),
        (abs(top - bottom), down, 0.0, np.sign(top - bottom)),
    ):
        length = round_length(0.4 * size)
        end = corner[0] + x * length, corner[1] + y * length
        axes.plot(
            *zip(corner, end, strict=True),
            color="white",
            linewidth=1.6,
            solid_capstyle="butt",
            path_effects=outline,
        )
        axes.annotate(
            format_length(length, unit),
            end,
            xytext=(3, 0),
            textcoords="offset points",
            color="white",
            fontsize=7,
            va="bottom" if x else "top",
            path_effects=[withStroke(linewidth=2, foreground="black")],
        )


def _draw_profile(axes: Axes, values: NDArray[np.float64], depth: Depth) -> None:
    """Phase at the point against the depth, which points down as in the section at its left."""
    axes.plot(values, depth.middle, "o-", markersize=2.5, linewidth=1.0)
    axes.set_ylim(depth.edges[-1], depth.edges[0])
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.set_ylabel("slice" if depth.unit == "slice" else f"depth z ({depth.unit})")
    axes.set_xlabel("phase (rad)")
    axes.margins(x=0.1)
    if values.min() >= 0:  # of a part of the axis only, small differences would look large
        axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(True, linewidth=0.3, color="0.85")
