"""What the figures share: style, scales and scale bars, colours."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, AuxTransformBox, TextArea, VPacker
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from fastpty.results import Results

__all__ = [
    "COLUMN",
    "MASKED",
    "PAGE",
    "ROUNDING",
    "Scale",
    "add_colour_wheel",
    "add_scale_bar",
    "aperture_frequency",
    "complex_to_rgb",
    "detector_scale",
    "format_length",
    "grid_columns",
    "hide_ticks",
    "new_figure",
    "object_scale",
    "plot_per_iteration",
    "robust_limits",
    "round_length",
    "style",
]

COLUMN = 3.5
"""Width of one journal column in inches."""
PAGE = 7.0
"""Width of two journal columns in inches."""
ROUNDING = float(np.finfo(np.float32).eps)
"""A change below it, relative or in px, is none: a fixed unknown may only be rounded otherwise."""
MASKED = "#8c8c8c"
"""Colour of pixels that were not measured: a grey, which the pattern colour map does not have."""

_STYLE: dict[str, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "figure.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    # Okabe & Ito's eight colours (https://jfly.uni-koeln.de/color/), which colour-blind readers
    # can tell apart; yellow is left out, too pale for a line on white.
    "axes.prop_cycle": (
        "cycler('color', ['000000', '0072B2', 'D55E00', '009E73', 'CC79A7', '56B4E9', 'E69F00'])"
    ),
}


@contextmanager
def style() -> Iterator[None]:
    """The package's style, on matplotlib's defaults: the user's own settings do not leak in.

    Also a decorator. Fonts are looked up when a figure is rendered, so that happens inside too.
    """
    with matplotlib.style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of ``width`` x ``height`` inches that renders without a display."""
    figure = Figure(figsize=(width, height), layout="compressed")
    FigureCanvasAgg(figure)
    return figure


def plot_per_iteration(
    axes: Axes, values: NDArray[np.float64], *, label: str | None = None, width: float = 1.2
) -> Any:
    """A curve of one value [n] per iteration, the first of which is iteration 1; its colour."""
    iteration = np.arange(1, values.size + 1)
    (line,) = axes.plot(iteration, values, label=label, linewidth=width)
    # A value between two that are not finite, or a single one, has no line: give it a marker.
    finite = np.concatenate([[False], np.isfinite(values), [False]])
    alone = finite[1:-1] & ~finite[:-2] & ~finite[2:]
    axes.plot(iteration[alone], values[alone], "o", markersize=3, color=line.get_color())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("iteration")
    axes.grid(True, linewidth=0.3, color="0.85")
    return line.get_color()


def hide_ticks(axes: Axes) -> None:
    """For images that carry a scale bar. Labels stay, which ``set_axis_off`` would take away."""
    axes.set_xticks([])
    axes.set_yticks([])


def grid_columns(panels: int, aspect: float, most: int = 8) -> int:
    """Columns for a page of ``panels`` images of height / width ``aspect``.

    Near a grid 1.4 times as wide as high, and with few empty cells.
    """
    ideal = math.sqrt(1.4 * panels * aspect)
    low, high = math.floor(0.8 * ideal), math.ceil(1.2 * ideal)
    choice = range(min(max(low, 1), panels, most), min(max(high, 1), panels, most) + 1)
    return min(choice, key=lambda columns: (-panels % columns, abs(columns - ideal)))


@dataclass(frozen=True)
class Scale:
    """Size of an image's pixel, (y, x) in ``unit``."""

    step: tuple[float, float]
    unit: str

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width, as ``imshow`` takes it."""
        return self.step[0] / self.step[1]

    def height_over_width(self, shape: tuple[int, ...]) -> float:
        """The same for an image [Y, X]."""
        return self.aspect * shape[0] / shape[1]


_PIXELS = Scale((1.0, 1.0), "px")


def object_scale(results: Results) -> Scale:
    """Scale of the object and of the real-space probe: Angstrom, or px in pixel units."""
    return _PIXELS if results.pixel_size is None else Scale(results.pixel_size, "Å")


def detector_scale(results: Results) -> Scale:
    """Scale of a diffraction pattern.

    A detector pixel is ``1 / (N d)`` wide in 1/Angstrom, ``d`` being the real-space pixel; times
    the wavelength it is an angle, in mrad. In pixel units it is 1 px.
    """
    if results.pixel_size is None:
        return _PIXELS
    ny, nx = results.probe.shape[-2:]
    dy, dx = results.pixel_size
    if results.wavelength is None:
        return Scale((1 / (ny * dy), 1 / (nx * dx)), "Å⁻¹")
    mrad = 1e3 * results.wavelength
    return Scale((mrad / (ny * dy), mrad / (nx * dx)), "mrad")


def aperture_frequency(results: Results) -> float | None:
    """Radius of the probe-forming aperture in 1/Angstrom, of the run's config; None: not known."""
    beam = results.config.get("beam") or {}
    if results.wavelength is None or "semiangle_mrad" not in beam:
        return None
    return 1e-3 * float(beam["semiangle_mrad"]) / results.wavelength


def round_length(limit: float) -> float:
    """The longest of 1, 2, 5 x 10^n that is not longer than ``limit`` > 0."""
    decade: float = 10.0 ** math.floor(math.log10(limit))
    # log10 may round up to the next decade, whose 1 would then be too long.
    return next(m * decade for m in (5, 2, 1, 0.5) if m * decade <= limit)


