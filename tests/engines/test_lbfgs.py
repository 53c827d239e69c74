"""L-BFGS: one loss for all patterns, which never rises; its scales; what makes it forget."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch

from fastpty.engines import LBFGSEngine
from fastpty.recon import Reconstruction
from tests.recon_cases import TINY, Tiny, make_tiny, tiny_run
from tests.tolerances import tolerance

OFF = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)
RATES: dict[str, float] = {
    name: TINY["optimise"][name]["lr"] for name in ("amplitude", "phase", "probe", "positions")
}
TIGHT = tolerance("sum", torch.float32)["rtol"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def finish(tiny: Tiny, iterations: int, **optimise: Any) -> Reconstruction:
    chosen = {"optimiser": {"name": "LBFGS"}, "iterations": iterations, **optimise}
    return tiny_run(tiny, optimise=chosen, constraints=OFF, output={"snapshots": []})


def engine_of(run: Reconstruction) -> LBFGSEngine:
    assert isinstance(run.engine, LBFGSEngine)
    return run.engine


def copies(run: Reconstruction) -> dict[str, torch.Tensor]:
    return {name: t.detach().clone() for name, t in run.model.unknowns.items()}


def test_the_loss_never_rises(tiny: Tiny) -> None:
    """Over many iterations, in batches of which the last is short."""
    run = finish(tiny, 40)
    run.run()
    loss = run.history.loss
    assert all(later <= earlier for earlier, later in itertools.pairwise(loss))
    assert loss[-1] < loss[0] / 4
    # Few directions need more than one try.
    assert 40 <= sum(run.history.passes) < 60


def test_the_loss_is_that_where_the_unknowns_are(tiny: Tiny) -> None:
    """After the step; and a second look at it takes no pass."""
    run = finish(tiny, 3)
    run.run()
    frozen = finish(tiny, 1, **{name: {"lr": 0} for name in RATES})
    for name, tensor in frozen.model.unknowns.items():
        tensor.copy_(run.model.unknowns[name].detach())
    reports = [frozen.engine.run_iteration(n) for n in (1, 2)]
    assert reports[0].loss == pytest.approx(run.history.loss[-1], rel=TIGHT)
    assert reports[0].terms == reports[1].terms
    assert [report.passes for report in reports] == [1, 0]


def test_lower_than_adam_that_goes_on(tiny: Tiny) -> None:
    """After the same start, for the same number of passes at the same rates."""
    start = {"iterations": 15}
    lbfgs = {"iterations": 20, "optimise": {"optimiser": {"name": "LBFGS"}}}
    run = tiny_run(tiny, plan=[start, lbfgs], constraints=OFF)
    run.run()
    passes = sum(run.history.passes[15:])
    adam = tiny_run(tiny, plan=[start, {"iterations": passes}], constraints=OFF)
    adam.run()
    assert adam.history.loss[:15] == run.history.loss[:15]
    assert run.history.loss[-1] < min(adam.history.loss)


def test_the_first_step_is_as_long_as_the_rates(tiny: Tiny) -> None:
    """Down the gradient in units of the rates: no value moves by more than a few of them, and
    what moves most moves by about one."""
    run = finish(tiny, 1)
    engine = engine_of(run)
    engine.run_iteration(1)
    steps = torch.cat([step.detach().flatten() for step in engine._steps])
    assert 0.1 < float(steps.abs().max()) < 10


@pytest.mark.parametrize("name", RATES)
def test_a_rate_of_zero_freezes(tiny: Tiny, name: str) -> None:
    run = finish(tiny, 2, **{name: {"lr": 0}})
    before = copies(run)
    run.run()
    for other, tensor in run.model.unknowns.items():
        moved = not torch.equal(tensor, before[other])
        assert moved is (other in RATES and other != name), other
    assert run.history.lr[name] == [0, 0]


def test_rates_are_scales(tiny: Tiny) -> None:
    """All of them times two is the same problem in other units; one alone is another."""
    plain, doubled, phase = (
        finish(tiny, 1, **{n: {"lr": factor(n) * rate} for n, rate in RATES.items()})
        for factor in (lambda n: 1, lambda n: 2, lambda n: 8 if n == "phase" else 1)
    )
    before = copies(plain)
    directions = []
    for run in (plain, doubled, phase):
        run.run()
        moved = {n: run.model.unknowns[n].detach() - before[n] for n in RATES}
        directions.append(float(moved["phase"].norm() / moved["probe"].norm()))
    assert directions[0] == pytest.approx(directions[1], rel=1e-2)
    # Steps go as the square of the scale.
    assert directions[2] == pytest.approx(64 * directions[0], rel=1e-2)


def test_an_unknown_moves_from_start_to_stop(tiny: Tiny) -> None:
    run = finish(tiny, 4, positions={"lr": 1e-2, "start": 2, "stop": 3})
    moves = []
    for iteration in range(1, 5):
        before = run.model.shift.detach().clone()
        run.engine.run_iteration(iteration)
        moves.append(not torch.equal(run.model.shift, before))
    assert moves == [False, True, True, False]


def test_batches_only_divide_the_work(tiny: Tiny) -> None:
    """A misfit that is a mean over patterns has the same value and gradient in any batches."""
    loss = {"gaussian": False, "poisson": True}
    found = []
    for size in (30, 7):
        run = tiny_run(
            tiny,
            loss=loss,
            constraints=OFF,
            optimise={"optimiser": {"name": "LBFGS"}, "batch_size": size, "iterations": 1},
        )
        engine = engine_of(run)
        engine._begin(engine._free(1))
        found.append((engine._evaluate().loss, engine._passes.gradients["probe"].clone()))
    # Relative to the mean count of a batch, which differs by little from batch to batch.
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-3)
    assert (found[0][1] - found[1][1]).norm() < 2e-2 * found[0][1].norm()


def known_pairs(run: Reconstruction) -> int:
    engine = engine_of(run)
    assert engine._optimiser is not None
    return len(engine._optimiser.state.get(engine._steps[0], {}).get("old_dirs") or [])


def test_what_moves_an_unknown_in_between_makes_it_forget(tiny: Tiny) -> None:
    run = finish(tiny, 9)
    pairs = []
    for iteration in range(1, 7):
        run.engine.run_iteration(iteration)
        pairs.append(known_pairs(run))
        if iteration == 3:
            run.model.probe.detach()[0, 3, 4] += 1e-3
            assert "state" not in run.engine.state()
        if iteration == 5:
            run.model.shift.detach()[2] += 1.25
            run.model.rechoose_corners(run.engine.reach)
    assert pairs == [0, 1, 2, 0, 1, 0]


def test_constraints_that_change_nothing_are_no_reason(tiny: Tiny) -> None:
    run = tiny_run(
        tiny,
        optimise={"optimiser": {"name": "LBFGS"}, "iterations": 4},
        constraints={**OFF, "amplitude_clamp": {"low": 0.0, "high": 9.0}},
    )
    run.run()
    assert known_pairs(run) == 3


def test_so_many_pairs_are_kept(tiny: Tiny) -> None:
    run = finish(tiny, 6, optimiser={"name": "LBFGS", "history_size": 2})
    run.run()
    assert known_pairs(run) == 2


def test_where_nothing_is_lower_it_stays(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is higher all around: the gradient is tried once, then no pass is wasted."""
    run = finish(tiny, 3)
    engine = engine_of(run)
    start = copies(run)
    evaluate = engine._passes.run

    def lowest_here(*arguments: Any) -> Any:
        loss, terms = evaluate(*arguments)
        here = all(torch.equal(t, start[n]) for n, t in run.model.unknowns.items())
        return (0.0 if here else 1.0 + loss), terms

    monkeypatch.setattr(engine._passes, "run", lowest_here)
    reports = [engine.run_iteration(n) for n in (1, 2, 3)]
    assert [report.loss for report in reports] == [0, 0, 0]
    assert all(torch.equal(t, start[n]) for n, t in run.model.unknowns.items())
    assert reports[0].passes > 1
    assert [report.passes for report in reports[1:]] == [0, 0]
    assert engine.state()["exhausted"]


def test_repeated_runs_are_the_same(tiny: Tiny) -> None:
    first, second = finish(tiny, 5), finish(tiny, 5)
    first.run()
    second.run()
    assert first.history.loss == second.history.loss
    for name, tensor in first.model.unknowns.items():
        assert torch.equal(tensor, second.model.unknowns[name]), name
