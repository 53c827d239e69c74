from __future__ import annotations

import numpy as np
import pytest

from fastpty.figures.common import object_scale, robust_limits
from fastpty.figures.crop import scanned_area
from fastpty.figures.object_phase import draw_phase_sum, draw_slices


def image_axes(figure):
    return [axes for axes in figure.axes if axes.images]


def test_sum_over_slices_and_mean_over_object_modes(make_results):
    results = make_results(object_modes=3, slices=4, pixel_size=(0.2, 0.3))
    figure = draw_phase_sum(results)
    figure.draw_without_rendering()
    (axes,) = image_axes(figure)
    y, x = scanned_area(results)
    expected = results.phase.astype(np.float64).sum(axis=1).mean(axis=0)[y, x]
    image = axes.images[0]
    np.testing.assert_allclose(image.get_array(), expected, rtol=1e-12, atol=1e-12)
    assert image.get_clim() == pytest.approx(robust_limits(expected))
    assert axes.get_aspect() == object_scale(results).aspect
    assert axes.get_title() == "Phase, sum over 4 slices"
    assert "phase (rad)" in [a.get_ylabel() for a in figure.axes]


def test_every_case_is_drawn(any_results):
    for draw, count in ((draw_phase_sum, 1), (draw_slices, any_results.phase.shape[1])):
        figure = draw(any_results)
        figure.draw_without_rendering()
        assert len(image_axes(figure)) == count


def test_a_single_slice_is_not_called_a_sum(make_results):
    assert image_axes(draw_phase_sum(make_results(slices=1)))[0].get_title() == "Phase"


def test_slices_share_limits_and_name_their_depth(make_results):
    results = make_results(slices=5, object_modes=2)
    panels = image_axes(draw_slices(results))
    y, x = scanned_area(results)
    for z, axes in enumerate(panels):
        assert axes.get_title() == f"z = {10 * z} Å"
        np.testing.assert_allclose(
            axes.images[0].get_array(),
            results.phase[:, z, y, x].astype(np.float64).mean(axis=0),
            rtol=1e-12,
        )
    assert len({axes.images[0].get_clim() for axes in panels}) == 1


def test_slices_are_numbered_without_a_thickness(make_results):
    panels = image_axes(draw_slices(make_results(slices=2, pixel_size=None)))
    assert [axes.get_title() for axes in panels] == ["slice 1", "slice 2"]


def test_a_line_scan_shows_the_whole_object(make_results):
    results = make_results(scan=(1, 9), moved=0.0)
    assert scanned_area(results)[0] == slice(10, 11)
    shown = image_axes(draw_phase_sum(results))[0].images[0].get_array()
    assert shown.shape == results.phase.shape[-2:]


def test_phases_that_are_not_finite_are_drawn(make_results):
    results = make_results()
    results.phase[:] = np.nan
    for draw in (draw_phase_sum, draw_slices):
        draw(results).draw_without_rendering()
