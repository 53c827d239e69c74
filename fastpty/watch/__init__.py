"""The report of a run on a page that follows it: what ``fastpty watch`` shows.

Importing this package needs neither matplotlib nor torch; watching needs matplotlib.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fastpty.errors import FastptyError
from fastpty.figures import require_matplotlib

__all__ = ["watch"]


def watch(folder: Path, port: int, ready: Callable[[str], None]) -> None:
    """Serve the page of a run on this machine's loopback address, until Ctrl-C.

    Parameters
    ----------
    folder : of the run; it need not exist yet.
    port : 0 for one that is free.
    ready : told the page's address once it is served.

    Raises
    ------
    FiguresUnavailableError : matplotlib is missing.
    FastptyError : the port is taken or not allowed, or ``folder`` is a file.
    """
    require_matplotlib()
    from fastpty.watch.live import Live
    from fastpty.watch.server import Server

    if folder.exists() and not folder.is_dir():
        raise FastptyError(str(folder), "is a file.", "Name the output folder of a run.")
    live = Live(folder)
    try:
        server = Server(live, port)
    except OSError as error:
        raise FastptyError(
            "--port",
            f"{port} cannot be used ({error.strerror or error}).",
            "Choose another one, or leave it out for one that is free.",
        ) from error
    if hasattr(os, "nice"):
        os.nice(10)  # the run comes first
    with server, live:
        ready(server.address)
        with suppress(KeyboardInterrupt):
            server.serve_forever()
