"""Fourier ring correlation: up to which frequency do two images of the same agree?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.metrics.fourier import hann, independent_share, rings_of, spectrum

__all__ = ["ONE_SEVENTH", "Crossing", "RingCorrelation", "ring_correlation"]

ONE_SEVENTH = 1 / 7
"""Threshold of half data sets (P. B. Rosenthal & R. Henderson, J. Mol. Biol. 333 (2003) 721)."""

_HALF_BIT = (2**0.5 - 1) / 2
"""Signal over noise of each half, if that of both together carries half a bit in a pixel:
log2(1 + 2 x) = 1/2."""
_SMALLEST = 8
"""Fewest px along a side."""


@dataclass(frozen=True)
class Crossing:
    """Where a correlation falls below a threshold.

    ``frequency`` is in the unit of :attr:`RingCorrelation.frequency`; ``at_limit`` is true if the
    correlation does not fall below it up to the last ring, whose frequency this then is.
    """

    frequency: float
    at_limit: bool

    @property
    def resolution(self) -> float:
        """The period, one over the frequency."""
        return 1 / self.frequency


@dataclass(frozen=True)
class RingCorrelation:
    """A Fourier ring correlation [R], from the first ring beyond the mean to the last whole one.

    Parameters
    ----------
    frequency : mean over the ring's coefficients, 1/Angstrom or 1/px.
    correlation : -1 to 1; 0 where an image has nothing in the ring.
    count : coefficients of each ring that are independent of each other but for the symmetry of a
        real image's spectrum: all, less what the window correlates.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    count: NDArray[np.float64]

    @property
    def half_bit(self) -> NDArray[np.float64]:
        """[R] the threshold where both halves together carry half a bit in a coefficient.

        ``T = (s + 2 sqrt(s / n) + 1 / sqrt(n)) / (s + 2 sqrt(s / n) + 1)`` with s = (sqrt(2) - 1) /
        2 = 0.2071 (M. van Heel & M. Schatz, J. Struct. Biol. 151 (2005) 250).
        """
        root = np.sqrt(self.count)
        known = _HALF_BIT + 2 * np.sqrt(_HALF_BIT) / root
        return np.asarray((known + 1 / root) / (known + 1))

    @property
    def one_seventh(self) -> NDArray[np.float64]:
        """[R] the threshold 1/7."""
        return np.full_like(self.correlation, ONE_SEVENTH)

    @property
    def area(self) -> float:
        """Below the curve, in the unit of the frequency: ``sum_r FRC_r (f_r - f_(r-1))``, f_0 = 0.

        One number for all frequencies: noise by itself adds nothing on average, and it is finite
        where no ring lies above a threshold.
        """
        return float(np.sum(self.correlation * np.diff(self.frequency, prepend=0.0)))

    def crossing(self, threshold: NDArray[np.float64]) -> Crossing | None:
        """Where the correlation first falls below a threshold [R], between rings on a line.

        The search begins at the first ring above the half-bit threshold, as the lowest
        frequencies, of which a reconstruction knows little, may lie below it. None if no ring
        does. Of images that have nothing in common chance may lift one of the lowest rings, of a
        few coefficients, above it; so a period of a tenth of the image means nothing.
        """
        above = np.flatnonzero(self.correlation >= self.half_bit)
        if above.size == 0:
            return None
        first = int(above[0])
        excess = self.correlation - threshold
        below = np.flatnonzero(excess[first:] < 0)
        if below.size == 0:
            return Crossing(float(self.frequency[-1]), at_limit=True)
        after = first + int(below[0])
        if after == first:
            return Crossing(float(self.frequency[first]), at_limit=False)
        before = after - 1
        share = excess[before] / (excess[before] - excess[after])
        step = self.frequency[after] - self.frequency[before]
        return Crossing(float(self.frequency[before] + share * step), at_limit=False)


def ring_correlation(
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    pixel_size: tuple[float, float] = (1.0, 1.0),
) -> RingCorrelation:
    """Correlation of two images' Fourier coefficients, ring by ring, under a Hann window.

    ``FRC = Re sum A conj(B) / sqrt(sum |A|^2 sum |B|^2)`` over the coefficients of a ring (W. O.
    Saxton & W. Baumeister, J. Microsc. 127 (1982) 127). Of the same image with independent noise
    of power 1/SNR in each it is SNR / (SNR + 1) on average. The images must lie upon each other
    and be without planes: see :func:`fastpty.metrics.phase_agreement`.

    Parameters
    ----------
    a, b : [Y, X], of one shape, 8 px or more along each side.
    pixel_size : (y, x), whose unit is that of one over the frequencies.

    Raises
    ------
    ValueError : the images differ in shape, are not finite or too small.
    """
    first, second = (np.asarray(image, np.float64) for image in (a, b))
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            f"images must be two of one shape [Y, X], got {first.shape}, {second.shape}"
        )
    if min(first.shape) < _SMALLEST:
        raise ValueError(f"images must have {_SMALLEST} px or more a side, got {first.shape}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise ValueError("images must be finite")
    shape = (first.shape[0], first.shape[1])
    window = hann(shape)
    f, g = spectrum(first, window), spectrum(second, window)
    rings = rings_of(shape, pixel_size)
    cross = rings.sums((f * g.conj()).real)
    power = np.sqrt(rings.sums(np.abs(f) ** 2) * rings.sums(np.abs(g) ** 2))
    count = rings.sums(np.ones(shape))
    return RingCorrelation(
        frequency=rings.sums(rings.frequency) / count,
        correlation=np.divide(cross, power, out=np.zeros_like(cross), where=power > 0),
        count=count * independent_share(window),
    )
