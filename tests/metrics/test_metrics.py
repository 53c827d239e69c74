from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.metrics import (
    brightest_above_darkest,
    contrast,
    displacement,
    phase_agreement,
    position_rmse,
    r_factor,
    remove_plane,
)


def field(y, x, seed=0, highest=0.25):
    """A smooth random image, known between its pixels: 60 plane waves below ``highest`` 1/px."""
    rng = np.random.default_rng(seed)
    image = np.zeros((len(y), len(x)))
    for ky, kx, angle, amplitude in zip(
        *rng.uniform(-highest, highest, (2, 60)),
        rng.uniform(0, 2 * np.pi, 60),
        rng.normal(size=60),
        strict=True,
    ):
        image += amplitude * np.cos(2 * np.pi * (ky * y[:, None] + kx * x[None, :]) + angle)
    return image


def lattice(y, x, cell):
    """Square lattice of round atoms, [len(y), len(x)]."""
    dy, dx = ((v + cell / 2) % cell - cell / 2 for v in (y, x))
    return np.exp(-(dy[:, None] ** 2 + dx[None, :] ** 2) / (2 * 1.3**2))


# r_factor


def test_r_factor_of_known_amplitudes():
    measured = np.array([[4.0, 9.0], [1.0, 0.0]])
    simulated = np.array([[1.0, 9.0], [4.0, 1.0]])
    assert r_factor(measured, measured) == 0
    assert r_factor(measured, simulated) == pytest.approx((1 + 0 + 1 + 1) / 6)
    assert r_factor(measured, np.zeros((2, 2))) == pytest.approx(1)
    stack = np.stack([measured, measured])
    assert r_factor(stack, np.stack([simulated, measured])) == pytest.approx(3 / 12)


def test_r_factor_of_good_pixels_only():
    measured, simulated = np.array([[4.0, 9.0]]), np.array([[1.0, math.nan]])
    assert r_factor(measured, simulated, np.array([[True, False]])) == pytest.approx(0.5)


def test_r_factor_takes_negative_counts_for_zero():
    assert r_factor(np.array([[4.0, -2.0]]), np.array([[4.0, 1.0]])) == pytest.approx(0.5)


def test_r_factor_of_nothing_is_undefined():
    assert math.isnan(r_factor(np.zeros((2, 2)), np.ones((2, 2))))
    assert math.isnan(r_factor(np.ones((2, 2)), np.ones((2, 2)), np.zeros((2, 2), bool)))


def test_r_factor_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"measured \(2, 3\) and simulated \(3, 2\)"):
        r_factor(np.ones((2, 3)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"mask \(3, 2\)"):
        r_factor(np.ones((2, 3)), np.ones((2, 3)), np.ones((3, 2), bool))


# displacement


def test_displacement_of_known_steps():
    start = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    found = displacement(start + np.array([[3.0, 4.0], [0.0, 0.0], [0.0, -1.0]]), start)
    assert found.mean == pytest.approx(2)
    assert found.rms == pytest.approx(math.sqrt(26 / 3))
    assert found.max == pytest.approx(5)


@pytest.mark.parametrize("shape", [(0, 2), (3, 3), (6,)])
def test_displacement_refuses_what_is_no_list_of_positions(shape):
    with pytest.raises(ValueError, match="N > 0"):
        displacement(np.zeros(shape), np.zeros(shape))


# position_rmse

GRID = np.stack(np.meshgrid(np.arange(6.0), 1.5 * np.arange(8.0), indexing="ij"), -1).reshape(-1, 2)
# With an even number of rows and columns it is orthogonal to every affine map of the grid.
CHESS = np.where(np.add.outer(np.arange(6), np.arange(8)).ravel() % 2, 1.0, -1.0)


def test_position_rmse_of_known_errors():
    found = position_rmse(GRID, GRID + np.outer(CHESS, (0.3, 0.4)))
    assert found == pytest.approx(0.5)


def test_position_rmse_sees_no_affine_map():
    turned = GRID @ np.array([[0.9, 0.2], [-0.3, 1.2]]) + (5.0, -7.0)
    assert position_rmse(turned, GRID) == pytest.approx(0, abs=1e-12)
    assert position_rmse(turned, GRID + np.outer(CHESS, (0.3, 0.4))) == pytest.approx(0.5)


def test_position_rmse_less_the_mean_sees_what_an_affine_map_takes_out():
    """Along one axis a scale of 1 + e is an error of e times the positions' own deviation."""
    scaled = GRID * (1.02, 1.0) + 5
    assert position_rmse(scaled, GRID) == pytest.approx(0, abs=1e-12)
    expected = 0.02 * GRID[:, 0].std()
    assert position_rmse(scaled, GRID, less="mean") == pytest.approx(expected)


def test_position_rmse_of_a_line_and_of_one_position():
    line = GRID * (1, 0)
    assert position_rmse(line, 2 * line + 1) == pytest.approx(0, abs=1e-12)
    assert position_rmse([[1.0, 2.0]], [[3.0, 4.0]]) == 0


@pytest.mark.parametrize("shape", [(0, 2), (3, 3), (6,)])
def test_position_rmse_refuses_what_is_no_list_of_positions(shape):
    with pytest.raises(ValueError, match=r"must both be \[N, 2\]"):
        position_rmse(np.zeros(shape), np.zeros(shape))


def test_position_rmse_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="finite"):
        position_rmse([[math.nan, 0.0]], [[0.0, 0.0]])


