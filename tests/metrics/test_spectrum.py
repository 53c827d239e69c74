"""The information limit of an image: lattices of known frequencies in known noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpty.metrics import information_limit
from fastpty.metrics.fourier import hann
from tests.tolerances import bound

SHAPE = (96, 120)
Y, X = np.indices(SHAPE)
NOISE = np.random.default_rng(5).normal(size=SHAPE)
WINDOW = hann(SHAPE)


def wave(q: tuple[float, float], ratio: float) -> NDArray[np.float64]:
    """A wave whose coefficient is ``ratio`` times that of noise of unit variance: of amplitude A
    it has A/2 sum w, the noise sqrt(sum w^2)."""
    amplitude = 2 * ratio * np.sqrt((WINDOW**2).sum()) / WINDOW.sum()
    return amplitude * np.cos(2 * np.pi * (q[0] * Y + q[1] * X))


def test_noise_has_no_limit() -> None:
    assert information_limit(NOISE) is None
    assert information_limit(np.ones(SHAPE)) is None
    assert information_limit(np.zeros(SHAPE)) is None
    assert information_limit(0.01 * Y - 0.03 * X + 4) is None


@pytest.mark.parametrize("pixel", [(1.0, 1.0), (0.2, 0.25)])
def test_the_highest_reflection(pixel: tuple[float, float]) -> None:
    """A window widens a reflection by no more than two steps of the frequency grid."""
    strong, faint = (0.125, 0.1), (-0.25, 0.2)
    image = NOISE + wave(strong, 40) + wave(faint, 9) + 0.2 * Y + 30
    found = information_limit(image, pixel)
    expected = np.hypot(faint[0] / pixel[0], faint[1] / pixel[1])
    assert found == pytest.approx(expected, abs=2 / (min(SHAPE) * min(pixel)))


@pytest.mark.parametrize("ratio", [1e2, 1e4])
def test_the_tails_of_a_strong_reflection_are_no_reflections(ratio: float) -> None:
    """Half way between the coefficients, where they are longest."""
    q = tuple((round(f * n) + 0.5) / n for f, n in zip((0.2, 0.1), SHAPE, strict=True))
    found = information_limit(NOISE + wave(q, ratio))
    assert found == pytest.approx(np.hypot(*q), abs=1 / min(SHAPE))


def test_a_reflection_as_high_as_noise_is_none() -> None:
    q = (0.25, 0.2)
    assert information_limit(NOISE + wave(q, 1.5)) is None
    assert information_limit(NOISE + wave(q, 1.5), least=1.0) is not None


def test_noise_scales_with_itself() -> None:
    image = NOISE + wave((0.25, 0.2), 9)
    assert information_limit(1e-6 * image) == information_limit(image)


def test_exceeding_the_noise_by_chance() -> None:
    """The share of coefficients above the ratio r is exp(-r^2): with r^2 = ln 4, a quarter. So the
    highest found lies in the last ring."""
    found = information_limit(NOISE, least=float(np.sqrt(np.log(4))))
    assert found == pytest.approx(0.5, rel=3 * bound("sampled"))


def test_what_is_too_small_or_broken() -> None:
    assert information_limit(np.eye(6)) is None
    assert information_limit(np.ones((1, 1))) is None
    with pytest.raises(ValueError, match="finite"):
        information_limit(np.full((20, 20), np.nan))
    with pytest.raises(ValueError, match="2-D"):
        information_limit(np.ones(20))
