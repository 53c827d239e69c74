from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.quiver import Quiver

from fastpty.figures.crop import window_centres
from fastpty.figures.positions import draw_positions


def scan_axes(figure):
    return next(axes for axes in figure.axes if axes.get_xlabel().startswith("x ("))


def arrows(figure):
    return [c for c in scan_axes(figure).collections if isinstance(c, Quiver)]


def dots(figure, label):
    return next(c for c in scan_axes(figure).collections if c.get_label() == label)


def test_start_and_final_centres_inside_the_frame(any_results):
    figure = draw_positions(any_results)
    figure.draw_without_rendering()
    axes = scan_axes(figure)
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    assert top < bottom  # y points down, as in the images
    for label in ("start", "final"):
        x, y = dots(figure, label).get_offsets().T
        assert left < x.min() <= x.max() < right
        assert top < y.min() <= y.max() < bottom


def test_dots_are_in_angstrom(make_results):
    results = make_results(pixel_size=(0.2, 0.3))
    figure = draw_positions(results)
    centres = window_centres(results) * (0.2, 0.3)
    np.testing.assert_allclose(dots(figure, "final").get_offsets(), centres[:, ::-1])
    half = np.array([8, 8])
    np.testing.assert_allclose(
        dots(figure, "start").get_offsets(),
        ((results.positions_start + half) * (0.2, 0.3))[:, ::-1],
    )
    assert scan_axes(figure).get_ylabel() == "y (Å)"


@pytest.mark.parametrize(("moved", "factor"), [(3.0, 1.0), (0.01, 200.0)])
def test_tiny_displacements_are_exaggerated_by_a_stated_factor(make_results, moved, factor):
    results = make_results(pixel_size=None)
    results.positions = results.positions_start + np.array([0.0, moved])
    figure = draw_positions(results)
    (quiver,) = arrows(figure)
    np.testing.assert_allclose(quiver.U, factor * moved)
    np.testing.assert_allclose(quiver.V, 0, atol=1e-12)
    labels = [axes.get_ylabel() for axes in figure.axes]
    text = "displacement (px)" + (f", arrows {factor:g} ×" if factor > 1 else "")
    assert text in labels


def test_statistics_in_px_and_angstrom(make_results):
    results = make_results(pixel_size=(0.5, 0.5))
    results.positions = results.positions_start.copy()
    results.positions[0] += (3, 4)
    n = len(results.positions)
    title = scan_axes(draw_positions(results)).get_title(loc="left")
    assert title == (
        "Displacement\n"
        f"mean {5 / n:.3g}, RMS {5 / math.sqrt(n):.3g}, max 5 px\n"
        f"mean {2.5 / n:.3g}, RMS {2.5 / math.sqrt(n):.3g}, max 2.5 Å"
    )
    results.pixel_size = None
    assert scan_axes(draw_positions(results)).get_title(loc="left").count("\n") == 1


def test_history_has_its_own_panel(make_results):
    results = make_results()
    (curve,) = [a for a in draw_positions(results).axes if a.get_xlabel() == "iteration"]
    np.testing.assert_array_equal(curve.lines[0].get_ydata(), results.history.displacement)

    mean = np.array(results.history.displacement)
    results.history.positions = {"rms": (1.2 * mean).tolist(), "max": (3 * mean).tolist()}
    (curve,) = [a for a in draw_positions(results).axes if a.get_xlabel() == "iteration"]
    drawn = {line.get_label(): line.get_ydata() for line in curve.lines if line.get_xdata().size}
    assert list(drawn) == ["mean", "RMS", "max"]
    np.testing.assert_array_equal(list(drawn.values()), np.outer((1, 1.2, 3), mean))
    assert curve.get_legend() is not None


@pytest.mark.parametrize("moved", [0.0, 1e-8])  # the second is what rounding leaves
def test_positions_that_did_not_move_have_no_arrows(make_results, moved):
    figure = draw_positions(make_results(moved=moved))
    assert arrows(figure) == []
    assert scan_axes(figure).get_title(loc="left") == "Positions were not moved"
    assert len(figure.axes) == 1


@pytest.mark.parametrize("raster", [True, False])
def test_dense_scans_are_thinned_evenly(make_results, raster):
    results = make_results(scan=(60, 50), slices=1, raster=raster)
    figure = draw_positions(results)
    drawn = len(dots(figure, "final").get_offsets())
    assert 300 < drawn <= 1100
    assert f"({drawn} of 3000 positions drawn)" in scan_axes(figure).get_title(loc="left")
    if raster:
        x, y = dots(figure, "start").get_offsets().round(9).T
        assert len(np.unique(x)) * len(np.unique(y)) == drawn


def test_positions_that_are_not_finite(make_results):
    results = make_results()
    results.positions[2] = np.nan
    figure = draw_positions(results)
    figure.draw_without_rendering()
    assert len(dots(figure, "final").get_offsets()) == len(results.positions) - 1
    assert "nan" not in scan_axes(figure).get_title(loc="left")

    results.positions[:] = np.nan
    results.history.displacement = [math.nan] * 3
    figure = draw_positions(results)
    figure.draw_without_rendering()
    assert scan_axes(figure).get_title(loc="left") == "No finite position to draw"
