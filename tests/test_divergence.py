"""Infinite numbers and NaN: where they arose is told, and the state before them is kept."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config import load_config
from fastpty.config.recon import ReconConfig
from fastpty.engines import passes
from fastpty.errors import ConfigError, DivergenceError
from fastpty.job import run_job
from fastpty.observers import Checkpoints
from fastpty.recon import Observer, Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run, write_config
from tests.test_graphs import Recorder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(params=["asked at once", "asked at the end"])
def watch(request: pytest.FixtureRequest) -> Any:
    """Has a run look for broken numbers as on the host, or as where batches are graphs."""
    at_once = request.param == "asked at once"
    return lambda run: None if at_once else run.engine.record_with(Recorder())


class Breaker:
    """Does something before or after the losses of one batch of one iteration; four a pass."""

    def __init__(self, run: Reconstruction | None, iteration: int, batch: int) -> None:
        self.run = run
        self.when = 4 * (iteration - 1) + batch
        self.seen = 0
        self.simulate = passes.simulate_patterns

    def before(self) -> None:
        pass

    def after(self, intensity: torch.Tensor) -> torch.Tensor:
        return intensity

    def __call__(self, model: Any, index: torch.Tensor) -> torch.Tensor:
        self.seen += 1
        if self.seen == self.when:
            with torch.no_grad():
                self.before()
        intensity = self.simulate(model, index)
        return self.after(intensity) if self.seen == self.when else intensity


def break_off(
    monkeypatch: pytest.MonkeyPatch, breaker: Breaker, observers: list[Observer] | None = None
) -> str:
    """What the run says when it has broken off."""
    monkeypatch.setattr(passes, "simulate_patterns", breaker)
    assert breaker.run is not None
    with pytest.raises(DivergenceError) as caught:
        breaker.run.run(observers or [])
    monkeypatch.undo()
    return str(caught.value)


class InAnUnknown(Breaker):
    def before(self) -> None:
        assert self.run is not None
        self.run.model.probe[0, 3, 4] = math.nan


class InTheIntensity(Breaker):
    """As a pattern with a value that is no number would."""

    def after(self, intensity: torch.Tensor) -> torch.Tensor:
        return intensity + math.inf


class _NoGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return grad * math.nan


class InTheGradient(Breaker):
    def after(self, intensity: torch.Tensor) -> torch.Tensor:
        return _NoGradient.apply(intensity)  # type: ignore[no-untyped-call]


def test_in_a_pattern(tiny: Tiny) -> None:
    """Which of the batches the pattern is in depends on the seed."""
    run = tiny_run(tiny, loss={"sparse": {"weight": 0.1}})
    run.measurements.patterns._data[17, 2, 3] = math.nan
    (place,) = (run.engine._order(1) == 17).nonzero()[0]
    message = (
        rf"^optimise: loss\.gaussian became infinite or NaN in iteration 1, batch {place // 8 + 1} "
        r"of 4\. Lower the learning rates, and check the data"
    )
    with pytest.raises(DivergenceError, match=message):
        run.run()
    assert run.history.loss == []


def test_in_the_intensity(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, watch: Any) -> None:
    run = tiny_run(tiny)
    watch(run)
    said = break_off(monkeypatch, InTheIntensity(run, 2, 3))
    assert said.startswith("optimise: loss.gaussian became infinite or NaN in iteration 2, batch 3")
    assert run.iteration == len(run.history.loss) == 1


def test_in_an_unknown_from_a_step(tiny: Tiny, watch: Any) -> None:
    """Broken by the step of batch 2, before batch 3 looks at it."""
    run = tiny_run(tiny)
    watch(run)
    run.engine._passes._move = _broken_step(run, 1, 2)
    with pytest.raises(
        DivergenceError, match=r"probe became .* in iteration 1, the step after batch 2"
    ):
        run.run()


def _broken_step(run: Reconstruction, iteration: int, batch: int) -> Any:
    move = run.engine._passes._move
    assert move is not None
    steps = 0

    def step(free: tuple[str, ...]) -> None:
        nonlocal steps
        steps += 1
        move(free)
        if steps == 4 * (iteration - 1) + batch:
            with torch.no_grad():
                run.model.probe[0, 3, 4] = math.nan

    return step


def test_in_the_last_step(tiny: Tiny) -> None:
    """No loss of the iteration shows it."""
    run = tiny_run(tiny)
    run.engine._passes._move = _broken_step(run, 2, 4)
    message = r"^optimise: probe became .* in iteration 2, the step after batch 4 of 4\."
    with pytest.raises(DivergenceError, match=message):
        run.run()
    assert run.iteration == 1


def test_in_a_gradient(tiny: Tiny, monkeypatch: pytest.MonkeyPatch, watch: Any) -> None:
    run = tiny_run(tiny, optimise={"amplitude": {"lr": 0}})
    watch(run)
    said = break_off(monkeypatch, InTheGradient(run, 1, 2))
    assert said.startswith(
        "optimise: the gradient of phase, the gradient of probe, the gradient of positions became "
        "infinite or NaN in iteration 1, batch 2 of 4."
    )


def test_in_a_constraint(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(model: Any) -> None:
        model.phase[0, 1, 5, 5] = math.inf

    monkeypatch.setattr("tests.recon_cases.spoil", spoil, raising=False)
    entry = {"call": "tests.recon_cases:spoil", "start": 2}
    run = tiny_run(tiny, constraints={"custom": [entry]})
    message = r"^optimise: phase became infinite or NaN in iteration 2, in its constraints\."
    with pytest.raises(DivergenceError, match=message):
        run.run()


def test_a_tilt_that_the_kernels_refuse(tiny: Tiny) -> None:
    run = tiny_run(tiny, optimise={"tilt": {"lr": 0.1}})

    def spoil(free: tuple[str, ...]) -> None:
        with torch.no_grad():
            run.model.unknowns["tilt"].fill_(math.nan)

    run.engine._passes._move = spoil
    with pytest.raises(DivergenceError, match=r"^optimise: tilt became .*, the step after batch 1"):
        run.run()


def test_the_stage_is_named(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = [{"iterations": 1}, {"name": "full", "iterations": 3}]
    run = tiny_run(tiny, plan=plan)
    said = break_off(monkeypatch, InTheIntensity(run, 3, 1))
    assert said.startswith("plan.1.optimise: loss.gaussian became")
    assert "in iteration 3 (stage full, its iteration 2), batch 1 of 4." in said


def test_full_batch_breaks_off_too(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tiny_run(tiny, optimise={"optimiser": {"name": "LBFGS"}})
    assert "loss.gaussian" in break_off(monkeypatch, InTheIntensity(run, 2, 3))


def test_the_state_before_is_kept(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit that of the end of the last sound iteration, in memory and on disk."""
    sound = tiny_run(tiny, optimise={"iterations": 2})
    sound.run()
    run = tiny_run(tiny, optimise={"iterations": 5})
    console = Console(file=(said := io.StringIO()), width=1000)
    break_off(monkeypatch, InAnUnknown(run, 3, 2), [Checkpoints(tmp_path, console)])
    assert run.iteration == 2
    for name, tensor in sound.model.unknowns.items():
        assert torch.equal(run.model.unknowns[name], tensor), name
    assert torch.equal(run.model.corner, sound.model.corner)
    assert run.history.loss == sound.history.loss
    assert "state after iteration 2, the last that was sound, is saved. Change optimise" in (
        said.getvalue()
    )

    again = tiny_run(tiny, optimise={"iterations": 5})
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    assert again.iteration == 2
    assert again.diverged
    for name, tensor in sound.model.unknowns.items():
        assert torch.equal(again.model.unknowns[name], tensor), name


