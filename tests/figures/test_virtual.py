from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fastpty.figures import save_figures
from fastpty.figures.common import complex_to_rgb
from fastpty.figures.crop import scanned_area, window_centres
from fastpty.figures.virtual import draw_virtual
from fastpty.virtual import VirtualImages


def images_of(results) -> VirtualImages:
    rng = np.random.default_rng(0)
    shape = results.scan_shape
    return VirtualImages(
        {"BF": rng.uniform(size=shape), "ADF": rng.uniform(size=shape)},
        rng.normal(size=(2, *shape)),
    )


def test_a_panel_for_each_image_and_the_phase(make_results):
    results = make_results(slices=2)
    figure = draw_virtual(results, images_of(results))
    figure.draw_without_rendering()
    assert [axes.get_title() for axes in figure.axes] == ["BF", "ADF", "DPC", "iCoM", "phase"]
    area = scanned_area(results)
    expected = results.phase.sum(axis=1).mean(axis=0)[area]
    drawn = np.ma.masked_invalid(figure.axes[-1].images[0].get_array())
    assert drawn.count() > 0.5 * drawn.size
    np.testing.assert_allclose(drawn.compressed(), expected[~drawn.mask], rtol=1e-6)


def test_the_parallax_image_stands_beside_the_phase(make_results):
    results = make_results(slices=2)
    parallax = np.random.default_rng(1).normal(size=results.scan_shape)
    virtual = replace(images_of(results), parallax=parallax)
    figure = draw_virtual(results, virtual)
    figure.draw_without_rendering()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["BF", "ADF", "DPC", "iCoM", "parallax", "phase"]  # in two rows of three
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array(), parallax)


def test_deflections_have_the_colours_of_the_wheel(make_results):
    """To the right and upwards, where rows are to lower y; the wheel has row 0 at its bottom."""
    results = make_results(pixel_size=(0.25, 0.25))
    field = np.zeros((2, *results.scan_shape))
    field[:, 2, 2:4] = [[0.0, -1.0], [1.0, 0.0]]
    field[:, 2, 4:] = -field[:, 2, 2:4]  # so that the mean is zero
    axes = draw_virtual(results, VirtualImages({}, field)).axes[0]
    assert axes.get_title() == "DPC"
    colours = axes.images[0].get_array()
    np.testing.assert_allclose(colours[2, 2], complex_to_rgb(np.array(1 + 0j), 1.0))
    np.testing.assert_allclose(colours[2, 3], complex_to_rgb(np.array(1j), 1.0))
    np.testing.assert_allclose(colours[0], 0)
    (wheel,) = axes.child_axes
    assert not wheel.texts


def test_scan_positions_lie_where_they_are_in_the_object(make_results):
    """Turned and mirrored: the cell of a position is at the centre of its window."""
    results = make_results(moved=0.0)
    centre = results.positions.mean(axis=0)
    turn = np.array([[0.6, 0.8], [0.8, -0.6]])
    results.positions = (results.positions - centre) @ turn.T + centre
    figure = draw_virtual(results, images_of(results))
    axes = figure.axes[0]
    figure.draw_without_rendering()
    to_data = axes.images[0].get_transform() - axes.transData
    area = scanned_area(results)
    corner = [area[0].start, area[1].start]
    for number in (0, 5, 8, 29):
        slow, fast = divmod(number, results.scan_shape[1])
        x, y = to_data.transform((fast, slow))
        np.testing.assert_allclose([y, x], window_centres(results)[number] - corner, atol=1e-9)


def test_a_list_of_positions_has_no_such_figure(make_results, tmp_path):
    raster = make_results(iterations=0)
    virtual = images_of(raster)
    assert tmp_path / "virtual.png" in save_figures(raster, tmp_path, virtual=virtual, dpi=30)
    free = make_results(raster=False, iterations=0)
    names = [path.name for path in save_figures(free, tmp_path, virtual=virtual, dpi=30)]
    assert "virtual.png" not in names
    with pytest.raises(ValueError, match="need a raster"):
        draw_virtual(free, virtual)
