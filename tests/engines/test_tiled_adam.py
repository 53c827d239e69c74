"""The object stepped where a batch sees it alone: the same fit, whatever else a config asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpty import ops
from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.config.optimise import OptimiseConfig
from fastpty.engines.grouping import batch_order
from fastpty.engines.tiled_adam import TiledAdam, Tiling, choose_tiling, pays, touched_share
from fastpty.ops import native
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, merged, tiny_run
from tests.test_graphs import Recorder
from tests.tolerances import bound

# Three positions to a batch leave some of the object alone.
BY_TILES: dict[str, Any] = {"optimise": {"tiles": True, "batch_size": 3, "iterations": 4}}
DENSE: dict[str, Any] = {"optimise": {"tiles": False}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def run_with(tiny: Tiny, *changes: dict[str, Any]) -> Reconstruction:
    settings = BY_TILES
    for change in changes:
        settings = merged(settings, change)
    run = tiny_run(tiny, **settings)
    run.run()
    return run


def assert_alike(found: Reconstruction, expected: Reconstruction) -> None:
    """As two implementations of a fit are; see the bounds."""
    assert found.history.loss == pytest.approx(expected.history.loss, rel=bound("tiles losses"))
    for name, tensor in expected.model.unknowns.items():
        difference = (found.model.unknowns[name] - tensor).detach().norm()
        assert difference <= bound("tiles") * (tensor - tensor.mean()).detach().norm(), name


CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "accumulated": {"optimise": {"accumulate": 2}},
    "regularised": {"loss": {"sparse": {"power": 2}, "similarity": {"blocks": [1, 3, 2]}}},
    "rates that change": {"optimise": {"schedule": {"warmup": 2, "decay": "cosine"}}},
    "one starts, one stops": {"optimise": {"phase": {"start": 2}, "amplitude": {"stop": 2}}},
    "blurred in between": {"constraints": {"blur_xy": True, "positive_phase": True}},
    "one with weight decay": {"optimise": {"probe": {"options": {"weight_decay": 0.1}}}},
}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=list(CHANGES))
@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_fit_is_that_of_all_steps(
    tiny: Tiny, changes: dict[str, Any], backend: ops.use_backend
) -> None:
    with ops.use_backend(backend):
        found = run_with(tiny, changes)
        assert isinstance(found.engine._optimiser, TiledAdam)
        expected = run_with(tiny, changes, DENSE)
    assert not isinstance(expected.engine._optimiser, TiledAdam)
    assert_alike(found, expected)


def test_less_than_all_is_stepped(tiny: Tiny) -> None:
    """Or the comparison would be of nothing."""
    run = tiny_run(tiny, **BY_TILES)
    optimiser = run.engine._optimiser
    assert isinstance(optimiser, TiledAdam)
    optimiser.catch_up(run.model.corner[:3])
    (tiles, _) = optimiser._tiles.values() if optimiser._tiles else (None, None)
    assert tiles is None  # nothing is free before the first iteration
    run.engine.run_iteration(1)
    optimiser.catch_up(run.model.corner[:3])
    share = float((optimiser._tiles[run.model.phase].state > 0).float().mean())
    assert 0 < share < 1


def test_the_state_is_torchs(tiny: Tiny, tmp_path: Path) -> None:
    """So that a run by tiles can go on without, and the other way round."""
    found, expected = run_with(tiny), run_with(tiny, DENSE)
    states = [run.engine.state()["state"] for run in (found, expected)]
    for mine, torchs in zip(*(state.values() for state in states), strict=True):
        assert list(mine) == list(torchs)
        assert float(mine["step"]) == float(torchs["step"]) == 40
        for name in ("exp_avg", "exp_avg_sq"):
            assert (mine[name] - torchs[name]).norm() < bound("tiles") * torchs[name].norm()
    for first, second in (({}, DENSE), (DENSE, {})):
        begun = run_with(tiny, first, {"optimise": {"iterations": 2}})
        write_checkpoint(begun, tmp_path / "checkpoint.pt")
        resumed = tiny_run(tiny, **merged(BY_TILES, second))
        read_checkpoint(resumed, tmp_path / "checkpoint.pt")
        resumed.run()
        assert_alike(resumed, expected)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_a_resumed_run_is_the_unbroken_one(tiny: Tiny, tmp_path: Path, stopped_after: int) -> None:
    unbroken = run_with(tiny)
    first = run_with(tiny, {"optimise": {"iterations": stopped_after}})
    write_checkpoint(first, tmp_path / "checkpoint.pt")
    resumed = tiny_run(tiny, **BY_TILES)
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    assert resumed.history.loss == unbroken.history.loss
    for name, tensor in unbroken.model.unknowns.items():
        assert torch.equal(resumed.model.unknowns[name], tensor), name


def test_a_frozen_unknown_has_no_state(tiny: Tiny) -> None:
    run = tiny_run(tiny, **merged(BY_TILES, {"optimise": {"amplitude": {"lr": 0}}}))
    before = run.model.amplitude.clone()
    run.engine.run_iteration(1)
    assert torch.equal(run.model.amplitude, before)
    assert list(run.engine.state()["state"]) == ["phase", "probe", "positions"]


def test_a_recorded_run_is_the_same_run(tiny: Tiny) -> None:
    """Nothing that a step by tiles needs is a number of the host's that a graph would keep."""
    recorder = Recorder()
    recorded = tiny_run(tiny, **BY_TILES)
    recorded.engine.record_with(recorder)
    recorded.run()
    assert recorder.replayed > 0
    plain = run_with(tiny)
    assert recorded.history.loss == plain.history.loss
    assert torch.equal(recorded.model.phase, plain.model.phase)


