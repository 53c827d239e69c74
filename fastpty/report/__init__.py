"""One HTML page that tells the story of a run: what ``fastpty report`` writes.

The page needs nothing else, no network, no other file; everything that comes from files is escaped
(``fastpty/report/markup.py``). Importing this package needs no matplotlib, writing a page does.
"""

from __future__ import annotations

import os
from pathlib import Path

from fastpty.atomic import atomic_path
from fastpty.errors import OutputError
from fastpty.figures import require_matplotlib

__all__ = ["REPORT_NAME", "write_report"]

REPORT_NAME = "report.html"


def write_report(place: Path, target: str | os.PathLike[str]) -> Path:
    """Write the report of a run, whole or not at all; an earlier one is replaced.

    Parameters
    ----------
    place : folder of the run, or its ``reconstruction.h5``, whose neighbours ``summary.json`` and
        ``figures/`` are used if they are there.
    target : the HTML file.

    Raises
    ------
    DataError : there is no result, or it is damaged.
    FiguresUnavailableError : matplotlib is missing.
    OutputError : the file cannot be written.
    """
    require_matplotlib()
    from fastpty.report.page import render
    from fastpty.report.source import read_source

    page = render(read_source(place))
    try:
        with atomic_path(target) as path:
            path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise OutputError(
            os.fspath(target), f"cannot be written ({error}).", "Choose another file with -o."
        ) from error
    return Path(target)
