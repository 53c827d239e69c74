"""What a report is made from: the result file and what lies beside it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from fastpty.errors import DataError
from fastpty.figures import save_figures
from fastpty.report.markup import Html
from fastpty.results import Results, read_results, read_versions

__all__ = ["Source", "read_source"]

_RESULT = "reconstruction.h5"


@dataclass(frozen=True)
class Source:
    """A run.

    Attributes
    ----------
    path : of the result file.
    summary : what ``summary.json`` holds; empty without one.
    figures : PNG files by name.
    written : when the result was written, local time.
    made : pieces of the page that take long to make, by name, once they are made.
    """

    path: Path
    results: Results
    versions: dict[str, str]
    summary: dict[str, Any]
    figures: dict[str, bytes]
    written: datetime
    made: dict[str, Html] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The run's folder."""
        return self.path.resolve().parent.name or "reconstruction"

    def once(self, name: str, make: Callable[[], Html]) -> Html:
        """A piece that is the same however often the page is made."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]


def read_source(place: Path) -> Source:
    """Read a run's result, its summary and its figures.

    The figures beside the result are taken unless one of them is older than it: then, or where
    there are none, they are drawn anew, and only the report has them.

    Parameters
    ----------
    place : folder of a run, or its ``reconstruction.h5``.

    Raises
    ------
    DataError : there is no result, or something is damaged.
    FiguresUnavailableError : matplotlib is missing.
    """
    path = place / _RESULT if place.is_dir() else place
    if place.is_dir() and not path.exists():
        raise DataError(
            str(place),
            f"holds no {_RESULT}.",
            "Name the output folder of a run; a run that broke off goes on with --resume.",
        )
    results = read_results(path)
    return Source(
        path,
        results,
        read_versions(path),
        _read_summary(path.parent / "summary.json"),
        _figures(path, results),
        datetime.fromtimestamp(path.stat().st_mtime),
    )


def _read_summary(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(str(path), f"cannot be read ({error}).", "Remove or mend it.") from error
    if not isinstance(content, dict):
        raise DataError(str(path), "is no summary of a run.", "Remove it.")
    return content


def _figures(path: Path, results: Results) -> dict[str, bytes]:
    files = sorted((path.parent / "figures").glob("*.png"))
    written = path.stat().st_mtime
    if files and all(file.stat().st_mtime >= written for file in files):
        return {file.name: file.read_bytes() for file in files}
    with tempfile.TemporaryDirectory() as folder:
        return {file.name: file.read_bytes() for file in save_figures(results, folder)}
