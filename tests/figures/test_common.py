from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.offsetbox import AnchoredOffsetbox
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from fastpty.figures import common
from fastpty.figures.common import Scale, complex_to_rgb, round_length


def oklab(rgb):
    """sRGB -> Oklab, written from the forward matrices of its definition."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = (
        linear
        @ np.array(
            [
                [0.4122214708, 0.5363325363, 0.0514459929],
                [0.2119034982, 0.6806995451, 0.1073969566],
                [0.0883024619, 0.2817188376, 0.6299787005],
            ]
        ).T
    )
    return (
        np.cbrt(cones)
        @ np.array(
            [
                [0.2104542553, 0.7936177850, -0.0040720468],
                [1.9779984951, -2.4285922050, 0.4505937099],
                [0.0259040371, 0.7827717662, -0.8086757660],
            ]
        ).T
    )


def test_phase_is_a_hue_circle_of_one_lightness():
    phase = np.linspace(-np.pi, np.pi, 73)
    lab = oklab(complex_to_rgb(np.exp(1j * phase)))
    assert np.ptp(lab[:, 0]) < 2e-3
    np.testing.assert_allclose(np.hypot(lab[:, 1], lab[:, 2]), 0.12, atol=2e-3)
    hue = np.unwrap(np.arctan2(lab[:, 2], lab[:, 1]))
    np.testing.assert_allclose(hue - hue[36], phase, atol=0.02)


def test_hue_is_periodic_in_the_phase():
    np.testing.assert_allclose(
        complex_to_rgb(np.exp(1j * np.array([0.3, np.pi]))),
        complex_to_rgb(np.exp(1j * np.array([0.3 + 2 * np.pi, -np.pi]))),
        atol=1e-9,
    )


@given(st.floats(-3.14, 3.14))
def test_lightness_is_proportional_to_the_amplitude(phase):
    amplitude = np.linspace(0, 1, 11)
    rgb = complex_to_rgb(amplitude * np.exp(1j * phase))
    assert np.all(np.diff(rgb.sum(axis=-1)) > 0)
    np.testing.assert_allclose(oklab(rgb)[:, 0], 0.75 * amplitude, atol=3e-3)


def test_brightness_refers_to_the_largest_amplitude():
    wave = np.array([1.0, 2.0, 4.0 + 0j])
    np.testing.assert_array_equal(complex_to_rgb(wave), complex_to_rgb(10 * wave))
    np.testing.assert_array_equal(
        complex_to_rgb(wave, largest=2.0)[1:], complex_to_rgb(wave)[[2, 2]]
    )


def test_colours_of_waves_without_amplitude():
    assert np.all(complex_to_rgb(np.zeros((2, 3), complex)) == 0)
    np.testing.assert_array_equal(complex_to_rgb(np.array([np.nan, 1 + 0j]))[0], 1.0)
    assert complex_to_rgb(np.zeros((0, 3), complex)).shape == (0, 3, 3)


@given(st.floats(1e-9, 1e9))
def test_round_length_is_the_longest_of_the_1_2_5_series(limit):
    length = round_length(limit)
    assert length <= limit < 2.5 * length * (1 + 1e-9)
    mantissa = float(f"{length:.6e}".split("e")[0])
    assert mantissa in {1.0, 2.0, 5.0}


@pytest.mark.parametrize(
    ("limit", "length"), [(1.0, 1.0), (0.99, 0.5), (4.99, 2.0), (10.0, 10.0), (73.0, 50.0)]
)
def test_round_length_examples(limit, length):
    assert round_length(limit) == pytest.approx(length, rel=1e-12)


@pytest.mark.parametrize(
    ("scale", "shape", "length", "text"),
    [
        (Scale((0.1, 0.2), "Å"), (50, 80), 5.0, "5 Å"),
        (Scale((1.0, 1.0), "px"), (64, 64), 20.0, "20 px"),
        (Scale((2.0, 2.0), "Å"), (300, 300), 200.0, "20 nm"),
        (Scale((0.05, 0.05), "Å⁻¹"), (30, 30), 0.5, "0.5 Å⁻¹"),
    ],
)
def test_scale_bar_is_as_long_as_it_says(scale, shape, length, text):
    figure = common.new_figure(2, 2)
    axes = figure.subplots()
    axes.imshow(np.zeros(shape), aspect=scale.aspect)
    assert common.add_scale_bar(axes, shape, scale) == pytest.approx(length)
    (box,) = [child for child in axes.get_children() if isinstance(child, AnchoredOffsetbox)]
    assert [t.get_text() for t in box.findobj(Text) if t.get_text()] == [text]

    figure.draw_without_rendering()
    bars = [r for r in box.findobj(Rectangle) if r.get_facecolor()[:3] == (1, 1, 1)]
    (bar,) = bars
    drawn = bar.get_window_extent().width / axes.get_window_extent().width
    assert drawn == pytest.approx(length / (shape[1] * scale.step[1]), rel=1e-6)


def test_scales_follow_the_sampling(make_results):
    results = make_results(window=(12, 20), pixel_size=(0.2, 0.3), wavelength=0.02)
    assert common.object_scale(results) == Scale((0.2, 0.3), "Å")
    detector = common.detector_scale(results)
    assert detector.unit == "mrad"
    np.testing.assert_allclose(detector.step, [20 / (12 * 0.2), 20 / (20 * 0.3)])

    without = make_results(window=(12, 20), pixel_size=(0.2, 0.3), wavelength=None)
    reciprocal = common.detector_scale(without)
    assert reciprocal.unit == "Å⁻¹"
    np.testing.assert_allclose(reciprocal.step, [1 / (12 * 0.2), 1 / (20 * 0.3)])

    pixels = make_results(pixel_size=None)
    assert common.detector_scale(pixels) == common.object_scale(pixels) == Scale((1, 1), "px")


def test_robust_limits_leave_out_the_tails():
    image = np.arange(10_000.0)
    image[0], image[-1], image[5] = -1e9, 1e9, np.nan
    low, high = common.robust_limits(image)
    assert 0 < low < 20
    assert 9980 < high < 10_000


def test_robust_limits_of_nothing_and_of_a_flat_image():
    assert common.robust_limits(np.full((2, 2), np.nan)) == (0.0, 1.0)
    assert common.robust_limits(np.full((2, 2), 3.0)) == (2.5, 3.5)


@given(st.integers(1, 200), st.floats(0.2, 3.0))
def test_grid_columns_are_possible(panels, aspect):
    assert 1 <= common.grid_columns(panels, aspect) <= min(panels, 8)


def test_32_slices_fill_their_grid():
    assert common.grid_columns(32, 1.0) == 8


def test_the_users_settings_neither_leak_in_nor_change():
    with matplotlib.rc_context({"font.size": 31, "lines.linewidth": 9}):
        with common.style():
            assert matplotlib.rcParams["font.size"] == 8
            assert matplotlib.rcParams["lines.linewidth"] == 1.2
        assert matplotlib.rcParams["font.size"] == 31
