"""``fastpty report`` and ``output.report``: what they write, and what they refuse."""

from __future__ import annotations

import errno
import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from fastpty.cli import main
from fastpty.config import ReconConfig, validate_config
from fastpty.errors import DataError, OutputError
from fastpty.figures import FiguresUnavailableError
from fastpty.job import run_job
from fastpty.report import write_report
from tests.recon_cases import TINY, make_tiny, merged
from tests.report.cases import SUMMARY, Page, make_run

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """``run("report", folder)``: exit code, and what was said in one line."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["fastpty", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, " ".join((captured.out + captured.err).split())

    return call


def test_the_command(run: Run, tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", SUMMARY)
    assert run("report", folder) == (0, f"{folder / 'report.html'} written")
    first = (folder / "report.html").read_text(encoding="utf-8")
    code, said = run("report", folder)
    assert code == 2
    assert "report.html: exists already. Choose another name with -o, or allow --overw" in said
    (folder / "report.html").write_text("old")
    assert run("report", folder / "reconstruction.h5", "--overwrite")[0] == 0
    assert (folder / "report.html").read_text(encoding="utf-8") == first
    assert run("report", folder, "-o", tmp_path / "b.html")[0] == 0
    assert (tmp_path / "b.html").read_text(encoding="utf-8") == first


def test_a_folder_without_a_result(run: Run, tmp_path: Path) -> None:
    code, said = run("report", tmp_path)
    assert code == 2
    assert f"{tmp_path}: holds no reconstruction.h5. Name the output folder of a run" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_a_summary_that_is_none(tmp_path: Path, content: str) -> None:
    folder = make_run(tmp_path / "a", None)
    (folder / "summary.json").write_text(content)
    with pytest.raises(DataError, match=r"summary\.json: (cannot be read|is no summary)"):
        write_report(folder, folder / "report.html")


def test_a_full_disk_leaves_the_earlier_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "a", SUMMARY)
    (folder / "report.html").write_text("earlier")

    def full(*arguments: object, **options: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = sorted(folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OutputError, match=r"cannot be written .*No space left"):
            write_report(folder, folder / "report.html")
    assert (folder / "report.html").read_text() == "earlier"
    assert sorted(folder.iterdir()) == before


def test_without_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make_run(tmp_path / "a", SUMMARY)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(FiguresUnavailableError, match=r"pip install 'fastpty\[report\]'"):
        write_report(folder, folder / "report.html")


def test_a_run_writes_its_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what only the run knows: the checks before the start, why stages ended, the truth."""
    tiny = make_tiny(tmp_path)
    plan = [{"name": "first", "iterations": 1}, {"iterations": 2}]
    output = {"report": True, "snapshots": []}
    content = merged(TINY, {"plan": plan, "output": output, "truth": "tiny.h5"})
    config = validate_config(ReconConfig, content)
    stream = io.StringIO()
    console = Console(file=stream, width=200)
    job = run_job(config, tiny.folder, tmp_path / "out", console)
    page = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8"))
    assert "first 1 of 1 all Adam amplitude, phase, positions, probe all its" in page.said("plan")
    assert "24 x 20 px" in page.said("data")
    assert "agreement with the truth" in page.said("quality").lower()
    assert job.summary["preflight"][0]["subject"] == "patterns"
    assert not (tmp_path / "out" / "figures").exists()
    sections = [image["section"] for image in page.images]
    assert [sections.count(name) for name in ("object", "convergence", "positions")] == [7, 2, 1]

    def missing(*arguments: object) -> Path:
        raise FiguresUnavailableError("matplotlib", "is not installed.")

    monkeypatch.setattr("fastpty.job.write_report", missing)
    job = run_job(config, tiny.folder, tmp_path / "out", console, overwrite=True)
    assert job.finished
    assert "No report: matplotlib: is not installed." in stream.getvalue()
