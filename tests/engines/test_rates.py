"""Factors of schedules, as their formulas say, and that they arrive in the optimiser."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config.schedule import ScheduleConfig
from fastpty.engines.rates import lowerings, rate_factor
from fastpty.errors import ConfigError
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.tolerances import tolerance

REL = tolerance("product", torch.float64)["rtol"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def factors(iterations: int, losses: list[float] | None = None, **fields: Any) -> list[float]:
    schedule = ScheduleConfig(**fields).ending(iterations)
    given = losses or [1.0] * iterations
    return [rate_factor(schedule, t, given[: t - 1]) for t in range(1, iterations + 1)]


def test_nothing_given_is_exactly_one() -> None:
    assert factors(5) == [1.0] * 5
    assert ScheduleConfig().constant


@pytest.mark.parametrize("field", ["warmup", "decay", "step", "plateau"])
def test_what_is_not_constant(field: str) -> None:
    value = "linear" if field == "decay" else 2
    assert not ScheduleConfig(**{field: value}).constant


def test_warm_up() -> None:
    assert factors(6, warmup=3) == pytest.approx([1 / 4, 2 / 4, 3 / 4, 1, 1, 1], rel=REL)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("linear", [1 - 0.8 * u for u in (0.25, 0.5, 0.75, 1)]),
        ("cosine", [0.2 + 0.4 * (1 + math.cos(math.pi * u)) for u in (0.25, 0.5, 0.75, 1)]),
        ("exponential", [0.2**u for u in (0.25, 0.5, 0.75, 1)]),
    ],
)
def test_warm_up_hold_decay(decay: str, expected: list[float]) -> None:
    found = factors(8, warmup=1, hold=3, decay=decay, floor=0.2)
    assert found == pytest.approx([0.5, 1, 1, 1, *expected], rel=REL)


def test_decay_may_end_before_the_run() -> None:
    found = factors(5, hold=1, decay="linear", floor=0.5, until=3)
    assert found == pytest.approx([1, 0.75, 0.5, 0.5, 0.5], rel=REL)


def test_a_run_too_short_to_decay_is_held() -> None:
    assert factors(3, hold=5, decay="cosine") == [1.0] * 3


def test_steps() -> None:
    found = factors(8, warmup=1, step=2, gamma=0.3, floor=0.05)
    assert found == pytest.approx([0.5, 1, 1, 0.3, 0.3, 0.09, 0.09, 0.05], rel=REL)


@pytest.mark.parametrize(
    ("losses", "patience", "threshold", "expected"),
    [
        ([], 1, 0.0, 0),
        ([5, 4, 3, 2], 1, 0.0, 0),
        ([5, 5], 2, 0.0, 0),
        ([5, 5, 5], 2, 0.0, 1),
        ([5, 5, 5, 5, 5], 2, 0.0, 2),
        ([5, 6, 4, 6, 3], 2, 0.0, 0),
        ([5, 4.6, 4.1], 1, 0.1, 1),
        ([-5, -5.4, -5.6], 1, 0.1, 1),
        ([0, 0, -1], 1, 0.5, 1),
    ],
)
def test_losses_that_do_not_fall(
    losses: list[float], patience: int, threshold: float, expected: int
) -> None:
    """Also negative ones, as Poisson's may be."""
    assert lowerings(losses, patience, threshold) == expected


def test_plateau_looks_at_the_losses_after_the_warm_up() -> None:
    losses = [1.0, 1.0, 9.0, 8.0, 8.0, 8.0, 8.0]
    found = factors(7, losses, warmup=2, plateau=1, factor=0.5, threshold=0.01, floor=0.3)
    assert found == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.5, 0.3], rel=REL)


CHANGING: dict[str, Any] = {
    "schedule": {"warmup": 1, "hold": 1, "decay": "cosine", "until": 6},
    "phase": {"schedule": {"plateau": 1, "threshold": 0.3}},
    "positions": {"start": 2, "stop": 3, "schedule": {}},
}


def test_rates_arrive_and_are_recorded(tiny: Tiny) -> None:
    run = tiny_run(tiny, optimise={**CHANGING, "iterations": 4})
    used: dict[str, list[float]] = {}
    for _ in range(4):
        run._iterate()
        for name, group in zip(run.model.unknowns, run.engine._optimiser.param_groups, strict=True):
            used.setdefault(name, []).append(group["lr"])
    assert used["amplitude"] == factors_of(run, "amplitude", 2e-3)
    assert used["phase"] == factors_of(run, "phase", 2e-2)
    assert len(set(used["phase"])) > 1
    assert run.history.lr == used | {"positions": [0.0, 1e-2, 1e-2, 0.0]}


def factors_of(run: Reconstruction, name: str, lr: float) -> list[float]:
    schedule = run.config.optimise.schedule_for(name)
    losses = run.history.loss
    return [lr * rate_factor(schedule, t, losses[: t - 1]) for t in range(1, len(losses) + 1)]


def test_half_the_rate_is_half_the_step(tiny: Tiny) -> None:
    """By the schedule or by ``lr``: bit by bit the same run."""
    optimise = {"iterations": 2, "schedule": {"decay": "linear", "floor": 0.5, "until": 1}}
    found = tiny_run(tiny, optimise=optimise)
    rates = {"amplitude": 1e-3, "phase": 1e-2, "probe": 5e-4, "positions": 5e-3}
    expected = tiny_run(
        tiny, optimise={"iterations": 2, **{name: {"lr": lr} for name, lr in rates.items()}}
    )
    for run in (found, expected):
        run.run()
    for name, tensor in expected.model.unknowns.items():
        assert torch.equal(found.model.unknowns[name], tensor), name


def test_a_resumed_run_has_the_same_rates(tiny: Tiny, tmp_path: Path) -> None:
    def start(iterations: int) -> Reconstruction:
        return tiny_run(tiny, optimise={**CHANGING, "iterations": iterations})

    unbroken, first, resumed = start(7), start(3), start(7)
    unbroken.run()
    first.run()
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    assert resumed.history.lr == unbroken.history.lr
    assert resumed.history.loss == unbroken.history.loss


def test_a_decay_to_the_end_fixes_the_end(tiny: Tiny, tmp_path: Path) -> None:
    """With more iterations, those before would have had other rates."""

    def start(iterations: int) -> Reconstruction:
        return tiny_run(tiny, optimise={"iterations": iterations, "schedule": {"decay": "linear"}})

    run = start(2)
    run.run()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match=r"^optimise\.schedule\.until: differs .* 4 instead of 2"):
        read_checkpoint(start(4), tmp_path / "checkpoint.pt")
