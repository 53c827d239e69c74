"""Pixels that do not measure: found on the mean and maximum over the scan, or given."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from fastpty.config.preprocess import HotPixelsConfig
from fastpty.errors import ConfigError, DataError
from fastpty.measurements.files import load_file
from fastpty.measurements.preprocess.recording import Context, Image, Recording

__all__ = ["find_outliers", "hot_pixels"]

# A Gaussian's standard deviation over its median absolute deviation.
_ROBUST = 1.4826
# Differences below this share of the brightest pixel are roundings.
_ROUNDING = 1e-6
# Numbers of a neighbourhood that are sorted at once.
_STRIP = 2**22
# More bad pixels than this share are hardly single ones.
_MANY = 0.01
_SHOWN = 8


def hot_pixels(recording: Recording, section: HotPixelsConfig, context: Context) -> Recording:
    """Bad pixels found and given go to the mask, and their values become zero."""
    given = _given(recording, section, context)
    before = recording.good
    usable = before & ~given
    hot, dead = np.zeros_like(given), np.zeros_like(given)
    for name, statistic in (("mean", "mean"), ("max", "maximum")):
        sought = section.find in (name, "both")
        dark = name == "mean" and section.dead
        if not (sought or dark):
            continue
        image = recording.statistic(statistic)
        gain = float(recording.statistic("gain"))
        undefined = usable & ~np.isfinite(image)
        hot |= undefined
        find = partial(
            find_outliers,
            image,
            good=usable & ~undefined,
            threshold=section.threshold,
            contrast=section.contrast,
            radius=section.radius,
            # A mean of N values has the N-th part of their variance.
            quantum=gain if name == "max" else gain / len(recording.index),
        )
        if sought:
            hot |= find()
        if dark:
            dead |= find(dark=True) | _silent(recording, usable & ~undefined, section)
    dead &= ~hot
    bad = given | hot | dead
    done = [f"{kind} pixels found: {_places(found)}" for kind, found in _named(section, hot, dead)]
    if given.any():
        done.append(f"given: {int(given.sum())}")
    masked = int((bad | ~before).sum())
    warning = ""
    if (hot | dead).mean() > _MANY:
        warning = (
            f"{100 * (hot | dead).mean():.2g} % of the pixels were found bad: reflections? raise "
            "contrast, or give the pixels"
        )
    text = f"{'; '.join(done)}; {masked} of {bad.size} pixels are masked now"
    return recording.masked(bad, context.field).report("hot_pixels", text, warning)


def _silent(
    recording: Recording, good: NDArray[np.bool_], section: HotPixelsConfig
) -> NDArray[np.bool_]:
    """Zero in every pattern, where counting noise alone leaves no neighbourhood at zero."""
    mean, gain = recording.statistic("mean"), float(recording.statistic("gain"))
    silent = good & (recording.statistic("maximum") == 0) & (mean == 0)
    if gain == 0 or not silent.any():
        return np.zeros_like(silent)
    median, _, _ = _neighbours(np.where(good, mean, np.nan), section.radius)
    quantum = gain / len(recording.index)
    with np.errstate(invalid="ignore"):  # of one without good neighbours nothing is known
        expected = median > section.threshold * np.sqrt(quantum * (median + quantum))
    return np.asarray(silent & expected)


def find_outliers(
    image: Image,
    *,
    good: NDArray[np.bool_],
    threshold: float,
    contrast: float,
    radius: int,
    quantum: float,
    dark: bool = False,
) -> NDArray[np.bool_]:
    """Pixels that stand out from those around them.

    With m the median of the good neighbours and s^2 = (1.4826 MAD)^2 + q (m + q) their spread and
    counting noise, a pixel v is one if::

        v - m > threshold s   and   v - m > contrast (b - m),

    b the brightest of the eight pixels around it: a reflection is not as sharp as a pixel. Those
    found are left out, and the search is repeated until it finds no more, so that neighbours cannot
    hide each other unless they are alike.

    Parameters
    ----------
    image : [Ny, Nx], finite where good.
    quantum : q, variance over mean of an intensity.
    dark : seek values that are too low instead.
    """
    found = np.zeros_like(good)
    sign = -1.0 if dark else 1.0
    rounding = _ROUNDING * float(np.abs(image[good]).max(initial=0.0))
    while True:
        usable = good & ~found
        values = np.where(usable, sign * image, np.nan)
        median, spread, nearest = _neighbours(values, radius)
        noise = spread**2 + quantum * (np.maximum(sign * median, 0) + quantum) + rounding**2
        excess = values - median
        with np.errstate(invalid="ignore"):  # bad pixels are NaN, and not found again
            new = (excess > threshold * np.sqrt(noise)) & (excess > contrast * (nearest - median))
        if not new.any():
            return found
        found |= new


def _neighbours(values: Image, radius: int) -> tuple[Image, Image, Image]:
    """(median, robust standard deviation, largest of the eight nearest); NaN does not count."""
    ny, nx = values.shape
    side = 2 * radius + 1
    padded = np.pad(values, radius, constant_values=np.nan)
    other = np.ones((side, side), bool)
    other[radius, radius] = False
    near = np.zeros((side, side), bool)
    near[radius - 1 : radius + 2, radius - 1 : radius + 2] = True
    near[radius, radius] = False
    median, spread, nearest = (np.empty((ny, nx)) for _ in range(3))
    rows = max(1, _STRIP // (nx * side * side))
    for first in range(0, ny, rows):
        part = slice(first, min(first + rows, ny))
        strip = padded[part.start : part.stop + 2 * radius]
        windows = sliding_window_view(strip, (side, side))
        around = windows[..., other]
        median[part] = _median(around)
        spread[part] = _ROBUST * _median(np.abs(around - median[part][..., None]))
        close = windows[..., near]
        nearest[part] = np.where(np.isnan(close), -np.inf, close).max(axis=-1)
    return median, spread, nearest


def _median(values: Image) -> Image:
    """Along the last axis, of what is not NaN."""
    ordered = np.sort(values, axis=-1)  # NaN comes last
    count = np.count_nonzero(~np.isnan(values), axis=-1)[..., None]
    low, high = (
        np.take_along_axis(ordered, np.maximum(place, 0), axis=-1)[..., 0]
        for place in ((count - 1) // 2, count // 2)
    )
    return np.asarray(np.where(count[..., 0] > 0, (low + high) / 2, np.nan))


def _given(recording: Recording, section: HotPixelsConfig, context: Context) -> NDArray[np.bool_]:
    bad = np.zeros(recording.shape, bool)
    for y, x in section.pixels:
        if y >= bad.shape[0] or x >= bad.shape[1]:
            raise ConfigError(
                f"{context.field}.pixels",
                f"has [{y}, {x}], outside of the {bad.shape[0]} x {bad.shape[1]} pixels.",
            )
        bad[y, x] = True
    for y_range, x_range in section.boxes:
        if y_range[1] > bad.shape[0] or x_range[1] > bad.shape[1]:
            raise ConfigError(
                f"{context.field}.boxes",
                f"has {[list(y_range), list(x_range)]}, outside of the {bad.shape[0]} x "
                f"{bad.shape[1]} pixels.",
            )
        bad[slice(*y_range), slice(*x_range)] = True
    if section.mask is not None:
        field = f"{context.field}.mask"
        good = load_file(field, section.mask, context.folder, ranks=(2,))
        if good.shape != bad.shape:
            raise DataError(
                field, f"has shape {list(good.shape)}; patterns are {list(bad.shape)} at this step."
            )
        bad |= ~good.astype(bool)
    return bad


def _named(
    section: HotPixelsConfig, hot: NDArray[np.bool_], dead: NDArray[np.bool_]
) -> list[tuple[str, NDArray[np.bool_]]]:
    """What was sought, and what else turned up."""
    named = []
    if section.find != "none" or hot.any():
        named.append(("hot", hot))
    if section.dead:
        named.append(("dead", dead))
    return named


def _places(found: NDArray[np.bool_]) -> str:
    places = [f"[{y}, {x}]" for y, x in np.argwhere(found)]
    if not places:
        return "0"
    more = f" and {len(places) - _SHOWN} more" if len(places) > _SHOWN else ""
    return f"{len(places)} at {', '.join(places[:_SHOWN])}{more}"
