"""Pieces of the page: elements, words, slices as images."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fastpty.report import pictures
from fastpty.report.labels import label, value_text
from fastpty.report.markup import Html, element
from tests.figures.conftest import build_results
from tests.report.cases import make_run, read_page


def test_an_element() -> None:
    inner = element("b", "1 < 2 & 3")
    made = element(
        "p", inner, "<i>", 5, class_="a", data_x='"', hidden=True, title=None, open=False
    )
    assert made == '<p class="a" data-x="&quot;" hidden><b>1 &lt; 2 &amp; 3</b>&lt;i&gt;5</p>'
    assert element("img", alt="") == '<img alt="">'
    assert isinstance(made, Html)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        ([], "–"),
        (True, "yes"),
        (3, "3"),
        (0.0, "0"),
        (-0.12345, "−0.1235"),
        (137400.0, "137400"),
        (2.5e-7, "2.5 × 10⁻⁷"),
        (-3.0e12, "−3 × 10¹²"),
        (float("nan"), "not finite"),
        ([1.0, [2.5, "a"]], "1, 2.5, a"),
    ],
)
def test_values(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("r_factor", "R factor"),
        ("depth_A", "depth (Å)"),
        ("dose_e_per_A2", "dose (e/Å²)"),
        ("some_name", "some name"),
        ("dk_invA", "dk (1/Å)"),
    ],
)
def test_labels(name: str, text: str) -> None:
    assert label(name) == text


def test_slices_are_the_phase_in_grey(tmp_path: Path) -> None:
    """Black to white over the range in the caption, transparent where the scan did not reach."""
    results = build_results(scan=(8, 9))
    results.phase[:] = np.linspace(-1, 1, results.phase.shape[-1])
    results.positions = results.positions_start.copy()
    outside = np.indices((8, 9))[:, :4, :5].reshape(2, -1).T @ [9, 1]
    results.positions[outside] += 20  # leaves a corner of the raster unlit
    results.scan_shape = None
    folder = make_run(tmp_path / "a", None, results=results)
    page = read_page(folder)
    grey = page.pixels(0)
    level, alpha = grey[..., 0].astype(int), grey[..., 1]
    assert alpha.max() == 255
    assert set(np.unique(alpha)) == {0, 255}
    row = np.flatnonzero((alpha == 255).all(axis=1))[0]
    assert (np.diff(level[row]) >= 0).all()
    assert (level[row, 0], level[row, -1]) == (0, 255)
    assert "rad. What the scan hardly reached is left out." in page.said("object")


def test_amplitude_beside_the_phase(tmp_path: Path) -> None:
    """One that is the same everywhere, as where it was not fitted, is not shown."""
    results = build_results(slices=2)
    results.amplitude[:, 1] = np.linspace(0.5, 1, results.amplitude.shape[-1])
    page = read_page(make_run(tmp_path / "a", None, results=results))
    alts = [i["alt"] for i in page.images if i["section"] == "object"]
    assert alts == [
        *("Phase, z = 0 Å", "Phase, z = 10 Å", "Amplitude, z = 0 Å", "Amplitude, z = 10 Å"),
    ]
    said = page.said("object")
    assert "Amplitude of the slices, within the scanned area." in said
    assert re.search(r"All slices share one grey scale, 0\.\d+ to 1\. ", said)
    first, second = (page.pixels(n).astype(int) for n in (2, 3))
    assert (first == 255).all()
    assert (np.diff(second) >= 0).all()


def test_the_phase_of_each_object_mode(tmp_path: Path) -> None:
    """Summed over the slices, each with its own weight."""
    results = build_results(object_modes=2, slices=2)
    results.occupancy = np.array([0.75, 0.25], np.float32)
    rising = np.linspace(-1, 1, results.phase.shape[-1])
    results.phase[0], results.phase[1, 0], results.phase[1, 1] = rising, rising, -rising
    page = read_page(make_run(tmp_path / "a", None, results=results))
    shown = [i["data-label"] for i in page.images if i["section"] == "object"]
    assert shown[2:] == ["mode 1, occupancy 0.75", "mode 2, occupancy 0.25"]
    assert "Phase of each object mode, summed over 2 slices" in page.said("object")
    first, second = (page.pixels(n).astype(int) for n in (2, 3))
    assert (np.diff(first) >= 0).all()
    assert (first[:, 0] == 0).all()
    assert np.ptp(second) == 0


def test_large_slices_are_binned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "a", None)
    whole = read_page(folder)
    assert "One pixel here" not in whole.said("object")
    height, width = whole.pixels(0).shape[:2]
    monkeypatch.setattr(pictures, "_LONGEST", 12)
    page = read_page(folder)
    factor = int(re.search(r"One pixel here is (\d+) × ", page.said("object"))[1])  # type: ignore[index]
    assert factor == -(-max(height, width) // 12)
    assert page.pixels(0).shape[:2] == (-(-height // factor), -(-width // factor))
    monkeypatch.setattr(pictures, "_LONGEST", 1000)
    monkeypatch.setattr(pictures, "_MOST", 3 * height * width // 9)
    assert "One pixel here is 3 × 3 of the object's." in read_page(folder).said("object")


def test_binning_leaves_out_what_is_unknown() -> None:
    image = np.array([[1.0, 3.0, np.nan], [np.nan, 5.0, np.nan], [7.0, np.nan, np.nan]])
    np.testing.assert_array_equal(
        pictures._binned(image, 2),
        [[3.0, np.nan], [7.0, np.nan]],
    )


def test_scale_bar_and_aspect_follow_the_pixels(tmp_path: Path) -> None:
    page = read_page(make_run(tmp_path / "a", None, pixel_size=(0.2, 0.3), window=(12, 20)))
    height, width = page.pixels(0).shape[:2]
    bar = next(a for a in page.attributes if a.get("class") == "bar")
    assert float(bar["data-extent"] or 0) == pytest.approx(0.3 * width)
    share = float(re.search(r"width:([\d.]+)%", bar["style"] or "")[1])  # type: ignore[index]
    assert share == pytest.approx(100 * 2 / (0.3 * width), rel=1e-4)
    assert "2 Å" in page.said("object")
    view = next(a for a in page.attributes if a.get("class") == "view")
    aspect = float(re.search(r"--aspect:([\d.]+)", view["style"] or "")[1])  # type: ignore[index]
    assert aspect == pytest.approx(1.5 * width / height, rel=1e-4)
