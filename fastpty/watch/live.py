"""What the page of a run shows now, read from the run's folder."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType

from fastpty.figures import OF_HISTORY, save_figures
from fastpty.progress import PROGRESS_NAME, STATE_NAME, RunProgress, read_progress
from fastpty.report.markup import Html, element
from fastpty.report.numbers import header
from fastpty.report.page import sections
from fastpty.report.source import Source, read_source
from fastpty.results import RESULT_NAME, Results, read_results, read_versions
from fastpty.watch import heads

__all__ = ["Live", "View"]

_FILES = (PROGRESS_NAME, STATE_NAME, RESULT_NAME, "summary.json", "checkpoint.pt", "figures/*.png")
_DATA_URI = re.compile(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"')
_ADDRESS = re.compile(r'src="image/([0-9a-f]+\.png)"')
_REST = 2
"""Reading and drawing rest for so many times as long as they took."""
_OF_STATE = (
    *("object", "data", "preprocessing", "probe", "positions"),
    *("fit", "figures", "configuration"),
)
"""Sections that a new iteration alone leaves as they are."""


@dataclass(frozen=True)
class View:
    """What is on the page.

    Attributes
    ----------
    version : another one whenever anything is different.
    head : the ``<header>``.
    sections : by anchor, as of the report, their images by address.
    note : what is wrong; "": nothing.
    written : when the run last said something, s since 1970; None: it is not under way.
    patience : s after which the next word of it is overdue.
    """

    version: str = ""
    title: str = "fastpty watch"
    head: Html = field(default_factory=Html)
    sections: dict[str, Html] = field(default_factory=dict)
    note: str = ""
    written: float | None = None
    patience: float = 0.0


@dataclass
class _Drawn:
    """What is kept of a run from one look to the next; ``state`` tells its files apart."""

    run: str
    state: object = None
    results: Results | None = None
    versions: dict[str, str] = field(default_factory=dict)
    figures: dict[str, bytes] = field(default_factory=dict)


class Live:
    """Follows a run's folder. As a context it has a thread of its own for that, which works while
    somebody looks, and rests longer than it works."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self._drawn = _Drawn("")
        self._images: dict[str, bytes] = {}
        self._number = 0
        self._name = secrets.token_hex(4)  # a page may outlive the command that served it
        self._asked, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._view = View(head=element("header", element("p", "Reading the folder …")))

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._asked.set()

    def look(self) -> View:
        """What there is to show now; what is new since then is on its way."""
        self._asked.set()
        return self._view

    def image(self, name: str) -> bytes | None:
        """A PNG of the present view, or of the one before; None: there is none of the name."""
        return self._images.get(name)

    def _work(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ended.is_set():
                return
            begun = time.monotonic()
            self.refresh()
            self._ended.wait(_REST * (time.monotonic() - begun))

    def refresh(self) -> None:
        """Read and draw what has changed, if anything has."""
        try:
            found = _signature(self._folder)
            if found == self._seen:
                return
            self._seen = found
            self._read(found)
        # Anything: damaged files fail in many ways, and at the next look they may be mended.
        except Exception as error:
            note = f"Not up to date: what the run has left now cannot be shown. {error}"
            self._publish(replace(self._view, note=note))

    def _read(self, found: Mapping[str, tuple[int, ...]]) -> None:
        progress, result = found.get(PROGRESS_NAME), found.get(RESULT_NAME)
        name = self._folder.resolve().name
        if progress and (not result or result[0] <= progress[0]):
            self._show_run(read_progress(self._folder / PROGRESS_NAME), found)
        elif result:
            source = read_source(self._folder)
            self._drawn = _Drawn("")
            over = element("p", "The run is over: this is its report.", class_="note")
            self._publish(View(title=name, head=header(source, over), sections=sections(source)))
        elif self._view.written is not None:
            note = "The run has ended without a result; its terminal says why."
            self._publish(replace(self._view, note=note, written=None))
        elif not self._drawn.run:
            self._publish(View(title=f"{name}: waiting", head=heads.waiting(self._folder)))

    def _show_run(self, progress: RunProgress, found: Mapping[str, tuple[int, ...]]) -> None:
        """Curves and numbers first; images, which take longer, where there are new ones."""
        if self._drawn.run != progress.run:
            self._drawn = _Drawn(progress.run)
        drawn, state = self._drawn, found.get(STATE_NAME)
        new = state is not None and state != drawn.state
        path = self._folder / STATE_NAME
        if new:
            drawn.results, drawn.versions = read_results(path), read_versions(path)
        written = found[PROGRESS_NAME][0] / 1e9
        each = heads.seconds_per_iteration(progress)
        view = View(
            title=f"{progress.iteration}/{progress.iterations} {self._folder.resolve().name}",
            head=heads.running(self._folder, progress, drawn.results),
            written=written,
            patience=60 + 10 * each if progress.history.seconds else 600,
        )
        if drawn.results is None:
            self._publish(view)
            return
        results = replace(drawn.results, history=progress.history)
        drawn.figures.update(_draw(results, OF_HISTORY.__contains__))
        source = Source(
            path,
            results,
            drawn.versions,
            {"stages": progress.stages, "preflight": progress.preflight},
            drawn.figures,
            datetime.fromtimestamp(written),
        )
        earlier = self._view.sections
        kept = {name: earlier.get(name, Html()) for name in _OF_STATE}
        self._publish(replace(view, sections=sections(source, kept)))
        if new:
            # The patterns of an iteration stay as they were.
            known = [name for name in drawn.figures if name.startswith("forward_")]
            others = _draw(results, lambda name: name not in OF_HISTORY and name not in known)
            drawn.figures.update(others)
            drawn.state = state
            kept = {k: v for k, v in self._view.sections.items() if k not in _OF_STATE}
            self._publish(replace(view, sections=sections(source, kept)))

    def _publish(self, view: View) -> None:
        """With the images by address, each there before the page can ask for it."""
        images = dict(self._images)

        def address(match: re.Match[str]) -> str:
            png = base64.b64decode(match[1])
            name = f"{hashlib.sha256(png).hexdigest()[:32]}.png"
            images[name] = png
            return f'src="image/{name}"'

        shown = {k: Html(_DATA_URI.sub(address, v)) for k, v in view.sections.items()}
        view = replace(view, sections=shown, version=self._view.version)
        if view == self._view:
            return
        self._images = images
        self._number += 1
        before, self._view = self._view, replace(view, version=f"{self._name}-{self._number}")
        # A page may still be loading those of the view before.
        used = {
            name
            for v in (before, view)
            for s in v.sections.values()
            for name in _ADDRESS.findall(s)
        }
        self._images = {name: png for name, png in images.items() if name in used}


def _signature(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Of every file that the page is made from, by name: when it was written, and which it is."""
    found = {}
    for pattern in _FILES:
        for path in sorted(folder.glob(pattern)):
            with suppress(FileNotFoundError):
                stat = path.stat()
                name = path.relative_to(folder).as_posix()
                found[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found


def _draw(results: Results, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        files = save_figures(results, folder, wanted=wanted)
        return {file.name: file.read_bytes() for file in files}
