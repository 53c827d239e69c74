"""Folders as a run leaves them while it lasts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastpty.progress import PROGRESS_NAME, STATE_NAME, RunProgress, write_progress
from fastpty.results import Results, write_results
from tests.figures.conftest import build_results
from tests.report.cases import CONFIG, SUMMARY


def begun(iteration: int = 4, **changes: Any) -> Results:
    """The state of a run after some iterations, with a pattern from before the first."""
    results = build_results(iterations=iteration, **changes)
    results.config = {**CONFIG, "plan": [{"name": "first", "iterations": 12}]}
    results.snapshots = results.snapshots[:1]
    results.history.stage = [0] * iteration
    results.device, results.seed = "cpu", 7
    return results


def leave(
    folder: Path, results: Results, state: bool = True, run: str = "a", **changes: Any
) -> None:
    """Write ``progress.json`` and, if wanted, ``progress.h5``; ``changes`` of the former."""
    folder.mkdir(parents=True, exist_ok=True)
    if state:
        write_results(results, folder / STATE_NAME, compress=False)
    done = len(results.history.loss)
    progress = RunProgress(
        run,
        changes.pop("state_of_it", "running"),
        done,
        12,
        changes.pop("stage", "stage first"),
        results.history,
        [{"name": "first", "iterations": done, "ended": "", "text": "under way"}],
        SUMMARY["preflight"],
    )
    write_progress(progress, folder / PROGRESS_NAME)


def at(path: Path, seconds: float) -> None:
    """Make a file as if it had been written at a time, s since 1970."""
    os.utime(path, (seconds, seconds))
