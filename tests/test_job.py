"""A job: what it writes and where, what it refuses before it starts, and what it survives."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from rich.console import Console

from fastpty import figures, job
from fastpty.config import ReconConfig, load_config, validate_config
from fastpty.errors import ConfigError, DataError, FastptyError, OutputError
from fastpty.job import JobReport, run_job
from fastpty.results import read_results
from tests.recon_cases import TINY, WINDOW, Tiny, make_tiny, merged

WHOLE = [
    "checkpoint.pt",
    "config.yaml",
    "quality.csv",
    "quality.tex",
    "reconstruction.h5",
    "summary.json",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def _run(
    tiny: Tiny, output: Path, /, *, resume: bool = False, overwrite: bool = False, **changes: Any
) -> tuple[JobReport, str]:
    """The report, and what was said, in one line."""
    config = validate_config(ReconConfig, merged(TINY, changes))
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    report = run_job(config, tiny.folder, output, console, resume=resume, overwrite=overwrite)
    return report, " ".join(stream.getvalue().split())


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_what_a_job_leaves_behind(tiny: Tiny, tmp_path: Path) -> None:
    output = tmp_path / "deep" / "output"
    report, said = _run(tiny, output, truth="tiny.h5")
    assert _files(output) == WHOLE
    assert report.folder == output
    assert report.finished
    assert json.loads((output / "summary.json").read_text()) == report.summary
    results = read_results(output / "reconstruction.h5")
    assert report.summary["iterations"] == len(results.history.loss) == 3
    assert report.summary["loss"] == results.history.loss[-1]
    assert report.summary["r_factor"] == results.r_factor
    assert 0 < report.summary["truth"]["correlation"] <= 1
    assert set(report.summary["virtual"]) <= {"BF", "ABF", "ADF", "HAADF"}
    assert all(-1 <= value <= 1 for value in report.summary["virtual"].values())
    rmse = report.summary["truth"]["position_rmse_px"]
    assert report.summary["truth"]["position_rmse_start_px"] < 1e-6 < rmse < 0.1
    for part in (
        "24 x 20 px",
        "iteration 3/3",
        "finished after 3 iterations",
        "correlation",
        f"RMS error of the positions: {rmse:.3f} px (start 0.000 px)",
    ):
        assert part in said


def test_numbers_of_quality(tiny: Tiny, tmp_path: Path) -> None:
    """The summary's, in the tables; those of left-out patterns are said too."""
    report, said = _run(tiny, tmp_path, truth="tiny.h5", data={"leave_out": 0.1})
    quality, truth = report.summary["quality"], report.summary["truth"]
    results = read_results(tmp_path / "reconstruction.h5")
    assert {kind: quality[kind] for kind in ("fitted", "left_out")} == results.agreement
    assert quality["fitted"]["r_factor"] == report.summary["r_factor"] == results.r_factor
    assert f"free R factor {quality['left_out']['r_factor']:.4f}" in said
    with (tmp_path / "quality.csv").open(encoding="utf-8", newline="") as stream:
        rows = {name: value for name, value, _ in csv.reader(stream)}
    expected = {
        "number of fitted patterns": 27,
        "R factor": quality["fitted"]["r_factor"],
        "Poisson -log likelihood per pixel, fitted patterns": quality["fitted"]["poisson_nll"],
        "chi-square per pixel, fitted patterns": quality["fitted"]["chi_square"],
        "number of left-out patterns": 3,
        "free R factor": quality["left_out"]["r_factor"],
        "correlation of the phase with the truth": truth["correlation"],
        "structural similarity to the truth": truth["ssim"],
        "slope of the phase over the truth": truth["gain"],
        "RMS position error, less the mean": truth["position_rmse_centred_px"],
        "RMS position error, less an affine map": truth["position_rmse_px"],
    }
    assert {name: float(rows[name]) for name in expected} == expected
    assert rows["information limit"] == ""  # eleven pixels are too few
    tex = (tmp_path / "quality.tex").read_text(encoding="utf-8")
    assert f"free R factor & ${quality['left_out']['r_factor']:.4g}$" in tex
    with pytest.raises(ConfigError, match=r"^data\.leave_out: differs from the run"):
        _run(tiny, tmp_path, truth="tiny.h5", data={"leave_out": 0.2}, resume=True)


