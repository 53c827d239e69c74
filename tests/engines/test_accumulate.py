"""Several batches to a step: their gradients are averaged by patterns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastpty.engines import passes
from fastpty.recon import Reconstruction
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.test_graphs import Recorder, assert_equal
from tests.tolerances import tolerance

PLAIN: dict[str, Any] = {"optimiser": {"name": "SGD"}, "thickness": {"lr": 0.1}}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def mean_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misfit that is a mean over patterns."""

    def total_loss(
        config: Any, model: Any, index: Any, intensity: Any, measured: Any, mask: Any, whole: Any
    ) -> Any:
        assert whole is None, "there are no other processes"
        misfit = (intensity - measured).square().mean()
        return misfit, {"mean": misfit}

    monkeypatch.setattr(passes, "total_loss", total_loss)


def with_contrast(run: Reconstruction) -> Reconstruction:
    """Without an object no pattern depends on the position."""
    generator = torch.Generator().manual_seed(0)
    run.model.phase += 0.1 * torch.randn(run.model.phase.shape, generator=generator)
    return run


def assert_close(found: torch.Tensor, expected: torch.Tensor) -> None:
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found, expected, **tolerance("chain", torch.float32, scale=scale))


@pytest.mark.parametrize(
    ("size", "together", "steps"),
    [(8, 1, 4), (8, 2, 2), (8, 3, 2), (8, 4, 1), (8, 9, 1), (7, 4, 2)],
)
def test_steps_of_an_iteration(tiny: Tiny, size: int, together: int, steps: int) -> None:
    """30 patterns; the last group may have fewer batches, its last batch fewer patterns."""
    run = tiny_run(tiny, optimise={"batch_size": size, "accumulate": together})
    run.engine.run_iteration(1)
    for state in run.engine.state()["state"].values():
        assert state["step"] == steps


@pytest.mark.parametrize(("size", "together"), [(8, 2), (8, 3), (4, 4), (7, 3)])
def test_batches_of_a_mean_are_one_large_batch(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, size: int, together: int
) -> None:
    """Also in the last group, where the batches are of different sizes."""
    mean_loss(monkeypatch)
    few, large = (
        with_contrast(tiny_run(tiny, optimise={**PLAIN, "batch_size": b, "accumulate": k}))
        for b, k in ((size, together), (size * together, 1))
    )
    reports = [run.engine.run_iteration(1) for run in (few, large)]
    for name, tensor in large.model.unknowns.items():
        assert_close(few.model.unknowns[name].grad, tensor.grad)
        assert_close(few.model.unknowns[name].detach(), tensor.detach())
    assert reports[0].loss == pytest.approx(
        reports[1].loss, rel=tolerance("chain", torch.float32)["rtol"]
    )


def test_relative_misfits_are_averaged_by_patterns(tiny: Tiny) -> None:
    """The gradient of a group is that of sum n_j L_j / n: of the batches' own relative misfits."""
    run, again = (
        with_contrast(tiny_run(tiny, optimise={**PLAIN, "accumulate": k})) for k in (4, 1)
    )
    for tensor in again.model.unknowns.values():
        tensor.requires_grad_()
    order = torch.from_numpy(np.random.default_rng([0, 1]).permutation(30))
    total = torch.zeros(())
    for index in order.split(8):
        loss, _ = passes.total_loss(
            again.config.loss,
            again.model,
            index,
            passes.simulate_patterns(again.model, index),
            again.measurements.patterns.batch(index),
            None,
        )
        total = total + len(index) / 30 * loss
    total.backward()
    run.engine.run_iteration(1)
    for name, tensor in again.model.unknowns.items():
        assert_close(run.model.unknowns[name].grad, tensor.grad)


def test_a_frozen_unknown_is_left_alone(tiny: Tiny) -> None:
    """Before, between and after; one that stops has no gradient of earlier iterations left."""
    run = tiny_run(tiny, optimise={"accumulate": 3, "positions": {"start": 2, "stop": 2}})
    for iteration, moves in ((1, False), (2, True), (3, False)):
        before = run.model.shift.detach().clone()
        run.engine.run_iteration(iteration)
        assert torch.equal(run.model.shift, before) is not moves
        assert (run.model.shift.grad is None) is not moves


@pytest.mark.parametrize("together", [2, 3, 4])
def test_recorded_batches_of_a_group(tiny: Tiny, together: int) -> None:
    """First, middle, last, or another share of the patterns: each is a graph of its own; those
    that run as they are add to the same sums."""
    changes = {
        "iterations": 7,
        "accumulate": together,
        "positions": {"start": 3, "stop": 5},
        "schedule": {"warmup": 2, "hold": 2, "decay": "linear"},
    }

    def run_with(recorder: Recorder | None) -> Reconstruction:
        run = tiny_run(tiny, optimise=changes)
        if recorder is not None:
            run.engine.record_with(recorder)
        run.run()
        return run

    recorder = Recorder()
    assert_equal(run_with(recorder), run_with(None))
    assert recorder.replayed > 0
