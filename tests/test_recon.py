"""The loop: what it finds, what it keeps, and when it refuses to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fastpty.config import ReconConfig, validate_config
from fastpty.distributed import choose_device
from fastpty.engines import IterationReport
from fastpty.errors import ConfigError
from fastpty.recon import Observer, Reconstruction, _spread
from fastpty.truth import compare_with_truth, read_truth
from tests.recon_cases import THICKNESS, TINY, WINDOW, Tiny, make_tiny, merged, tiny_run
from tests.tolerances import bound, tolerance

FROZEN: dict[str, Any] = {name: {"lr": 0} for name in ("amplitude", "phase", "probe", "positions")}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def test_the_object_is_found(tiny: Tiny) -> None:
    run = tiny_run(tiny, optimise={"iterations": 25, "positions": {"lr": 0}})
    run.run()
    assert len(run.history.loss) == run.iteration == 25
    assert run.history.loss[-1] < run.history.loss[0] / 2
    truth = read_truth(tiny.folder / "tiny.h5", run.measurements)
    agreement = compare_with_truth(run.results(), truth).phase
    assert agreement.correlation == pytest.approx(1, abs=bound("fitted"))


def test_wrong_positions_are_mended(tiny: Tiny) -> None:
    """A random error of 0.4 px; the object is let alone until the probe has shown it."""
    run = tiny_run(tiny, optimise={"iterations": 40, "positions": {"lr": 1e-2, "start": 5}})
    true = run.model.positions
    error = 0.4 * np.random.default_rng(3).standard_normal(true.shape)
    error -= error.mean(axis=0)
    run.model.shift += torch.from_numpy(error).float()
    run.model.rechoose_corners()
    run.model.positions_start = run.model.positions
    run.run()
    left = run.model.positions - true
    left -= left.mean(axis=0)  # object and scan may drift together
    assert np.linalg.norm(left) < bound("positions") * np.linalg.norm(error)


def test_constraints_act_at_the_end_of_an_iteration(tiny: Tiny) -> None:
    constraints = {"positive_phase": {"start": 2}, "amplitude_clamp": {"low": 0.999, "high": 1.001}}
    run = tiny_run(tiny, constraints=constraints, optimise={"iterations": 2})
    lowest: list[float] = []

    class Phase(Observer):
        def iterated(self, run: Reconstruction, report: IterationReport) -> None:
            lowest.append(float(run.model.phase.detach().min()))

    run.run([Phase()])
    assert lowest[0] < 0 == lowest[1]
    assert run.model.amplitude.min() >= np.float32(0.999)
    assert run.model.amplitude.max() <= np.float32(1.001)
    power = float(run.model.probe.detach().abs().square().sum())
    assert power == pytest.approx(
        run.model.power_start, rel=tolerance("sum", torch.float32)["rtol"]
    )


def test_windows_follow_their_positions(tiny: Tiny) -> None:
    run = tiny_run(tiny, optimise={"positions": {"lr": 0.3}})
    corner = run.model.corner.clone()
    run.run()
    assert run.model.shift.detach().abs().max() <= 0.5
    assert not torch.equal(run.model.corner, corner)


def test_history_has_an_entry_an_iteration(tiny: Tiny) -> None:
    run = tiny_run(tiny, loss={"sparse": {"weight": 0.1}})
    run.run()
    history = run.history
    assert set(history.terms) == {"gaussian", "sparse"}
    assert {"amplitude", "phase", "ramp"} <= set(history.leakage)
    assert list(history.lr) == list(run.model.unknowns)
    kinds = (*history.terms.values(), *history.leakage.values(), *history.lr.values())
    kinds = (*kinds, *history.positions.values())
    for values in (history.loss, history.seconds, history.displacement, *kinds):
        assert len(values) == 3
    moved = np.linalg.norm(run.model.displacement, axis=1)
    assert history.displacement[-1] == moved.mean() > 0
    assert {name: values[-1] for name, values in history.positions.items()} == {
        "rms": np.sqrt(np.mean(moved**2)),
        "max": moved.max(),
    }


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ([0, 2, "final"], [0, 2, 3]),
        (["final"], [3]),
        ([3, "final"], [3]),
        ([1, 5], [1]),
        ([], []),
    ],
)
def test_snapshots_are_taken_when_asked(tiny: Tiny, wanted: list[Any], taken: list[int]) -> None:
    run = tiny_run(tiny, output={"snapshots": wanted})
    run.run()
    assert [snapshot.iteration for snapshot in run.snapshots] == taken


def test_a_snapshot_is_what_was_measured_and_is_simulated(tiny: Tiny) -> None:
    run = tiny_run(tiny, output={"snapshots": ["final"], "snapshot_patterns": 3})
    run.run()
    (snapshot,) = run.snapshots
    assert snapshot.index.tolist() == [5, 11, 27]
    np.testing.assert_allclose(
        snapshot.measured, tiny.patterns[[5, 11, 27]], **tolerance("product", torch.float32)
    )
    _, simulated = run._patterns(torch.from_numpy(snapshot.index))
    assert np.array_equal(snapshot.simulated, simulated)
    roots = np.sqrt(snapshot.measured.astype(float)), np.sqrt(snapshot.simulated.astype(float))
    expected = np.abs(roots[0] - roots[1]).sum() / roots[0].sum()
    assert snapshot.r_factor == pytest.approx(expected, rel=tolerance("sum", torch.float64)["rtol"])


@pytest.mark.parametrize(("count", "total"), [(1, 1), (4, 576), (5, 7), (9, 9), (64, 100)])
def test_snapshots_are_spread_over_the_scan(count: int, total: int) -> None:
    index = _spread(count, total)
    borders = np.arange(count + 1) * total // count
    assert np.all((borders[:-1] <= index) & (index < borders[1:]))


def test_snapshots_of_a_raster_lie_in_many_columns() -> None:
    """576 = 24 x 24: four even steps would all be of column 0."""
    assert len(set((_spread(4, 24 * 24) % 24).tolist())) == 4


def test_a_stop_ends_after_the_iteration(tiny: Tiny) -> None:
    run = tiny_run(tiny)
    seen: list[str] = []

    class Stop(Observer):
        def started(self, run: Reconstruction) -> None:
            seen.append("started")

        def iterated(self, run: Reconstruction, report: IterationReport) -> None:
            seen.append(f"iterated {run.iteration}")
            run.stop_requested = run.iteration == 2

        def ended(self, run: Reconstruction) -> None:
            seen.append("ended")

    run.run([Stop()])
    assert seen == ["started", "iterated 1", "iterated 2", "ended"]
    assert not run.finished
    assert [snapshot.iteration for snapshot in run.snapshots] == [0, 2]


@pytest.mark.parametrize("masked", [False, True])
def test_r_factor_over_all_patterns(tiny: Tiny, tmp_path: Path, masked: bool) -> None:
    good = np.ones(WINDOW, bool)
    changes: dict[str, Any] = {}
    if masked:
        good[:, 4:9] = False
        np.save(tmp_path / "mask.npy", good)
        changes = {"data": {"mask": {"path": str(tmp_path / "mask.npy")}}}
    run = tiny_run(tiny, **changes)
    actual = run.agreement()["fitted"].r_factor
    _, simulated = run._patterns(torch.arange(30))
    measured, simulated = np.sqrt(tiny.patterns[:, good]), np.sqrt(simulated[:, good].astype(float))
    expected = np.abs(measured - simulated).sum() / measured.sum()
    assert actual == pytest.approx(expected, rel=tolerance("chain", torch.float32)["rtol"])


def test_results_are_in_counts(tiny: Tiny) -> None:
    run = tiny_run(tiny)
    results = run.results()
    power = (np.abs(results.probe) ** 2).sum()
    mean = tiny.patterns.sum() / len(tiny.patterns)
    assert power == pytest.approx(mean, rel=tolerance("sum", torch.float32)["rtol"])
    assert results.probe.dtype == np.complex64
    assert results.scan_shape == (5, 6)
    assert np.array_equal(results.tilt, [[0, 0]])
    assert results.thickness == THICKNESS
    assert results.occupancy is None
    assert results.aberrations == {}
    assert (results.seed, results.device) == (0, "cpu")
    assert results.r_factor == run.agreement()["fitted"].r_factor
    assert validate_config(ReconConfig, results.config) == run.config


def test_what_constraints_change_is_remembered(tiny: Tiny) -> None:
    """NaN in iterations without one, also before the first."""
    run = tiny_run(tiny, constraints={"positive_phase": {"start": 2, "every": 2}})
    run.run()
    changes = run.history.constraints
    assert np.isfinite(changes["probe_power/probe"]).all()
    first, second, third = changes["positive_phase/phase"]
    assert np.isnan(first)
    assert 0 < second < 1
    assert np.isnan(third)


def test_nothing_fitted_nothing_changed(tiny: Tiny) -> None:
    off = dict.fromkeys(
        ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
    )
    run = tiny_run(tiny, optimise=FROZEN, constraints=off)
    before = {name: tensor.clone() for name, tensor in run.model.unknowns.items()}
    run.run()
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.unknowns.items())


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match=r"^device: is cuda, but .* Use --device cpu"):
        choose_device("cuda")


def test_measurements_may_be_given(tiny: Tiny) -> None:
    """The data are not read again: the config's file need not exist."""
    measurements = tiny_run(tiny).measurements
    config = validate_config(ReconConfig, merged(TINY, {"data": {"path": "elsewhere.h5"}}))
    run = Reconstruction.from_config(config, tiny.folder, measurements)
    assert run.measurements is measurements
