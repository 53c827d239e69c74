from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

import fastpty.figures.positions
from fastpty.errors import FastptyError, OutputError
from fastpty.figures import FiguresUnavailableError, save_figures

ALL = [
    "loss.png",
    "forward_iter0000.png",
    "forward_iter0012.png",
    "probe_modes.png",
    "positions.png",
    "phase_sum.png",
    "phase_slices.png",
    "depth_sections.png",
    "fourier.png",
]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_all_figures_are_written(make_results, tmp_path):
    folder = tmp_path / "run" / "figures"
    paths = save_figures(make_results(), folder, dpi=40)
    assert paths == [folder / name for name in ALL]
    assert names(folder) == sorted(ALL)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_figures_of_what_was_free(make_results, tmp_path):
    results = make_results()
    results.tilt = np.ones((len(results.positions), 2), np.float32)
    results.history.unknowns = {"thickness": [[10.0]] * 12, "tilt": [[0.0, 1.0]] * 12}
    results.history.change = {"thickness": [0.1] * 12}
    paths = save_figures(results, tmp_path, dpi=30)
    expected = ["loss.png", "changes.png", *ALL[1:], "unknowns.png", "thickness.png", "tilt.png"]
    assert [path.name for path in paths] == expected


def test_figures_that_do_not_apply_are_left_out_for_a_reason(make_results, tmp_path, caplog):
    results = make_results(slices=1, iterations=0)
    results.snapshots = results.snapshots[:1]
    results.snapshots[0].measured = results.snapshots[0].measured[:0]
    results.phase[...] = np.nan
    with caplog.at_level(logging.INFO, logger="fastpty.figures"):
        paths = save_figures(results, tmp_path, dpi=30)
    assert [path.name for path in paths] == ["probe_modes.png", "positions.png", "phase_sum.png"]
    assert [record.getMessage().split(" is left out: ")[0] for record in caplog.records] == [
        "loss.png",
        "changes.png",
        "forward_iter0000.png",
        "phase_slices.png",
        "depth_sections.png",
        "fourier.png",
        "unknowns.png",
        "thickness.png",
        "tilt.png",
        "virtual.png",
    ]


def test_missing_snapshots_are_told(make_results, tmp_path, caplog):
    results = make_results()
    results.snapshots = []
    with caplog.at_level(logging.INFO, logger="fastpty.figures"):
        save_figures(results, tmp_path, dpi=30)
    assert "there are no snapshots" in caplog.text


def test_an_error_leaves_the_folder_as_it_was(make_results, tmp_path, monkeypatch):
    (tmp_path / "loss.png").write_bytes(b"an earlier figure")

    def fail(results):
        raise ValueError("drawing failed")

    monkeypatch.setattr(fastpty.figures.positions, "draw_positions", fail)
    with pytest.raises(ValueError, match="drawing failed"):
        save_figures(make_results(), tmp_path, dpi=30)
    assert names(tmp_path) == ["loss.png"]
    assert (tmp_path / "loss.png").read_bytes() == b"an earlier figure"


def test_a_folder_that_cannot_be_written_is_refused(make_results, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(OutputError, match="could not be written"):
        save_figures(make_results(), blocked / "figures")


def test_missing_matplotlib_is_named_with_its_remedy(make_results, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FiguresUnavailableError, match=r"pip install 'fastpty\[report\]'") as caught:
        save_figures(make_results(), tmp_path / "figures")
    assert isinstance(caught.value, FastptyError)
    assert not (tmp_path / "figures").exists()


def test_import_and_drawing_leave_pyplot_and_torch_alone():
    program = (
        "import sys, fastpty.figures, fastpty.metrics\n"
        "assert 'matplotlib' not in sys.modules\n"
        "import fastpty.figures.probe_modes, fastpty.figures.forward, fastpty.figures.positions\n"
        "import fastpty.figures.loss, fastpty.figures.object_phase\n"
        "assert not {'matplotlib.pyplot', 'torch', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
