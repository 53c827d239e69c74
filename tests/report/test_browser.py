"""The page in a browser: nothing cut off, every image loaded, sliders, zoom and pan.

Headless Chromium runs the checks from a script at the end of the page, and prints what they found.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.report import write_report
from tests.figures.conftest import build_results
from tests.report.cases import CONFIG, SUMMARY, make_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason=f"needs one of {', '.join(BROWSERS)}"),
]

FIGURES = (
    *("changes.png", "forward_iter0000.png", "forward_iter0012.png", "loss.png"),
    *("phase_slices.png", "phase_sum.png", "positions.png", "probe_modes.png"),
)

CHECKS = """
<script>
addEventListener("load", async () => {
  await Promise.all([...document.images].map((image) => image.decode().catch(() => {})));
  const frame = document.querySelector(".frame"), view = frame.querySelector(".view");
  const sheet = frame.querySelector(".sheet"), slider = frame.querySelector("input");
  const images = [...frame.querySelectorAll("img")], bar = frame.querySelector(".bar");
  const shown = () => images.map((image) => image.offsetWidth > 0);
  const seen = () => ({ shown: shown(), transform: sheet.style.transform, bar: bar.textContent,
                        width: bar.offsetWidth, label: frame.querySelector("output").textContent });
  const press = (key) => {
    const event = new KeyboardEvent("keydown", { key, cancelable: true, bubbles: true });
    view.dispatchEvent(event);
    return event.defaultPrevented;
  };
  document.querySelector("details").open = true;
  const root = document.documentElement, found = {
    inner: innerWidth,
    scroll: root.scrollWidth,
    beyond: [...document.querySelectorAll("main *")].filter((e) =>
      !e.closest(".scroll, pre, .sheet") && e.getBoundingClientRect().right > innerWidth + 1
    ).map((e) => e.outerHTML.slice(0, 80)),
    broken: [...document.images].filter((image) => !(image.naturalWidth > 0)).length,
    view: [view.clientWidth, view.clientHeight],
    first: seen(),
    arrow: press("ArrowRight"),
  };
  slider.value = 3;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  found.slid = seen();
  found.value = slider.getAttribute("aria-valuetext");
  found.beside = document.querySelectorAll(".linked output")[1].textContent;
  press("+"); press("+");
  found.zoomed = seen();
  found.moved = press("ArrowRight");
  found.right = seen();
  press("0");
  found.whole = seen();
  frame.querySelector("[data-do=in]").click();
  found.clicked = seen();
  frame.querySelector("[data-do=out]").click();
  found.back = seen();
  const result = document.createElement("pre");
  result.id = "found";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
</script>
"""


def look(folder: Path, width: int, checks: str = CHECKS) -> Any:
    """What the checks found in a window of so many pixels."""
    page = write_report(folder, folder / "report.html").read_text(encoding="utf-8")
    tried = folder / "tried.html"
    tried.write_text(page.replace("</body>", f"{checks}</body>"), encoding="utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [
            *(BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--hide-scrollbars", f"--window-size={width},900", "--virtual-time-budget=5000"),
            *(f"--user-data-dir={folder / 'profile'}", "--dump-dom", tried.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    return json.loads(html.unescape(found[1]))


@pytest.mark.parametrize("width", [1400, 600])
def test_in_a_window(tmp_path: Path, width: int) -> None:
    results = build_results(scan=(12, 14))
    results.amplitude[..., 20:] = 0.9
    results.config = {**CONFIG, "data": {"path": "/a_long_folder_name" * 12 + "/scan.h5"}}
    results.config["plan"] = [{"name": f"a stage {i}", "iterations": 3} for i in range(4)]
    results.history.stage = list(np.repeat(range(4), 3).tolist())
    folder = tmp_path / ("a_name_without_any_place_to_break_it" * 3)
    found = look(make_run(folder, SUMMARY, FIGURES, results), width)

    assert found["inner"] == width
    assert found["scroll"] <= width
    assert found["beyond"] == []
    assert found["broken"] == 0

    first, slid, zoomed, right = (found[k] for k in ("first", "slid", "zoomed", "right"))
    assert (first["shown"], first["label"]) == ([True, False, False], "z = 0 Å (1 of 3)")
    assert (slid["shown"], slid["label"]) == ([False, False, True], "z = 20 Å (3 of 3)")
    assert found["value"] == found["beside"] == slid["label"]
    assert not found["arrow"]  # a page that is not zoomed scrolls
    assert (first["transform"], first["bar"]) == ("", "5 Å")
    assert zoomed["transform"].endswith("scale(1.96)")
    assert zoomed["bar"] == "2 Å"
    assert zoomed["width"] == pytest.approx(first["width"] * 1.96 * 2 / 5, abs=2)
    shifts = [float(s["transform"].split("(")[1].split("px")[0]) for s in (zoomed, right)]
    assert found["moved"]
    assert shifts[0] - shifts[1] == pytest.approx(found["view"][0] / 8, abs=0.5)
    assert found["whole"] == slid
    assert found["clicked"]["transform"].endswith("scale(1.4)")
    assert found["back"] == slid


def test_without_a_slider(tmp_path: Path) -> None:
    checks = """<script>addEventListener("load", () => {
      const result = document.createElement("pre");
      result.id = "found";
      result.textContent = JSON.stringify([document.querySelectorAll("[type=range]").length,
        document.querySelector(".view").offsetWidth > 0, document.images[0].offsetWidth > 0]);
      document.body.append(result);
    });</script>"""
    folder = make_run(tmp_path / "a", SUMMARY, slices=1, pixel_size=None, wavelength=None)
    assert look(folder, 600, checks) == [0, True, True]
