"""Figures of a search by trials."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fastpty.figures.search import SearchView, draw_history, draw_landscape, draw_slices


def view_of(**changes: Any) -> SearchView:
    """Six trials: one failed, one was pruned, one is far off."""
    content: dict[str, Any] = {
        "objective": "loss",
        "more_is_better": False,
        "number": [0, 1, 2, 3, 4, 5],
        "value": [0.5, 0.4, np.nan, np.nan, 90.0, 0.3],
        "given_up": [False, False, True, False, False, False],
        "fields": {
            "a": [1.0, 2.0, 3.0, 4.0, 5.0, 2.5],
            "b": [0.1, 0.01, 0.1, 0.1, 0.001, 0.1],
            "c": ["Adam", "SGD", "Adam", "Adam", "SGD", "SGD"],
        },
        "logarithmic": frozenset({"b"}),
        "importances": {"a": 0.75, "b": 0.25},
    }
    return SearchView(**{**content, **changes})


def test_the_history() -> None:
    figure = draw_history(view_of())
    figure.draw_without_rendering()
    (axes,) = figure.axes
    lines = {line.get_label(): line.get_data() for line in axes.lines}
    np.testing.assert_array_equal(lines["trial"], ([0, 1, 4, 5], [0.5, 0.4, 90, 0.3]))
    np.testing.assert_array_equal(lines["best so far"][1], [0.5, 0.4, 0.4, 0.4, 0.4, 0.3])
    for label, number in (("pruned", 2), ("failed", 3), ("beyond the axis", 4)):
        assert list(lines[label][0]) == [number]
    assert axes.get_ylim()[1] < 90


def test_more_may_be_better() -> None:
    view = view_of(more_is_better=True, objective="frc", value=[1.0, 3, 2, 2, -90, 2.5])
    assert view.best == 1
    low, high = view.limits()
    assert -90 < low < 1
    assert high > 3
    lines = {line.get_label(): line.get_data() for line in draw_history(view).axes[0].lines}
    assert list(lines["best so far"][1]) == [1, 3, 3, 3, 3, 3]


def test_slices() -> None:
    figure = draw_slices(view_of())
    figure.draw_without_rendering()
    a, b, c = figure.axes
    assert [axes.get_xlabel() for axes in (a, b, c)] == ["a", "b", "c"]
    assert a.get_title() == "importance 75 %"
    assert c.get_title() == ""
    assert (a.get_xscale(), b.get_xscale()) == ("linear", "log")
    assert [tick.get_text() for tick in c.get_xticklabels()] == ["Adam", "SGD"]
    assert [axes.lines[0].get_xdata()[0] for axes in (a, b, c)] == [2.5, 0.1, 1]


@pytest.mark.parametrize("contours", [True, False])
def test_the_landscape(contours: bool) -> None:
    """Between trials only where they are not all on one line."""
    changes = {} if contours else {"fields": {"a": [1.0, 2, 3, 4, 5, 6], "b": [2.0] * 6}}
    view = view_of(value=[0.5, 0.4, 0.45, 0.6, 0.7, 0.3], **changes)
    figure = draw_landscape(view, "a", "b")
    figure.draw_without_rendering()
    axes = figure.axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("a", "b")
    assert axes.get_yscale() == "log"
    assert len(axes.collections) == (2 if contours else 1)
    ring = axes.lines[0]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (view.fields["a"][5], view.fields["b"][5])


def test_a_single_trial_has_figures() -> None:
    view = view_of(number=[0], value=[0.0], given_up=[False], fields={"a": [1.0], "b": [2.0]})
    for figure in (draw_history(view), draw_slices(view), draw_landscape(view, "a", "b")):
        figure.draw_without_rendering()
