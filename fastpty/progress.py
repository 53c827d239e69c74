"""What a run says while it lasts: ``progress.json``, and its state in ``progress.h5``.

Both lie in the run's folder until its results are written. ``progress.h5`` has the layout of
``reconstruction.h5``, uncompressed and without the numbers that need all patterns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fastpty.atomic import atomic_path
from fastpty.errors import DataError
from fastpty.results import History

__all__ = ["PROGRESS_NAME", "STATE_NAME", "RunProgress", "read_progress", "write_progress"]

PROGRESS_NAME = "progress.json"
STATE_NAME = "progress.h5"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes
    ----------
    run : a name that no other run has, also not one in the same folder.
    state : ``running``, or ``ended`` while the results are computed and written.
    iteration : the last that is finished.
    iterations : of the whole run, if no stage ends early.
    stage : name of the present one; "" without a plan.
    history : of all finished iterations.
    stages : of those that have begun, as in ``summary.json``.
    preflight : findings of the checks before the start, as in ``summary.json``.
    """

    run: str
    state: str
    iteration: int
    iterations: int
    stage: str
    history: History
    stages: list[dict[str, Any]] = field(default_factory=list)
    preflight: list[dict[str, Any]] = field(default_factory=list)


def write_progress(progress: RunProgress, path: Path) -> None:
    """Write ``progress.json``, whole or not at all; what is not finite becomes null.

    Raises
    ------
    OSError : the disk is full or the folder cannot be written; an earlier file stays.
    """
    content = _plain({"format_version": FORMAT_VERSION, **asdict(progress)})
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, allow_nan=False) + "\n", encoding="utf-8")


def read_progress(path: Path) -> RunProgress:
    """Read ``progress.json``.

    Raises
    ------
    OSError : there is none.
    DataError : it is damaged, or of another version of fastpty.
    """
    text = path.read_bytes()
    try:
        content = json.loads(text)
        if content.pop("format_version") != FORMAT_VERSION:
            raise DataError(
                str(path), "is of another version of fastpty.", "Watch with that version."
            )
        history = {name: _numbers(values) for name, values in content.pop("history").items()}
        return RunProgress(history=History(**history), **content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            str(path), f"cannot be read ({error}).", "It is written again while the run lasts."
        ) from error


def _plain(value: Any) -> Any:
    """JSON has no NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


def _numbers(value: Any) -> Any:
    """Every null in a history stood for what was not finite."""
    if value is None:
        return math.nan
    if isinstance(value, dict):
        return {name: _numbers(item) for name, item in value.items()}
    return [_numbers(item) for item in value] if isinstance(value, list) else value
