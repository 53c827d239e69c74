"""The page in a browser: it follows a run, and stays as its reader has it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastpty.progress import PROGRESS_NAME, STATE_NAME
from fastpty.watch.live import Live
from fastpty.watch.server import Server
from tests.report.cases import SUMMARY, make_run
from tests.watch.browser import BROWSER, NAMES, Tab, opened
from tests.watch.cases import at, begun, leave

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"needs one of {', '.join(NAMES)}"),
]

# The reader opens the config, goes to the second slice, zooms in, and scrolls down.
READ = """(() => {
  window.kept = {
    frame: document.querySelector("#object .frame"),
    loss: document.querySelector("#convergence img"),
    position: document.querySelector("#positions img"),
    source: document.querySelector("#convergence img").src,
    phase: document.querySelector("#object img").src,
  };
  document.querySelector("details").open = true;
  const slider = kept.frame.querySelector("input");
  slider.value = 2;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  kept.frame.querySelector("[data-do=in]").click();
  scrollTo({ top: 400, behavior: "instant" });
  new MutationObserver((changes) => { window.changes = (window.changes ?? 0) + changes.length; })
    .observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
})()"""

SEEN = """(() => {
  const frame = document.querySelector("#object .frame");
  const images = [...frame.querySelectorAll("img")];
  return {
    same: kept.frame === frame && kept.loss === document.querySelector("#convergence img")
      && kept.position === document.querySelector("#positions img"),
    slider: Number(frame.querySelector("input").value),
    label: frame.querySelector("output").textContent,
    shown: images.map((image) => image.offsetWidth > 0),
    zoom: frame.querySelector(".sheet").style.transform.split(" scale")[1],
    zoomed: frame.querySelector(".view").classList.contains("zoomed"),
    open: document.querySelector("details").open,
    scroll: scrollY,
    loads: performance.getEntriesByType("navigation").length,
  };
})()"""

AS_LEFT = {
    "same": True,
    "slider": 2,
    "label": "z = 10 Å (2 of 3)",
    "shown": [False, True, False],
    "zoom": "(1.4)",
    "zoomed": True,
    "open": True,
    "scroll": 400,
    "loads": 1,
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    live = Live(tmp_path / "run")
    with Server(live, 0) as made, live:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.shutdown()
            thread.join()


def settled(tab: Tab) -> None:
    """Wait until every figure is there, and every image is loaded."""
    tab.wait_for(
        '["object", "probe", "positions", "fit"].every((id) => document.getElementById(id))'
    )
    tab.wait_for("document.querySelectorAll('#object img').length === 7")
    tab.wait_for("[...document.images].every((image) => image.complete && image.naturalWidth)")


def test_from_waiting_to_the_end(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with opened(server.address, tmp_path / "profile") as tab:
        tab.wait_for("document.body.textContent.includes('Waiting for a run')")
        leave(folder, begun(4))
        tab.wait_for("document.title === '4/12 run'")
        settled(tab)
        tab.evaluate(READ)
        assert tab.evaluate(SEEN) == AS_LEFT

        # Nothing new: nothing is touched.
        tab.evaluate("window.changes = 0; fetch('update').then(() => 0)")
        tab.evaluate("new Promise((done) => setTimeout(done, 2500))")
        assert tab.evaluate("window.changes") == 0

        # An iteration: the curve and the numbers, no image.
        leave(folder, begun(5), state=False)
        tab.wait_for("document.querySelector('#convergence img').src !== kept.source")
        assert "Iteration 5 of 12" in tab.evaluate("document.querySelector('.lead').textContent")
        assert tab.evaluate("document.querySelector('progress').value") == 5
        assert tab.evaluate("document.querySelector('#object img').src === kept.phase")
        assert tab.evaluate(SEEN) == AS_LEFT

        # A state: other images in the same places.
        later = begun(6)
        later.phase[:, :, ::2] += 1
        leave(folder, later)
        tab.wait_for("document.querySelector('#object img').src !== kept.phase")
        assert tab.evaluate(SEEN) == AS_LEFT

        # No word for long: the reader is told.
        at(folder / PROGRESS_NAME, 1e9)
        said = "document.getElementById('pulse').textContent"
        tab.wait_for(f"{said}.includes('it may have been killed')")

        # The end: the report, in the same place.
        for name in (PROGRESS_NAME, STATE_NAME):
            (folder / name).unlink()
        make_run(folder, SUMMARY, ("loss.png", "phase_sum.png", "positions.png"))
        tab.wait_for("document.body.textContent.includes('The run is over')")
        assert tab.evaluate(said) == ""
        assert tab.evaluate("document.title") == "run"
        assert tab.evaluate("document.getElementById('quality') !== null")
        found = tab.evaluate(SEEN)
        assert found == {**AS_LEFT, "scroll": found["scroll"]}

        server.token = "of another command on the same port"
        tab.wait_for(f"{said}.includes('does not answer')")


def test_nothing_is_cut_off(server: Server, tmp_path: Path) -> None:
    leave(tmp_path / "run", begun(4), stage="a_stage_without_any_place_to_break_it" * 3)
    with opened(server.address, tmp_path / "profile") as tab:
        settled(tab)
        for width in (1400, 600):
            tab.resize(width)
            assert tab.evaluate("innerWidth") == width
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            beyond = tab.evaluate(
                """[...document.querySelectorAll("body *")].filter((e) =>
                     !e.closest(".scroll, pre, .sheet") &&
                     e.getBoundingClientRect().right > innerWidth + 1
                   ).map((e) => e.outerHTML.slice(0, 80))"""
            )
            assert beyond == []
        # The policy of the page lets its style through.
        assert tab.evaluate("getComputedStyle(document.querySelector('progress')).height") == "8px"
