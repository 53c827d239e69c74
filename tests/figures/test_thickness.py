"""The distance of the slices over the iterations."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.thickness import draw_thickness


def test_one_thickness_for_all_gaps(make_results) -> None:
    results = make_results(slices=4, iterations=3)
    results.history.unknowns = {"thickness": [[10.0], [11.0], [12.5]]}
    figure = draw_thickness(results)
    figure.draw_without_rendering()
    each, whole = figure.axes
    np.testing.assert_array_equal(each.lines[0].get_ydata(), [10, 11, 12.5])
    np.testing.assert_array_equal(whole.lines[0].get_ydata(), [30, 33, 37.5])
    assert (each.get_ylabel(), whole.get_ylabel()) == (
        "distance of slices (Å)",
        "sum of 3 gaps (Å)",
    )
    assert whole.get_title(loc="left") == "37.5 Å after 3 iterations"


def test_a_curve_for_each_gap_in_its_colour(make_results) -> None:
    results = make_results(slices=13, iterations=2)
    gaps = np.array([np.full(12, 5.0), np.arange(12.0)])
    results.history.unknowns = {"thickness": gaps.tolist()}
    results.history.stage = [0, 1]
    figure = draw_thickness(results)
    figure.draw_without_rendering()
    each, whole, bar = figure.axes
    curves = [line for line in each.lines if np.array_equal(line.get_xdata(), [1, 2])]
    np.testing.assert_array_equal([line.get_ydata() for line in curves], gaps.T)
    key = figure.axes[2].collections[-1].cmap
    np.testing.assert_allclose([line.get_color() for line in curves], key.colors)
    assert bar.get_ylabel() == "gap"
    np.testing.assert_array_equal(whole.lines[0].get_ydata(), [60, 66])
    assert not bar.lines  # where the stages begin belongs to the curves


def test_a_fixed_thickness_has_no_history(make_results) -> None:
    with pytest.raises(ValueError, match="was fixed"):
        draw_thickness(make_results())
