"""What a run says of its stages: how one ended, or where it broke off."""

from __future__ import annotations

from dataclasses import dataclass

from fastpty.config.convergence import ConvergenceConfig
from fastpty.config.plan import Stage
from fastpty.engines import NotFiniteError
from fastpty.errors import DivergenceError, MemoryShortageError

__all__ = ["StageEnding", "diverged", "ending_of", "out_of_memory"]


@dataclass(frozen=True)
class StageEnding:
    """How a stage ended: after its ``iterations``, ``converged``, or, if stopped, not yet."""

    name: str
    iterations: int
    ended: str
    text: str


def ending_of(stage: Stage, done: int, ended: str, rule: ConvergenceConfig) -> StageEnding:
    """Of a stage, after so many iterations, by the rule for ending early."""
    text = f"{stage.title}, " if stage.title else ""
    text += f"{_iterations(done)}: "
    if ended == "iterations":
        text += "all that were asked for"
    elif ended == "converged":
        within = f"in {_iterations(rule.patience or 0)}"
        if rule.of == "loss":
            text += f"the loss has not fallen by more than {rule.threshold:g} of it {within}"
        else:
            text += f"no unknown has changed by more than {rule.threshold:g} {within}"
    else:
        text += "stopped"
    return StageEnding(stage.name, done, ended, text)


def diverged(
    stage: Stage, iteration: int, stage_iteration: int, error: NotFiniteError
) -> DivergenceError:
    """In an iteration of the run, which is one of the stage; both count from 1."""
    where = f"iteration {iteration}"
    if stage.field:
        where += f" ({stage.title}, its iteration {stage_iteration})"
    if error.batch is not None:
        link = "the step after batch" if error.after else "batch"
        where += f", {link} {error.batch[0]} of {error.batch[1]}"
    elif not error.after:
        where += ", in its constraints"
    return DivergenceError(
        f"{stage.field}optimise",
        f"{', '.join(error.culprits)} became infinite or NaN in {where}.",
        "Lower the learning rates, and check the data for outliers.",
    )


def out_of_memory(stage: Stage, iteration: int, error: Exception) -> MemoryShortageError:
    """In an iteration of the run, from what torch or the system say."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return MemoryShortageError(
        f"{stage.field}optimise.batch_size",
        f"memory ran out in iteration {iteration}, and nothing is left to divide "
        f"({lines[0].rstrip('.')}).",
        "Lower it, take fewer modes or slices, or end what else uses the memory.",
    )


def _iterations(count: int) -> str:
    return f"{count} iteration{'s' * (count != 1)}"
