"""By how much the unknowns changed in each iteration."""

from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.changes import ROUNDING, draw_changes


def test_a_curve_for_each_unknown_that_moved(make_results):
    results = make_results(iterations=4)
    results.history.stage = [0, 0, 1, 1]
    results.history.change = {
        "phase": [0.5, 0.2, 0.1, 0.05],
        "positions": [ROUNDING / 2, 0.0, 0.03, 0.01],
        "probe": [0.0] * 4,
    }
    figure = draw_changes(results)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["phase", "positions (px)"]
    curves = [line for line in axes.lines if line.get_label() in labels]
    np.testing.assert_array_equal(curves[1].get_ydata(), [np.nan, np.nan, 0.03, 0.01])
    assert [text.get_text() for text in axes.texts] == ["stage 2"]


def test_nothing_moved(make_results):
    results = make_results(iterations=2)
    results.history.change = {"probe": [0.0, 0.0]}
    figure = draw_changes(results)
    figure.draw_without_rendering()
    assert not figure.legends


def test_a_history_without_changes(make_results):
    with pytest.raises(ValueError, match="does not say how far"):
        draw_changes(make_results())
