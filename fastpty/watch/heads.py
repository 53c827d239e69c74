"""What stands above the sections of a page that follows a run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fastpty.figures.loss import format_seconds
from fastpty.progress import RunProgress
from fastpty.report.labels import count, lengths, value_text
from fastpty.report.markup import Html, element, facts
from fastpty.results import Results

__all__ = ["running", "seconds_per_iteration", "waiting"]


def waiting(folder: Path) -> Html:
    """Before the first sign of a run."""
    if not folder.exists():
        found = "The folder does not exist yet."
    elif (folder / "checkpoint.pt").exists():
        found = (
            "The folder holds the checkpoint of a run that was broken off, or that tells no "
            "progress; fastpty recon goes on from it with --resume."
        )
    elif any(folder.iterdir()):
        found = "The folder holds no result yet."
    else:
        found = "The folder is empty."
    return element(
        "header",
        element("p", "fastpty watch", class_="eyebrow"),
        element("h1", folder.resolve().name),
        element("p", "Waiting for a run.", class_="lead"),
        element("p", found, " This page shows it as soon as there is something to see."),
        element("p", element("code", str(folder.resolve())), class_="note"),
    )


def running(folder: Path, progress: RunProgress, results: Results | None, iteration: int) -> Html:
    """How far the run is, and its most important numbers.

    Parameters
    ----------
    results : the last state that the run has left; None: none.
    iteration : that it is of.
    """
    history = progress.history
    lead = f"Iteration {progress.iteration} of {progress.iterations}"
    lead += f", {progress.stage}." if progress.stage else "."
    if progress.state == "ended":
        lead = f"The iterations are over, after {progress.iteration}: the results are written."
    key = [("loss", value_text(history.loss[-1]))] if history.loss else []
    if history.seconds:
        each = seconds_per_iteration(progress)
        left = each * (progress.iterations - progress.iteration)
        key += [
            ("an iteration", format_seconds(each)),
            ("so far", format_seconds(sum(history.seconds))),
        ]
        if progress.state == "running":
            key.append(("left", format_seconds(left) if left else "0 s"))
    if results is not None:
        if results.pixel_size is not None:
            key.append(("pixel", lengths(results.pixel_size, "Å")))
        numbers = ((results.phase.shape[1], "slice"), (len(results.probe), "probe mode"))
        key += [(noun + "s" * (number != 1), str(number)) for number, noun in numbers]
    warnings = sum(bool(finding.get("warning")) for finding in progress.preflight)
    return element(
        "header",
        element("p", "fastpty watch", class_="eyebrow"),
        element("h1", folder.resolve().name),
        element("p", lead, class_="lead"),
        element(
            "progress",
            max=max(progress.iterations, 1),
            value=progress.iteration,
            aria_label="Iterations done",
        ),
        element("p", _state(progress, None if results is None else iteration), class_="note"),
        element(
            "p", f"{count(warnings, 'warning')} before the start, see ", _link(), class_="warning"
        )
        if warnings
        else "",
        facts(key, class_="key"),
    )


def _link() -> Html:
    return element("a", "data and calibration", href="#data")


def _state(progress: RunProgress, iteration: int | None) -> str:
    """Which iteration the images are of: they come more seldom than the numbers."""
    if progress.state == "ended":
        return "A report of them follows."
    if iteration is None:
        return "The run has left no state to draw: the disk may be nearly full."
    if iteration == progress.iteration:
        return "Images and numbers are of this iteration."
    when = f"after iteration {iteration}" if iteration else "before the first iteration"
    return f"Curves and numbers are of this iteration, images {when}."


def seconds_per_iteration(progress: RunProgress) -> float:
    """Median of the last five; NaN before the first."""
    recent = progress.history.seconds[-5:]
    return float(np.median(recent)) if recent else math.nan