# brightest_above_darkest


def test_tails_of_a_known_image():
    image = np.zeros(1000)
    image[:2], image[-3:-1] = (4.0, 6.0), (-1.0, -2.0)
    assert brightest_above_darkest(image) == pytest.approx((5.0, 1.5))
    assert brightest_above_darkest(image + 7, fraction=0.001) == pytest.approx((6.0, 2.0))
    assert brightest_above_darkest(image, fraction=1e-9).above == 6.0


def test_the_twin_image_has_the_longer_tail_below():
    atoms = lattice(np.arange(60.0), np.arange(50.0), cell=10.0)
    above, below = brightest_above_darkest(atoms)
    assert above > 3 * below
    assert brightest_above_darkest(-atoms) == pytest.approx((below, above))


@pytest.mark.parametrize("fraction", [0.0, -0.1, 0.6, math.nan])
def test_tails_refuse_a_fraction_out_of_range(fraction):
    with pytest.raises(ValueError, match="fraction"):
        brightest_above_darkest(np.ones(4), fraction)


@pytest.mark.parametrize("image", [np.zeros(0), np.array([1.0, np.nan])])
def test_tails_refuse_what_has_no_median(image):
    with pytest.raises(ValueError, match="finite"):
        brightest_above_darkest(image)


# remove_plane


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(*[st.floats(-5, 5)] * 3),
)
def test_remove_plane_is_the_least_squares_residual(shape, plane):
    y, x = np.indices(shape)
    image = np.random.default_rng(3).normal(size=shape)
    columns = np.stack([np.ones(shape), y, x], axis=-1).reshape(-1, 3)
    fit = columns @ np.linalg.lstsq(columns, image.ravel(), rcond=None)[0]
    expected = image - fit.reshape(shape)
    a, b, c = plane
    np.testing.assert_allclose(remove_plane(image + a + b * y + c * x), expected, atol=1e-12)


# phase_agreement


@settings(max_examples=30, deadline=None)
@given(
    shift=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    offset=st.tuples(st.floats(-6, 22), st.floats(-6, 22)),
    ramp=st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    constant=st.floats(-10, 10),
    gain=st.floats(0.2, 5),
    seed=st.integers(0, 1000),
)
def test_shift_and_ramp_are_found(shift, offset, ramp, constant, gain, seed):
    height, width = 50, 57
    truth = field(np.arange(90.0), np.arange(97.0), seed)
    y, x = np.arange(height, dtype=float), np.arange(width, dtype=float)
    phase = gain * field(y + offset[0] + shift[0], x + offset[1] + shift[1], seed)
    phase += constant + ramp[0] * y[:, None] + ramp[1] * x[None, :]
    found = phase_agreement(phase, truth, offset=offset)
    # The measured error is 2e-5 px, from the fading of the truth's rim.
    np.testing.assert_allclose(found.shift_px, shift, atol=1e-3)
    assert found.correlation > 1 - 1e-5
    assert found.gain == pytest.approx(gain, rel=1e-2)
    assert not found.at_limit
    np.testing.assert_array_equal(found.aligned, remove_plane(phase[found.region]))
    assert found.aligned.shape == found.truth_cropped.shape


def test_an_image_agrees_with_itself():
    truth = field(np.arange(60.0), np.arange(70.0))
    found = phase_agreement(truth, truth)
    assert found.correlation == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(found.shift_px, 0, atol=1e-4)
    assert found.gain == pytest.approx(1, abs=1e-6)
    # The truth reaches no further than the phase: 3 + 1 + 8 px are set aside on every side.
    assert found.region == (slice(12, 48), slice(12, 58))


