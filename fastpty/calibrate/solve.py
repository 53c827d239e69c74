"""From the sums over the patterns to a calibration, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.calibrate.com import CurlFit, fit_curl
from fastpty.calibrate.config import CalibrateConfig
from fastpty.calibrate.gather import Gathered
from fastpty.calibrate.orientation import turned_by, without_plane
from fastpty.calibrate.parallax import ParallaxFit, fit_parallax
from fastpty.calibrate.weak_phase import Lens, WeakPhase, WeakPhaseFit
from fastpty.config.data import BeamConfig, CalibrationConfig
from fastpty.measurements import DiscFit, object_pixel_size
from fastpty.metrics import brightest_above_darkest
from fastpty.optics import electron_wavelength
from fastpty.parallax import contrast
from fastpty.virtual import align, integrate_gradient

__all__ = ["Calibration", "solve"]

# Of the positions: atoms and beads cover little, and the brightest of few positions are noise.
_TAIL = 0.005
# Below these a finding is called unsure: the explained power against that of the other handedness,
# and of the bright tail against the dark one (logarithm).
_SURE_RATIO, _SURE_TAILS = 1.25, math.log(1.15)
# Two methods agree when they are no further apart than this, or than three standard deviations.
_AGREE_DEG, _AGREE_DEFOCUS, _AGREE_SEMIANGLE = 3.0, 0.15, 0.02


@dataclass(frozen=True)
class Calibration:
    """Everything that was found.

    Parameters
    ----------
    gathered : what it was found from.
    wavelength : Angstrom.
    dk : detector pixel, 1/Angstrom.
    semiangle_mrad : from the disc and the scale; where there is no scale, the given one.
    semiangle_given : mrad, None where it is not known.
    pixel_size : (dy, dx) of the object, Angstrom.
    curl, parallax : the two methods by themselves.
    fit : both together, with the sign that makes matter positive.
    explained_other : share of the power that the best lens of the other handedness explains.
    tails : how far the brightest exceed the median over how far the darkest fall below it, in the
        phase of the fit; ``tails_com`` in the integrated centre of mass.
    phase : [slow, fast] rad, of the block.
    integrated : [slow, fast] rad, integrated centre of mass of the whole scan.
    aligned : [slow, fast] parallax-corrected bright field of the block, relative to its mean.
    """

    gathered: Gathered
    wavelength: float
    dk: float
    semiangle_mrad: float
    semiangle_given: float | None
    pixel_size: tuple[float, float]
    curl: CurlFit
    parallax: ParallaxFit
    fit: WeakPhaseFit
    explained_other: float
    tails: float
    tails_com: float
    phase: NDArray[np.float64]
    integrated: NDArray[np.float64]
    aligned: NDArray[np.float64]

    @property
    def lens(self) -> Lens:
        """Orientation, defocus and astigmatism."""
        return self.fit.lens

    @property
    def astigmatism(self) -> tuple[float, float]:
        """(C12 in Angstrom, phi12 in degrees)."""
        a, b = self.lens.c12a, self.lens.c12b
        return math.hypot(a, b), 0.5 * math.degrees(math.atan2(b, a))

    @property
    def astigmatism_error(self) -> float:
        """Standard deviation of C12, Angstrom."""
        return math.hypot(self.fit.errors[2], self.fit.errors[3]) / math.sqrt(2)

    @property
    def curl_differs_deg(self) -> float:
        """Rotation of the centre of mass less that of the fit, up to half a turn."""
        return turned_by(self.curl.rotation_deg, self.lens.rotation_deg, 180.0)

    @property
    def parallax_differs_deg(self) -> float:
        """The same for the parallax."""
        return turned_by(self.parallax.polar.rotation_deg, self.lens.rotation_deg, 180.0)

    @property
    def doubts(self) -> list[str]:
        """What speaks against the result; empty: nothing."""
        found = []
        given = self.semiangle_given
        if given is not None and abs(self.semiangle_mrad / given - 1) > _AGREE_SEMIANGLE:
            found.append(
                f"the disc has {self.semiangle_mrad:.4g} mrad on this scale, but "
                f"beam.semiangle_mrad is {given:.4g}: one is wrong, and the defocus with it"
            )
        ratio = self.fit.explained / max(self.explained_other, 1e-12)
        if ratio < _SURE_RATIO:
            found.append(
                f"the other handedness explains nearly as much ({self.explained_other:.3f} "
                f"against {self.fit.explained:.3f}): orientation and defocus are not to be trusted"
            )
        limit = max(_AGREE_DEG, 3 * math.hypot(self.curl.error_deg, self.fit.errors[0]))
        wrong_hand = self.curl.mirrored != self.lens.mirrored
        if wrong_hand or abs(self.curl_differs_deg) > limit:
            found.append(
                "the centre of mass says "
                + (f"mirrored: {'yes' if self.curl.mirrored else 'no'}, " if wrong_hand else "")
                + f"rotation {self.curl.rotation_deg:.1f} or {self.curl.rotation_deg - 180:.1f} "
                f"deg (curl {self.curl.curl:.2f}, other handedness {self.curl.curl_other:.2f})"
            )
        limit = max(
            _AGREE_DEG, 3 * math.hypot(self.parallax.rotation_error_deg, self.fit.errors[0])
        )
        apart = abs(self.parallax.c10 - abs(self.lens.c10))
        near = max(_AGREE_DEFOCUS * self.parallax.c10, 3 * self.parallax.defocus_error)
        if (
            self.parallax.polar.mirrored != self.lens.mirrored
            or abs(self.parallax_differs_deg) > limit
            or apart > near
        ):
            found.append(
                f"the shifts alone say rotation {self.parallax.polar.rotation_deg:.1f} deg (or "
                f"half a turn from it) and |C10| {self.parallax.c10:.4g} A; near focus, or in a "
                "thick crystal, they say little"
            )
        if math.log(max(self.tails, 1e-12)) < _SURE_TAILS:
            found.append(
                "bright and dark spots of the phase are much alike: whether it is this solution or "
                "its twin (rotation + 180 degrees, -defocus) has to be seen in the reconstruction"
            )
        return found


def solve(gathered: Gathered, config: CalibrateConfig) -> Calibration:
    """Orientation, defocus and scales.

    Raises
    ------
    ConfigError : the calibration names a scale that the disc cannot give.
    """
    disc, basis = gathered.disc, gathered.basis
    wavelength = electron_wavelength(config.beam.energy_kv)
    semiangle, pixel_size, dk = _scales(gathered, config, wavelength)
    curl = fit_curl(gathered.virtual.centre_of_mass, basis)
    images = contrast(gathered.images)
    parallax = fit_parallax(images, gathered.segments, basis, dk * wavelength)
    model = WeakPhase(
        images,
        gathered.segments,
        basis,
        parallax.slope,
        radius=disc.radius,
        dk=dk,
        wavelength=wavelength,
    )
    best, other = _climb(model, curl, parallax)
    field = without_plane(gathered.virtual.centre_of_mass) * dk
    tails, tails_com = _tails(model, best.lens, field, basis)
    if tails < 1:
        best = WeakPhaseFit(best.lens.twin(), best.explained, best.errors)
        tails, tails_com = 1 / tails, 1 / tails_com
    lens = best.lens
    slope = wavelength * dk * np.linalg.solve(lens.orientation @ basis, lens.matrix)
    return Calibration(
        gathered,
        wavelength,
        dk,
        semiangle,
        config.beam.semiangle_mrad,
        pixel_size,
        curl,
        parallax,
        best,
        other,
        tails,
        tails_com,
        model.phase(lens),
        integrate_gradient(field, lens.orientation @ basis),
        align(images, gathered.segments.k @ slope.T),
    )


def _scales(
    gathered: Gathered, config: CalibrateConfig, wavelength: float
) -> tuple[float, tuple[float, float], float]:
    """(semi-angle in mrad, object pixel, detector pixel in 1/Angstrom)."""
    shape = (gathered.mean.shape[0], gathered.mean.shape[1])
    calibration = config.calibration or CalibrationConfig(disc_radius_px="fit")
    # A scale that is given needs no semi-angle; the section that carries the voltage does.
    beam = BeamConfig(
        energy_kv=config.beam.energy_kv, semiangle_mrad=config.beam.semiangle_mrad or 1.0
    )
    disc = DiscFit(gathered.disc.radius, gathered.disc.centre)
    pixel_size = object_pixel_size(calibration, beam, shape, disc, gathered.detector)
    dk = math.sqrt(1 / (shape[0] * pixel_size[0]) / (shape[1] * pixel_size[1]))
    return 1e3 * wavelength * dk * disc.radius, pixel_size, dk


def _climb(model: WeakPhase, curl: CurlFit, parallax: ParallaxFit) -> tuple[WeakPhaseFit, float]:
    """(the best fit, the share that the other handedness explains), from several starts."""
    shifted = parallax.polar
    starts = [
        Lens.of(shifted.rotation_deg, shifted.mirrored, shifted.lens),
        model.best_defocus(shifted.rotation_deg, shifted.mirrored),
        *(model.best_defocus(curl.rotation_of(hand), hand) for hand in (False, True)),
    ]
    fits = []
    for hand in (False, True):
        of_hand = [start for start in starts if start.mirrored == hand]
        fits.append(model.fit(max(of_hand, key=model.explained), resample=False))
    other, best = sorted(fits, key=lambda fit: fit.explained)
    return model.fit(best.lens), other.explained


def _tails(
    model: WeakPhase, lens: Lens, field: NDArray[np.float64], basis: NDArray[np.float64]
) -> tuple[float, float]:
    """Bright over dark tail of the two phases: above 1 where the phase is positive."""
    integrated = without_plane(integrate_gradient(field, lens.orientation @ basis)[None])[0]
    ratios = []
    for image in (model.phase(lens), integrated):
        tails = brightest_above_darkest(image, _TAIL)
        ratios.append(tails.above / max(tails.below, 1e-300))
    return ratios[0], ratios[1]
