"""Images inside the page: figures, and stacks of images under a slider."""

from __future__ import annotations

import base64
import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fastpty.figures.common import format_length, object_scale, robust_limits, round_length
from fastpty.figures.object_phase import shown_modes, shown_slices, slice_label
from fastpty.report.labels import count, value_text
from fastpty.report.markup import Html, element, join
from fastpty.results import Results

__all__ = ["Picture", "figure", "object_modes", "object_slices", "png_size"]

_LONGEST = 1024
"""Pixels along the longer side of a slice that the page holds."""
_MOST = 16_000_000
"""Pixels of all slices that the page holds."""
_FIGURE_SCALE = 0.6
"""Pixels of the page for one of a figure, which has 200 to the inch."""


@dataclass(frozen=True)
class Picture:
    """An image of the page: ``png``, its text for those who cannot see it, its name in a stack."""

    png: bytes
    alt: str
    label: str = ""


def png_size(png: bytes) -> tuple[int, int]:
    """(width, height) in pixels, from the header chunk, which is always the first."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def figure(
    pictures: Sequence[Picture],
    caption: object,
    *,
    what: str = "Image",
    chosen: int = 0,
    width: int | None = None,
    aspect: float | None = None,
    bar: Html | None = None,
    ramp: Html | None = None,
    exact: bool = False,
) -> Html:
    """Images with a caption, that can be zoomed and, if they are several, leafed through.

    Parameters
    ----------
    what : one of the stack, for the slider.
    chosen : of the stack, the image shown first.
    width : of the page's pixels; None: as a figure.
    aspect : width over height; None: that of the first image.
    bar, ramp : scale bar and colour scale.
    exact : the image's pixels are those of the data, and shown as such.
    """
    columns, rows = png_size(pictures[0].png)
    size = width or round(_FIGURE_SCALE * columns)
    images = join(_image(picture, hidden=i != chosen) for i, picture in enumerate(pictures))
    view = element(
        "div",
        element("div", images, class_="sheet"),
        bar or "",
        class_="view",
        role="group",
        tabindex="0",
        aria_label="Zoom: plus and minus keys. Move: arrow keys. Whole image: 0.",
        style=f"--aspect:{aspect or columns / rows:.5f};--size:{size}px",
    )
    several = len(pictures) > 1
    controls = join([ramp or "", _tools(), _slider(pictures, what, chosen) if several else ""])
    return element(
        "figure",
        element(
            "div",
            view,
            element("div", controls, class_="controls"),
            class_="frame exact" if exact else "frame",
        ),
        element("figcaption", caption),
        style=f"--size:{size}px",
    )


def _image(picture: Picture, hidden: bool) -> Html:
    data = base64.b64encode(picture.png).decode("ascii")
    return element(
        "img",
        src=f"data:image/png;base64,{data}",
        alt=picture.alt,
        data_label=picture.label or None,
        draggable="false",
        hidden=hidden,
    )


def _tools() -> Html:
    buttons = (("out", "−", "Zoom out"), ("in", "+", "Zoom in"), ("whole", "1×", "Whole image"))
    drawn = [*buttons, ("full", "⤢", "Full screen")]
    return element(
        "span",
        join(
            element("button", sign, type="button", data_do=name, aria_label=text, title=text)
            for name, sign, text in drawn
        ),
        class_="tools",
    )


def _slider(pictures: Sequence[Picture], what: str, chosen: int) -> Html:
    return element(
        "label",
        element("span", what),
        element(
            "input",
            type="range",
            min=1,
            max=len(pictures),
            value=chosen + 1,
            aria_valuetext=pictures[chosen].label,
        ),
        element("output", pictures[chosen].label),
        class_="slider",
    )


def object_slices(results: Results, of: str = "phase") -> Html:
    """Every slice's phase or amplitude, the mean over the object modes, in the scanned area."""
    slices, lit = shown_slices(results, of)
    total, modes = len(slices), len(results.phase)
    labels = []
    for z in range(total):
        name = slice_label(z, results.gaps)
        numbered = f"{name} ({z + 1} of {total})" if results.gaps is not None else ""
        labels.append((f"{of.capitalize()}, {name}", numbered or f"{z + 1} of {total}"))
    caption = [
        f"{of.capitalize()} of the slices" if total > 1 else f"{of.capitalize()} of the object",
        f", the mean over {count(modes, 'object mode')} weighted with their occupancy"
        if modes > 1
        else "",
        ", within the scanned area. ",
        "The first slice is where the beam enters. " if total > 1 else "",
    ]
    unit = " rad" if of == "phase" else ""
    return _stack(results, slices, lit, labels, "".join(caption), "Slice", unit)


