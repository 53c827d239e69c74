"""The ptychographical iterative engines in a run: who moves, what is kept, what goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpty import ops
from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config.pie import PIE_ENGINES
from fastpty.engines import GradientEngine, LBFGSEngine, PieEngine, pie
from fastpty.engines.exit_waves import ExitWaves
from fastpty.errors import DivergenceError
from fastpty.recon import Reconstruction
from tests.engines.pie_cases import complex_object
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.test_checkpoint import _assert_same
from tests.tolerances import bound, tolerance

OFF = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)
# The search, which makes the object anew, has tests of its own.
WAVES = (*PIE_ENGINES, "lsqml")
MOVING = ("amplitude", "phase", "probe", "positions")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def with_engine(tiny: Tiny, engine: str, iterations: int = 3, **changes: Any) -> Reconstruction:
    optimise = {"engine": engine, "iterations": iterations, **changes.pop("optimise", {})}
    rest = {"constraints": OFF, "output": {"snapshots": []}, **changes}
    return tiny_run(tiny, optimise=optimise, **rest)


def r_factor(run: Reconstruction) -> float:
    found = run.results().r_factor
    assert found is not None
    return found


def copies(run: Reconstruction) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in run.model.unknowns.items()}


def moved(run: Reconstruction, before: dict[str, torch.Tensor]) -> set[str]:
    return {n for n, tensor in run.model.unknowns.items() if not torch.equal(tensor, before[n])}


@pytest.mark.parametrize("engine", WAVES)
@pytest.mark.parametrize("size", [1, 8])
def test_each_engine_explains_the_patterns(tiny: Tiny, engine: str, size: int) -> None:
    """Two slices, two modes; in batches, of which the last is short."""
    run = with_engine(tiny, engine, 4, optimise={"batch_size": size})
    assert isinstance(run.engine, PieEngine)
    start = r_factor(run)
    run.run()
    assert run.history.loss[-1] < 0.8 * run.history.loss[0]
    assert r_factor(run) < 0.7 * start


@pytest.mark.parametrize("engine", WAVES)
def test_what_moves(tiny: Tiny, engine: str) -> None:
    """The known probe of PIE stays, to the last bit; positions move only where asked to."""
    expected = {"amplitude", "phase"} | ({"probe"} if engine != "pie" else set())
    for step in (0.0, 0.5):
        section = "lsqml" if engine == "lsqml" else "pie"
        run = with_engine(tiny, engine, 1, optimise={section: {"position_step": step}})
        before = copies(run)
        run.run()
        assert moved(run, before) == expected | ({"positions"} if step else set())
        rates = {name: values[0] > 0 for name, values in run.history.lr.items()}
        assert {name for name, moves in rates.items() if moves} == moved(run, before)


@pytest.mark.parametrize("name", MOVING)
def test_a_rate_of_zero_freezes(tiny: Tiny, name: str) -> None:
    changes = {name: {"lr": 0}, "pie": {"position_step": 0.5}}
    run = with_engine(tiny, "rpie", 2, optimise=changes)
    before = copies(run)
    run.run()
    assert moved(run, before) == set(MOVING) - {name}


def test_an_unknown_moves_from_start_to_stop(tiny: Tiny) -> None:
    run = with_engine(tiny, "epie", 3, optimise={"probe": {"start": 2, "stop": 2}})
    moves = []
    for _ in range(3):
        before = copies(run)
        run._iterate()
        moves.append("probe" in moved(run, before))
    assert moves == [False, True, False]


def test_the_first_loss_is_the_gradient_engines(tiny: Tiny) -> None:
    """The same measure of the same patterns, so that curves join."""
    losses = []
    for engine in ("gradient", "epie"):
        run = with_engine(tiny, engine, 1, optimise={"batch_size": 30})
        run.run()
        losses.append(run.history.loss[0])
        assert run.history.terms["gaussian"] == run.history.loss
    assert losses[1] == pytest.approx(losses[0], rel=tolerance("chain", torch.float32)["rtol"])


def test_the_phase_goes_on_beyond_pi(tiny: Tiny) -> None:
    """Whole turns stay; a negative amplitude becomes a positive one, half a turn beside."""
    plain, turned = (with_engine(tiny, "epie", 1) for _ in range(2))
    turned.model.phase[..., 15, 15] += 4 * torch.pi
    turned.model.amplitude[..., 16, 16] *= -1
    turned.model.phase[..., 16, 16] -= torch.pi
    for run in (plain, turned):
        run.run()
    more = turned.model.phase - plain.model.phase
    close = tolerance("chain", torch.float32, 4 * torch.pi)
    there = torch.full_like(more[..., 15, 15], 4 * torch.pi)
    torch.testing.assert_close(more[..., 15, 15], there, **close)
    more[..., 15, 15] = 0
    turns = torch.polar(torch.ones_like(more), more)
    torch.testing.assert_close(turns, torch.ones_like(turns), **close)
    torch.testing.assert_close(turned.model.amplitude, plain.model.amplitude, **close)


def test_what_no_window_shows_stays(tiny: Tiny) -> None:
    run = with_engine(tiny, "mpie", plan=[{"iterations": 2, "scan": {"rows": [0, 1]}}])
    before = copies(run)
    run.run()
    for name in ("amplitude", "phase"):
        assert torch.equal(run.model.unknowns[name][..., 28:, :], before[name][..., 28:, :])
        assert not torch.equal(run.model.unknowns[name][..., :28, :], before[name][..., :28, :])


def test_momentum_is_the_papers(tiny: Tiny) -> None:
    """v = eta v + (O - O_T), O = O + eta v after every ten patterns, and so the probe; rPIE in
    between."""
    steps = {"object_step": 0.6, "probe_step": 0.4, "object_share": 0.3, "probe_share": 0.7}
    lasting = {"object_momentum": 0.6, "probe_momentum": 0.3, "momentum_every": 10}
    batches = {"batch_size": 5, "positions": {"lr": 0}}
    run = with_engine(tiny, "mpie", 2, optimise={**batches, "pie": {**steps, **lasting}})
    other = with_engine(tiny, "rpie", 2, optimise={**batches, "pie": steps})
    found = (run.engine._passes, other.engine._passes)
    velocity = {"object": 0.0, "probe": 0.0}
    free = ("amplitude", "phase", "probe")
    with torch.no_grad():
        for engine, passes in zip((run.engine, other.engine), found, strict=True):
            engine._free(1)
            for tensor in engine.model.unknowns.values():
                tensor.requires_grad_(False)
            passes.begin(complex_object(engine.model), 30)
        anchors = {"object": found[1].transmission.clone(), "probe": other.model.probe.clone()}
        order = np.arange(30)
        for number in range(6):
            part = order[5 * number : 5 * number + 5]
            for passes in found:
                passes.run(part, free, 1)
            if number % 2:
                for name, tensor in (
                    ("object", found[1].transmission),
                    ("probe", other.model.probe),
                ):
                    eta = lasting[f"{name}_momentum"]
                    velocity[name] = eta * velocity[name] + (tensor - anchors[name])
                    tensor.add_(eta * velocity[name])
                    anchors[name] = tensor.clone()
    close = tolerance("chain", torch.float32)
    torch.testing.assert_close(found[0].transmission, found[1].transmission, **close)
    torch.testing.assert_close(run.model.probe, other.model.probe, **close)
    assert set(run.engine.state()["velocity"]) == {"object", "probe"}


def test_a_short_scan_has_momentum_too(tiny: Tiny) -> None:
    """Thirty patterns, fewer than the fifty between two moves."""
    run = with_engine(tiny, "mpie", 1)
    run.run()
    assert set(run.engine.state()["velocity"]) == {"object", "probe"}
    frozen = with_engine(tiny, "mpie", 1, optimise={"probe": {"lr": 0}})
    frozen.run()
    assert set(frozen.engine.state()["velocity"]) == {"object"}


def test_a_bad_pixel_changes_nothing(tiny: Tiny) -> None:
    """Whatever it recorded: the mask goes all the way from the data to the projection."""
    runs = []
    for value in (0.0, 1e4):
        run = with_engine(tiny, "epie", 2)
        patterns = run.measurements.patterns
        patterns.mask = torch.ones(patterns.shape[1:], dtype=torch.bool)
        patterns.mask[3, 4] = False
        patterns._data[:, 3, 4] = value
        run.run()
        runs.append(run)
    _assert_same(*runs)


def test_wrong_positions_come_nearer(tiny: Tiny) -> None:
    """From errors of 0.3 px along each axis, while the object is found too."""
    optimise = {
        "batch_size": 4,
        "pie": {"position_step": 1.0},
        "positions": {"start": 3},
    }
    run = with_engine(tiny, "pie", 12, optimise=optimise)
    generator = torch.Generator().manual_seed(1)
    run.model.shift.add_(0.3 * torch.randn(run.model.shift.shape, generator=generator))
    truth = tiny.positions - tiny.positions.mean(axis=0)

    def error() -> float:
        found = run.model.positions - run.model.positions.mean(axis=0)
        return float(np.sqrt(((found - truth) ** 2).sum(axis=1).mean()))

    start = error()
    run.run()
    assert error() < bound("positions") * start


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("engine", ["epie", "lsqml"])
def test_positions_move_by_what_the_batch_began_with(tiny: Tiny, engine: str, backend: Any) -> None:
    """Object and probe, which move in the same update, are those of the slopes too."""
    section = "lsqml" if engine == "lsqml" else "pie"
    optimise = {"batch_size": 30, section: {"position_step": 1.0}}
    run = with_engine(tiny, engine, 1, optimise=optimise)
    model, patterns = run.model, run.measurements.patterns
    generator = torch.Generator().manual_seed(0)
    model.phase += 0.1 * torch.randn(model.phase.shape, generator=generator)
    before, every = model.shift.clone(), torch.arange(30)
    with ops.use_backend(backend), torch.no_grad():
        waves = ExitWaves(model, complex_object(model), every, model.corner)
        measured = patterns.scaled(patterns.recorded(every))
        expected = waves.position_steps(waves.intensity(), measured, patterns.mask).clamp(-1, 1)
        corner = model.corner.clone()
        run.engine.run_iteration(1)
    assert torch.equal(model.corner, corner)
    assert float(expected.abs().max()) > 0.05
    close = tolerance("chain", torch.float32, float(expected.abs().max()))
    torch.testing.assert_close(model.shift - before, expected, **close)


def test_no_position_moves_by_more_than_a_pixel(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a visit: the waves are not linear in a shift beyond that."""
    run = with_engine(tiny, "pie", 1, optimise={"pie": {"position_step": 1.0}})
    far = torch.tensor([40.0, -0.25])
    monkeypatch.setattr(pie.ExitWaves, "position_steps", lambda *_: far)
    run.run()
    assert np.abs(run.model.displacement - [1.0, -0.25]).max() < 1e-5


