"""Binning and counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpty.errors import ConfigError
from fastpty.simulate.detector import binning_matrix, count_type, expose


def test_two_fold_binning_weighs_half_one_half():
    matrix = np.fft.fftshift(binning_matrix(4, 16, 2), axes=1)
    np.testing.assert_array_equal(matrix[2, 6:11], [0, 0.5, 1, 0.5, 0])  # zero is at 8


@given(pixels=st.integers(2, 17), oversample=st.integers(1, 5), refine=st.integers(2, 3))
def test_every_frequency_inside_is_counted_once(pixels, oversample, refine):
    window = pixels * oversample * refine
    matrix = binning_matrix(pixels, window, oversample)
    frequency = np.fft.fftfreq(window, 1 / window)
    low = (-(pixels // 2) - 0.5) * oversample
    high = (pixels - pixels // 2 - 0.5) * oversample
    inside = (frequency - 0.5 >= low) & (frequency + 0.5 <= high)
    outside = (frequency + 0.5 <= low) | (frequency - 0.5 >= high)
    np.testing.assert_allclose(matrix[:, inside].sum(axis=0), 1)
    assert not matrix[:, outside].any()


@given(pixels=st.integers(2, 17), oversample=st.integers(1, 5))
def test_every_pixel_is_symmetric_about_its_frequency(pixels, oversample):
    window = 2 * pixels * oversample
    matrix = binning_matrix(pixels, window, oversample).astype(float)
    mean = matrix @ np.fft.fftfreq(window, 1 / window) / matrix.sum(axis=1)
    np.testing.assert_allclose(mean, oversample * (np.arange(pixels) - pixels // 2), atol=1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), oversample)


def test_counts_have_the_variance_of_poisson():
    fractions = np.full((200, 200), 3e-4, np.float32)
    counts = expose(fractions, 1e5, np.dtype(np.uint16), np.random.default_rng(1))
    # 4e4 deviates of mean 30: the mean is known to 0.1 %, the variance to 0.7 %; three sigma.
    assert counts.mean() == pytest.approx(30, rel=3e-3)
    assert counts.var() == pytest.approx(30, rel=2.2e-2)


def test_without_a_dose_the_fractions_stay():
    fractions = np.random.default_rng(0).random((3, 3)).astype(np.float32)
    exposed = expose(fractions, None, np.dtype(np.float32), np.random.default_rng(1))
    np.testing.assert_array_equal(exposed, fractions)


@pytest.mark.parametrize(
    "dtype, expected, kind",
    [
        ("auto", 100.0, np.uint16),
        ("auto", 65400.0, np.float32),  # deviates would pass 65535
        ("auto", None, np.float32),
        ("float32", 10.0, np.float32),
        ("uint8", 100.0, np.uint8),
    ],
)
def test_type_of_the_counts(dtype, expected, kind):
    assert count_type(dtype, expected) == kind


def test_refuses_a_type_that_is_too_narrow():
    with pytest.raises(ConfigError, match=r"detector\.dtype: the brightest pixel takes about 250"):
        count_type("uint8", 250.0)
