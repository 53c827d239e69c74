"""Folders of runs to report on, and a reader of the page."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fastpty.report import write_report
from fastpty.results import Results, write_results
from tests.figures.conftest import build_results

EMPTY = {"img", "input", "meta"}

CONFIG: dict[str, Any] = {
    "units": "angstrom",
    "data": {"path": "/data/scan.h5", "dataset": "data"},
    "beam": {"energy_kv": 300.0, "semiangle_mrad": 20.0, "aberrations": {"defocus": 80.0}},
    "calibration": {"pixel_size": 0.25, "dk": None, "of": "recorded"},
    "scan": {"step": [0.5, 0.6], "positions": None, "rotation_deg": 30.0},
    "preprocess": [{"step": "bin", "factor": 2}],
    "optimise": {"iterations": 12, "batch_size": 16, "optimiser": {"name": "Adam"}},
    "plan": [],
    "seed": 7,
}
SUMMARY: dict[str, Any] = {
    "output": "out",
    "finished": True,
    "iterations": 12,
    "loss": 1 / 12,
    "stages": [
        {"name": "", "iterations": 12, "ended": "iterations", "text": "12 iterations: all that ..."}
    ],
    "r_factor": 0.25,
    "displacement_px": {"mean": 0.1, "rms": 0.2, "max": 0.3},
    "preflight": [
        {"subject": "preprocess", "text": "bin: blocks of 2 x 2", "warning": ""},
        {"subject": "bright field", "text": "radius 9 px", "warning": "radii differ"},
        {"subject": "plan.0", "text": "first  12 iterations", "warning": ""},
    ],
}


def make_run(
    folder: Path,
    summary: dict[str, Any] | None = None,
    figures: tuple[str, ...] = ("loss.png", "probe_modes.png"),
    results: Results | None = None,
    **changes: Any,
) -> Path:
    """Write what a run leaves, with tiny images for figures.

    Parameters
    ----------
    summary : of ``summary.json``; None: there is none.
    results : None: made with ``changes`` by ``build_results``.
    """
    if results is None:
        results = build_results(**changes)
        results.config = CONFIG
        results.snapshots = list({s.iteration: s for s in results.snapshots}.values())
    results.device, results.seed, results.r_factor = "cpu", 7, 0.25
    results.history.stage = results.history.stage or [0] * len(results.history.loss)
    (folder / "figures").mkdir(parents=True)
    write_results(results, folder / "reconstruction.h5")
    if summary is not None:
        (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    for name in figures:
        Image.new("L", (60, 40), 200).save(folder / "figures" / name)
    return folder


class Page(HTMLParser):
    """A page taken apart; complains about elements that are not closed in order.

    ``text`` of each section by its anchor, ``images`` as attributes with their section, every
    ``link`` that is followed or loaded, and the ``scripts``.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.section = "header"
        self.text: dict[str, str] = {}
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.names: list[str] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert len(values) == len(attrs), f"<{tag}> has an attribute twice"
        self.names.append(tag)
        self.attributes.append({"tag": tag, **values})
        self.links += [values[key] or "" for key in ("src", "href") if key in values]
        if tag == "section":
            self.section = values["id"] or ""
        if tag == "img":
            self.images.append({**values, "section": self.section})
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text[self.section] = f"{self.text.get(self.section, '')} {data}"

    def said(self, section: str) -> str:
        """A section's text in one line."""
        return re.sub(r"\s+", " ", self.text[section]).strip()

    def pixels(self, number: int) -> np.ndarray:
        """An image [Y, X] or, with transparency, [Y, X, 2]."""
        _, data = (self.images[number]["src"] or "").split(",")
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


def read_page(folder: Path) -> Page:
    """Write the report of a run and read it."""
    target = write_report(folder, folder / "report.html")
    return Page(target.read_text(encoding="utf-8"))
