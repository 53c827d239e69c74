"""From a file to a figure and a config: the work of ``fastpty calibrate``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from fastpty.atomic import atomic_path
from fastpty.calibrate.config import is_config, read_input
from fastpty.calibrate.gather import gather
from fastpty.calibrate.report import calibrated_config, extended_config, table
from fastpty.calibrate.solve import Calibration, solve
from fastpty.errors import OutputError
from fastpty.figures import FiguresUnavailableError, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURE_NAME", "run_calibration"]

FIGURE_NAME = "calibration.png"


def run_calibration(
    path: Path,
    overrides: Sequence[str],
    folder: Path,
    write: Path | None,
    console: Console,
    *,
    quiet: bool = False,
) -> Calibration:
    """Read, solve, draw, write, and say what was found.

    Parameters
    ----------
    path : a data file or a config.
    overrides : texts such as ``beam.energy_kv=300``.
    folder : for the figure, which is left out where matplotlib is missing.
    write : a config with what was found; None: none.
    quiet : say only what speaks against it, and which files were written.

    Raises
    ------
    ConfigError, DataError, OutputError : naming the field, what was found and what to do. An
        earlier config is not overwritten.
    """
    if write is not None and write.exists():
        raise OutputError(str(write), "exists already.", "Choose another name for --write.")
    config, content = read_input(path, overrides)
    base = path.parent if is_config(path) else Path()
    found = solve(gather(config, base), config)
    written = []
    with suppress(FiguresUnavailableError):  # a view of the findings, which are whole without
        written.append(write_figure(folder / FIGURE_NAME, lambda: _draw(found)))
    if write is not None:
        title = f"fastpty reconstruction of {found.gathered.source}, calibrated from its patterns"
        if is_config(path):
            text = extended_config(content, found, title, path.parent, write)
        else:
            text = calibrated_config(content, found, title)
        try:
            with atomic_path(write) as target:
                target.write_text(text, encoding="utf-8")
        except OSError as error:
            raise OutputError(str(write), f"cannot be written ({error}).") from error
        written.append(write)
    _say(found, written, console, quiet)
    return found


def _say(found: Calibration, written: list[Path], console: Console, quiet: bool) -> None:
    if not quiet:
        console.print(found.gathered.source, style="bold", markup=False, soft_wrap=True)
        for subject, text in table(found):
            console.print(f"  {subject:<13}{text}", highlight=False, markup=False, soft_wrap=True)
    for doubt in found.doubts:
        console.print(f"  ! {doubt}", style="yellow", highlight=False, soft_wrap=True)
    for path in written:
        console.print(f"{path} written.", highlight=False, markup=False, soft_wrap=True)


def _draw(found: Calibration) -> Figure:
    from fastpty.calibrate.figure import draw_calibration

    return draw_calibration(found)
