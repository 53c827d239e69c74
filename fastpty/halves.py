"""Two reconstructions, of either half of the positions, compared: what ``fastpty frc`` does."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from fastpty.checkpoint import CHECKPOINT_NAME
from fastpty.config import ReconConfig
from fastpty.config.data import HalfConfig
from fastpty.job import refuse_overwriting, run_job
from fastpty.resolution import Resolution, compare_files, refuse_earlier

__all__ = ["HALVES", "reconstruct_halves"]

HALVES = ("half_1", "half_2")
"""The folders of the two runs."""


def reconstruct_halves(
    config: ReconConfig,
    folder: Path,
    output: Path,
    console: Console,
    *,
    split: str = "chessboard",
    resume: bool = False,
    overwrite: bool = False,
) -> Resolution | None:
    """Reconstruct from either half of the positions, and compare.

    Each is a run like any other, in a folder of its own below ``output``. The seeds of the runs
    are the config's and the next, so that nothing random is common to both.

    Parameters
    ----------
    folder : relative paths in the config start here.
    split : chessboard or random, the latter by the config's seed.
    resume : go on with the half that was stopped.

    Returns
    -------
    None if a run was stopped: nothing is compared then.

    Raises
    ------
    FastptyError : naming the field, what was found and what to do.
    """
    if not (resume or overwrite):
        refuse_earlier(output)
        for name in HALVES:
            refuse_overwriting(output / name)
    for number, name in enumerate(HALVES):
        part = config.model_copy(deep=True)
        part.data.half = HalfConfig.model_validate(
            {"split": split, "part": number + 1, "seed": config.seed}
        )
        part.seed += number
        console.print(f"[bold]{name}[/bold]")
        # The second half need not have begun.
        going_on = resume and (number == 0 or (output / name / CHECKPOINT_NAME).exists())
        report = run_job(part, folder, output / name, console, resume=going_on, overwrite=overwrite)
        if not report.finished:
            return None
    first, second = (output / name for name in HALVES)
    return compare_files(first, second, output, console, overwrite=True)