def object_modes(results: Results) -> Html:
    """The phase of every object mode, summed over the slices, in the scanned area."""
    phases, lit = shown_modes(results)
    modes = len(phases)
    weights = np.full(modes, 1 / modes) if results.occupancy is None else results.occupancy
    labels = []
    for number, weight in enumerate(weights.tolist(), 1):
        name = f"mode {number}, occupancy {value_text(weight)}"
        labels.append((f"Phase, {name}", name))
    of = f", summed over {results.phase.shape[1]} slices" if results.phase.shape[1] > 1 else ""
    caption = f"Phase of each object mode{of}, within the scanned area. "
    return _stack(results, phases, lit, labels, caption, "Mode", " rad")


def _stack(
    results: Results,
    images: NDArray[np.float64],
    lit: NDArray[np.bool_],
    labels: Sequence[tuple[str, str]],
    caption: str,
    what: str,
    unit: str,
) -> Html:
    """Images [n, Y, X] of the object under a slider, all on one grey scale.

    Parameters
    ----------
    lit : [Y, X], where the scale is taken from.
    labels : text for those who cannot see it, and name, of each.
    """
    low, high = robust_limits(images[:, lit])
    total, height, width = images.shape
    scale = object_scale(results)
    factor = _factor(images.shape)
    pictures = [
        Picture(_grey(_binned(values, factor), low, high), alt, name)
        for values, (alt, name) in zip(images, labels, strict=True)
    ]
    aspect = width * scale.step[1] / (height * scale.step[0])
    text = [
        caption,
        f"All {what.lower()}s share one grey scale, {value_text(low)} to {value_text(high)}{unit}. "
        if total > 1
        else f"Grey scale from {value_text(low)} to {value_text(high)}{unit}. ",
        "What the scan hardly reached is left out. ",
        f"One pixel here is {factor} × {factor} of the object's." if factor > 1 else "",
    ]
    ramp = element(
        "span",
        element("span", value_text(low)),
        element("i"),
        element("span", f"{value_text(high)}{unit}"),
        class_="ramp",
    )
    return figure(
        pictures,
        join(text),
        what=what,
        width=round(min(620.0, 560.0 * aspect)),
        aspect=aspect,
        bar=_scale_bar(width * scale.step[1], scale.unit),
        ramp=ramp,
        exact=True,
    )


def _factor(shape: tuple[int, ...]) -> int:
    """By which the slices [Nz, Y, X] are binned for a page of reasonable size."""
    total, height, width = shape
    return max(
        math.ceil(max(height, width) / _LONGEST),
        math.ceil(math.sqrt(total * height * width / _MOST)),
    )


def _binned(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Means of blocks of ``factor`` x ``factor`` pixels without the NaN among them."""
    if factor == 1:
        return image
    height, width = (math.ceil(n / factor) for n in image.shape)
    padding = [(0, height * factor - image.shape[0]), (0, width * factor - image.shape[1])]
    blocks = np.pad(image, padding, constant_values=np.nan).reshape(height, factor, width, factor)
    known = np.isfinite(blocks)
    number = known.sum(axis=(1, 3))
    sums = np.where(known, blocks, 0.0).sum(axis=(1, 3))
    return np.where(number > 0, sums / np.maximum(number, 1), np.nan)


def _grey(image: NDArray[np.float64], low: float, high: float) -> bytes:
    """PNG, black at ``low``, white at ``high``; transparent where the image is NaN."""
    known = np.isfinite(image)
    level = np.where(known, np.clip((image - low) / (high - low), 0, 1), 0.0)
    pixels = np.stack([np.rint(255 * level), 255 * known], axis=-1).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels if not known.all() else pixels[..., 0].copy()).save(
        stream, "PNG", optimize=True
    )
    return stream.getvalue()


def _scale_bar(extent: float, unit: str) -> Html:
    """A bar over an image ``extent`` wide, in ``unit``; the page's script follows the zoom."""
    length = round_length(0.4 * extent)
    return element(
        "div",
        format_length(length, unit),
        class_="bar",
        style=f"width:{100 * length / extent:.3f}%",
        data_extent=f"{extent:.8g}",
        data_unit=unit,
    )
