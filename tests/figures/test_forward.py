from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from fastpty.figures.common import MASKED, detector_scale
from fastpty.figures.forward import draw_forward
from fastpty.metrics import r_factor


def panels(figure):
    """[rows][3] axes of the patterns, without the colour bars."""
    axes = [a for a in figure.axes if a.images]
    return [axes[i : i + 3] for i in range(0, len(axes), 3)]


def test_rows_show_the_patterns(any_results):
    snapshot = any_results.snapshots[-1]
    figure = draw_forward(any_results, snapshot, rows=5)
    figure.draw_without_rendering()
    rows = panels(figure)
    assert len(rows) == 5
    for k, (measured, simulated, residual) in enumerate(rows):
        good = snapshot.mask
        shown = measured.images[0].get_array()
        np.testing.assert_array_equal(shown.mask, ~good)
        np.testing.assert_array_equal(shown[good], snapshot.measured[k][good])
        np.testing.assert_array_equal(simulated.images[0].get_array(), snapshot.simulated[k])
        np.testing.assert_allclose(
            residual.images[0].get_array()[good],
            np.abs(np.sqrt(snapshot.simulated[k]) - np.sqrt(snapshot.measured[k]))[good],
            rtol=1e-6,
        )
        each = r_factor(snapshot.measured[k], snapshot.simulated[k], good)
        assert residual.get_ylabel() == f"R = {each:.3f}"
        assert measured.get_aspect() == detector_scale(any_results).aspect


def test_measured_and_simulated_share_one_square_root_scale(make_results):
    results = make_results()
    figure = draw_forward(results, results.snapshots[0])
    norms = {id(panel.images[0].norm) for row in panels(figure) for panel in row[:2]}
    assert len(norms) == 1
    norm = figure.axes[0].images[0].norm
    assert norm(0.25 * norm.vmax) == pytest.approx(0.5)
    residual_norms = {id(row[2].images[0].norm) for row in panels(figure)}
    assert len(residual_norms) == 1
    assert norms.isdisjoint(residual_norms)


def test_masked_pixels_are_grey(make_results):
    results = make_results()
    figure = draw_forward(results, results.snapshots[0])
    measured, _, residual = panels(figure)[0]
    for panel in (measured, residual):
        image = panel.images[0]
        np.testing.assert_allclose(image.to_rgba(image.get_array())[3, 0], to_rgba(MASKED))
    assert "grey: masked" in figure.get_suptitle()


def test_titles_and_places(make_results):
    results = make_results(scan=(5, 6))
    first, last = results.snapshots
    assert (
        draw_forward(results, first)
        .get_suptitle()
        .startswith("Before the first iteration: R = 0.250")
    )
    assert (
        draw_forward(results, last)
        .get_suptitle()
        .startswith("Iteration 12: R = 0.250 over 5 patterns")
    )
    rows = panels(draw_forward(results, last, rows=2))
    labels = [row[0].get_ylabel() for row in rows]
    assert labels == ["position 0\n(row 0, column 0)", "position 29\n(row 4, column 5)"]
    results.scan_shape = None
    assert panels(draw_forward(results, last))[0][0].get_ylabel() == "position 0"


def test_undefined_r_factors_are_said_to_be(make_results):
    results = make_results()
    snapshot = dataclasses.replace(
        results.snapshots[0],
        measured=np.zeros_like(results.snapshots[0].measured),
        mask=None,
        r_factor=math.nan,
    )
    figure = draw_forward(results, snapshot)
    figure.draw_without_rendering()
    assert figure.get_suptitle() == "Before the first iteration: R undefined over 5 patterns"
    assert panels(figure)[0][2].get_ylabel() == "R undefined"


def test_patterns_that_are_not_finite_are_drawn(make_results):
    results = make_results()
    snapshot = results.snapshots[0]
    snapshot.simulated = np.full_like(snapshot.simulated, np.nan)
    snapshot.measured[0, 0, 0] = np.nan
    figure = draw_forward(results, snapshot)
    figure.draw_without_rendering()
    assert panels(figure)[0][0].images[0].get_array().mask[0, 0]


def test_snapshot_without_patterns_is_refused(make_results):
    results = make_results()
    snapshot = results.snapshots[0]
    snapshot.measured = snapshot.measured[:0]
    with pytest.raises(ValueError, match="no pattern"):
        draw_forward(results, snapshot)