def format_length(length: float, unit: str) -> str:
    """``20 mrad``; lengths from 100 Angstrom on in nm."""
    if unit == "Å" and length >= 100:
        return f"{length / 10:g} nm"
    return f"{length:g} {unit}"


def add_scale_bar(
    axes: Axes,
    shape: tuple[int, ...],
    scale: Scale,
    *,
    share: float = 0.4,
    colour: str = "white",
) -> float:
    """Draw a bar of a round length at the lower left of an image.

    Parameters
    ----------
    axes : holds an image of ``shape`` [Y, X, ...] in pixel coordinates.
    share : the longest the bar may be, as a part of the image's width.
    colour : white, or black for images that are bright throughout.

    Returns
    -------
    The bar's length in ``scale.unit``.
    """
    length = round_length(share * shape[1] * scale.step[1])
    # An outline keeps both legible on a bright image, and hides less of it than a plate.
    outline = [withStroke(linewidth=2, foreground="black" if colour == "white" else "white")]
    bar = AuxTransformBox(axes.transData)
    width, height = length / scale.step[1], 0.012 * shape[0]
    bar.add_artist(
        Rectangle((0, 0), width, height, facecolor=colour, linewidth=0, path_effects=outline)
    )
    label = TextArea(
        format_length(length, scale.unit),
        textprops={"color": colour, "fontsize": 7, "path_effects": outline},
    )
    stack = VPacker(children=[label, bar], align="center", pad=0, sep=2)
    axes.add_artist(
        AnchoredOffsetbox("lower left", child=stack, pad=0.3, borderpad=0.3, frameon=False)
    )
    return length


def robust_limits(image: NDArray[np.floating], tail: float = 0.001) -> tuple[float, float]:
    """Limits of a colour scale that leave out ``tail`` of the pixels at either end.

    Only finite pixels count. A flat image gets limits one apart, an empty one (0, 1).
    """
    values = image[np.isfinite(image)]
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.quantile(values, (tail, 1 - tail)))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


# Oklab (B. Ottosson, "A perceptual color space for image processing", 2020,
# https://bottosson.github.io/posts/oklab/): Lab -> cube roots of cone responses -> linear sRGB.
_LAB_TO_ROOTS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
_CONES_TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
_LIGHTNESS = 0.75
"""Oklab lightness of full amplitude: where the hue circle inside sRGB is the most colourful."""
_CHROMA = 0.12
"""Oklab chroma of full amplitude: the largest (in hundredths) that every hue has in sRGB."""


def complex_to_rgb(
    wave: NDArray[np.complexfloating], largest: float | None = None
) -> NDArray[np.float64]:
    """Colours of a complex image: phase as hue, amplitude as brightness.

    Full amplitude is a hue circle of one lightness and one chroma in Oklab, so that equal steps
    of phase look equally large and no phase looks brighter than another. Scaling an Oklab colour
    by ``a`` scales its linear RGB by ``a^3``; so the perceived lightness is proportional to the
    amplitude, and no hue ever leaves sRGB.

    Parameters
    ----------
    wave : [...] complex. Pixels that are not finite are drawn in white.
    largest : amplitude of full brightness; None: the largest finite one. Above it, clipped.

    Returns
    -------
    [..., 3] sRGB, 0 to 1.
    """
    finite = np.isfinite(wave)
    safe = np.where(finite, wave, 0)
    amplitude = np.abs(safe).astype(np.float64)
    if largest is None:
        largest = float(amplitude.max(initial=0.0))
    brightness = np.clip(amplitude / largest, 0.0, 1.0) if largest > 0 else amplitude
    phase = np.angle(safe)
    lab = np.stack(
        [
            np.full(phase.shape, _LIGHTNESS),
            _CHROMA * np.cos(phase),
            _CHROMA * np.sin(phase),
        ],
        axis=-1,
    )
    roots = brightness[..., None] * (lab @ _LAB_TO_ROOTS.T)
    linear = np.clip(roots**3 @ _CONES_TO_RGB.T, 0.0, 1.0)
    # Transfer curve of sRGB, IEC 61966-2-1.
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.where(finite[..., None], rgb, 1.0)


def add_colour_wheel(axes: Axes, pixels: int = 256, *, labels: bool = True) -> None:
    """The key to :func:`complex_to_rgb`: phase around, amplitude outwards."""
    side = np.linspace(-1, 1, pixels)
    disc = side[None, :] + 1j * side[:, None]
    rgb = complex_to_rgb(disc, largest=1.0)
    alpha = np.clip((1 - np.abs(disc)) * pixels / 2 + 0.5, 0, 1)
    axes.imshow(np.dstack([rgb, alpha]), extent=(-1, 1, -1, 1), origin="lower")
    axes.set_axis_off()
    if not labels:
        return
    for angle, text in ((0, "0"), (90, "π/2"), (180, "π"), (270, "−π/2")):
        y, x = 1.08 * math.sin(math.radians(angle)), 1.08 * math.cos(math.radians(angle))
        axes.text(
            x,
            y,
            text,
            ha={0: "left", 180: "right"}.get(angle, "center"),
            va={90: "bottom", 270: "top"}.get(angle, "center"),
            fontsize=7,
        )