def test_stages_are_in_the_summary(tiny: Tiny, tmp_path: Path) -> None:
    plan = [{"name": "first", "iterations": 1, "scan": {"rows": [1, 3]}}, {"iterations": 2}]
    report, said = _run(tiny, tmp_path, plan=plan)
    assert [(s["name"], s["iterations"], s["ended"]) for s in report.summary["stages"]] == [
        ("first", 1, "iterations"),
        ("stage 2", 2, "iterations"),
    ]
    assert report.summary["iterations"] == report.summary["passes"] == 3
    assert set(report.summary["change"]) >= {"amplitude", "phase", "probe", "positions"}
    assert "stage first, 1 iteration: all that were asked for" in said
    assert "plan.0" in said
    copy = load_config(ReconConfig, tmp_path / "config.yaml", ["plan.1.iterations=3"])
    report = run_job(copy, tmp_path, tmp_path, Console(file=io.StringIO()), resume=True)
    assert report.summary["iterations"] == 4


def test_figures(tiny: Tiny, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra report is not installed")
    changes = {"optimise": {"iterations": 1}, "output": {"figures": True, "snapshots": ["final"]}}
    _run(tiny, tmp_path, **changes)
    assert (tmp_path / "figures" / "phase_sum.png").stat().st_size > 0
    assert (tmp_path / "figures" / "forward_iter0001.png").stat().st_size > 0


def test_without_matplotlib_the_run_is_whole(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    report, said = _run(tiny, tmp_path, output={"figures": True})
    assert report.finished
    assert _files(tmp_path) == WHOLE
    assert "No figures: matplotlib: is not installed" in said


def test_the_copy_of_the_config_repeats_the_run(tiny: Tiny, tmp_path: Path) -> None:
    """From another folder: every path in it is absolute."""
    np.save(tiny.folder / "mask.npy", np.ones(WINDOW, bool))
    changes = {
        "data": {"mask": {"path": "mask.npy"}},
        "scan": {
            "step": None,
            "positions": {"path": "tiny.h5", "dataset": "positions_A", "unit": "angstrom"},
        },
        "probe": {"start": {"path": "tiny.h5", "dataset": "probe"}},
        "object": {"tilt_per": "position", "tilts": {"path": "tilts.npy"}},
        "start": {"file": "earlier/reconstruction.h5", "take": ["object"]},
        "truth": "tiny.h5",
    }
    np.save(tiny.folder / "tilts.npy", np.ones((30, 2)))
    _run(tiny, tiny.folder / "earlier")
    first, _ = _run(tiny, tmp_path / "first", **changes)
    copy = load_config(ReconConfig, tmp_path / "first" / "config.yaml")
    console = Console(file=io.StringIO())
    second = run_job(copy, tmp_path / "first", tmp_path / "second", console)
    for name in ("loss", "r_factor", "truth", "displacement_px"):
        assert second.summary[name] == first.summary[name], name


def test_resume_with_the_copy_of_the_config(tiny: Tiny, tmp_path: Path) -> None:
    _run(tiny, tmp_path)
    copy = load_config(ReconConfig, tmp_path / "config.yaml", ["optimise.iterations=4"])
    report = run_job(copy, tmp_path, tmp_path, Console(file=io.StringIO()), resume=True)
    assert report.summary["iterations"] == 4


def test_resumed_equals_unbroken(tiny: Tiny, tmp_path: Path) -> None:
    unbroken, _ = _run(tiny, tmp_path / "unbroken", optimise={"iterations": 5})
    _run(tiny, tmp_path / "resumed")
    resumed, _ = _run(tiny, tmp_path / "resumed", resume=True, optimise={"iterations": 5})
    for name in ("loss", "r_factor", "displacement_px", "iterations"):
        assert resumed.summary[name] == unbroken.summary[name], name


@pytest.mark.parametrize("left", ["checkpoint.pt", "reconstruction.h5"])
def test_an_earlier_run_is_not_overwritten(tiny: Tiny, tmp_path: Path, left: str) -> None:
    (tmp_path / left).write_bytes(b"precious")
    with pytest.raises(OutputError, match=f"holds the {left} of an earlier run.*--overwrite"):
        _run(tiny, tmp_path)
    assert _files(tmp_path) == [left]
    assert (tmp_path / left).read_bytes() == b"precious"
    report, _ = _run(tiny, tmp_path, overwrite=True)
    assert report.finished
    assert _files(tmp_path) == WHOLE


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": {"path": "tinny.h5"}}, DataError, "Did you mean 'tiny.h5'"),
        ({"truth": "none.h5"}, DataError, "^truth: .*none.h5' does not exist"),
        ({"beam": {"semiangle_mrad": 80}}, ConfigError, "^beam.semiangle_mrad: "),
        ({"data": {"mask": {"path": "$NOT_SET/m.npy"}}}, ConfigError, "^data.mask.path: .*not set"),
    ],
)
def test_a_refused_job_leaves_nothing(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _run(tiny, tmp_path / "output", **changes)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"seed": 5}, {"data": {"path": "none.h5"}}])
def test_a_refused_resume_changes_nothing(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any]
) -> None:
    _run(tiny, tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in WHOLE}
    with pytest.raises(FastptyError):
        _run(tiny, tmp_path, resume=True, **changes)
    assert {name: (tmp_path / name).read_bytes() for name in _files(tmp_path)} == before


