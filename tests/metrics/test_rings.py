"""Fourier ring correlation: against sums by hand, closed forms, and known noise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fastpty.metrics import RingCorrelation, ring_correlation
from fastpty.metrics.fourier import hann, independent_share
from tests.tolerances import bound

SHAPE = (256, 240)


def noise(seed: int, shape: tuple[int, int] = SHAPE) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=shape)


def curve(correlation: NDArray[np.float64], count: float = 1e9) -> RingCorrelation:
    """A correlation at the frequencies 0.01, 0.02, ..."""
    frequency = 0.01 * np.arange(1, correlation.size + 1)
    return RingCorrelation(frequency, correlation, np.full(correlation.size, count))


def test_sums_by_hand() -> None:
    """Rings of a rectangular image of rectangular pixels, coefficient by coefficient."""
    shape, pixel = (10, 16), (0.5, 0.25)
    a, b = noise(0, shape), noise(1, shape) + noise(0, shape)
    window = hann(shape)
    f, g = (np.fft.fft2(image * window) for image in (a, b))
    width = 1 / (16 * 0.25)  # the coarser step of 1 / 5 and 1 / 4
    sums: dict[int, list[complex]] = {}
    for i in range(10):
        for j in range(16):
            q = math.hypot(min(i, 10 - i) / (10 * 0.5), min(j, 16 - j) / (16 * 0.25))
            ring = sums.setdefault(math.floor(q / width + 0.5), [0, 0, 0, 0, 0])
            terms = f[i, j] * np.conj(g[i, j]), abs(f[i, j]) ** 2, abs(g[i, j]) ** 2, q, 1
            for k, term in enumerate(terms):
                ring[k] += term
    found = ring_correlation(a, b, pixel)
    # Nyquist's frequency along y is 1, four widths: the fourth ring reaches beyond it.
    assert len(found.correlation) == 3
    for ring, correlation, frequency, count in zip(
        (1, 2, 3), found.correlation, found.frequency, found.count, strict=True
    ):
        cross, first, second, q, n = (complex(value) for value in sums[ring])
        assert correlation == pytest.approx(cross.real / math.sqrt((first * second).real))
        assert frequency == pytest.approx((q / n).real)
        assert count == pytest.approx(n.real * independent_share(window))


def test_an_image_is_like_itself() -> None:
    found = ring_correlation(noise(0), 3 * noise(0))
    np.testing.assert_allclose(found.correlation, 1)
    for threshold in (found.half_bit, found.one_seventh):
        crossing = found.crossing(threshold)
        assert crossing is not None
        assert crossing.at_limit
        assert crossing.resolution == pytest.approx(2, rel=bound("sampled"))
    np.testing.assert_allclose(ring_correlation(noise(0), -noise(0)).correlation, -1)


def test_known_signal_to_noise() -> None:
    """SNR / (SNR + 1) in each ring, with the deviation of a sample's correlation,
    (1 - rho^2) / sqrt(n)."""

    def ratio(q: NDArray[np.float64]) -> NDArray[np.float64]:
        return 20 * np.exp(-((q / 0.12) ** 2))

    y, x = (np.fft.fftfreq(n) for n in SHAPE)
    filtered = np.fft.fft2(noise(0)) * np.sqrt(ratio(np.hypot(y[:, None], x[None, :])))
    signal = np.fft.ifft2(filtered).real
    found = ring_correlation(signal + noise(1), signal + noise(2))
    expected = ratio(found.frequency) / (ratio(found.frequency) + 1)
    deviation = (1 - expected**2) / np.sqrt(found.count)
    # Below a few rings n is too small for the formula.
    assert (np.abs(found.correlation - expected) < bound("deviations") * deviation)[3:].all()
    # 1/7 means SNR = 1/6.
    crossing = found.crossing(found.one_seventh)
    assert crossing is not None
    assert not crossing.at_limit
    expected_crossing = 0.12 * math.sqrt(math.log(120))
    slope = (6 / 7) * (1 / 7) * 2 * expected_crossing / 0.12**2
    ring = int(np.searchsorted(found.frequency, expected_crossing))
    # The first of some rings whose noise alone may take them across.
    allowed = bound("deviations") * deviation[ring] / slope
    assert crossing.frequency == pytest.approx(expected_crossing, abs=allowed)


def test_images_that_share_nothing() -> None:
    """Rings scatter by 1 / sqrt(n), so that the sum of n FRC^2 is as for as many normal numbers.
    A resolution is found in the lowest rings at most, which hold a few numbers only."""
    found = ring_correlation(noise(1), noise(2))
    rings = found.correlation.size
    total = float((found.count * found.correlation**2)[3:].sum())
    assert total == pytest.approx(rings - 3, abs=bound("deviations") * math.sqrt(2 * rings))
    crossings = []
    for seed in range(3, 7):
        found = ring_correlation(noise(seed), noise(seed + 10))
        crossings += [found.crossing(found.half_bit), found.crossing(found.one_seventh)]
    assert None in crossings
    assert all(crossing is None or crossing.frequency < 0.05 for crossing in crossings)


def test_the_half_bit_threshold() -> None:
    """As van Heel and Schatz print it; 1 for a single coefficient; half a bit for many."""
    count = np.array([1.0, 10.0, 1e12])
    found = RingCorrelation(np.ones(3), np.ones(3), count).half_bit
    root = np.sqrt(count)
    printed = (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    np.testing.assert_allclose(found, printed, rtol=bound("printed"))
    assert found[0] == pytest.approx(1)
    together = 2 * found[2] / (1 - found[2])  # SNR of both halves
    assert math.log2(1 + together) == pytest.approx(0.5, rel=1e-5)


def test_a_crossing_lies_between_rings() -> None:
    """On the line 1 - f it is where the line says, at half a ring as well."""
    line = curve(1.005 - np.arange(1, 100) / 100)
    crossing = line.crossing(line.one_seventh)
    assert crossing is not None
    assert crossing.frequency == pytest.approx(1.005 - 1 / 7)
    assert crossing.resolution == pytest.approx(1 / (1.005 - 1 / 7))


def test_low_rings_below_the_threshold_are_passed_over() -> None:
    dip = curve(np.array([0.05, 0.1, 0.9, 0.9, 0.1, 0.0]))
    crossing = dip.crossing(np.full(6, 0.5))
    assert crossing is not None
    assert crossing.frequency == pytest.approx(0.045)


def test_the_first_ring_may_lie_below_a_threshold_of_ones_own() -> None:
    low = curve(np.array([0.5, 0.4]))
    crossing = low.crossing(np.full(2, 0.9))
    assert crossing is not None
    assert (crossing.frequency, crossing.at_limit) == (0.01, False)


@pytest.mark.parametrize("count", [16, 17, 64])
def test_a_window_correlates_coefficients(count: int) -> None:
    """Along an axis the mean square of a Hann window's power is 18/35 of the mean power's."""
    assert independent_share(np.ones((count, 4))) == pytest.approx(1)
    assert independent_share(hann((count, 2 * count))) == pytest.approx((18 / 35) ** 2)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones((8, 8)), np.ones((8, 9)), "of one shape"),
        (np.ones(8), np.ones(8), "of one shape"),
        (np.ones((7, 9)), np.ones((7, 9)), "8 px or more"),
        (np.full((8, 8), np.nan), np.ones((8, 8)), "finite"),
    ],
)
def test_what_is_refused(a: NDArray[np.float64], b: NDArray[np.float64], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ring_correlation(a, b)


def test_the_area_is_that_of_steps() -> None:
    """To the first ring's frequency it has the first ring's correlation; noise cancels."""
    assert curve(np.array([1.0, 0.5, -0.5])).area == pytest.approx(0.01)
    assert curve(np.ones(7)).area == pytest.approx(0.07)