def test_it_is_chosen_by_work() -> None:
    assert pays(0.05, 1000)
    assert pays(0.35, 1000)
    assert not pays(0.4, 1000)
    assert not pays(0.35, 10)  # settled too often


def test_the_share_is_that_of_the_tiles(tiny: Tiny) -> None:
    run = tiny_run(tiny, **BY_TILES)
    run.engine.run_iteration(1)
    corner = run.model.corner
    steps = [np.array([0, 1, 7]), np.array([29])]
    tiling = Tiling(("phase",), (24, 20), (3, 2))
    counted = []
    for step in steps:
        tiles = ops.AdamTiles(*torch.zeros(3, *run.model.phase.shape), (0.9, 0.999), 1e-8)
        ops.adam_catch_up(tiles, corner[torch.from_numpy(step)], tiling.window, tiling.reach)
        counted.append(float((tiles.state > 0).float().mean()))
    canvas = (run.model.phase.shape[-2], run.model.phase.shape[-1])
    share = touched_share(corner.numpy(), steps, tiling, canvas)
    assert share == pytest.approx(sum(counted) / 2)


@pytest.mark.skipif(not native.AVAILABLE, reason="the native core is not built")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"grouping": "compact"}, ("amplitude", "phase")),
        ({"grouping": "compact", "accumulate": 64}, None),
        ({"grouping": "random"}, None),
        ({"grouping": "random", "batch_size": 1}, ("amplitude", "phase")),
        ({"grouping": "compact", "phase": {"options": {"amsgrad": True}}}, ("amplitude",)),
        ({"grouping": "compact", "optimiser": {"name": "RMSprop"}}, None),
        ({"grouping": "compact", "tiles": False}, None),
        ({"grouping": "random", "tiles": True}, ("amplitude", "phase")),
    ],
    ids=str,
)
def test_by_itself_it_is_done_where_it_is_less_work(
    tiny: Tiny, options: dict[str, Any], expected: tuple[str, ...] | None
) -> None:
    """On an object of 300 x 300 pixels, with windows of 24 x 20 at 40 x 40 positions."""
    run = tiny_run(tiny)
    model = run.model
    grid = np.stack(np.meshgrid(*2 * [np.arange(40)], indexing="ij"), -1).reshape(-1, 2)
    model.phase = torch.zeros(1, 2, 300, 300)
    model.corner = torch.from_numpy(grid * 7)
    config = OptimiseConfig(**({"batch_size": 64} | options))
    rng = np.random.default_rng(0)
    order = batch_order(config.grouping, grid * 7.0, config.batch_size, rng, (40, 40))
    tiling = choose_tiling(config, run.config.loss, model, order)
    assert (tiling and tiling.unknowns) == expected
    with ops.use_backend("reference"):
        slow = choose_tiling(config, run.config.loss, model, order)
    assert (slow is not None) == (config.tiles is True)
