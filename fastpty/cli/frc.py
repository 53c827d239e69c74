"""The command ``fastpty frc``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from fastpty.cli.common import AsJson, Debug, Overrides, go_on, load, output_folder
from fastpty.errors import FastptyError

__all__ = ["frc"]


def frc(
    source: Annotated[
        Path,
        typer.Argument(help="config file, or the first of two results", show_default=False),
    ],
    other: Annotated[
        Path | None, typer.Argument(help="the second result: folder of a run, or its file")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="folder; default: frc in that of the run"),
    ] = None,
    overrides: Overrides = None,
    device: Annotated[
        str | None, typer.Option("--device", help="auto, cpu or cuda, instead of the config's")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="of the positions: chessboard (default) or random")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on from the checkpoint")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace earlier results")] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Resolution by Fourier ring correlation: of two halves of a config's data, or two results."""
    console = Console(stderr=as_json)
    if other is not None:
        from fastpty.resolution import compare_files

        for option, given in (
            ("--set", overrides),
            ("--device", device),
            ("--split", split),
            ("--resume", resume),
        ):
            if given:
                raise FastptyError(option, "is for a config, not for two results.", "Leave it out.")
        folder = output or (source if source.is_dir() else source.parent) / "frc"
        found = compare_files(source, other, folder, console, overwrite=overwrite)
    else:
        from fastpty.halves import reconstruct_halves

        if source.is_dir() or source.suffix in (".h5", ".hdf5"):
            raise FastptyError(
                str(source), "is a single result.", "Name a second one, or a config file."
            )
        if resume and overwrite:
            raise FastptyError("--resume", "and --overwrite contradict each other.", "Give one.")
        if split not in (None, "chessboard", "random"):
            raise FastptyError("--split", f"must be chessboard or random, got {split!r}.")
        config = load(source, overrides, device, console)
        folder = output or output_folder(config, source) / "frc"
        halves = reconstruct_halves(
            config,
            source.parent,
            folder,
            console,
            split=split or "chessboard",
            resume=resume,
            overwrite=overwrite,
        )
        if halves is None:
            chosen = "" if output is None else f" -o {output}"
            go_on(f"fastpty frc {source}{chosen}", console)
        found = halves
    if as_json:
        typer.echo(json.dumps(found.summary()))
