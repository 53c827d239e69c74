"""The bright-field disc and the pixel size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.config.data import BeamConfig, CalibrationConfig
from fastpty.errors import ConfigError
from fastpty.measurements import DiscFit, fit_disc, object_pixel_size
from fastpty.optics import electron_wavelength

BEAM = BeamConfig(energy_kv=200, semiangle_mrad=20)
WAVELENGTH = electron_wavelength(200)
NO_DISC = DiscFit(0.0, (0.0, 0.0))
# Where a pixel on the rim counts whole or not at all: the area is off by half a pixel along some
# of the rim, the radius by much less than this.
WITHIN_PX = 0.3


def disc(shape: tuple[int, int], radius: float, centre: tuple[float, float]) -> np.ndarray:
    """A disc of height 1, its rim sampled 8 x 8 times in each pixel."""
    fine = 8
    y, x = (
        (np.arange(n * fine) + 0.5) / fine - 0.5 - c for n, c in zip(shape, centre, strict=True)
    )
    inside = y[:, None] ** 2 + x**2 < radius**2
    return inside.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))


def assert_found(pattern: np.ndarray, radius: float, centre: tuple[float, float]) -> None:
    found = fit_disc(pattern)
    assert abs(found.radius - radius) < WITHIN_PX
    assert np.hypot(*np.subtract(found.centre, centre)) < WITHIN_PX


@settings(derandomize=True, max_examples=40)
@given(
    radius=st.floats(2, 14),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    seed=st.integers(0, 99),
)
def test_a_disc_off_the_centre_with_noise(
    radius: float, shift: tuple[float, float], seed: int
) -> None:
    centre = (18 + shift[0], 20 + shift[1])
    clean = 400 * disc((36, 40), radius, centre) + 4
    assert_found(clean, radius, centre)
    assert_found(np.random.default_rng(seed).poisson(clean).astype(float), radius, centre)


@pytest.mark.parametrize("hot", [(0, 0), (5, 30), (16, 16)])
@pytest.mark.parametrize(("size", "radius"), [(32, 3.0), (32, 9.5), (16, 4.0), (64, 20.0)])
def test_a_hot_pixel(size: int, radius: float, hot: tuple[int, int]) -> None:
    """In the field, on the edge, in the disc: neither radius nor centre follow it."""
    centre = (size / 2 + 0.3, size / 2 - 0.4)
    pattern = 100 * disc((size, size), radius, centre)
    pattern[min(hot[0], size - 1), min(hot[1], size - 1)] = 1e6
    assert_found(pattern, radius, centre)


def test_strong_diffraction_inside_the_disc() -> None:
    """A crystal's mean pattern: bright overlaps inside, faint discs outside."""
    centre = (32.0, 32.0)
    pattern = disc((64, 64), 12, centre)
    pattern *= 1 + 0.6 * disc((64, 64), 12, (32, 46)) + 0.6 * disc((64, 64), 12, (32, 18))
    pattern += 0.2 * disc((64, 64), 12, (54, 32))
    assert_found(pattern, 12, centre)


def test_counts_too_few_for_a_disc() -> None:
    """No warning, no NaN: single counts far apart are taken as they are."""
    pattern = np.zeros((32, 32))
    pattern[4, 6] = pattern[28, 6] = 1
    found = fit_disc(pattern)
    assert found.centre == (16, 6)
    assert np.isfinite(found.radius)


SHAPE = (64, 100)  # a detector that is not square
DK = 0.02


@pytest.mark.parametrize(
    "calibration",
    [
        {"pixel_size": [1 / (64 * DK), 1 / (100 * DK)]},
        {"dk": DK},
        {"mrad_per_pixel": DK * WAVELENGTH * 1e3},
        {"max_angle_mrad": 32 * DK * WAVELENGTH * 1e3},
        {"disc_radius_px": 20e-3 / WAVELENGTH / DK},
    ],
    ids=lambda value: next(iter(value)),
)
def test_each_calibration_says_the_same(calibration: dict[str, object]) -> None:
    found = object_pixel_size(CalibrationConfig(**calibration), BEAM, SHAPE, NO_DISC)
    np.testing.assert_allclose(found, (1 / (64 * DK), 1 / (100 * DK)), rtol=1e-12)


def test_one_pixel_size_is_both() -> None:
    assert object_pixel_size(CalibrationConfig(pixel_size=0.3), BEAM, SHAPE, NO_DISC) == (0.3, 0.3)


def test_a_whole_number_is_a_radius_too() -> None:
    exact = object_pixel_size(CalibrationConfig(disc_radius_px=20.0), BEAM, SHAPE, NO_DISC)
    assert object_pixel_size(CalibrationConfig(disc_radius_px=20), BEAM, SHAPE, NO_DISC) == exact


def test_a_fitted_disc() -> None:
    calibration = CalibrationConfig(disc_radius_px="fit")
    fitted = object_pixel_size(calibration, BEAM, SHAPE, DiscFit(25.0, (32.0, 50.0)))
    assert fitted == object_pixel_size(CalibrationConfig(disc_radius_px=25), BEAM, SHAPE, NO_DISC)


@pytest.mark.parametrize("radius", [1.9, 32.0, 40.0, float("nan")])
def test_a_fit_that_says_nothing(radius: float) -> None:
    calibration = CalibrationConfig(disc_radius_px="fit")
    message = r"^calibration\.disc_radius_px: the fit found a disc of .* \[64, 100\] px\. Give"
    with pytest.raises(ConfigError, match=message):
        object_pixel_size(calibration, BEAM, SHAPE, DiscFit(radius, (32.0, 50.0)))
