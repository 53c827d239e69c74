"""What the page shows: before a run, while it lasts, after it, and when files are broken."""

from __future__ import annotations

import html
import io
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fastpty.errors import DataError
from fastpty.progress import PROGRESS_NAME, STATE_NAME
from fastpty.watch import live
from fastpty.watch.live import Live, View
from tests.report.cases import SUMMARY, make_run
from tests.watch.cases import at, begun, leave


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the figures, as they are drawn: here tiny images, each another one."""
    names: list[str] = []
    heights = itertools.count(40)

    def draw(results: Any, folder: str, *, wanted: Any) -> list[Path]:
        (name,) = filter(wanted, live.figure_names(results))
        names.append(name)
        path = Path(folder) / name
        Image.new("L", (60, next(heights)), 200).save(path)
        return [path]

    monkeypatch.setattr(live, "save_figures", draw)
    return names


def refreshed(page: Live) -> View:
    """The view after everything has been read and drawn."""
    for _ in range(50):
        if not page.refresh():
            return page.look()
    raise AssertionError("there is always something to do")


def words(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def images(view: View, section: str) -> list[str]:
    return re.findall(r'src="image/([^"]+)"', view.sections.get(section, ""))


def test_before_while_and_after(tmp_path: Path, drawn: list[str]) -> None:
    folder = tmp_path / "scan"
    page = Live(folder)
    waiting = refreshed(page)
    assert words(waiting.head).startswith("fastpty watch scan Waiting for a run. The folder does")
    folder.mkdir()
    (folder / "checkpoint.pt").touch()
    assert "goes on from it with --resume" in words(refreshed(page).head)
    assert page.look().written is None

    leave(folder, begun(4))
    view = refreshed(page)
    assert view.title == "4/12 scan"
    assert words(view.head).startswith("fastpty watch scan Iteration 4 of 12, stage first. Images")
    assert '<progress max="12" value="4"' in view.head
    for number in ("loss 0.25", "an iteration 500 ms", "so far 2 s", "left 4 s", "slices 3"):
        assert number in words(view.head)
    assert "1 warning before the start" in words(view.head)
    assert view.written == pytest.approx((folder / PROGRESS_NAME).stat().st_mtime)
    assert list(view.sections) == [
        *("object", "data", "preprocessing", "plan", "convergence", "probe", "positions"),
        *("unknowns", "fit", "provenance", "configuration"),
    ]
    assert "under way" in words(view.sections["plan"])
    assert "bright field radius 9 px radii differ" in words(view.sections["data"])
    assert set(drawn) == {
        *("loss.png", "forward_iter0000.png", "probe_modes.png", "positions.png"),
        *("phase_sum.png", "phase_slices.png", "depth_sections.png", "fourier.png"),
    }

    (folder / PROGRESS_NAME).unlink()
    (folder / STATE_NAME).unlink()
    make_run(folder, SUMMARY)
    view = refreshed(page)
    assert view.title == "scan"
    assert "Finished after 12 iterations" in words(view.head)
    assert "The run is over: this is its report." in words(view.head)
    assert "R factor 0.25" in words(view.sections["quality"])
    assert (view.written, view.note) == (None, "")


def test_nothing_new_is_no_new_version(tmp_path: Path, drawn: list[str]) -> None:
    leave(tmp_path, begun())
    page = Live(tmp_path)
    version, count = refreshed(page).version, len(drawn)
    assert not page.refresh()
    at(tmp_path / STATE_NAME, 1e9)  # drawn again, and different here
    assert refreshed(page).version != version
    make_run(tmp_path, SUMMARY)
    (tmp_path / PROGRESS_NAME).unlink()
    version, count = refreshed(page).version, len(drawn)
    at(tmp_path / "summary.json", 1e9)  # read again: the same
    assert refreshed(page).version == version
    assert len(drawn) == count


def test_an_iteration_changes_its_curves_alone(tmp_path: Path, drawn: list[str]) -> None:
    """Images follow with the next state; the patterns of an iteration are drawn once."""
    leave(tmp_path, begun(4))
    page = Live(tmp_path)
    before = refreshed(page)
    drawn.clear()
    leave(tmp_path, begun(5), state=False)
    after = refreshed(page)
    assert drawn == ["loss.png"]
    assert "Curves and numbers are of this iteration, images after iteration 4." in after.head
    assert images(after, "convergence") != images(before, "convergence")
    for name in ("object", "probe", "positions", "fit", "configuration"):
        assert after.sections[name] == before.sections[name]
    drawn.clear()
    leave(tmp_path, begun(6))
    assert "Images and numbers are of this iteration." in refreshed(page).head
    assert drawn == [
        *("loss.png", "probe_modes.png", "positions.png", "phase_sum.png", "phase_slices.png"),
        *("depth_sections.png", "fourier.png"),
    ]


def test_the_loss_does_not_wait_for_images(tmp_path: Path, drawn: list[str]) -> None:
    """Nor do images wait for ever, however fast iterations come."""
    page = Live(tmp_path)
    for iteration in range(1, 8):
        leave(tmp_path, begun(iteration), state=iteration == 1)
        page.refresh()
        assert f"Iteration {iteration} of 12" in page.look().head
    assert drawn.count("loss.png") == 7
    assert len(set(drawn)) == 8


def test_images_have_addresses(tmp_path: Path, drawn: list[str]) -> None:
    leave(tmp_path, begun())
    page = Live(tmp_path)
    names = images(refreshed(page), "object")
    assert len(names) == 7
    shown = page.image(names[0])
    assert shown is not None
    assert Image.open(io.BytesIO(shown)).format == "PNG"
    assert not any("data:image" in section for section in page.look().sections.values())
    assert page.image("../../progress.json") is None
    for iteration in (5, 6):  # what no view shows any more is forgotten
        old = images(page.look(), "convergence")
        leave(tmp_path, begun(iteration), state=False)
        refreshed(page)
    assert page.image(old[0]) is not None
    assert page.image(names[0]) is not None
    leave(tmp_path, begun(7), state=False)
    refreshed(page)
    assert page.image(old[0]) is None


@pytest.mark.parametrize("name", [PROGRESS_NAME, STATE_NAME])
def test_a_broken_file_leaves_the_last_view(tmp_path: Path, drawn: list[str], name: str) -> None:
    leave(tmp_path, begun(4))
    page = Live(tmp_path)
    before = refreshed(page)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    broken = refreshed(page)
    assert broken.note.startswith("Not up to date: what the run has left now cannot be shown.")
    assert f"{name}: cannot be read" in broken.note
    assert (broken.head, broken.sections) == (before.head, before.sections)
    leave(tmp_path, begun(5))
    mended = refreshed(page)
    assert mended.note == ""
    assert "Iteration 5 of 12" in mended.head


def test_a_figure_that_fails_spoils_no_other(
    tmp_path: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = live.save_figures

    def fail(results: Any, folder: str, *, wanted: Any) -> Any:
        if wanted("positions.png"):
            raise ValueError("no positions")
        return draw(results, folder, wanted=wanted)

    monkeypatch.setattr(live, "save_figures", fail)
    leave(tmp_path, begun(4))
    view = refreshed(Live(tmp_path))
    assert "positions" not in view.sections
    assert len(images(view, "object")) == 7


def test_a_file_that_is_replaced_while_it_is_read(
    tmp_path: Path, drawn: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next look finds the new one; there is nothing to say."""
    leave(tmp_path, begun(4))
    read = live.read_results

    def gone(path: Path) -> Any:
        monkeypatch.setattr(live, "read_results", read)
        leave(tmp_path, begun(5))
        raise DataError(str(path), "does not exist.")

    monkeypatch.setattr(live, "read_results", gone)
    page = Live(tmp_path)
    assert page.refresh()
    assert page.look().note == ""
    assert "Iteration 5 of 12" in refreshed(page).head