@pytest.mark.parametrize("engine", WAVES)
def test_a_resumed_run_is_the_same(tiny: Tiny, engine: str, tmp_path: Path) -> None:
    section = "lsqml" if engine == "lsqml" else "pie"
    optimise = {section: {"position_step": 0.5}, "batch_size": 7}
    whole, stopped, resumed = (with_engine(tiny, engine, 4, optimise=optimise) for _ in range(3))
    whole.run()
    stopped._iterate()
    stopped._iterate()
    write_checkpoint(stopped, tmp_path / "c.pt")
    read_checkpoint(resumed, tmp_path / "c.pt")
    resumed.run()
    _assert_same(resumed, whole)


PLAN: list[dict[str, Any]] = [
    {"iterations": 8, "optimise": {"engine": "epie"}},
    {"iterations": 4},
    {"iterations": 3, "optimise": {"optimiser": {"name": "LBFGS"}}},
]


def test_a_plan_from_epie_to_adam_to_lbfgs(tiny: Tiny) -> None:
    schedule = {"schedule": {"decay": "linear"}, "phase": {"lr": 5e-3}, "probe": {"lr": 2e-4}}
    run = tiny_run(tiny, plan=PLAN, constraints=OFF, optimise=schedule)
    kinds = []
    while not run.finished:
        run._iterate()
        kinds.append(type(run.engine))
    assert kinds == [PieEngine] * 8 + [GradientEngine] * 4 + [LBFGSEngine] * 3
    loss = run.history.loss
    # Each goes on where the one before it stopped: no jump to the start's loss.
    assert loss[-1] < loss[11] < loss[7] < loss[0] / 2


