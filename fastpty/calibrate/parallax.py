"""Orientation and defocus from parallax: images from different parts of the disc are shifted.

A ray of the probe at the frequency k meets the specimen beside the probe's centre, by the gradient
of the aberration function, ``grad chi / 2 pi = lambda H k`` with ``H`` the matrix of defocus and
astigmatism. So the image in detector pixel k is ``I_k(n) = I_0(n + L k)``, and
``lambda H k = M B L k`` (Lupini, Chi & Jesse, *J. Microsc.* **263** (2016) 43; Varnavides et al.,
arXiv:2309.05250 (2023)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.calibrate.orientation import Matrix, Polar, polar
from fastpty.parallax import fit_slope, measure_shifts
from fastpty.virtual import Segments

__all__ = ["ParallaxFit", "fit_parallax"]

_RESAMPLES = 100


@dataclass(frozen=True)
class ParallaxFit:
    """Shifts of the segments' images, and what they say.

    Parameters
    ----------
    slope : ``L`` [2, 2], scan steps per detector pixel.
    k : [K, 2] segments, detector pixels from the disc's centre.
    shifts : [K, 2] measured, scan steps.
    residual : root mean square distance of the measured shifts from ``L k``, scan steps.
    polar : ``M^T H`` taken apart; C10 is taken as positive.
    rotation_error_deg, defocus_error : standard deviations, by resampling the segments.
    """

    slope: Matrix
    k: NDArray[np.float64]
    shifts: NDArray[np.float64]
    residual: float
    polar: Polar
    rotation_error_deg: float
    defocus_error: float

    @property
    def c10(self) -> float:
        """Size of C10, Angstrom."""
        return float(np.trace(self.polar.lens)) / 2


def fit_parallax(
    images: NDArray[np.float64], segments: Segments, basis: Matrix, per_pixel: float, seed: int = 0
) -> ParallaxFit:
    """Measure the shifts, from neighbours to far apart, and fit ``L``.

    Parameters
    ----------
    images : [K, slow, fast] from :func:`fastpty.parallax.contrast`.
    basis : [2, 2] Angstrom per scan step.
    per_pixel : angle of a detector pixel, rad: wavelength times frequency.
    seed : of the resampling for the errors.
    """
    slope, shifts = measure_shifts(images, segments)
    product = basis @ slope / per_pixel
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(segments), size=(_RESAMPLES, len(segments)))
    found = [polar(basis @ fit_slope(segments.k[draw], shifts[draw]) / per_pixel) for draw in drawn]
    best = polar(product)
    turns = [(one.rotation_deg - best.rotation_deg + 180) % 360 - 180 for one in found]
    c10 = [np.trace(one.lens) / 2 for one in found]
    misfit = np.linalg.norm(shifts - segments.k @ slope.T, axis=1)
    return ParallaxFit(
        slope,
        segments.k,
        shifts,
        float(np.sqrt(np.mean(misfit**2))),
        best,
        float(np.sqrt(np.mean(np.square(turns)))),
        float(np.std(c10)),
    )
