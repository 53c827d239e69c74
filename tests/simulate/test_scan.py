"""Positions and the source."""

import numpy as np
import pytest

from fastpty.simulate.scan import actual_positions, nominal_positions, source_points


def test_the_fast_axis_is_x_and_runs_fastest():
    positions = nominal_positions((2, 3), (0.4, 0.5), 0.0)
    expected = [(0, 0), (0, 0.5), (0, 1.0), (0.4, 0), (0.4, 0.5), (0.4, 1.0)]
    np.testing.assert_allclose(positions, expected)


def test_rotation_acts_on_y_x_vectors():
    """R = [[cos, -sin], [sin, cos]]: at 90 degrees a fast step goes to -y, a slow one to +x."""
    positions = nominal_positions((2, 2), (0.4, 0.5), 90.0)
    np.testing.assert_allclose(positions, [(0, 0), (-0.5, 0), (0, 0.4), (-0.5, 0.4)], atol=1e-15)


def test_rotation_by_a_small_angle():
    y, x = nominal_positions((1, 2), (1.0, 1.0), 3.0)[1]
    assert (y, x) == pytest.approx((-np.sin(np.radians(3)), np.cos(np.radians(3))))


def actual(nominal, centre=(0.0, 0.0), drift=(0.0, 0.0), jitter=0.0, seed=0):
    return actual_positions(nominal, np.array(centre), drift, jitter, np.random.default_rng(seed))


def test_the_scan_is_centred():
    nominal = nominal_positions((3, 5), (0.4, 0.5), 0.0)
    positions = actual(nominal, (2.0, -1.0))
    np.testing.assert_allclose(positions.mean(axis=0), (2.0, -1.0))
    np.testing.assert_allclose(positions - positions[0], nominal, atol=1e-15)


def test_drift_grows_linearly_to_its_full_value():
    nominal = nominal_positions((3, 5), (0.4, 0.5), 0.0)
    moved = actual(nominal, drift=(1.4, -2.8)) - actual(nominal)
    np.testing.assert_allclose(moved, np.arange(15)[:, None] / 14 * [1.4, -2.8], atol=1e-15)


def test_jitter_has_its_rms_along_each_axis():
    nominal = nominal_positions((100, 100), (0.4, 0.5), 0.0)
    moved = actual(nominal, jitter=0.3) - actual(nominal)
    # 10^4 deviates: the rms is known to 1 / sqrt(2e4) = 0.7 %, here three times that.
    np.testing.assert_allclose(moved.std(axis=0), 0.3, rtol=0.021)


def test_a_single_position_may_drift():
    assert np.isfinite(actual(nominal_positions((1, 1), (1.0, 1.0), 0.0), drift=(1, 1))).all()


def test_a_point_source_is_one_point():
    shifts, weights = source_points(0.0, 5)
    assert shifts.tolist() == [[0, 0]]
    assert weights.tolist() == [1]


@pytest.mark.parametrize("order", [2, 3, 5])
def test_source_points_have_the_moments_of_the_gaussian(order):
    shifts, weights = source_points(0.7, order)
    sigma = 0.7 / 2.3548200450309493  # 2 sqrt(2 ln 2)
    assert len(weights) == order**2
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights @ shifts, 0, atol=1e-15)
    covariance = (weights[:, None] * shifts).T @ shifts
    np.testing.assert_allclose(covariance, sigma**2 * np.eye(2), atol=1e-15)


def test_three_points_have_the_fourth_moment_too():
    shifts, weights = source_points(0.7, 3)
    assert weights @ shifts[:, 0] ** 4 == pytest.approx(3 * (0.7 / 2.3548200450309493) ** 4)
