"""The page of a run: whole, escaped, without anything from elsewhere, whatever the run was."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fastpty.report import source
from tests.figures.conftest import build_results
from tests.report.cases import CONFIG, SUMMARY, make_run, read_page

SECTIONS = [
    *("object", "data", "preprocessing", "plan", "convergence", "probe", "positions"),
    *("unknowns", "fit", "quality", "provenance", "configuration"),
]
FIGURES = (
    *("changes.png", "forward_iter0000.png", "forward_iter0012.png", "loss.png"),
    *("phase_slices.png", "phase_sum.png", "positions.png", "probe_modes.png", "virtual.png"),
)


def test_every_section_and_figure(tmp_path: Path) -> None:
    page = read_page(make_run(tmp_path / "my run", SUMMARY, (*FIGURES, "ring_correlation.png")))
    expected = SECTIONS.copy()
    expected.insert(expected.index("quality"), "figures")
    assert [a["id"] for a in page.attributes if a["tag"] == "section"] == expected
    assert [link for link in page.links if link.startswith("#")][1:] == [f"#{s}" for s in expected]
    assert "Ptychographic reconstruction my run Finished after 12" in page.said("header")
    assert page.said("header").startswith("my run: fastpty report ")
    shown = [image["section"] for image in page.images]
    assert {name: shown.count(name) for name in dict.fromkeys(shown)} == {
        "object": 6,  # three slices, their sum, all at a glance, virtual detectors
        "convergence": 2,
        "probe": 1,
        "positions": 1,
        "fit": 2,
        "figures": 1,
    }
    assert all(image["alt"] for image in page.images)
    assert page.names.count("figure") == page.names.count("figcaption")
    assert "ring correlation." in page.said("figures")


def test_the_numbers_are_told_with_their_units(tmp_path: Path) -> None:
    summary = {
        **SUMMARY,
        "truth": {"correlation": 0.97, "shift_px": [0.1, -0.2]},
        "ring_A": {"half_bit": {"first": 1.25e-5}},
        "by_depth": [{"depth_A": 0.0, "contrast": 0.5}, {"depth_A": 10.0}],
        "nothing": None,
    }
    page = read_page(make_run(tmp_path / "a", summary))
    for section, words in {
        "header": ("R factor 0.25", "1 warning before the start", "0.97"),
        "data": (
            "/data/scan.h5",
            "5 × 6 positions",
            "scan step (y, x) 0.5 × 0.6 Å",
            "scan rotation 30°",
            "energy 300 keV",
            "wavelength 2 pm",
            "detector pixel (y, x) 5 mrad",
            "pixel size 0.25, of the recorded detector",
            "bright field radius 9 px radii differ",
        ),
        "preprocessing": ("bin: blocks of 2 x 2",),
        "plan": ("the run 12 of 12 all Adam", "all its iterations were done"),
        "convergence": ("1 → 0.08333 (−91.7 %)", "term sparsity 0.1 →"),
        "quality": (
            "R factor 0.25",
            "Displacement of the positions from their start (px)",
            "shift of the object (y, x) (px) 0.1, −0.2",
            "Ring (Å)",
            "half bit, first 1.25 × 10⁻⁵",
            "By depth depth (Å) contrast 1 0 0.5 2 10 –",
            "nothing –",
        ),
        "provenance": ("device cpu", "seed 7", "time of all iterations 6 s", "numpy version"),
        "configuration": ("defocus: 80.0", "seed: 7"),
    }.items():
        said = page.said(section)
        for word in words:
            assert word in said, section
    assert "dk:" not in page.said("configuration")  # null: it was not used
    assert "plan.0" not in page.said("data")


def test_nothing_comes_from_elsewhere(tmp_path: Path) -> None:
    page = read_page(make_run(tmp_path / "a", SUMMARY, FIGURES))
    assert {link[:5] for link in page.links if link[0] != "#"} == {"data:"}
    style = page.html.split("<style>")[1].split("</style>")[0]
    assert not re.search(r"url\(|@import|@font-face|//", style)
    policy = next(a for a in page.attributes if a.get("http-equiv") == "Content-Security-Policy")
    assert (policy["content"] or "").startswith("default-src 'none'")


HOSTILE = "<script>alert(1)</script>\"'&amp;$title"


def test_everything_is_escaped(tmp_path: Path) -> None:
    results = build_results()
    results.config = {
        **CONFIG,
        "data": {"path": HOSTILE, "dataset": HOSTILE},
        "beam": {"aberrations": {HOSTILE: 1.0}},
        "calibration": {HOSTILE: HOSTILE, "of": HOSTILE},
        "scan": {"positions": {"path": HOSTILE}},
        "preprocess": [{"step": HOSTILE, "factor": HOSTILE}],
        "optimise": {"optimiser": {"name": HOSTILE}},
        "plan": [{"name": HOSTILE, "iterations": 12}],
    }
    results.aberrations = {HOSTILE: 1.0}
    for kind in (results.history.terms, results.history.change, results.history.lr):
        kind["<b>"] = [0.5] * 12
    ending = {"name": HOSTILE, "ended": "converged", "text": HOSTILE}
    finding = {"subject": HOSTILE, "text": HOSTILE, "warning": HOSTILE}
    summary = {
        **SUMMARY,
        HOSTILE: HOSTILE,
        "stages": [ending],
        "preflight": [finding],
        "nested": {HOSTILE: [HOSTILE]},
        "rows": [{HOSTILE: HOSTILE}],
    }
    folder = tmp_path / "<script>'a'&"
    page = read_page(make_run(folder, summary, ("<b>&.png", "loss.png"), results))
    assert page.names.count("script") == 1
    assert page.names.count("b") == 0
    for section in ("data", "plan", "unknowns", "quality", "configuration"):
        assert "<script>alert(1)</script>" in page.said(section)
    assert HOSTILE in page.said("data")
    assert "<script>'a'&" in page.said("header")
    summary.pop("preflight")
    (tmp_path / "steps").mkdir()
    page = read_page(make_run(tmp_path / "steps" / "a", summary, results=results))
    assert HOSTILE in page.said("preprocessing")


@pytest.mark.parametrize(
    ("changes", "section", "words"),
    [
        ({"slices": 1}, "object", "1 slice of 40 × 44 px. Grey"),
        ({"object_modes": 3}, "object", "3 object modes with occupancies 0.3333, 0.3333, 0.3333"),
        ({"object_modes": 3}, "object", "the mean over 3 object modes weighted"),
        ({"pixel_size": None, "wavelength": None}, "data", "in pixels of the object: no calibr"),
        ({"pixel_size": None, "wavelength": None}, "object", "1 of 3"),
        ({"wavelength": None}, "data", "detector pixel (y, x) 0.25 Å⁻¹"),
        ({"raster": False}, "data", "scan 30 positions"),
        ({"iterations": 0}, "convergence", "No iteration was finished."),
        ({"scan": (1, 1)}, "data", "1 × 1 positions"),
    ],
)
def test_runs_of_every_kind(
    tmp_path: Path, changes: dict[str, Any], section: str, words: str
) -> None:
    page = read_page(make_run(tmp_path / "a", SUMMARY, **changes))
    said = page.said(section)
    assert words.replace(". Grey", ".") in said
    slices, modes = changes.get("slices", 3), changes.get("object_modes", 1)
    sliders = [a for a in page.attributes if a.get("type") == "range"]
    assert len(sliders) == (slices > 1) + (modes > 1)
    shown = [i for i in page.images if i["section"] == "object"]
    assert len(shown) == slices + (modes if modes > 1 else 0)


def test_a_tilt_for_each_position(tmp_path: Path) -> None:
    results = build_results()
    results.tilt = np.stack([np.full(30, 1.5), np.linspace(-1, 1, 30)], axis=1).astype(np.float32)
    results.thickness = np.array([10.0, 12.5], np.float32)
    results.history.unknowns = {"tilt": [[0.0, 0.0]] * 12, "tilt_spread": [[0.0, 0.5]] * 12}
    page = read_page(make_run(tmp_path / "a", None, ("tilt.png", "unknowns.png"), results=results))
    said = page.said("unknowns")
    assert "tilt (y, x), mean over the positions 1.5, 0 mrad" in said
    assert "distance of slices 10, 12.5 Å" in said
    assert "Free unknowns over the iterations: tilt." in said
    assert "y 1.5 ± 0 mrad" in said
    assert "z = 22.5 Å (3 of 3)" in [image["data-label"] for image in page.images[:3]]


def test_a_run_that_was_stopped(tmp_path: Path) -> None:
    results = build_results()
    results.history.stage = [0] * 4 + [1] * 8
    results.history.lr = {"phase": [1e-3] * 12, "positions": [0.0] * 4 + [1e-2] * 8}
    results.config = {
        **CONFIG,
        "plan": [
            {"name": "first", "iterations": 9, "scan": {"center": [3, 4]}},
            {"iterations": 20, "scan": {"rows": [1, 3], "columns": None}},
            {
                "iterations": 5,
                "scan": {"sub": [2, 2]},
                "optimise": {"optimiser": {"name": "LBFGS"}},
            },
        ],
    }
    fall = "the loss has not fallen by more than 0.001 of it in 3 iterations"
    stages = [
        {"ended": "converged", "text": f"stage first, 4 iterations: {fall}"},
        {"ended": "", "text": "stage 2, 8 iterations: stopped"},
    ]
    page = read_page(
        make_run(tmp_path / "a", {**SUMMARY, "finished": False, "stages": stages}, results=results)
    )
    assert "Stopped early after 12 iterations" in page.said("header")
    assert "The run was stopped before the end of its plan" in page.said("header")
    said = page.said("plan")
    assert f"first 4 of 9 central 3 × 4 Adam phase {fall}" in said
    assert "stage 2 8 of 20 rows 1 to 2 Adam phase, positions stopped" in said
    assert "stage 3 0 of 5 2 × 2, evenly spaced LBFGS – not begun" in said
    assert "loss (total) 1 → 0.25 (−75.0 %) 0.2 → 0.08333 (−58.3 %)" in page.said("convergence")
    assert "stage first 2 s for 4 iterations" in page.said("provenance")


def test_a_result_alone(tmp_path: Path) -> None:
    """Without a summary, a config, snapshots and truth."""
    results = build_results()
    results.snapshots = []
    folder = make_run(tmp_path / "a", None, results=results)
    page = read_page(folder)
    ids = {a["id"] for a in page.attributes if a["tag"] == "section"}
    assert set(SECTIONS) - ids == {"quality", "configuration", "fit", "positions"}
    assert "Written after 12 iterations" in page.said("header")
    assert "None: the patterns were used as recorded." in page.said("preprocessing")


def test_positions_that_were_only_rounded_did_not_move(tmp_path: Path) -> None:
    page = read_page(make_run(tmp_path / "a", None, ("positions.png",), moved=1e-9))
    assert "Scan positions, which were not moved." in page.said("positions")


def test_changes_of_what_did_not_move_are_dashes(tmp_path: Path) -> None:
    results = build_results()
    results.history.change = {"phase": [0.5] * 12, "positions": [1e-12] * 12}
    page = read_page(make_run(tmp_path / "a", SUMMARY, results=results))
    assert "phase 0.5 positions (px) – " in page.said("convergence")


def test_many_snapshots_are_thinned_out(tmp_path: Path) -> None:
    names = tuple(f"forward_iter{i:04d}.png" for i in (*range(19), 12345))
    page = read_page(make_run(tmp_path / "a", SUMMARY, names))
    labels = [image["data-label"] for image in page.images if image["section"] == "fit"]
    assert (len(labels), labels[0], labels[-1]) == (
        12,
        "before the first iteration, R = 0.25",
        "after iteration 12345",
    )
    assert "8 snapshots in between left out." in page.said("fit")
    visible = [i["data-label"] for i in page.images if i["section"] == "fit" and "hidden" not in i]
    assert visible == ["after iteration 12345"]


def test_older_figures_are_drawn_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "a", SUMMARY)
    drawn: list[Path] = []

    def draw(results: Any, target: str) -> list[Path]:
        file = Path(target) / "positions.png"
        Image.new("L", (30, 20), 10).save(file)
        drawn.append(file)
        return [file]

    monkeypatch.setattr(source, "save_figures", draw)
    assert "positions" not in [image["section"] for image in read_page(folder).images]
    assert not drawn
    result = folder / "reconstruction.h5"
    os.utime(folder / "figures" / "loss.png", (0, result.stat().st_mtime - 1))
    sections = [image["section"] for image in read_page(folder).images]
    assert (sections.count("positions"), sections.count("convergence"), len(drawn)) == (1, 0, 1)


def test_figures_are_drawn_where_there_are_none(tmp_path: Path) -> None:
    results = build_results(slices=1, iterations=2)
    results.snapshots = []
    page = read_page(make_run(tmp_path / "a", None, (), results=results))
    assert [image["section"] for image in page.images] == [
        *("object", "object", "object", "convergence", "probe", "positions")
    ]
    assert not list((tmp_path / "a" / "figures").iterdir())


def test_neither_torch_nor_pyplot_is_needed() -> None:
    program = (
        "import sys, fastpty.report\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import fastpty.report.page\n"
        "assert not {'matplotlib.pyplot', 'torch', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
