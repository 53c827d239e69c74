"""What is kept of every iteration."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from fastpty.config.plan import Stage
from fastpty.constraints import leakage
from fastpty.engines import IterationReport
from fastpty.model import Model
from fastpty.results import History

__all__ = ["record"]


def record(
    history: History,
    model: Model,
    stages: Sequence[Stage],
    stage: Stage,
    report: IterationReport,
    changes: Mapping[str, float],
    constrained: Mapping[str, torch.Tensor],
) -> None:
    """Add an iteration to all but the seconds.

    Parameters
    ----------
    stages : of the run; ``stage`` is the present one.
    changes, constrained : of the unknowns, in the iteration and by each constraint in it.
    """
    done = len(history.loss)
    history.loss.append(report.loss)
    history.stage.append(stage.number)
    history.passes.append(report.passes)
    moved = np.linalg.norm(model.displacement, axis=1)
    history.displacement.append(float(moved.mean()))
    _add(history.terms, report.terms, 0.0, done)
    for kind, values in (
        (history.change, changes),
        (history.lr, report.lr),
        (history.leakage, leakage(model)),
        (history.positions, {"rms": float(np.sqrt((moved**2).mean())), "max": float(moved.max())}),
    ):
        _add(kind, values, math.nan, done)

    small = _small_unknowns(model, stages)
    # One transfer for all, as each would make the host wait for the device.
    everything = [v.double().reshape(-1) for v in (*constrained.values(), *small.values())]
    numbers = torch.cat(everything).tolist() if everything else []
    found = dict(zip(constrained, numbers, strict=False))
    _add(history.constraints, found, math.nan, done)
    rest = iter(numbers[len(constrained) :])
    for name, value in small.items():
        row = [next(rest) for _ in range(value.numel())]
        # A plan that has grown since the run was stopped may be the first to move it.
        history.unknowns.setdefault(name, [[math.nan] * len(row)] * done).append(row)


def _add(
    history: dict[str, list[float]], values: Mapping[str, float], missing: float, done: int
) -> None:
    """One value for every name after ``done`` of them; stages may have different ones."""
    for name in {**history, **values}:
        history.setdefault(name, [missing] * done).append(values.get(name, missing))


@torch.no_grad()
def _small_unknowns(model: Model, stages: Sequence[Stage]) -> dict[str, torch.Tensor]:
    """What sums up each that moves, as in ``History.unknowns``."""

    def moves(unknown: str) -> bool:
        return any(stage.optimise.moves(unknown) for stage in stages)

    found: dict[str, torch.Tensor] = {}
    if model.tilt is not None and moves("tilt"):
        found["tilt"] = model.tilt.mean(dim=0, dtype=torch.float64)
        if len(model.tilt) > 1:
            spread = (model.tilt - found["tilt"]).square().mean(dim=0).sqrt()
            found["tilt_spread"] = spread
    if model.thickness is not None and moves("thickness"):
        found["thickness"] = model.thickness
    if model.occupancy is not None and moves("occupancy"):
        found["occupancy"] = model.occupancy
    if (lens := model.lens) and moves("aberrations"):
        moved = lens.folded.double()  # all of it, at the end of an iteration
        unit = torch.from_numpy(lens.angstrom).to(moved.device)
        start = torch.from_numpy(lens.start).to(moved.device)
        found["aberrations"] = start + unit * moved
    return found