def test_a_plan_resumed_at_its_border(tiny: Tiny, tmp_path: Path) -> None:
    plan = [{"iterations": 2, "optimise": {"engine": "mpie"}}, {"iterations": 2}]
    whole, stopped, resumed = (with_engine(tiny, "gradient", plan=plan) for _ in range(3))
    whole.run()
    stopped._iterate()
    stopped._iterate()
    write_checkpoint(stopped, tmp_path / "c.pt")
    read_checkpoint(resumed, tmp_path / "c.pt")
    resumed.run()
    _assert_same(resumed, whole)


def test_a_border_without_a_change_is_none(tiny: Tiny) -> None:
    """Momentum goes on; in a stage that leaves positions out it does not."""
    stage = {"iterations": 2, "optimise": {"engine": "mpie"}}
    whole = tiny_run(tiny, plan=[{**stage, "iterations": 4}])
    parts = tiny_run(tiny, plan=[stage, stage])
    whole.run()
    parts.run()
    for name, tensor in whole.model.unknowns.items():
        assert torch.equal(tensor, parts.model.unknowns[name]), name
    fewer = tiny_run(tiny, plan=[stage, {**stage, "scan": {"rows": [1, 3]}}])
    for _ in range(2):
        fewer._iterate()
    earlier = fewer.engine
    fewer.begin_stage(1)
    fewer.engine.inherit(earlier)
    assert fewer.engine.state()["velocity"] == {}


