"""The detector's scale: from what the user knows, or from the bright-field disc."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.config.data import BeamConfig, CalibrationConfig
from fastpty.errors import ConfigError
from fastpty.measurements.detector import Detector
from fastpty.optics import electron_wavelength, pixel_pair

__all__ = ["DiscFit", "fit_disc", "object_pixel_size"]


@dataclass(frozen=True)
class DiscFit:
    """The bright-field disc: ``radius`` and ``centre`` (y, x) in detector pixels."""

    radius: float
    centre: tuple[float, float]


def fit_disc(mean_pattern: NDArray[np.floating]) -> DiscFit:
    """Disc of the same area as the pixels above half of the disc's own level.

    A pixel on the rim counts by its share: linearly from a quarter of the level to three quarters.
    The level is the median over the disc, found by iteration from the 99.9th percentile, so that
    strong diffraction inside the disc does not move the threshold. A pixel brighter than all of
    its neighbours is lowered to the brightest of them first: hot pixels stand alone, discs do not.

    Parameters
    ----------
    mean_pattern : [Ny, Nx], zero frequency near N//2.
    """
    pattern = np.minimum(mean_pattern, _brightest_neighbour(mean_pattern))
    if pattern.max() <= 0:  # single counts, far apart: there is no disc to be kept
        pattern = mean_pattern
    level = float(np.percentile(pattern, 99.9))
    disc = pattern > 0.5 * level
    for _ in range(10):
        level = float(np.median(pattern[disc]))
        disc = pattern > 0.5 * level
    rim = _brightest_neighbour(disc) & (_brightest_neighbour(~disc) | ~disc)
    weight = np.where(rim, np.clip(2 * pattern / level - 0.5, 0, 1), disc)
    y, x = np.indices(pattern.shape)
    area = float(weight.sum())
    centre = (float((weight * y).sum()) / area, float((weight * x).sum()) / area)
    return DiscFit(float(np.sqrt(area / np.pi)), centre)


def _brightest_neighbour(pattern: NDArray[Any]) -> NDArray[Any]:
    """Maximum over the eight pixels around each; beyond the edge there is nothing."""
    ny, nx = pattern.shape
    padded = np.pad(pattern, 1)
    around = [
        padded[1 + dy : 1 + dy + ny, 1 + dx : 1 + dx + nx]
        for dy in (-1, 0, 1)
        for dx in (-1, 0, 1)
        if (dy, dx) != (0, 0)
    ]
    return np.asarray(np.maximum.reduce(around))


def object_pixel_size(
    calibration: CalibrationConfig,
    beam: BeamConfig,
    shape: tuple[int, int],
    disc: DiscFit,
    detector: Detector | None = None,
) -> tuple[float, float]:
    """(dy, dx) in Angstrom from whichever quantity the calibration gives.

    ``dx = 1 / (N dk)``; ``dk = mrad_per_pixel 1e-3 / lambda``; a detector that ends at
    ``max_angle_mrad`` has ``dk = max_angle_mrad 1e-3 / (lambda N / 2)``; a disc of ``r`` pixels has
    ``dk = semiangle 1e-3 / (lambda r)``.

    Parameters
    ----------
    shape, disc : of the patterns as they are fitted.
    detector : what became of the recorded pixels, which the calibration describes unless it says
        otherwise or is a fit; None: nothing.

    Raises
    ------
    ConfigError : the fitted disc is too small or fills the detector, so that its radius says
        nothing.
    """
    fitted = calibration.disc_radius_px == "fit"
    if detector is None or fitted or calibration.of == "preprocessed":
        detector = Detector.of(shape)
    if calibration.pixel_size is not None:
        given = pixel_pair(calibration.pixel_size)
        # N dk, the width of the detector, has changed by this.
        widths = [
            n * width / detector.recorded[axis]
            for n, width, axis in zip(shape, detector.width, detector.axes, strict=True)
        ]
        return given[detector.axes[0]] / widths[0], given[detector.axes[1]] / widths[1]
    wavelength = electron_wavelength(beam.energy_kv)
    if calibration.dk is not None:
        dk = calibration.dk
    elif calibration.mrad_per_pixel is not None:
        dk = calibration.mrad_per_pixel * 1e-3 / wavelength
    elif calibration.max_angle_mrad is not None:
        dk = calibration.max_angle_mrad * 1e-3 / wavelength / (min(detector.recorded) / 2)
    else:
        radius = calibration.disc_radius_px
        if not isinstance(radius, float):
            radius = disc.radius
            if not 2 <= radius < min(shape) / 2:
                raise ConfigError(
                    "calibration.disc_radius_px",
                    f"the fit found a disc of {radius:.1f} px on a detector of {list(shape)} px.",
                    "Give the radius, or dk, or pixel_size.",
                )
        dk = beam.semiangle_mrad * 1e-3 / (wavelength * radius)
    width = detector.width
    return 1.0 / (shape[0] * dk * width[0]), 1.0 / (shape[1] * dk * width[1])
