"""Tilt, occupancy and aberrations over the iterations; the tilt over the scan."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.unknowns import draw_tilt, draw_unknowns


def labels(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_a_panel_for_each_that_was_free(make_results):
    results = make_results(iterations=3)
    results.aberrations = {"defocus": 80.0, "C12a": 3.0}
    results.history.unknowns = {
        "thickness": [[10.0], [11.0], [12.0]],
        "tilt": [[0.0, 1.0], [0.5, 1.0], [0.7, 1.1]],
        "aberrations": [[70.0, 0.0], [75.0, 2.0], [80.0, 3.0]],
        "occupancy": [[0.5, 0.5], [0.6, 0.4], [0.7, 0.3]],
    }
    figure = draw_unknowns(results)
    figure.draw_without_rendering()
    tilt, occupancy, aberrations, empty = figure.axes
    assert [a.get_ylabel() for a in figure.axes[:3]] == [
        "tilt (mrad)",
        "occupancy",
        "aberrations (Å)",
    ]
    assert not empty.axison
    assert labels(tilt) == ["y", "x"]
    assert labels(occupancy) == ["mode 1", "mode 2"]
    assert labels(aberrations) == ["defocus", "C12a"]
    np.testing.assert_array_equal(aberrations.lines[0].get_ydata(), [70, 75, 80])


def test_the_band_is_the_spread_over_the_positions(make_results):
    results = make_results(iterations=2)
    results.history.unknowns = {
        "tilt": [[1.0, -1.0], [2.0, -2.0]],
        "tilt_spread": [[0.0, 0.1], [0.5, 0.2]],
    }
    (axes,) = draw_unknowns(results).axes
    assert labels(axes) == ["y", "x"]
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(2.5)
    assert band[band[:, 0] == 2, 1].min() == pytest.approx(1.5)


def test_many_curves_have_no_legend(make_results):
    results = make_results(iterations=2)
    results.history.unknowns = {"occupancy": np.ones((2, 9)).tolist()}
    (axes,) = draw_unknowns(results).axes
    assert axes.get_legend() is None


def test_nothing_was_free(make_results):
    with pytest.raises(ValueError, match="none of tilt, occupancy"):
        draw_unknowns(make_results())


def test_the_tilt_over_the_raster(make_results):
    results = make_results()
    shape = results.scan_shape
    results.tilt = np.arange(2 * shape[0] * shape[1], dtype=np.float32).reshape(-1, 2)
    figure = draw_tilt(results)
    figure.draw_without_rendering()
    for i in range(2):
        image = figure.axes[i].images[0].get_array()
        np.testing.assert_array_equal(image, results.tilt[:, i].reshape(shape))
        title = figure.axes[i].get_title(loc="left").replace("−", "-")
        assert title.startswith(f"Tilt {'yx'[i]}: {results.tilt[:, i].mean():.3g} ± ")


def test_no_map_of_a_common_tilt(make_results):
    with pytest.raises(ValueError, match="no raster with a tilt for each"):
        draw_tilt(make_results())
