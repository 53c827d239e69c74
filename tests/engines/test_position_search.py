"""Positions that are off by more than slopes reach are found; right ones stay; runs go on."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from fastpty.checkpoint import read_checkpoint, write_checkpoint
from fastpty.engines import SearchEngine
from fastpty.engines.position_search import disc, rms_width
from fastpty.metrics import position_rmse
from tests.engines.pie_cases import random_model
from tests.engines.search_cases import Scan, make_scan, search_run
from tests.recon_cases import make_tiny, tiny_run
from tests.test_checkpoint import _assert_same
from tests.tolerances import bound, tolerance


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return make_scan(tmp_path_factory.mktemp("wrong"), side=7, step=4.0, error=3.0)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    return make_scan(tmp_path_factory.mktemp("small"), side=3, step=4.0, error=2.0)


def test_errors_of_several_pixels_are_found(wrong: Scan) -> None:
    """With the width of the probe as the first radius."""
    run = search_run(wrong, 6, None)
    start = position_rmse(run.model.positions, wrong.positions)
    run.run()
    assert start > 2.5
    assert position_rmse(run.model.positions, wrong.positions) < bound("searched")
    assert run.history.loss[-1] < 0.5 * run.history.loss[0]
    assert run.history.displacement[-1] > 2


def test_right_positions_stay(tmp_path: Path) -> None:
    right = make_scan(tmp_path, side=7, step=4.0, error=0.0)
    run = search_run(right, 2, 4.0)
    run.run()
    assert position_rmse(run.model.positions, right.positions) < bound("searched")


def test_a_resumed_search_gives_the_same_bits(small: Scan, tmp_path: Path) -> None:
    """The first radius is that of the probe before the run, which has moved since."""
    whole = search_run(small, 3, None)
    whole.run()
    stopped = search_run(small, 3, None)
    stopped._iterate()
    write_checkpoint(stopped, tmp_path / "checkpoint.pt")
    resumed = search_run(small, 3, None)
    read_checkpoint(resumed, tmp_path / "checkpoint.pt")
    resumed.run()
    _assert_same(resumed, whole)


def test_the_radius_shrinks_to_one_pixel(small: Scan) -> None:
    run = search_run(small, 3, 5.0)
    run.run()
    assert run.history.lr["positions"] == [5.0, 3.0, 1.0]
    assert run.history.passes == [3, 3, 3]


@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_no_position_goes_too_far_nor_out_of_the_object(small: Scan, radius: float) -> None:
    run = search_run(small, 2, radius, object={"margin": 1})
    run.run()
    assert np.linalg.norm(run.model.displacement, axis=1).max() <= 2 * radius * (1 + 1e-6)
    last = np.array(run.model.phase.shape[-2:]) - run.model.probe.shape[-2:]
    assert run.model.corner.min() >= 0
    assert (run.model.corner.numpy() <= last).all()
    assert run.held_positions == 0


def test_what_is_not_free_rests(small: Scan) -> None:
    run = search_run(small, 1, 3.0)
    run.stage.optimise.positions.start = 2
    run.stage.optimise.amplitude.lr = 0.0
    before = {name: tensor.clone() for name, tensor in run.model.unknowns.items()}
    run.run()
    moved = {n for n, tensor in run.model.unknowns.items() if not torch.equal(tensor, before[n])}
    assert moved == {"phase", "probe"}
    assert run.history.lr["positions"] == [0.0]


def test_slices_modes_and_tilts_of_each_position(tmp_path: Path) -> None:
    """Two slices and two probe modes; the trials of a position have its own tilt."""
    run = tiny_run(
        make_tiny(tmp_path),
        constraints={"recentre_positions": False, "probe_power": False, "orthogonal_modes": False},
        object={"tilt_per": "position", "tilt_mrad": [5.0, -3.0]},
        optimise={"engine": "search", "iterations": 1, "search": {"radius": 2.0}},
    )
    engine, model = run.engine, run.model
    assert isinstance(engine, SearchEngine)
    assert model.tilt is not None
    generator = torch.Generator().manual_seed(1)
    model.tilt.normal_(std=40, generator=generator)
    model.phase.normal_(generator=generator)
    index = torch.tensor([3, 7, 20])
    none = torch.zeros(3, 1, 2)
    least, move = engine._best(model, index, none)
    expected = [engine._best(model, index[i : i + 1], none[:1])[0] for i in range(3)]
    close = tolerance("chain", torch.float32)
    torch.testing.assert_close(least, torch.cat(expected), **close)
    assert not move.any()
    # One trial twice as far is the position itself after half the way, seen from there.
    step = torch.tensor([0.7, -1.3])
    there, _ = engine._best(model, index, (2 * step).expand(3, 1, 2))
    model.shift[index] += step
    model.rechoose_corners()
    torch.testing.assert_close(engine._best(model, index, step.expand(3, 1, 2))[0], there, **close)
    run.run()
    assert math.isfinite(run.history.loss[-1])


def test_a_disc_of_trials() -> None:
    """49 with that at rest first, none twice, and the farthest at the radius."""
    points = disc(8.0)
    assert len(points) == len({tuple(point) for point in points.tolist()}) == 49
    assert points[0].tolist() == [0, 0]
    assert points.norm(dim=1).max() == 8
    assert len(disc(16.0, 8)) == 197


def test_the_width_of_a_gaussian_probe() -> None:
    """Its intensity's standard deviation, wherever it stands in the window."""
    model = random_model([[3, 4]])
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(36.0), indexing="ij")
    wave = torch.exp(-((y - 22) ** 2 / 4**2 + (x - 15) ** 2 / 2**2) / 4)
    model.probe = wave.to(torch.complex64)[None]
    assert rms_width(model) == pytest.approx(math.sqrt((4**2 + 2**2) / 2), rel=bound("sampled"))