def test_another_run_in_the_folder(tmp_path: Path, drawn: list[str]) -> None:
    """Over an earlier result, and again before its own: patterns are its own from the first."""
    make_run(tmp_path, SUMMARY)
    page = Live(tmp_path)
    assert "this is its report" in refreshed(page).head
    leave(tmp_path, begun(4))
    assert "Iteration 4 of 12" in refreshed(page).head
    drawn.clear()
    leave(tmp_path, begun(1), run="b")
    assert "Iteration 1 of 12" in refreshed(page).head
    assert "forward_iter0000.png" in drawn
    # One that was killed after a later result does not hide it.
    at(tmp_path / PROGRESS_NAME, 1e9)
    assert "this is its report" in refreshed(page).head


def test_a_run_that_leaves_no_result(tmp_path: Path, drawn: list[str]) -> None:
    leave(tmp_path, begun(4))
    page = Live(tmp_path)
    before = refreshed(page)
    leave(tmp_path, begun(4), state=False, state_of_it="ended")
    assert "The iterations are over, after 4: the results are written." in refreshed(page).head
    for name in (PROGRESS_NAME, STATE_NAME):
        (tmp_path / name).unlink()
    view = refreshed(page)
    assert view.note == "The run has ended without a result; its terminal says why."
    assert view.written is None
    assert view.sections["object"] == before.sections["object"]


def test_a_run_without_a_state(tmp_path: Path, drawn: list[str]) -> None:
    leave(tmp_path, begun(4), state=False)
    view = refreshed(Live(tmp_path))
    assert "Iteration 4 of 12" in view.head
    assert "The run has left no state to draw" in view.head
    assert view.sections == {}


def test_everything_is_escaped(tmp_path: Path, drawn: list[str]) -> None:
    leave(tmp_path / "<b>", begun(4), stage="<script>")
    view = refreshed(Live(tmp_path / "<b>"))
    assert "<b>" not in view.head
    assert "<script>" not in view.head
    assert "<b>" in words(view.head)
