"""The commands ``fastpty tune`` and ``fastpty ablate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

from fastpty.cli.common import AsJson, Debug, go_on
from fastpty.errors import FastptyError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from fastpty.tune import StudyReport

__all__ = ["ablate", "tune"]

Study = TypeVar("Study", bound="BaseModel")

StudyFile = Annotated[Path, typer.Argument(help="file of the study", show_default=False)]
Output = Annotated[
    Path | None, typer.Option("-o", "--output", help="folder; default: output/<name of the file>")
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a field of the study: workers=2"),
]
Resume = Annotated[bool, typer.Option("--resume", help="go on with the study in the folder")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace an earlier study")]


def tune(
    study_file: StudyFile,
    output: Output = None,
    overrides: Fields = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Search for the best values of some fields, by short trial runs."""
    from fastpty.tune import TuneConfig, run_search

    console = Console(stderr=as_json)
    study, folder = _study(TuneConfig, study_file, output, overrides, resume and overwrite)
    report = run_search(
        study, study_file.parent, folder, console, resume=resume, overwrite=overwrite
    )
    _end(report, f"fastpty tune {study_file}", output, as_json, console)


def ablate(
    study_file: StudyFile,
    output: Output = None,
    overrides: Fields = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Compare variants of a config: slices, modes, losses, or any other field."""
    from fastpty.tune import AblateConfig, run_ablation

    console = Console(stderr=as_json)
    study, folder = _study(AblateConfig, study_file, output, overrides, resume and overwrite)
    report = run_ablation(
        study, study_file.parent, folder, console, resume=resume, overwrite=overwrite
    )
    _end(report, f"fastpty ablate {study_file}", output, as_json, console)


def _study(
    model: type[Study],
    study_file: Path,
    output: Path | None,
    overrides: list[str] | None,
    both_ways: bool,
) -> tuple[Study, Path]:
    """The file, checked, and the folder for what comes of it."""
    from fastpty.config import load_config

    if both_ways:
        raise FastptyError("--resume", "and --overwrite contradict each other.", "Give one.")
    study = load_config(model, study_file, overrides or [])
    return study, output or Path("output") / study_file.stem


def _end(
    report: StudyReport, command: str, output: Path | None, as_json: bool, console: Console
) -> None:
    if as_json:
        typer.echo(json.dumps(report.summary))
    if not report.finished:
        go_on(command + ("" if output is None else f" -o {output}"), console)
