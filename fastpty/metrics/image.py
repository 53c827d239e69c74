"""One phase image by itself."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Tails", "brightest_above_darkest", "contrast", "remove_plane"]


class Tails(NamedTuple):
    """How far the brightest pixels lie above the median, and the darkest below it (both >= 0)."""

    above: float
    below: float


def brightest_above_darkest(phase: ArrayLike, fraction: float = 0.002) -> Tails:
    """Compare the bright tail of a phase image with its dark tail.

    Atoms are few, narrow and advance the electron wave, so a correct phase has ``above > below``.
    The twin image, in which every atom is dark, has it the other way round. A ramp feeds both
    tails: take it away first, with :func:`remove_plane`.

    Parameters
    ----------
    phase : array of any shape, rad.
    fraction : share of the pixels in each tail, above 0 and at most 0.5; at least one pixel is
        taken.

    Returns
    -------
    Mean of each tail as a distance from the median, in rad.

    Raises
    ------
    ValueError : ``fraction`` is out of range, or ``phase`` is empty or not finite.
    """
    if not 0 < fraction <= 0.5:
        raise ValueError(f"fraction must lie above 0 and at most at 0.5, got {fraction!r}")
    values = np.asarray(phase, dtype=np.float64).ravel()
    if values.size == 0 or not np.all(np.isfinite(values)):
        raise ValueError("phase must hold numbers, all of them finite")
    values = np.sort(values)
    count = max(1, round(fraction * values.size))
    median = float(np.median(values))
    return Tails(
        above=float(values[-count:].mean()) - median,
        below=median - float(values[:count].mean()),
    )


def contrast(image: NDArray[np.floating]) -> float:
    """Standard deviation of ``image`` [Y, X] less the plane that fits it best, in its unit.

    A phase has no zero, so that there is no mean to divide by.
    """
    return float(remove_plane(image).std())


def remove_plane(image: NDArray[np.floating]) -> NDArray[np.float64]:
    """``image`` [Y, X] less the plane ``a + b y + c x`` that fits it best (least squares)."""
    height, width = image.shape
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None, :] - (width - 1) / 2
    # Over a rectangle, centred coordinates are orthogonal to each other and to the constant, so
    # each coefficient is one projection. Along a side of one pixel there is no slope.
    result = np.array(image, dtype=np.float64)
    result -= result.mean()
    result -= y * (np.sum(y * result) / (width * np.sum(y**2) or 1.0))
    result -= x * (np.sum(x * result) / (height * np.sum(x**2) or 1.0))
    return result
