"""Schedules that stand for torch's schedulers give the same learning rates."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastpty.config.schedule import ScheduleConfig
from fastpty.engines.rates import rate_factor
from fastpty.ptyrad.rates import schedule_of
from fastpty.ptyrad.schema.model import SchedulerParams
from tests.tolerances import tolerance

ITERATIONS = 12
RATE = 2e-3


def of_torch(name: str, configs: dict[str, Any], losses: list[float]) -> list[float]:
    """The rate in each iteration; PtyRAD steps a scheduler at the end of one."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=RATE)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimiser, **configs)
    rates = []
    for loss in losses:
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        scheduler.step(*([loss] if name == "ReduceLROnPlateau" else []))
    return rates


def of_schedule(schedule: dict[str, Any], losses: list[float]) -> list[float]:
    section = ScheduleConfig(**schedule).ending(ITERATIONS)
    return [RATE * rate_factor(section, t, losses[: t - 1]) for t in range(1, len(losses) + 1)]


@pytest.mark.parametrize(
    ("name", "configs"),
    [
        ("StepLR", {"step_size": 3}),
        ("StepLR", {"step_size": 3, "gamma": 0.5, "verbose": False}),
        ("ExponentialLR", {"gamma": 0.8}),
        ("MultiStepLR", {"milestones": [4, 8], "gamma": 0.5}),
        ("MultiStepLR", {"milestones": [5]}),
        ("LinearLR", {"start_factor": 0.25, "total_iters": 3}),
        ("LinearLR", {"start_factor": 1.0, "end_factor": 0.2, "total_iters": 6}),
        ("PolynomialLR", {"total_iters": 7}),
        ("CosineAnnealingLR", {"T_max": 11}),
        ("CosineAnnealingLR", {"T_max": 20, "eta_min": 1e-4}),
        ("CosineAnnealingWarmRestarts", {"T_0": 12, "eta_min": 1e-4}),
        ("ReduceLROnPlateau", {"patience": 1, "factor": 0.5}),
        ("ReduceLROnPlateau", {"patience": 0, "factor": 0.1, "min_lr": 1e-3, "threshold": 0.2}),
    ],
)
def test_the_same_rates(name: str, configs: dict[str, Any]) -> None:
    params = SchedulerParams(name=name, configs=configs)
    schedule, notes = schedule_of(params, ITERATIONS, RATE)
    assert notes == []
    assert schedule is not None
    losses = [1.0, 0.9, 0.89, 0.89, 0.95, 0.89, 0.7, 0.71, 0.72, 0.5, 0.5, 0.5]
    known = {key: value for key, value in configs.items() if key != "verbose"}
    expected = torch.tensor(of_torch(name, known, losses), dtype=torch.float64)
    found = torch.tensor(of_schedule(schedule, losses), dtype=torch.float64)
    torch.testing.assert_close(found, expected, **tolerance("sum", torch.float64, scale=RATE))
    assert found.min() < found.max()


@pytest.mark.parametrize(
    ("name", "configs", "schedule", "text"),
    [
        ("LinearLR", {}, {"warmup": 5}, "not from 0.333"),
        ("LinearLR", {"start_factor": 0.5, "end_factor": 0.1}, None, "cannot be expressed"),
        ("ConstantLR", {"total_iters": 3}, {"warmup": 3}, "the 3 iterations at 0.333"),
        ("ExponentialLR", {"gamma": 1.1}, None, "rise"),
        ("PolynomialLR", {"power": 2}, {"decay": "linear"}, "power = 2"),
        ("CosineAnnealingLR", {"T_max": 5}, {"until": 6}, "rise again"),
        ("CosineAnnealingWarmRestarts", {"T_0": 4}, {"until": 5}, "restarts"),
        ("MultiStepLR", {"milestones": [2, 7]}, {"step": 2}, "[2, 4]"),
        ("ReduceLROnPlateau", {"cooldown": 3}, {"plateau": 11}, "cooldown"),
        ("ReduceLROnPlateau", {"min_lr": [1e-4, 1e-3]}, {"floor": 0.05}, "one number"),
        ("OneCycleLR", {"max_lr": 1}, None, "cannot be expressed"),
        ("LambdaLR", {"lr_lambda": "x"}, None, "cannot be expressed"),
    ],
)
def test_what_is_not_the_same_is_noted(
    name: str, configs: dict[str, Any], schedule: dict[str, Any] | None, text: str
) -> None:
    found, notes = schedule_of(SchedulerParams(name=name, configs=configs), ITERATIONS, RATE)
    assert len(notes) == 1
    assert text in notes[0]
    if schedule is None:
        assert found is None
    else:
        assert found is not None
        assert {key: found[key] for key in schedule} == pytest.approx(schedule)
        ScheduleConfig(**found)


def test_a_factor_of_one_is_no_schedule() -> None:
    params = SchedulerParams(name="ExponentialLR", configs={"gamma": 1})
    assert schedule_of(params, ITERATIONS, RATE) == (None, [])


def test_steps_per_batch_are_noted() -> None:
    params = SchedulerParams(name="StepLR", configs={"step_size": 3}, step_unit="batch")
    schedule, notes = schedule_of(params, ITERATIONS, RATE)
    assert schedule is None
    assert "batches" in notes[0]
