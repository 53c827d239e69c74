"""Where a known slice lies in the sections, and to which scale."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import QuadMesh

from fastpty.figures.depth_sections import Depth, draw_depth_sections, strongest_point
from fastpty.figures.object_phase import shown_area
from fastpty.results import Results
from tests.figures.conftest import CASES, build_results

GAPS = np.array([4.0, 8.0, 2.0, 2.0], np.float32)
ATOM = (3, 17, 21)  # slice, y, x
PLAN, ALONG_Y, ALONG_X, PROFILE = range(4)


@pytest.fixture
def atom(make_results) -> Results:
    """One bright pixel in one slice."""
    results = make_results(slices=5, pixel_size=(0.25, 0.4), moved=0.0)
    results.thickness = GAPS
    results.phase = 0.01 * results.phase
    results.phase[0][ATOM] = 5.0
    return results


def mesh(axes) -> QuadMesh:
    (found,) = [item for item in axes.collections if isinstance(item, QuadMesh)]
    return found


def box_of_highest(axes) -> tuple[float, float, float, float]:
    """(left, right, low, high) of the brightest cell."""
    drawn = mesh(axes)
    values = np.ma.filled(drawn.get_array(), -np.inf)
    row, column = np.unravel_index(values.argmax(), values.shape)
    corners = drawn.get_coordinates()[row : row + 2, column : column + 2]
    return (*corners[0, :, 0].tolist(), *corners[:, 0, 1].tolist())


def test_an_atom_is_at_its_depth_and_place(atom: Results) -> None:
    """Slice 3 lies at 14 Angstrom, from half way to its neighbours at 12 and 16."""
    axes = draw_depth_sections(atom).axes
    area = shown_area(atom)
    y, x = ATOM[1] - area[0].start, ATOM[2] - area[1].start
    layer = (13.0, 15.0)
    np.testing.assert_allclose(box_of_highest(axes[ALONG_X]), (0.4 * x, 0.4 * (x + 1), *layer))
    np.testing.assert_allclose(box_of_highest(axes[ALONG_Y]), (*layer, 0.25 * y, 0.25 * (y + 1)))
    line = axes[PROFILE].lines[0]
    assert line.get_ydata()[line.get_xdata().argmax()] == 14.0
    assert axes[ALONG_X].get_ylim() == axes[PROFILE].get_ylim() == (17.0, -2.0)  # z points down
    assert axes[ALONG_Y].get_xlim() == (-2.0, 17.0)
    assert [line.get_ydata()[0] for line in axes[PLAN].lines[:1]] == [y]
    assert [line.get_xdata()[0] for line in axes[PLAN].lines[1:]] == [x]


def test_the_strongest_point_is_of_the_scanned_area(atom: Results) -> None:
    assert strongest_point(atom) == ATOM[1:]
    atom.phase[0, 0, 0, 0] = 50.0  # where the probe has never been
    assert strongest_point(atom) == ATOM[1:]
    atom.phase += 0.5 * np.arange(atom.phase.shape[-1], dtype=np.float32)  # a ramp is no atom
    assert strongest_point(atom) == ATOM[1:]


def test_a_chosen_point(atom: Results) -> None:
    area = shown_area(atom)
    chosen = area[0].start + 2, area[1].start + 3
    axes = draw_depth_sections(atom, point=chosen).axes
    section = np.asarray(mesh(axes[ALONG_X]).get_array())
    np.testing.assert_array_equal(section, atom.phase[0, :, chosen[0], area[1]])
    section = np.asarray(mesh(axes[ALONG_Y]).get_array())
    np.testing.assert_array_equal(section.T, atom.phase[0, :, area[0], chosen[1]])
    assert f"[y, x] = {list(chosen)} px" in axes[PLAN].get_title(loc="left")
    with pytest.raises(ValueError, match="outside of the scanned area"):
        draw_depth_sections(atom, point=(0, 0))


@pytest.mark.parametrize(
    ("gap", "stretch", "said"),
    [
        (1.0, 1.0, "z to scale"),
        (50.0, 0.02, "z drawn at 0.02 × the lateral scale"),
        (0.1, 10.0, "z drawn at 10 × the lateral scale"),
    ],
)
def test_lengths_are_to_the_scale_that_is_said(
    atom: Results, gap: float, stretch: float, said: str
) -> None:
    atom.thickness = np.float32(gap)
    figure = draw_depth_sections(atom)
    figure.draw_without_rendering()
    axes = figure.axes
    assert axes[PLAN].get_title(loc="left").split("\n")[1] == said

    def inches_per_angstrom(panel) -> tuple[float, float]:
        box = panel.get_window_extent()
        (left, right), (low, high) = panel.get_xlim(), panel.get_ylim()
        return box.width / abs(right - left), box.height / abs(high - low)

    lateral, deep = inches_per_angstrom(axes[ALONG_X])
    assert deep / lateral == pytest.approx(stretch)
    deep, other = inches_per_angstrom(axes[ALONG_Y])
    assert other == pytest.approx(lateral)
    assert deep / lateral == pytest.approx(stretch)
    pixel = axes[PLAN].get_window_extent().width / np.ptp(axes[PLAN].get_xlim())
    assert pixel / 0.4 == pytest.approx(lateral)


def test_bars_are_as_long_as_they_say(atom: Results) -> None:
    for panel in draw_depth_sections(atom).axes[ALONG_Y : ALONG_X + 1]:
        across, down = panel.lines
        assert np.ptp(across.get_ydata()) == np.ptp(down.get_xdata()) == 0
        lengths = np.ptp(across.get_xdata()), np.ptp(down.get_ydata())
        said = [float(text.get_text().removesuffix(" Å")) for text in panel.texts]
        np.testing.assert_allclose(lengths, said)


@pytest.mark.parametrize("form", ["line scan", "one position", "rectangular", "thick"])
def test_other_forms_are_drawn(form: str) -> None:
    draw_depth_sections(build_results(**CASES[form])).draw_without_rendering()


def test_one_slice_has_no_section(make_results) -> None:
    with pytest.raises(ValueError, match="one slice"):
        draw_depth_sections(make_results(slices=1))


def test_depths_in_pixel_units_are_numbers_of_slices(make_results) -> None:
    results = make_results(pixel_size=None, wavelength=None)
    depth = Depth.of(results)
    assert (depth.middle.tolist(), depth.edges.tolist()) == ([1, 2, 3], [0.5, 1.5, 2.5, 3.5])
    axes = draw_depth_sections(results).axes
    assert axes[PROFILE].get_ylabel() == "slice"
    assert "not known" in axes[PLAN].get_title(loc="left")
