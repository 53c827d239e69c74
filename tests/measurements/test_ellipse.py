"""The elliptical fit of the bright-field disc."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.measurements import EllipseFit, fit_disc, fit_ellipse

SHAPE = (40, 44)
CENTRE = (20.3, 21.6)
# Of the radius and the centre of a disc whose pixels integrate it: what a logistic edge cannot
# follow of a straight one, and counting noise of 400 in a pixel.
WITHIN_PX = 0.05


def ellipse(
    radii: tuple[float, float],
    angle_deg: float = 0.0,
    centre: tuple[float, float] = CENTRE,
    shape: tuple[int, int] = SHAPE,
) -> np.ndarray:
    """An ellipse of height 1, each pixel sampled 8 x 8 times."""
    fine = 8
    y, x = (
        (np.arange(n * fine) + 0.5) / fine - 0.5 - c for n, c in zip(shape, centre, strict=True)
    )
    angle = np.radians(angle_deg)
    along = x * np.cos(angle) + y[:, None] * np.sin(angle)
    across = y[:, None] * np.cos(angle) - x * np.sin(angle)
    inside = (along / radii[0]) ** 2 + (across / radii[1]) ** 2 < 1
    return inside.reshape(shape[0], fine, shape[1], fine).mean(axis=(1, 3))


def fitted(pattern: np.ndarray, mask: np.ndarray | None = None) -> EllipseFit:
    return fit_ellipse(pattern, fit_disc(pattern), mask)


@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize(
    ("radii", "angle"), [((12, 11), 30), ((6, 5.5), -70), ((14, 12), 88), ((13, 12), -5)]
)
def test_an_ellipse(radii: tuple[float, float], angle: float, noisy: bool) -> None:
    pattern = 400 * ellipse(radii, angle) + 4
    if noisy:
        pattern = np.random.default_rng(0).poisson(pattern).astype(float)
    found = fitted(pattern)
    assert np.abs(np.subtract(found.centre, CENTRE)).max() < WITHIN_PX
    assert np.abs(np.subtract(found.radii, radii)).max() < WITHIN_PX
    assert abs((found.angle_deg - angle + 90) % 180 - 90) < 5
    assert found.level == pytest.approx(400, rel=0.02)
    assert found.background == pytest.approx(4, abs=2)


def test_a_circle_has_no_ellipticity_and_a_sharp_edge() -> None:
    found = fitted(100 * ellipse((12.5, 12.5)))
    assert found.radius == pytest.approx(12.5, abs=WITHIN_PX)
    assert found.ellipticity < 2e-3
    assert found.edge_width < 1


def test_a_soft_edge_is_measured() -> None:
    y, x = np.indices(SHAPE)
    rho = np.hypot(y - CENTRE[0], x - CENTRE[1])
    found = fitted(50 / (1 + np.exp((rho - 13) / 0.9)))
    assert found.edge_width == pytest.approx(0.9 * 2 * np.log(9), rel=1e-3)
    assert found.radius == pytest.approx(13, abs=1e-3)


def test_strong_diffraction_on_the_edge() -> None:
    """Other discs overlap the rim: the fit keeps to what most of it says."""
    pattern = ellipse((12, 12))
    for y in (CENTRE[0] - 14, CENTRE[0] + 14):
        pattern = pattern * (1 + 0.6 * ellipse((12, 12), centre=(y, CENTRE[1])))
    pattern += 0.2 * ellipse((12, 12), centre=(CENTRE[0], CENTRE[1] + 22))
    found = fitted(pattern)
    assert found.radius == pytest.approx(12, abs=0.2)
    assert np.abs(np.subtract(found.centre, CENTRE)).max() < 0.2


def test_masked_pixels_say_nothing() -> None:
    pattern = 100 * ellipse((12, 12))
    good = np.ones(SHAPE, bool)
    good[:, 30:] = False
    start = fit_disc(pattern)
    assert fit_ellipse(np.where(good, pattern, 1e6), start, good) == fit_ellipse(
        pattern, start, good
    )


def test_errors_follow_the_noise() -> None:
    """Of twenty noisy discs the radii scatter as the fit says, within a factor of two."""
    clean = 50 * ellipse((12, 12)) + 2
    rng = np.random.default_rng(1)
    found = [fitted(rng.poisson(clean).astype(float)) for _ in range(20)]
    scatter = np.std([fit.radius for fit in found])
    assert 0.5 < np.median([fit.radius_error for fit in found]) / scatter < 2
