"""Standard figures of a reconstruction, as PNG files.

Importing this package needs no matplotlib, which is in the extra ``report``; the modules with
one ``draw_<name>(results) -> Figure`` each do. What each figure shows is in docs/figures.md.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastpty.atomic import atomic_path
from fastpty.errors import FastptyError, OutputError
from fastpty.results import Results
from fastpty.virtual import VirtualImages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "OF_HISTORY",
    "FiguresUnavailableError",
    "figure_names",
    "require_matplotlib",
    "save_figures",
    "write_figure",
]

OF_HISTORY = frozenset({"loss.png", "changes.png", "unknowns.png", "thickness.png"})
"""Figures of the history alone, of which every iteration makes others."""

_log = logging.getLogger(__name__)


class FiguresUnavailableError(FastptyError):
    """Matplotlib, which draws the figures, is not installed."""


def require_matplotlib() -> None:
    """Before what needs it is imported.

    Raises
    ------
    FiguresUnavailableError : it is missing.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise FiguresUnavailableError(
            "matplotlib", "is not installed, and figures need it.", "pip install 'fastpty[report]'"
        )


def save_figures(
    results: Results,
    folder: str | os.PathLike[str],
    *,
    virtual: VirtualImages | None = None,
    dpi: int = 200,
    wanted: Callable[[str], bool] = lambda name: True,
) -> list[Path]:
    """Draw every figure that applies and write it to ``folder``, which is made if missing.

    ``loss.png``, ``changes.png``, ``forward_iter0000.png`` (one for each snapshot),
    ``probe_modes.png``, ``positions.png``, ``phase_sum.png``, ``phase_slices.png``,
    ``depth_sections.png``, ``fourier.png``, ``unknowns.png``, ``thickness.png``, ``tilt.png``,
    ``virtual.png``. All figures are drawn before the first appears
    under its name, so that an error in one of them leaves the folder's files as they were. Figures
    that do not apply are left out, and the log says why.

    Parameters
    ----------
    results : the reconstruction.
    virtual : images of virtual detectors; without them, or without a raster, no ``virtual.png``.
    folder : where to write.
    dpi : pixels per inch; the figures are up to 7 inches wide.
    wanted : whether to draw the figure of a name, all of them by default.

    Returns
    -------
    The files, in the order above.

    Raises
    ------
    FiguresUnavailableError : matplotlib is missing.
    OutputError : the folder cannot be written.
    """
    require_matplotlib()
    figures = _applicable(results, virtual)
    return _write(Path(folder), {name: figures[name] for name in figures if wanted(name)}, dpi)


def figure_names(results: Results) -> list[str]:
    """Of the figures that :func:`save_figures` draws without virtual detectors.

    Raises
    ------
    FiguresUnavailableError : matplotlib is missing.
    """
    require_matplotlib()
    return list(_applicable(results, None))


def write_figure(
    path: str | os.PathLike[str], draw: Callable[[], Figure], *, dpi: int = 200
) -> Path:
    """Draw one figure of another part and write it, whole or not at all.

    Raises
    ------
    FiguresUnavailableError : matplotlib is missing; ``draw`` is not called.
    OutputError : the folder cannot be written.
    """
    require_matplotlib()
    target = Path(path)
    return _write(target.parent, {target.name: draw}, dpi)[0]


def _write(target: Path, figures: dict[str, Callable[[], Figure]], dpi: int) -> list[Path]:
    from fastpty.figures.common import style

    try:
        target.mkdir(parents=True, exist_ok=True)
        with ExitStack() as pending:
            for name, draw in figures.items():
                path = pending.enter_context(atomic_path(target / name))
                # A Figure is dropped once rendered: a run may have hundreds of snapshots.
                figure = draw()
                with style():
                    figure.savefig(path, dpi=dpi, bbox_inches="tight", pad_inches=0.04)
    except OSError as error:
        raise OutputError(
            str(target), f"figures could not be written: {error}.", "Choose another folder."
        ) from error
    return [target / name for name in figures]


def _applicable(results: Results, virtual: VirtualImages | None) -> dict[str, Callable[[], Figure]]:
    """File name -> how to draw it, without the figures that would say nothing."""
    from fastpty.figures.changes import draw_changes
    from fastpty.figures.crop import scanned_area
    from fastpty.figures.depth_sections import draw_depth_sections
    from fastpty.figures.forward import draw_forward
    from fastpty.figures.fourier import SMALLEST, draw_fourier
    from fastpty.figures.loss import draw_loss
    from fastpty.figures.object_phase import draw_phase_sum, draw_slices
    from fastpty.figures.positions import draw_positions
    from fastpty.figures.probe_modes import draw_probe_modes
    from fastpty.figures.thickness import draw_thickness
    from fastpty.figures.unknowns import UNKNOWNS, draw_tilt, draw_unknowns
    from fastpty.figures.virtual import draw_virtual

    figures: dict[str, Callable[[], Figure]] = {}

    def add(name: str, draw: Callable[[Results], Figure], applies: object, why_not: str) -> None:
        if applies:
            figures[name] = partial(draw, results)
        else:
            _log.info("%s is left out: %s", name, why_not)

    history, slices = results.history, results.phase.shape[1]
    add("loss.png", draw_loss, history.loss, "the history holds no iteration")
    add("changes.png", draw_changes, history.change, "the history has no change of an unknown")
    if not results.snapshots:
        _log.info("forward_iter*.png is left out: there are no snapshots")
    for snapshot in results.snapshots:
        name = f"forward_iter{snapshot.iteration:04d}.png"
        draw = partial(draw_forward, snapshot=snapshot)
        add(name, draw, len(snapshot.measured), "its snapshot holds no pattern")
    for name, always in (
        ("probe_modes.png", draw_probe_modes),
        ("positions.png", draw_positions),
        ("phase_sum.png", draw_phase_sum),
    ):
        figures[name] = partial(always, results)
    add("phase_slices.png", draw_slices, slices > 1, "with one slice it would repeat phase_sum.png")
    add("depth_sections.png", draw_depth_sections, slices > 1, "there is one slice")
    area = scanned_area(results)
    wide = min(part.stop - part.start for part in area) >= SMALLEST
    finite = wide and np.isfinite(results.phase[:, :, area[0], area[1]]).all()
    add("fourier.png", draw_fourier, finite, "the scanned area is small, or its phase not finite")
    free = set(history.unknowns)
    add("unknowns.png", draw_unknowns, free & set(UNKNOWNS), "tilt, occupancy and so on were fixed")
    add("thickness.png", draw_thickness, "thickness" in free, "the thickness was fixed")
    mapped = len(results.tilt) > 1 and results.scan_shape is not None
    add("tilt.png", draw_tilt, mapped, "a raster with a tilt for each position has one")
    if virtual is not None and results.scan_shape is not None:
        figures["virtual.png"] = partial(draw_virtual, results, virtual)
    else:
        _log.info("virtual.png is left out: there are no patterns of a raster")
    return figures