def test_it_goes_on_with_other_settings(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which are refused again once it has gone on."""
    path = tmp_path / "checkpoint.pt"
    run = tiny_run(tiny, optimise={"iterations": 5})
    break_off(monkeypatch, InAnUnknown(run, 3, 2), [Checkpoints(tmp_path, Console(quiet=True))])
    lower: dict[str, Any] = {
        "iterations": 5,
        "phase": {"lr": 1e-3},
        "optimiser": {"name": "NAdam"},
        "schedule": {"decay": "linear"},
    }
    changed = tiny_run(tiny, optimise=lower, loss={"sparse": {"weight": 0.01}})
    read_checkpoint(changed, path)
    changed.run()
    assert changed.finished
    assert not changed.diverged
    assert changed.history.lr["phase"][1] > changed.history.lr["phase"][2] > 0
    write_checkpoint(changed, path)
    with pytest.raises(ConfigError, match=r"optimise\.phase\.lr: differs|optimise\.phase\.lr, "):
        read_checkpoint(tiny_run(tiny, optimise={"iterations": 9}), path)


def test_only_the_stage_that_broke_may_change(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan: list[dict[str, Any]] = [{"iterations": 1}, {"iterations": 3}]
    run = tiny_run(tiny, plan=plan)
    break_off(monkeypatch, InAnUnknown(run, 3, 1), [Checkpoints(tmp_path, Console(quiet=True))])
    lower = {"optimise": {"phase": {"lr": 1e-3}}}
    read_checkpoint(tiny_run(tiny, plan=[plan[0], plan[1] | lower]), tmp_path / "checkpoint.pt")
    with pytest.raises(ConfigError, match=r"^plan\.0\.optimise\.phase\.lr: differs"):
        read_checkpoint(tiny_run(tiny, plan=[plan[0] | lower, plan[1]]), tmp_path / "checkpoint.pt")


def test_broken_in_the_first_iteration_nothing_is_left(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new run is as good, and finds the folder free."""
    run = tiny_run(tiny)
    break_off(monkeypatch, InAnUnknown(run, 1, 1), [Checkpoints(tmp_path, Console(quiet=True))])
    assert list(tmp_path.iterdir()) == []


def test_a_job_tells_what_to_do(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tiny, optimise={"iterations": 4})
    config = load_config(ReconConfig, path)
    console = Console(file=(said := io.StringIO()), width=1000)
    monkeypatch.setattr(passes, "simulate_patterns", InTheIntensity(None, 3, 1))
    with pytest.raises(
        DivergenceError, match=r"^optimise: loss\.gaussian became .* in iteration 3"
    ):
        run_job(config, tiny.folder, tmp_path, console)
    monkeypatch.undo()
    assert "go on from there with --resume" in said.getvalue()
    calm = load_config(ReconConfig, path, ["optimise.probe.lr=1e-4"])
    report = run_job(calm, tiny.folder, tmp_path, console, resume=True)
    assert report.finished
    assert report.summary["iterations"] == 4
