"""The output folder of a study, and what is said of it in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastpty.errors import OutputError
from fastpty.tune.ledger import LEDGER_NAME, Ledger

__all__ = ["StudyReport", "open_ledger"]

_FIGURES = ("history", "slices", "landscape", "ablation", "objects")
_OF_EARLIER = ("best.yaml", *(f"{name}.png" for name in _FIGURES), "objects/*.npz")
"""What a study that replaces another may not write anew, and would leave as if it were its own."""


@dataclass(frozen=True)
class StudyReport:
    """What a study came to; ``finished`` is false when it was stopped early."""

    folder: Path
    finished: bool
    summary: dict[str, Any]


def open_ledger(
    output: Path, meaning: Mapping[str, Any], *, resume: bool, overwrite: bool
) -> Ledger:
    """The ledger of a new study, or of the one to go on with; the folder is made if missing.

    Raises
    ------
    OutputError : the folder holds an earlier study, or cannot be written.
    ConfigError, DataError : the study to go on with is another one, is damaged or not there.
    """
    path = output / LEDGER_NAME
    ledger = Ledger(path, meaning)
    if resume:
        ledger.read()
        return ledger
    if path.exists() and not overwrite:
        raise OutputError(
            str(output),
            f"holds the {LEDGER_NAME} of an earlier study.",
            "Choose another folder with -o, go on with --resume, or allow --overwrite.",
        )
    try:
        output.mkdir(parents=True, exist_ok=True)
        if path.exists():
            for earlier in [file for name in _OF_EARLIER for file in output.glob(name)]:
                earlier.unlink()
            path.unlink()
    except OSError as error:
        raise OutputError(str(output), f"cannot be written ({error}).", "Use -o.") from error
    return ledger
