"""Intensity that does not come from the specimen, modelled and subtracted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpty.config.preprocess import BackgroundConfig
from fastpty.errors import DataError
from fastpty.measurements.calibration import fit_disc
from fastpty.measurements.files import load_file
from fastpty.measurements.preprocess.recording import Context, Image, Recording
from fastpty.measurements.preprocess.values import subtracted

__all__ = ["background", "fit_exponential", "fit_power_law"]

# Fewer pixels say nothing about a background.
_FEWEST = 16


def background(recording: Recording, section: BackgroundConfig, context: Context) -> Recording:
    """The model's image subtracted from every pattern, never below zero."""
    level, words = _level(recording, section, context)
    level = section.factor * level
    lowered, tally = subtracted(recording, level)
    taken = float(np.where(recording.good, level, 0.0).sum())
    share = ""
    if "mean" in recording.statistics:  # else a pass over the file for a number in a message
        share = f" ({100 * taken / float(recording.mean.sum()):.3g} % of the mean pattern)"
    text = f"{words}, {taken:.4g} counts{share} subtracted from each pattern"
    return lowered.report("background", text, tally=tally)


def _level(recording: Recording, section: BackgroundConfig, context: Context) -> tuple[Image, str]:
    """([Ny, Nx], in words)."""
    shape = recording.shape
    if section.image is not None:
        field = f"{context.field}.image"
        image = load_file(field, section.image, context.folder, ranks=(2, 3))
        if image.shape[-2:] != shape or image.dtype.kind not in "uif":
            raise DataError(
                field,
                f"has shape {list(image.shape)} and type {image.dtype}; patterns are "
                f"{list(shape)} real numbers at this step.",
                "A dark image as the camera gives it belongs before steps that crop, bin or flip.",
            )
        averaged = image if image.ndim == 2 else image.mean(axis=0, dtype=np.float64)
        return averaged.astype(np.float64), "the recorded image"
    if section.value is not None:
        return np.full(shape, section.value), f"{section.value:g} in every pixel"
    mean = recording.mean
    disc = fit_disc(mean)
    radius = np.hypot(*(np.indices(shape) - np.reshape(disc.centre, (2, 1, 1))))
    inner = section.outside * disc.radius
    free = recording.good & (radius > inner)
    if free.sum() < _FEWEST:
        raise DataError(
            f"{context.field}.outside",
            f"is {section.outside:g}: beyond so many radii of the disc, {disc.radius:.1f} px, lie "
            f"only {int(free.sum())} good pixels.",
            "Lower it, or give value or image.",
        )
    if section.model == "constant":
        value = float(np.median(mean[free]))
        return np.full(shape, value), f"{value:.4g} in every pixel"
    beyond = np.maximum(radius, inner)
    if section.model == "radial":
        return _radial_median(mean, radius, free, beyond), f"a median for each radius > {inner:.1f}"
    try:
        a, b = fit_power_law(radius[free], mean[free])
    except ValueError as error:
        raise DataError(context.field, f"{error}.", "Use model constant or radial.") from error
    return a * beyond**-b, f"{a:.4g} r^-{b:.3g} at r > {inner:.1f} px"


def _radial_median(mean: Image, radius: Image, free: NDArray[np.bool_], beyond: Image) -> Image:
    """Medians over rings of one pixel, linear between them."""
    ring = np.rint(radius).astype(int)
    rings = np.unique(ring[free])
    medians = [np.median(mean[free & (ring == number)]) for number in rings]
    return np.asarray(np.interp(beyond, rings, medians))


def fit_power_law(radius: Image, values: Image) -> tuple[float, float]:
    """(a, b) of a r^-b by least squares of the logarithms, over values greater than zero.

    Raises
    ------
    ValueError : there are too few of them, or they do not fall with the radius.
    """
    a, b = _fit_log(np.log(radius, where=radius > 0, out=np.zeros_like(radius)), values, radius)
    return a, b


def fit_exponential(radius: Image, values: Image) -> tuple[float, float]:
    """(a, b) of a exp(-b r), in the same way."""
    return _fit_log(radius, values, radius)


def _fit_log(abscissa: Image, values: Image, radius: Image) -> tuple[float, float]:
    used = (values > 0) & (radius > 0)
    if used.sum() < _FEWEST:
        raise ValueError(
            f"only {int(used.sum())} pixels are greater than zero where the background is fitted"
        )
    slope, offset = np.polyfit(abscissa[used], np.log(values[used]), 1)
    if slope >= 0:
        raise ValueError("the intensity does not fall with the radius where it is fitted")
    return float(np.exp(offset)), float(-slope)