def test_numbers_that_break_are_told(tiny: Tiny) -> None:
    """In which batch, and what; the model is as before the iteration."""
    run = with_engine(tiny, "epie", 2)
    run._iterate()
    before = copies(run)
    run.measurements.patterns._data[5, 2, 3] = float("inf")
    with pytest.raises(DivergenceError, match=r"loss\.gaussian became infinite or NaN in iter"):
        run._iterate()
    assert moved(run, before) == set()


def test_an_object_that_breaks_in_the_last_batch_is_told(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_engine(tiny, "epie", 1, optimise={"batch_size": 30})
    ratio = pie.amplitude_ratio
    monkeypatch.setattr(pie, "amplitude_ratio", lambda *a: torch.nan * ratio(*a))
    with pytest.raises(DivergenceError, match=r"object, probe became .* step after batch 1 of 1"):
        run._iterate()


def test_after_a_divergence_another_engine_may_go_on(tiny: Tiny, tmp_path: Path) -> None:
    run = with_engine(tiny, "mpie", 3)
    run._iterate()
    run.diverged = True
    write_checkpoint(run, tmp_path / "c.pt")
    for optimise in ({}, {"optimiser": {"name": "LBFGS"}}):
        other = tiny_run(tiny, optimise=optimise, constraints=OFF)
        read_checkpoint(other, tmp_path / "c.pt")
        other.run()
        assert other.finished


def test_all_of_the_object_at_once_is_the_same(tiny: Tiny, monkeypatch: Any) -> None:
    """As on a device, where nobody asks for the part that a batch can see."""
    runs = [with_engine(tiny, "rpie", 2) for _ in range(2)]
    runs[0].run()

    def whole(self: Any, corner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros_like(corner[0]), self.transmission

    monkeypatch.setattr(pie.PiePasses, "_field", whole)
    runs[1].run()
    for name, tensor in runs[0].model.unknowns.items():
        assert torch.equal(tensor, runs[1].model.unknowns[name]), name


def test_no_gradient_is_left_on(tiny: Tiny) -> None:
    run = with_engine(tiny, "epie", 1)
    run.run()
    assert not any(tensor.requires_grad for tensor in run.model.unknowns.values())
    assert dataclasses.asdict(run.history)["passes"] == [1]