def test_the_whole_phase_is_compared_where_the_truth_reaches_further():
    truth = field(np.arange(80.0), np.arange(80.0))
    found = phase_agreement(truth[20:60, 15:65], truth, offset=(20, 15))
    assert found.region == (slice(0, 40), slice(0, 50))
    np.testing.assert_allclose(found.truth_cropped, remove_plane(truth[20:60, 15:65]), atol=0.01)


def test_correlation_is_pearsons_of_the_two_images_returned():
    rng = np.random.default_rng(5)
    truth = field(np.arange(60.0), np.arange(60.0))
    found = phase_agreement(truth + rng.normal(size=truth.shape) * truth.std(), truth)
    pearson = np.corrcoef(found.aligned.ravel(), found.truth_cropped.ravel())[0, 1]
    assert found.correlation == pytest.approx(pearson, abs=1e-12)
    # Noise as strong as the signal: 1 / sqrt(2), to the scatter of 36 x 36 px.
    assert found.correlation == pytest.approx(math.sqrt(0.5), abs=0.05)
    np.testing.assert_allclose(found.shift_px, 0, atol=0.1)


@pytest.mark.parametrize("true_shift", [(0.0, 0.0), (1.3, -0.6), (-2.2, 1.9)])
@pytest.mark.parametrize("cell", [7.3, 10.0, 19.5])
def test_a_lattice_does_not_jump_by_a_unit_cell(true_shift, cell):
    y, x = np.arange(80.0), np.arange(90.0)
    truth = lattice(y, x, cell)
    offset = (14.25, 17.0)
    phase = (
        lattice(y[:45] + offset[0] + true_shift[0], x[:50] + offset[1] + true_shift[1], cell)
        + 0.01 * y[:45, None]
    )
    found = phase_agreement(phase, truth, offset=offset)
    np.testing.assert_allclose(found.shift_px, true_shift, atol=0.02)
    assert found.correlation > 0.999


def test_the_twin_image_correlates_negatively():
    truth = lattice(np.arange(70.0), np.arange(70.0), cell=16.0)
    assert phase_agreement(-truth, truth, radius=1).correlation < 0.5


def test_a_wrong_offset_is_told():
    truth = field(np.arange(80.0), np.arange(80.0), highest=0.03)
    found = phase_agreement(truth[20:60, 20:60], truth, offset=(20, 25), radius=2)
    assert found.at_limit
    assert math.hypot(*found.shift_px) == pytest.approx(2)


def test_without_a_radius_there_is_no_search():
    truth = field(np.arange(80.0), np.arange(80.0))
    found = phase_agreement(truth[20:60, 20:60], truth, offset=(21.5, 20), radius=0)
    assert found.shift_px == (0, 0)
    assert found.correlation < 0.9
    assert not found.at_limit


def test_unrelated_noise_ends_within_the_radius():
    rng = np.random.default_rng(0)
    for _ in range(10):
        found = phase_agreement(rng.normal(size=(50, 50)), rng.normal(size=(50, 50)))
        assert math.hypot(*found.shift_px) <= 3 + 1e-9
        assert abs(found.correlation) < 0.3


@pytest.mark.parametrize(
    ("phase", "truth", "options", "message"),
    [
        (np.ones(9), np.eye(60), {}, "phase must be a 2-D array"),
        (np.eye(60), np.full((60, 60), np.nan), {}, "truth must be a 2-D array of finite"),
        (np.eye(60), np.eye(60), {"offset": (1.0,)}, "offset must be a pair"),
        (np.eye(60), np.eye(60), {"radius": -1.0}, "radius"),
        (np.eye(20), np.eye(20), {}, "at least 8 are needed"),
        (np.eye(60), np.eye(60), {"offset": (0, 500)}, "share 0 px"),
        (np.full((60, 60), 0.3), np.eye(60), {}, "phase: nothing is left"),
        (np.eye(60), np.add.outer(np.arange(60.0), np.arange(60.0)), {}, "truth: nothing is left"),
    ],
)
def test_refusals(phase, truth, options, message):
    with pytest.raises(ValueError, match=message):
        phase_agreement(phase, truth, **options)


def test_contrast_is_the_deviation_from_the_plane():
    y, x = np.mgrid[:20, :30]
    stripes = 0.3 * (-1.0) ** y
    assert contrast(stripes) == pytest.approx(0.3, rel=1e-2)
    assert contrast(stripes + 5 + 0.2 * x - 0.1 * y) == pytest.approx(contrast(stripes))
