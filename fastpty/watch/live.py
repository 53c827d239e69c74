"""What the page of a run shows now, read from the run's folder."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType

from fastpty.figures import OF_HISTORY, figure_names, save_figures
from fastpty.progress import PROGRESS_NAME, STATE_NAME, RunProgress, read_progress
from fastpty.report.markup import Html, element
from fastpty.report.numbers import header
from fastpty.report.page import sections
from fastpty.report.source import Source, read_source
from fastpty.results import RESULT_NAME, read_results, read_versions
from fastpty.watch import heads

__all__ = ["Live", "View"]

_FILES = (PROGRESS_NAME, STATE_NAME, RESULT_NAME, "summary.json", "checkpoint.pt", "figures/*.png")
_DATA_URI = re.compile(r'src="data:image/png;base64,([A-Za-z0-9+/=]+)"')
_ADDRESS = re.compile(r'src="image/([0-9a-f]+\.png)"')
_FIRST = "loss.png"
"""The figure that never waits for others."""
_REST = 2
"""Reading and drawing rest for so many times as long as they took."""


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
class _Shown:
    """What is known of a run, and which of its figures are out of date.

    Attributes
    ----------
    run : its name.
    progress : the last of it.
    state : which file ``source`` is from.
    iteration : that the state is of.
    due : names of the figures that are out of date.
    """

    run: str
    progress: RunProgress
    written: float
    state: object = None
    iteration: int = 0
    source: Source | None = None
    due: list[str] = field(default_factory=list)


class Live:
    """Follows a run's folder. As a context it has a thread of its own for that, which works while
    somebody looks, and rests longer than it works."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: object = None
        self._shown: _Shown | None = None
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

    def refresh(self) -> bool:
        """Read what has changed, then draw the loss and one of the other figures that are out of
        date: numbers do not wait for all of them. Whether there was anything to do."""
        found = _signature(self._folder)
        changed = found != self._seen
        try:
            if changed:
                self._seen = found
                self._read(found)
            shown = self._shown
            if shown is None or not shown.due:
                return changed
            if _FIRST in shown.due:
                self._draw(shown, _FIRST)
            if shown.due:
                self._draw(shown, shown.due[0])
        # Anything: damaged files fail in many ways, and at the next look they may be mended.
        except Exception as error:
            if found != _signature(self._folder):
                self._seen = None  # it was replaced while it was read
            else:
                note = f"Not up to date: what the run has left now cannot be shown. {error}"
                self._publish(replace(self._view, note=note))
        return True

    def _read(self, found: Mapping[str, tuple[int, ...]]) -> None:
        progress, result = found.get(PROGRESS_NAME), found.get(RESULT_NAME)
        name = self._folder.resolve().name
        if progress and (not result or result[0] <= progress[0]):
            self._read_run(found)
        elif result:
            source = read_source(self._folder)
            over = element("p", "The run is over: this is its report.", class_="note")
            self._shown = None
            self._publish(View(title=name, head=header(source, over), sections=sections(source)))
        elif self._shown is not None:
            note = "The run has ended without a result; its terminal says why."
            self._publish(replace(self._view, note=note, written=None))
        else:
            self._publish(View(title=f"{name}: waiting", head=heads.waiting(self._folder)))

    def _read_run(self, found: Mapping[str, tuple[int, ...]]) -> None:
        progress = read_progress(self._folder / PROGRESS_NAME)
        written, state = found[PROGRESS_NAME][0] / 1e9, found.get(STATE_NAME)
        last = self._shown
        shown = last
        if shown is None or shown.run != progress.run:
            shown = _Shown(progress.run, progress, written)
        shown.progress, shown.written = progress, written
        outdated = set(OF_HISTORY)
        if state is not None and state != shown.state:
            path = self._folder / STATE_NAME
            results, versions = read_results(path), read_versions(path)
            shown.state, shown.iteration = state, len(results.history.loss)
            names = figure_names(results)
            earlier = {} if last is None or last.source is None else last.source.figures
            # The patterns of an iteration stay as they were, in the same run.
            patterns = {name for name in names if name.startswith("forward_")}
            known = set(names) & set(earlier) - (set() if shown is last else patterns)
            figures = {name: earlier[name] for name in known}
            when = datetime.fromtimestamp(state[0] / 1e9)
            shown.source = Source(path, results, versions, {}, figures, when)
            outdated |= set(names) - (patterns & known)
        self._shown = shown
        if shown.source is not None:
            shown.source.results.history = progress.history
            shown.source.summary.update(stages=progress.stages, preflight=progress.preflight)
            names = figure_names(shown.source.results)
            waiting = [name for name in shown.due if name in names]
            shown.due = waiting + [n for n in names if n in outdated and n not in waiting]
        self._publish(self._view_of(shown))

    def _draw(self, shown: _Shown, name: str) -> None:
        shown.due.remove(name)
        if shown.source is not None:
            with tempfile.TemporaryDirectory() as folder:
                for file in save_figures(shown.source.results, folder, wanted=name.__eq__):
                    shown.source.figures[name] = file.read_bytes()
            self._publish(self._view_of(shown))

    def _view_of(self, shown: _Shown) -> View:
        progress, source = shown.progress, shown.source
        results = None if source is None else source.results
        seconds = heads.seconds_per_iteration(progress)
        return View(
            title=f"{progress.iteration}/{progress.iterations} {self._folder.resolve().name}",
            head=heads.running(self._folder, progress, results, shown.iteration),
            sections={} if source is None else sections(source),
            written=shown.written,
            patience=60 + 10 * seconds if progress.history.seconds else 600,
        )

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
            with suppress(OSError):
                stat = path.stat()
                name = path.relative_to(folder).as_posix()
                found[name] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return found
