"""How far a phase's own spectrum stands out of its noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.metrics.fourier import Rings, hann, rings_of, spectrum
from fastpty.metrics.image import remove_plane

__all__ = ["LEAST", "AmplitudeSpectrum", "amplitude_spectrum", "information_limit"]

LEAST = 5.0
"""Amplitude over the noise of its ring from which a coefficient is none of the noise."""

_FIRST_RING = 8
"""Below it a ring has too few coefficients for a median that is not the peaks' own."""


@dataclass(frozen=True)
class AmplitudeSpectrum:
    """Fourier amplitudes of an image, less its plane and under a Hann window.

    Parameters
    ----------
    amplitude : [Y, X] in the order of ``numpy.fft.fft2``, in the unit of the image: half the
        amplitude of a wave of this frequency.
    rings : of the coefficients.
    floor : amplitude that rounding leaves of a flat image.
    """

    amplitude: NDArray[np.float64]
    rings: Rings
    floor: float

    @property
    def frequency(self) -> NDArray[np.float64]:
        """[n] mean frequency of each ring, from ring 1 on."""
        count = self.rings.sums(np.ones_like(self.amplitude))
        return self.rings.sums(self.rings.frequency) / count

    @property
    def highest(self) -> NDArray[np.float64]:
        """[n] highest amplitude of each ring."""
        found = np.zeros(self.rings.last + 1)
        inside = self.rings.number <= self.rings.last
        np.maximum.at(found, self.rings.number[inside], self.amplitude[inside])
        return found[1:]

    @property
    def noise(self) -> NDArray[np.float64]:
        """[n] root of the mean power of noise in each ring; NaN in rings with too few coefficients.

        It is found from the median, which reflections do not move: the power of noise is
        exponentially distributed (J. W. Goodman, *Statistical Optics*, Wiley, 1985), with the
        median ``ln 2`` of the mean.
        """
        found = np.full(self.rings.last, math.nan)
        for number in range(_FIRST_RING, self.rings.last + 1):
            power = self.amplitude[self.rings.number == number] ** 2
            found[number - 1] = math.sqrt(float(np.median(power)) / math.log(2))
        return found

    def limit(self, least: float = LEAST) -> float | None:
        """The highest frequency of a coefficient with ``least`` times the noise of its ring, and
        the largest of the 24 around it; None if there is none from the eighth ring on.

        The window spreads a reflection that lies between coefficients far along both axes, with
        the third power of the distance: of a strong one that is more than noise, but no peak.
        """
        noise, peak = self.noise, self._peaks()
        for number in range(self.rings.last, _FIRST_RING - 1, -1):
            bound = max(least * float(noise[number - 1]), self.floor)
            found = peak & (self.rings.number == number) & (self.amplitude > bound)
            if found.any():
                return float(self.rings.frequency[found].max())
        return None

    def _peaks(self) -> NDArray[np.bool_]:
        """[Y, X] where no coefficient within two steps is larger."""
        highest = self.amplitude
        for axis in (0, 1):
            highest = np.max([np.roll(highest, step, axis) for step in range(-2, 3)], axis=0)
        return np.asarray(self.amplitude >= highest)


def amplitude_spectrum(
    image: NDArray[np.floating], pixel_size: tuple[float, float] = (1.0, 1.0)
) -> AmplitudeSpectrum:
    """Transform an image [Y, X], less its plane and under a Hann window.

    Parameters
    ----------
    pixel_size : (y, x), whose unit is that of one over the frequencies.

    Raises
    ------
    ValueError : the image is not finite.
    """
    values = np.asarray(image, np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError(f"image must be a 2-D array of finite numbers, got {values.shape}")
    shape = (values.shape[0], values.shape[1])
    window = hann(shape)
    amplitude = np.abs(spectrum(remove_plane(values), window)) / window.sum()
    # The window's mean is 1/4: what rounding leaves is smaller still.
    floor = 4e-12 * float(np.abs(values).max(initial=0.0))
    return AmplitudeSpectrum(amplitude, rings_of(shape, pixel_size), floor)


def information_limit(
    image: NDArray[np.floating],
    pixel_size: tuple[float, float] = (1.0, 1.0),
    *,
    least: float = LEAST,
) -> float | None:
    """The highest frequency at which a Fourier coefficient stands out of the noise of its ring.

    The image, less its plane and under a Hann window, is transformed; the noise of a ring is
    :attr:`AmplitudeSpectrum.noise`. Noise alone exceeds ``least`` times its amplitude with the
    probability ``exp(-least^2)``, 1.4e-11 for 5.

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
    return amplitude_spectrum(image, pixel_size).limit(least)
