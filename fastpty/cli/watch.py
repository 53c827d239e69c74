"""The command ``fastpty watch``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fastpty.cli.common import Debug

__all__ = ["watch"]


def watch(
    folder: Annotated[
        Path, typer.Argument(help="output folder of a run, begun or not", show_default=False)
    ],
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="of this machine; 0: one that is free")
    ] = 0,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="the page in this machine's browser")
    ] = False,
    debug: Debug = False,
) -> None:
    """Serve a page that follows a run, on this machine alone, until Ctrl-C."""
    from fastpty.watch import watch as serve

    def ready(address: str) -> None:
        typer.echo(f"{address}\nshows the run in {folder}. Ctrl-C ends this, not the run.")
        if open_page:
            import webbrowser

            webbrowser.open(address)

    serve(folder, port, ready)