def test_a_file_where_the_folder_should_be(tiny: Tiny, tmp_path: Path) -> None:
    """Found before the first iteration."""
    (tmp_path / "output").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        _run(tiny, tmp_path / "output")
    assert (tmp_path / "output").read_text() == "a file"


def _full(*args: object, **options: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_results_that_find_no_room(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The state is in the checkpoint, and a resumed run writes them."""
    monkeypatch.setattr(job, "write_results", _full)
    with pytest.raises(OutputError, match=r"No space left on device.*Make room, .*--resume"):
        _run(tiny, tmp_path)
    assert _files(tmp_path) == ["checkpoint.pt", "config.yaml"]
    monkeypatch.undo()
    report, _ = _run(tiny, tmp_path, resume=True)
    assert report.summary["iterations"] == 3
    assert _files(tmp_path) == WHOLE


def test_figures_that_find_no_room(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "save_figures", _full)
    report, said = _run(tiny, tmp_path, output={"figures": True})
    assert report.finished
    assert _files(tmp_path) == WHOLE
    assert "No figures: " in said


def test_tiff_files_that_find_no_room(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tifffile.imwrite", _full)
    report, said = _run(tiny, tmp_path, output={"tiff": True})
    assert report.finished
    assert _files(tmp_path) == WHOLE
    assert "No TIFF files: " in said


def test_tifffile_is_missed_before_the_run(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(FastptyError, match=r"output\.tiff: needs the package 'tifffile'"):
        _run(tiny, tmp_path / "output", output={"tiff": True})
    assert not (tmp_path / "output").exists()


def test_a_truth_that_cannot_be_compared(tiny: Tiny, tmp_path: Path) -> None:
    """A flat truth has no correlation; the results are written all the same."""
    flat = tmp_path / "flat.h5"
    with h5py.File(tiny.folder / "tiny.h5") as source, h5py.File(flat, "w") as file:
        file.attrs["pixel_size_A"] = source.attrs["pixel_size_A"]
        file["truth/phase"] = np.zeros(source["truth/phase"].shape)
        file["truth/positions_px"] = source["truth/positions_px"][()]
    report, said = _run(tiny, tmp_path / "output", truth=str(flat))
    assert "No comparison with the truth: " in said
    assert "truth" not in report.summary
    assert _files(tmp_path / "output") == WHOLE
