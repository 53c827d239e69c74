"""Scan positions: order, step, sign of the rotation, affine matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.measurements import raster_positions, rotate_positions
from fastpty.measurements.positions import jittered


def test_the_slow_axis_is_y_and_the_fast_axis_runs_first() -> None:
    expected = [[0, 0], [0, 3], [0, 6], [2, 0], [2, 3], [2, 6]]
    np.testing.assert_array_equal(raster_positions((2, 3), (2.0, 3.0)), expected)


def test_one_step_is_both() -> None:
    np.testing.assert_array_equal(
        raster_positions((2, 3), 0.5), raster_positions((2, 3), (0.5, 0.5))
    )


def test_a_positive_rotation_turns_y_towards_x() -> None:
    """R = [[cos, -sin], [sin, cos]] on (y, x): the slow axis moves to +x, the fast one to -y."""
    turned = rotate_positions(np.array([[1.0, 0.0], [0.0, 1.0]]), 90)
    np.testing.assert_allclose(turned, [[0, 1], [-1, 0]], atol=1e-15)


def test_the_affine_matrix_acts_before_the_rotation() -> None:
    affine = ((1.0, 2.0), (0.0, 1.0))  # y' = y + 2 x
    sheared = rotate_positions(np.array([[0.0, 1.0]]), 0, affine)
    np.testing.assert_array_equal(sheared, [[2, 1]])
    np.testing.assert_allclose(
        rotate_positions(np.array([[0.0, 1.0]]), 90, affine), [[-1, 2]], atol=1e-15
    )


def test_nothing_is_rotated_by_default() -> None:
    positions = np.array([[1.5, -2.5], [1e6, 1e-6]])
    np.testing.assert_array_equal(rotate_positions(positions), positions)


@settings(derandomize=True, max_examples=25)
@given(first=st.floats(-180, 180), second=st.floats(-180, 180))
def test_rotations_add_and_keep_distances(first: float, second: float) -> None:
    positions = raster_positions((3, 4), (0.7, 1.3))
    twice = rotate_positions(rotate_positions(positions, first), second)
    np.testing.assert_allclose(twice, rotate_positions(positions, first + second), atol=1e-12)
    np.testing.assert_allclose(
        np.linalg.norm(twice, axis=1), np.linalg.norm(positions, axis=1), atol=1e-12
    )


@pytest.mark.parametrize("scan_shape", [(1, 1), (1, 5), (5, 1)])
def test_scans_of_one_line(scan_shape: tuple[int, int]) -> None:
    positions = raster_positions(scan_shape, 2)
    assert positions.shape == (scan_shape[0] * scan_shape[1], 2)
    assert positions.max() == 2 * (max(scan_shape) - 1)


def test_jitter_has_its_size_and_depends_on_the_seed_alone() -> None:
    positions = raster_positions((40, 50), 2.0)
    moved = jittered(positions, 0.15, seed=3) - positions
    # 4000 numbers: their standard deviation is good to 0.002.
    assert 0.14 < moved.std() < 0.16
    np.testing.assert_array_equal(jittered(positions, 0.15, seed=3) - positions, moved)
    assert (jittered(positions, 0.15, seed=4) - positions != moved).all()


def test_no_jitter_leaves_the_positions() -> None:
    positions = raster_positions((3, 4), 2.0)
    np.testing.assert_array_equal(jittered(positions, 0.0, seed=3), positions)
