from __future__ import annotations

import numpy as np

from fastpty.figures.crop import scanned_area, window_centres


def test_area_runs_from_the_first_to_the_last_window_centre(make_results):
    results = make_results(window=(12, 20), moved=0.0)
    results.positions = np.array([[2.4, 3.0], [9.6, 4.0], [5.0, 7.51]])
    np.testing.assert_allclose(window_centres(results)[0], [8.4, 13.0])
    assert scanned_area(results) == (slice(8, 17), slice(13, 19))


def test_odd_windows_have_their_centre_at_half_rounded_down(make_results):
    results = make_results(window=(13, 15), moved=0.0)
    results.positions = np.array([[0.0, 0.0], [4.0, 4.0]])
    assert scanned_area(results) == (slice(6, 11), slice(7, 12))


def test_area_stays_inside_the_object(make_results):
    results = make_results()
    results.positions = np.array([[-50.0, 0.0], [500.0, 3.0]])
    assert scanned_area(results)[0] == slice(0, results.phase.shape[-2])


def test_positions_that_are_not_finite_are_passed_over(make_results):
    results = make_results(moved=0.0)
    expected = scanned_area(results)
    results.positions[3] = np.nan
    assert scanned_area(results) == expected
    results.positions[:] = np.nan
    assert scanned_area(results) == tuple(slice(0, n) for n in results.phase.shape[-2:])
