"""torch's schedulers, as PtyRAD names them, in terms of a ``schedule``.

``schedule`` multiplies the rates of iteration t; torch counts steps from 0, so that its step is
t - 1. A fall that begins after the first iteration is ``hold: 1``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from fastpty.config.messages import unknown_key
from fastpty.errors import ConfigError
from fastpty.ptyrad.schema.model import SchedulerParams

__all__ = ["schedule_of"]

_ORIGIN = "model_params.scheduler_params"


def schedule_of(
    params: SchedulerParams, iterations: int, rate: float
) -> tuple[dict[str, Any] | None, list[str]]:
    """The ``schedule`` of an unknown of learning rate ``rate``, and what is not as in PtyRAD.

    Returns
    -------
    schedule : None if the rates stay as they are.
    notes : one a deviation.

    Raises
    ------
    ConfigError : an option that the scheduler does not have, or a value that is no number.
    """
    if params.step_unit == "batch" and params.name != "ReduceLROnPlateau":
        return None, ["counts batches; rates change between iterations here, so they stay."]
    options = _options(params)
    build = _BUILDERS.get(params.name)
    if build is None:
        return None, [f"{params.name} cannot be expressed; the rates stay as they are."]
    try:
        return build(options, iterations, rate)
    except (TypeError, ValueError, IndexError) as error:
        raise ConfigError(
            f"{_ORIGIN}.configs", f"are no options of {params.name} ({error}).", "See torch's page."
        ) from error


def _options(params: SchedulerParams) -> dict[str, Any]:
    """The given options, and torch's defaults."""
    scheduler = getattr(torch.optim.lr_scheduler, params.name)
    known = {
        name: argument.default
        for name, argument in inspect.signature(scheduler).parameters.items()
        if name != "optimizer"
    }
    for key in params.configs:
        if key not in known and key != "verbose":
            message = unknown_key(key, list(known))
            raise ConfigError(f"{_ORIGIN}.configs.{key}", message)
    options = {**known, **params.configs}
    for key in known:
        if options[key] is inspect.Parameter.empty:
            raise ConfigError(f"{_ORIGIN}.configs.{key}", f"is required for {params.name}.")
    return options


Built = tuple[dict[str, Any] | None, list[str]]


def _step(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    return _stairs(int(options["step_size"]), float(options["gamma"]), 0.0)


def _exponential(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    return _stairs(1, float(options["gamma"]), 0.0)


def _multi_step(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    """Milestones at m, 2m, ... km are stairs whose floor is reached at the last."""
    milestones = sorted(int(value) for value in options["milestones"])
    first, gamma = milestones[0], float(options["gamma"])
    even = [first * (i + 1) for i in range(len(milestones))]
    schedule, notes = _stairs(first, gamma, gamma ** len(milestones))
    if milestones != even:
        notes.append(f"milestones {milestones} are not even; those used are {even}.")
    return schedule, notes


def _stairs(step: int, gamma: float, floor: float) -> Built:
    if gamma == 1:
        return None, []
    if not 0 < gamma < 1:
        return None, [f"gamma = {gamma:g} makes rates rise; they stay as they are."]
    return {"step": step, "gamma": gamma, "floor": floor}, []


def _linear(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    start, end = float(options["start_factor"]), float(options["end_factor"])
    total = int(options["total_iters"])
    if end == 1 and start < 1:
        notes = []
        if abs(start * (total + 1) - 1) > 1e-6:
            notes = [f"rises from {1 / (total + 1):.3g} of the rates, not from {start:.3g}."]
        return {"warmup": total}, notes
    if start == 1 and end < 1:
        return _fall("linear", total, end), []
    return None, [f"from {start:g} to {end:g} of the rates cannot be expressed; they stay."]


def _constant(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    total, factor = int(options["total_iters"]), float(options["factor"])
    return {"warmup": total}, [
        f"the {total} iterations at {factor:.3g} of the rates become a rise to the full ones."
    ]


def _polynomial(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    power = float(options["power"])
    notes = [] if power == 1 else [f"power = {power:g} cannot be expressed; the fall is linear."]
    return _fall("linear", int(options["total_iters"]), 0.0), notes


def _cosine(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    total = int(options["T_max"])
    notes = []
    if iterations > total + 1:
        notes = [f"after iteration {total + 1} the rates stay low; in PtyRAD they rise again."]
    return _fall("cosine", total, _share(options["eta_min"], rate)), notes


def _restarts(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    total = int(options["T_0"])
    notes = []
    if iterations > total:
        notes = [f"restarts cannot be expressed: after iteration {total} the rates stay low."]
    return _fall("cosine", total, _share(options["eta_min"], rate)), notes


def _plateau(options: Mapping[str, Any], iterations: int, rate: float) -> Built:
    notes = [
        f"{name} = {options[name]!r} is not honoured; it is {plain!r}."
        for name, plain in (("mode", "min"), ("threshold_mode", "rel"), ("cooldown", 0))
        if options[name] != plain
    ]
    floors = options["min_lr"]
    if isinstance(floors, list | tuple):
        notes.append("min_lr must be one number here; the least is taken.")
        floors = min(floors)
    return {
        # torch waits for more losses than its patience, not for as many.
        "plateau": int(options["patience"]) + 1,
        "factor": float(options["factor"]),
        "threshold": float(options["threshold"]),
        "floor": _share(floors, rate),
    }, notes


def _fall(decay: str, total: int, floor: float) -> dict[str, Any]:
    return {"decay": decay, "hold": 1, "until": total + 1, "floor": floor}


def _share(lowest: Any, rate: float) -> float:
    return min(1.0, float(lowest) / rate)


_BUILDERS = {
    "StepLR": _step,
    "ExponentialLR": _exponential,
    "MultiStepLR": _multi_step,
    "LinearLR": _linear,
    "ConstantLR": _constant,
    "PolynomialLR": _polynomial,
    "CosineAnnealingLR": _cosine,
    "CosineAnnealingWarmRestarts": _restarts,
    "ReduceLROnPlateau": _plateau,
}
