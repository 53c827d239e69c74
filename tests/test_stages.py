"""Runs of several stages: who is visited, what goes on from one to the next, when they end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.engines import LBFGSEngine, passes
from fastpty.errors import ConfigError
from fastpty.recon import Observer, Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.test_checkpoint import _assert_same

OFF = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)
CENTRE: dict[str, Any] = {
    "name": "centre",
    "iterations": 3,
    "scan": {"center": [3, 4]},
    "optimise": {"positions": {"lr": 0}, "schedule": {"decay": "linear"}},
}
FULL: dict[str, Any] = {"name": "full", "iterations": 3, "loss": {"sparse": {"weight": 0.05}}}
FINISH: dict[str, Any] = {
    "name": "finish",
    "iterations": 3,
    "optimise": {"optimiser": {"name": "LBFGS"}},
    "constraints": OFF,
}
STUDY = [CENTRE, FULL, FINISH]
FROZEN: dict[str, Any] = {name: {"lr": 0} for name in ("amplitude", "phase", "probe", "positions")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


class Seen(Observer):
    """Copies of the unknowns after every iteration."""

    def __init__(self) -> None:
        self.copies: list[dict[str, torch.Tensor]] = []

    def iterated(self, run: Reconstruction, report: Any) -> None:
        self.copies.append({n: t.detach().clone() for n, t in run.model.unknowns.items()})


class StopAfter(Observer):
    """Asks the run to stop after an iteration."""

    def __init__(self, iteration: int) -> None:
        self.iteration = iteration

    def iterated(self, run: Reconstruction, report: Any) -> None:
        run.stop_requested = run.iteration == self.iteration


def test_centre_then_full_then_finish(tiny: Tiny) -> None:
    """A plan as users write it."""
    run = tiny_run(
        tiny,
        plan=STUDY,
        output={"snapshots": [0, 3, "final"]},
        constraints={"recentre_positions": False},
    )
    start = {name: tensor.clone() for name, tensor in run.model.unknowns.items()}
    seen = Seen()
    run.run([seen])
    assert run.finished
    history = run.history
    assert history.stage == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert history.passes[:6] == [1] * 6
    assert all(count >= 1 for count in history.passes[6:])
    assert history.loss[-1] < history.loss[5] < history.loss[0]
    for values in (*history.terms.values(), *history.lr.values(), *history.change.values()):
        assert len(values) == len(history.seconds) == 9
    assert history.terms["sparse"][:3] == [0, 0, 0] == history.terms["sparse"][6:]
    assert all(history.terms["sparse"][3:6])
    # Positions are free in the second stage only, and the canvas is the same throughout.
    assert torch.equal(seen.copies[2]["positions"], start["positions"])
    assert not torch.equal(seen.copies[3]["positions"], start["positions"])
    assert seen.copies[2]["phase"].shape == seen.copies[8]["phase"].shape
    assert [(e.name, e.iterations, e.ended) for e in run.endings()] == [
        (name, 3, "iterations") for name in ("centre", "full", "finish")
    ]
    # Snapshots are of positions that were fitted to: rows 1 to 3, columns 1 to 4 of 5 x 6.
    rows, columns = np.divmod(run.snapshots[1].index, 6)
    assert run.snapshots[1].iteration == 3
    assert set(rows) <= {1, 2, 3}
    assert set(columns) <= {1, 2, 3, 4}


def test_only_the_subset_is_visited(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    simulate = passes.simulate_patterns

    def recorded(model: Any, index: torch.Tensor) -> torch.Tensor:
        seen.extend(index.tolist())
        return simulate(model, index)

    monkeypatch.setattr(passes, "simulate_patterns", recorded)
    run = tiny_run(tiny, plan=[{"iterations": 1, "scan": {"rows": [1, 3]}}])
    run.run()
    assert sorted(seen) == list(range(6, 18))


def test_the_r_factor_is_of_what_was_fitted_to(tiny: Tiny) -> None:
    part = tiny_run(tiny, plan=[{"iterations": 1, "scan": {"rows": [1, 3]}}])
    whole = tiny_run(tiny)
    found = []
    for run, index in ((part, range(6, 18)), (whole, range(30))):
        measured, simulated = (np.sqrt(p) for p in run._patterns(torch.tensor(list(index))))
        expected = np.abs(measured - simulated).sum() / measured.sum()
        found.append(run.agreement()["fitted"].r_factor)
        assert found[-1] == pytest.approx(expected, rel=1e-5)
    assert found[0] != found[1]


def test_a_subset_beyond_the_scan_is_refused_at_once(tiny: Tiny) -> None:
    with pytest.raises(ConfigError, match=r"^plan\.0\.scan: asks for 7 columns; the scan is 5 x 6"):
        tiny_run(tiny, plan=[{"iterations": 1, "scan": {"center": [2, 7]}}])


def test_one_stage_of_a_plan_is_the_flat_config(tiny: Tiny) -> None:
    flat = tiny_run(tiny)
    staged = tiny_run(tiny, plan=[{"iterations": 3}])
    flat.run()
    staged.run()
    _assert_same(staged, flat)


def test_iterations_count_within_the_stage(tiny: Tiny) -> None:
    """Those of unknowns, schedules and constraints."""
    late = {"phase": {"start": 2}, "schedule": {"warmup": 1}}
    act = {"positive_phase": {"start": 2}}
    stage = {"iterations": 2, "optimise": late, "constraints": act}
    run = tiny_run(tiny, plan=[stage, stage], constraints=OFF)
    seen = Seen()
    run.run([seen])
    rate = run.config.optimise.probe.lr
    assert run.history.lr["probe"] == [rate / 2, rate] * 2
    assert [lr > 0 for lr in run.history.lr["phase"]] == [False, True] * 2
    assert "positive_phase/phase" in run.history.constraints
    acted = ~np.isnan(run.history.constraints["positive_phase/phase"])
    assert acted.tolist() == [False, True] * 2


def test_a_plateau_goes_by_the_losses_of_its_stage(tiny: Tiny) -> None:
    """Nothing moves yet: in each stage the rate is halved after three equal losses."""
    late = {name: {"start": 99} for name in FROZEN}
    schedule = {"plateau": 2, "factor": 0.5}
    stage = {"iterations": 4, "optimise": {**late, "schedule": schedule, "batch_size": 30}}
    run = tiny_run(tiny, plan=[stage, stage], constraints=OFF)
    rates = []
    for _ in range(8):
        run._iterate()
        rates.append(run.engine._optimiser.param_groups[0]["lr"])
    rate = run.config.optimise.amplitude.lr
    assert rates == [rate, rate, rate, rate / 2] * 2


@pytest.mark.parametrize(
    ("optimiser", "carried"),
    [
        ({"name": "Adam"}, True),
        ({"name": "Adam", "betas": [0.9, 0.999]}, False),
        ({"name": "NAdam"}, False),
    ],
)
def test_moments_go_on_with_the_same_optimiser(
    tiny: Tiny, optimiser: dict[str, Any], carried: bool
) -> None:
    first = {"iterations": 2, "optimise": {"probe": {"lr": 0}}}
    run = tiny_run(tiny, plan=[first, {"iterations": 1, "optimise": {"optimiser": optimiser}}])
    run.run()
    steps = {
        name: float(run.engine._optimiser.state[tensor]["step"])
        for name, tensor in run.model.unknowns.items()
        if tensor in run.engine._optimiser.state
    }
    # Two iterations of four batches before; the probe was fixed in them.
    assert steps["phase"] == (12 if carried else 4)
    assert steps["probe"] == 4


def test_positions_that_are_left_out_stay(tiny: Tiny) -> None:
    """Momentum of the stage before would move them, with no pattern to hold them."""
    fewer = {"iterations": 1, "scan": {"rows": [1, 3]}}
    run = tiny_run(tiny, plan=[{"iterations": 2}, fewer, {"iterations": 1}], constraints=OFF)
    for _ in range(2):
        run._iterate()
    before = run.model.positions
    run._iterate()
    moved = np.abs(run.model.positions - before).max(axis=1) > 0
    assert np.flatnonzero(moved).tolist() == list(range(6, 18))
    # More positions again: the moments go on.
    run._iterate()
    steps = run.engine._optimiser.state[run.model.shift]["step"]
    assert steps == 2 + 4


def test_carried_moments_are_those_of_one_long_stage(tiny: Tiny) -> None:
    whole = tiny_run(tiny, optimise={"iterations": 4})
    halves = tiny_run(tiny, plan=[{"iterations": 2}, {"iterations": 2}])
    whole.run()
    halves.run()
    assert halves.history.loss == whole.history.loss
    assert halves.history.stage == [0, 0, 1, 1]


def test_a_stage_ends_when_it_has_converged(tiny: Tiny) -> None:
    """Nothing moves in the first stage, so that its loss cannot fall."""
    rule = {"patience": 2, "threshold": 0.001}
    still = {"name": "still", "iterations": 9, "optimise": FROZEN}
    run = tiny_run(tiny, plan=[still, {"iterations": 2}], convergence=rule, constraints=OFF)
    assert run.iterations == 11
    run.run()
    assert run.finished
    assert run.history.stage == [0, 0, 0, 1, 1]
    assert run.iterations == 5
    endings = run.endings()
    assert [(e.iterations, e.ended) for e in endings] == [(3, "converged"), (2, "iterations")]
    assert endings[0].text == (
        "stage still, 3 iterations: the loss has not fallen by more than 0.001 of it in 2 "
        "iterations"
    )


def test_a_stage_ends_when_no_unknown_moves(tiny: Tiny) -> None:
    rule = {"patience": 3, "threshold": 1e-4, "of": "unknowns"}
    run = tiny_run(tiny, optimise={**FROZEN, "iterations": 9}, convergence=rule, constraints=OFF)
    run.run()
    assert run.iteration == 3
    assert "no unknown has changed by more than 0.0001 in 3 it" in run.endings()[0].text


@pytest.mark.parametrize("stopped_after", [1, 3, 4, 6, 7, 8, 9])
def test_resumed_equals_unbroken(tiny: Tiny, tmp_path: Path, stopped_after: int) -> None:
    """In the middle of a stage, at its end, with L-BFGS, and after the last iteration."""
    unbroken, first, resumed = (
        tiny_run(tiny, plan=STUDY, output={"snapshots": [0, 4, "final"]}) for _ in range(3)
    )
    unbroken.run()

    first.run([StopAfter(stopped_after)])
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    assert resumed.iteration == stopped_after
    assert resumed.stage is resumed.stages[(stopped_after - 1) // 3]
    resumed.run()
    _assert_same(resumed, unbroken)
    for name in ("stage", "passes", "change", "lr"):
        assert getattr(resumed.history, name) == getattr(unbroken.history, name), name


@pytest.mark.parametrize("stopped_after", [2, 3, 4])
def test_resumed_after_an_early_end(tiny: Tiny, tmp_path: Path, stopped_after: int) -> None:
    still = {"iterations": 9, "optimise": FROZEN}
    changes: dict[str, Any] = {
        "plan": [still, {"iterations": 2}],
        "convergence": {"patience": 2},
        "constraints": OFF,
        "output": {"snapshots": ["final"]},
    }
    unbroken, first, resumed = (tiny_run(tiny, **changes) for _ in range(3))
    unbroken.run()
    for _ in range(stopped_after):
        first._iterate()
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    assert resumed.history.stage == [0, 0, 0, 1, 1]
    _assert_same(resumed, unbroken)


def finished_after(tiny: Tiny, path: Path, *stages: dict[str, Any]) -> None:
    run = tiny_run(tiny, plan=list(stages))
    run.run()
    write_checkpoint(run, path)


def test_a_plan_may_grow(tiny: Tiny, tmp_path: Path) -> None:
    """What has not begun may differ, and the last that has may get more iterations."""
    finished_after(tiny, tmp_path / "checkpoint.pt", CENTRE, {"iterations": 1})
    run = tiny_run(tiny, plan=[CENTRE, {"iterations": 2}, FINISH])
    read_checkpoint(run, tmp_path / "checkpoint.pt")
    assert not run.finished
    run.run()
    assert run.history.stage == [0, 0, 0, 1, 1, 2, 2, 2]
    assert isinstance(run.engine, LBFGSEngine)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (
            [{**CENTRE, "iterations": 4}, FULL],
            r"^plan\.0\.iterations, plan\.0\.optimise\.schedule\.until: differs .*: 4 instead of 3",
        ),
        ([{**CENTRE, "scan": "full"}, FULL], r"^plan\.0\.scan\.center: differs from the run"),
        (
            [CENTRE, {**FULL, "optimise": {"phase": {"lr": 0.5}}}],
            r"^plan\.1\.optimise\.phase\.lr: differs .* 0\.5 instead of 0\.02",
        ),
        ([CENTRE, {**FULL, "loss": {}}], r"^plan\.1\.loss\.sparse: differs"),
        (
            [CENTRE, {**FULL, "constraints": {"blur_z": True}}],
            r"^plan\.1\.constraints\.blur_z: differs",
        ),
        ([CENTRE], r"^plan: has 1 stages; the run that --resume goes on with is in stage 2"),
    ],
)
def test_stages_that_have_begun_may_not_change(
    tiny: Tiny, tmp_path: Path, plan: list[dict[str, Any]], message: str
) -> None:
    finished_after(tiny, tmp_path / "checkpoint.pt", CENTRE, FULL)
    with pytest.raises(ConfigError, match=message):
        read_checkpoint(tiny_run(tiny, plan=plan), tmp_path / "checkpoint.pt")


def test_what_was_fixed_throughout_cannot_move_later(tiny: Tiny, tmp_path: Path) -> None:
    finished_after(tiny, tmp_path / "checkpoint.pt", {"iterations": 1})
    tilted = {"iterations": 1, "optimise": {"tilt": {"lr": 0.1}}}
    with pytest.raises(ConfigError, match=r"^plan: moves tilt, which .*reconstruction\.h5 as star"):
        read_checkpoint(
            tiny_run(tiny, plan=[{"iterations": 1}, tilted]), tmp_path / "checkpoint.pt"
        )


def test_an_unknown_that_moves_in_a_later_stage_exists(tiny: Tiny) -> None:
    tilted = {"iterations": 2, "optimise": {"tilt": {"lr": 0.1}}}
    run = tiny_run(tiny, plan=[{"iterations": 1}, tilted])
    run.run()
    assert run.history.change["tilt"][0] == 0 < run.history.change["tilt"][-1]
    assert len(run.history.unknowns["tilt"]) == 3


def test_a_stage_to_come_may_go_and_its_unknown_with_it(tiny: Tiny, tmp_path: Path) -> None:
    """The optimiser's moments stay with the unknowns that are left."""
    known: dict[str, Any] = {"optimise": {"thickness": {"lr": 0.1}}}
    tilted = {"iterations": 1, "optimise": {"tilt": {"lr": 0.1}}}
    stopped = tiny_run(tiny, plan=[{"iterations": 2}, tilted], **known)
    stopped.run([StopAfter(1)])
    write_checkpoint(stopped, tmp_path / "checkpoint.pt")

    resumed, unbroken = (tiny_run(tiny, plan=[{"iterations": 2}], **known) for _ in range(2))
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    unbroken.run()
    assert "tilt" in stopped.model.unknowns
    for name, tensor in unbroken.model.unknowns.items():
        assert torch.equal(resumed.model.unknowns[name], tensor), name


def test_a_finished_run_looks_the_same_when_it_comes_back(tiny: Tiny, tmp_path: Path) -> None:
    """To the bit, also where free unknowns go another way through the forward model."""
    changes: dict[str, Any] = {
        "object": {"modes": 2},
        "probe": {"aberrations": ["defocus"]},
        "optimise": {"iterations": 2, "occupancy": {"lr": 0.01}, "aberrations": {"lr": 0.05}},
    }
    run, again = (tiny_run(tiny, **changes) for _ in range(2))
    run.run()
    write_checkpoint(run, tmp_path / "checkpoint.pt")
    read_checkpoint(again, tmp_path / "checkpoint.pt")
    assert np.array_equal(again.snapshot().simulated, run.snapshot().simulated)


@pytest.mark.parametrize(("name", "said"), [(None, "stage 1, 1 "), ("centre", "stage centre, 1 ")])
def test_a_stage_in_a_sentence(tiny: Tiny, name: str | None, said: str) -> None:
    run = tiny_run(tiny, plan=[{"name": name, "iterations": 1, "optimise": FROZEN}])
    run.run()
    assert run.endings()[0].text.startswith(said)
