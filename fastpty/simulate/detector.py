"""The camera: integration of fine frequencies into pixels, and counting noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import ConfigError

__all__ = ["binning_matrix", "count_type", "expose"]


def binning_matrix(pixels: int, window: int, oversample: int) -> NDArray[np.float32]:
    """Matrix D [pixels, window] with ``I_detector = D I_fine D^T``.

    Columns are fine frequencies in corner order (zero at 0), rows detector pixels in centred
    order (zero at ``pixels // 2``). Pixel i integrates symmetrically over the ``oversample``
    fine steps round its centre: with an even ``oversample`` the two frequencies on its borders
    go half to it and half to its neighbours (weights 1/2, 1, 1/2 for 2). Columns inside the
    detector therefore add up to one: no intensity is lost or counted twice.
    """
    fine = np.fft.fftfreq(window, 1 / window)
    centre = oversample * (np.arange(pixels) - pixels // 2)
    distance = np.abs(fine - centre[:, None])
    # A frequency is a box one step wide, and this is its overlap with the pixel.
    overlap: NDArray[np.float32] = np.clip(oversample / 2 + 0.5 - distance, 0, 1).astype(np.float32)
    return overlap


def count_type(dtype: str, expected: float | None) -> np.dtype[np.generic]:
    """The type of the counts; "auto" is uint16 where the brightest pixel fits, else float32.

    Parameters
    ----------
    dtype : "auto", "uint8", "uint16" or "float32".
    expected : electrons in the brightest pixel, without noise; None without a dose.

    Raises
    ------
    ConfigError : the brightest pixel does not fit.
    """
    if dtype == "float32" or expected is None:
        return np.dtype(np.float32)
    # Eight standard deviations above the mean: no Poisson deviate of a real data set is beyond.
    brightest = expected + 8 * np.sqrt(expected) + 8
    kind = np.dtype(np.uint16 if dtype == "auto" else dtype)
    limit = np.iinfo(kind).max
    if brightest <= limit:
        return kind
    if dtype == "auto":
        return np.dtype(np.float32)
    raise ConfigError(
        "detector.dtype",
        f"the brightest pixel takes about {expected:.0f} electrons, and {dtype} ends at {limit}.",
        "Use a wider type or a lower detector.dose_e_per_A2.",
    )


def expose(
    fractions: NDArray[np.float32],
    electrons: float | None,
    kind: np.dtype[np.generic],
    rng: np.random.Generator,
) -> NDArray[np.generic]:
    """Poisson deviates of ``electrons * fractions``; the fractions themselves without a dose."""
    if electrons is None:
        return fractions.astype(kind)
    return rng.poisson(electrons * fractions.astype(np.float64)).astype(kind)
