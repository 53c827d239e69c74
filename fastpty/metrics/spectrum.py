"""How far a phase's own spectrum stands out of its noise."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastpty.metrics.fourier import hann, rings_of, spectrum
from fastpty.metrics.image import remove_plane

__all__ = ["information_limit"]

_FIRST_RING = 8
"""Below it a ring has too few coefficients for a median that is not the peaks' own."""


def information_limit(
    image: NDArray[np.floating],
    pixel_size: tuple[float, float] = (1.0, 1.0),
    *,
    least: float = 5.0,
) -> float | None:
    """The highest frequency at which a Fourier coefficient stands out of the noise of its ring.

    The image, less its plane and under a Hann window, is transformed. The noise of a ring is the
    root of its mean power, found from the median, which reflections do not move: the power of
    noise is exponentially distributed, with the median ``ln 2`` of the mean. Noise alone exceeds
    ``least`` times its amplitude with the probability ``exp(-least^2)``, 1.4e-11 for 5.

    It is a number for crystals: what fills whole rings, as an amorphous specimen does, is taken
    for noise. Noise with a lattice of its own, as a raster leaves it, is taken for a specimen.

    Parameters
    ----------
    image : [Y, X] rad.
    pixel_size : (y, x), whose unit is that of one over the result.
    least : amplitude of a coefficient over the noise of its ring.

    Returns
    -------
    None if nothing stands out from the eighth ring on, or the image is too small to have one.

    Raises
    ------
    ValueError : the image is not finite.
    """
    values = np.asarray(image, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"image must be a 2-D array of finite numbers, got {values.shape}")
    shape = (values.shape[0], values.shape[1])
    rings = rings_of(shape, pixel_size)
    power = np.abs(spectrum(remove_plane(values), hann(shape))) ** 2
    # What rounding leaves of a flat image is no noise to stand out of.
    floor = (1e-12 * float(np.abs(values).max(initial=0.0)) * values.size) ** 2
    for number in range(rings.last, _FIRST_RING - 1, -1):
        here = rings.number == number
        noise = float(np.median(power[here])) / math.log(2)
        found = here & (power > max(least**2 * noise, floor))
        if found.any():
            return float(rings.frequency[found].max())
    return None
