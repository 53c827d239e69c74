from __future__ import annotations

import math

import numpy as np
import pytest

from fastpty.figures.loss import draw_loss
from fastpty.results import History


def curves(figure):
    """label -> (iterations, values) of the lines that have a legend entry."""
    (axes,) = figure.axes
    return {
        line.get_label(): line.get_data()
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_total_and_terms_against_iteration(any_results):
    figure = draw_loss(any_results)
    figure.draw_without_rendering()
    history = any_results.history
    drawn = curves(figure)
    assert list(drawn) == ["total", "amplitude", "sparsity"]
    iterations, values = drawn["total"]
    np.testing.assert_array_equal(iterations, np.arange(1, len(history.loss) + 1))
    np.testing.assert_array_equal(values, history.loss)
    np.testing.assert_array_equal(drawn["sparsity"][1], history.terms["sparsity"])


def test_title_tells_loss_and_time(make_results):
    results = make_results(iterations=4)
    results.history.seconds = [10.0, 2.0, 2.0, 60.0]
    title = draw_loss(results).axes[0].get_title(loc="left")
    assert title == "Loss 0.25 after 4 iterations\n1 min 14 s in all, 6 s per iteration (median)"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0123, "12.3 ms"), (59.94, "59.9 s"), (60, "1 min 00 s"), (7384, "2 h 03 min")],
)
def test_times_have_readable_units(make_results, seconds, text):
    results = make_results(iterations=1)
    results.history.seconds = [seconds]
    assert draw_loss(results).axes[0].get_title(loc="left").split("\n")[1].startswith(text)


@pytest.mark.parametrize(
    ("loss", "scale"),
    [
        ([1.0, 0.5, 0.2], "linear"),
        ([1.0, 0.5, 0.02], "log"),
        ([1.0, -0.5, 0.001], "linear"),
        ([1.0, 0.0, 0.05], "log"),
        ([0.0, 0.0, 0.0], "linear"),
        ([math.nan] * 3, "linear"),
    ],
)
def test_log_axis_for_a_decade_without_negative_values(make_results, loss, scale):
    results = make_results()
    results.history = History(loss=loss)
    assert draw_loss(results).axes[0].get_yscale() == scale


def test_not_finite_values_are_counted_and_lone_ones_marked(make_results):
    results = make_results()
    results.history = History(loss=[3.0, math.nan, 2.0, 1.0, math.inf])
    figure = draw_loss(results)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert "2 not finite" in axes.get_title(loc="left")
    (markers,) = [line for line in axes.lines if line.get_marker() == "o"]
    np.testing.assert_array_equal(markers.get_data(), [[1], [3.0]])


def test_a_single_iteration_is_a_marker(make_results):
    (axes,) = draw_loss(make_results(iterations=1)).axes
    assert [len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"] == [1, 1, 1]
    left, right = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if left <= tick <= right] == [1]


def test_terms_that_say_nothing_have_no_curve(make_results):
    results = make_results()
    total = results.history.loss
    results.history.terms = {"amplitude": list(total), "off": [0.0] * len(total)}
    figure = draw_loss(results)
    assert list(curves(figure)) == ["total"]
    assert figure.axes[0].get_legend() is None


def test_empty_history_is_refused(make_results):
    with pytest.raises(ValueError, match="no iteration"):
        draw_loss(make_results(iterations=0))


def test_rates_that_change_are_drawn_below(make_results):
    """Relative to their highest; unknowns that share them share a curve; fixed ones leave gaps."""
    results = make_results(iterations=3)
    results.history.lr = {
        "amplitude": [1e-3, 5e-4, 2.5e-4],
        "phase": [2e-3, 1e-3, 5e-4],
        "probe": [1e-4, 1e-4, 1e-4],
        "positions": [0.0, 4.0, 1.0],
    }
    figure = draw_loss(results)
    figure.draw_without_rendering()
    above, below = figure.axes
    assert above.get_ylabel() == "loss"
    drawn = {line.get_label(): line.get_ydata() for line in below.lines}
    np.testing.assert_array_equal(drawn["amplitude, phase"], [1, 0.5, 0.25])
    np.testing.assert_array_equal(drawn["positions"], [np.nan, 1, 0.25])
    assert "probe" not in drawn


def test_constant_rates_need_no_panel(make_results):
    results = make_results(iterations=3)
    results.history.lr = {"phase": [1e-3] * 3, "positions": [0.0, 1e-3, 1e-3], "probe": [0.0] * 3}
    assert len(draw_loss(results).axes) == 1


def test_where_a_stage_begins(make_results):
    """Also above the rates; stages are named by the plan, or by their number."""
    results = make_results(iterations=6)
    results.history.stage = [0, 0, 1, 1, 1, 2]
    results.history.lr = {"phase": [1.0, 1.0, 0.5, 0.5, 0.5, 0.5]}
    results.config = {"plan": [{"name": "centre"}, {"name": "full"}, {"name": None}]}
    figure = draw_loss(results)
    for axes in figure.axes:
        marks = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
        assert marks == [2.5, 5.5]
    assert [text.get_text() for text in figure.axes[0].texts] == ["full", "stage 3"]


def test_one_stage_has_no_mark(any_results):
    assert not draw_loss(any_results).axes[0].texts
