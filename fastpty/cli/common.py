"""What the commands share: options, how a config is found, how a stopped run ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from fastpty.config import ReconConfig
    from fastpty.ptyrad import Converted

__all__ = [
    "EXIT_INTERRUPTED",
    "EXIT_USER_ERROR",
    "AsJson",
    "ConfigFile",
    "DataOverrides",
    "Dataset",
    "Debug",
    "Overrides",
    "ScanShape",
    "State",
    "go_on",
    "is_first",
    "launched",
    "load",
    "output_folder",
    "print_notes",
]

# Stopped by Ctrl-C, state saved: the shells' code for an interrupted command.
EXIT_INTERRUPTED = 130
EXIT_USER_ERROR = 2

ConfigFile = Annotated[
    Path, typer.Argument(help="configuration file; PtyRAD's are taken too", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="override a field: optimise.batch_size=64"),
]
Dataset = Annotated[str | None, typer.Option(help="path inside an HDF5, zarr, npz or mat file")]
ScanShape = Annotated[
    tuple[int, int] | None,
    typer.Option(metavar="SLOW FAST", help="shape of the raster, if the file lacks it"),
]
DataOverrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="a field of data: data.dtype=uint16"),
]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON on standard output")]


class State:
    debug = False


def _set_debug(value: bool) -> bool:
    State.debug = value
    return value


Debug = Annotated[
    bool, typer.Option("--debug", help="show the traceback of an error", callback=_set_debug)
]


def launched() -> int:
    """How many processes torchrun, or whatever sets its variables, has started."""
    if "WORLD_SIZE" not in os.environ:
        return 1  # without torch, which takes long to open
    from fastpty.distributed import launched

    return launched()


def is_first() -> bool:
    """Whether this process is the one of several that prints."""
    return launched() == 1 or os.environ.get("RANK", "0") == "0"


def go_on(command: str, console: Console) -> NoReturn:
    """After a run that was stopped."""
    console.print(f"Go on with: {command} --resume", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_INTERRUPTED)


def load(
    config_file: Path, overrides: list[str] | None, device: str | None, console: Console
) -> ReconConfig:
    """A native config, or PtyRAD's with notes on what became of it."""
    from fastpty.config import ReconConfig, apply_overrides, validate_config
    from fastpty.ptyrad import convert, is_ptyrad, read_config_file

    changes = [*(overrides or []), *([] if device is None else [f"device={device}"])]
    content = read_config_file(config_file)
    if not is_ptyrad(content):
        return validate_config(ReconConfig, apply_overrides(content, changes))
    converted = convert(content, config_file)
    print_notes(converted, console)
    return converted.config(changes)


def print_notes(converted: Converted, console: Console) -> None:
    console.print(f"{converted.source.name} is a PtyRAD file.", highlight=False, soft_wrap=True)
    for note in converted.notes:
        text = f"  ! {note.field}: {note.text}"
        console.print(text, style="yellow", highlight=False, markup=False, soft_wrap=True)


def output_folder(config: ReconConfig, config_file: Path) -> Path:
    from fastpty.config import resolve_path

    named = config.output.folder
    if named is None:
        return Path("output") / config_file.stem
    return resolve_path("output.folder", named, Path())
