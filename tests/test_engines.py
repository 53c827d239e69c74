"""The gradient engine: Adam's step, what is frozen, the order of the patterns, the loss."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from fastpty import reference
from fastpty.engines import passes
from fastpty.loss.misfit import FLOOR
from fastpty.recon import Reconstruction
from tests.recon_cases import PIXEL, Tiny, make_tiny, tiny_run
from tests.tolerances import tolerance

UNKNOWNS = ["amplitude", "phase", "probe", "positions"]
# Adam's constants in torch, which the engine leaves as they are.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def _copies(run: Reconstruction) -> dict[str, torch.Tensor]:
    return {name: t.detach().clone() for name, t in run.model.unknowns.items()}


def _moments(run: Reconstruction) -> dict[str, dict[str, torch.Tensor]]:
    """Adam's state by the unknown's name; empty for one that has never moved."""
    state = run.engine.state()["state"]
    return {
        name: {key: value.clone() for key, value in state.get(name, {}).items()}
        for name in run.model.unknowns
    }


def _gradients(run: Reconstruction) -> dict[str, torch.Tensor]:
    """Of the loss over all patterns, through the reference in double precision."""
    model, patterns = run.model, run.measurements.patterns
    leaves = {
        name: t.detach().to(torch.complex128 if t.is_complex() else torch.float64)
        for name, t in model.unknowns.items()
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    intensity = reference.multislice_intensity(
        leaves["probe"],
        (leaves["amplitude"], leaves["phase"]),
        model.corner,
        leaves["positions"],
        leaves["thickness"],
        leaves.get("tilt"),
        wavelength=model.wavelength,
        pixel_size=PIXEL,
    )
    measured = patterns.batch(torch.arange(len(patterns))).double().sqrt()
    misfit = (intensity + FLOOR).sqrt() - measured
    (misfit.square().mean().sqrt() / measured.mean()).backward()
    return {name: leaf.grad for name, leaf in leaves.items()}


@pytest.mark.parametrize("name", [*UNKNOWNS, "tilt", "thickness"])
def test_one_step_is_adams(tiny: Tiny, name: str) -> None:
    """All patterns in one batch: the first moment is 0.1 of the gradient, and the step is
    lr m / (sqrt(v) + epsilon) of the corrected moments, in real and imaginary part apart."""
    lr = 3e-3
    run = tiny_run(tiny, optimise={"batch_size": 30, name: {"lr": lr}})
    run.model.phase += 0.1 * torch.randn(
        run.model.phase.shape, generator=torch.Generator().manual_seed(0)
    )
    expected, before = _gradients(run)[name], _copies(run)[name]
    run.engine.run_iteration(1)

    moments = _moments(run)[name]
    found = moments["exp_avg"] / (1 - BETA1)
    size = float(expected.abs().max())
    assert size > 0
    torch.testing.assert_close(
        found, expected.to(found.dtype), **tolerance("chain", torch.float32, scale=size)
    )

    first, second = (
        torch.view_as_real(t) if t.is_complex() else t
        for t in (moments["exp_avg"] / (1 - BETA1), moments["exp_avg_sq"] / (1 - BETA2))
    )
    step = -lr * first / (second.sqrt() + EPSILON)
    if before.is_complex():
        step = torch.view_as_complex(step)
    torch.testing.assert_close(
        run.model.unknowns[name].detach(), before + step, **tolerance("sum", torch.float32)
    )


def test_every_unknown_moves(tiny: Tiny) -> None:
    fixed = ("tilt", "thickness", "occupancy", "aberrations")
    run = tiny_run(
        tiny,
        object={"modes": 2},
        probe={"aberrations": ["defocus"]},
        optimise={name: {"lr": 1e-3} for name in fixed},
    )
    assert list(run.model.unknowns) == [*UNKNOWNS, *fixed]
    before = _copies(run)
    run.engine.run_iteration(1)
    for name, tensor in run.model.unknowns.items():
        assert not torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("name", UNKNOWNS)
def test_a_learning_rate_of_zero_freezes(tiny: Tiny, name: str) -> None:
    run = tiny_run(tiny, optimise={name: {"lr": 0}})
    before = _copies(run)
    run.engine.run_iteration(1)
    assert torch.equal(run.model.unknowns[name], before[name])
    assert _moments(run)[name] == {}
    for other in set(UNKNOWNS) - {name}:
        assert not torch.equal(run.model.unknowns[other], before[other]), other


@pytest.mark.parametrize("name", UNKNOWNS)
def test_an_unknown_moves_from_start_to_stop(tiny: Tiny, name: str) -> None:
    run = tiny_run(tiny, optimise={name: {"start": 2, "stop": 3}})
    for iteration in range(1, 6):
        before, moments = _copies(run)[name], _moments(run)[name]
        run.engine.run_iteration(iteration)
        moved = not torch.equal(run.model.unknowns[name], before)
        assert moved == (iteration in (2, 3)), iteration
        if not moved:
            after = _moments(run)[name]
            assert after.keys() == moments.keys()
            assert all(torch.equal(after[key], moments[key]) for key in moments)


def test_nothing_free_is_no_error(tiny: Tiny) -> None:
    run = tiny_run(tiny, optimise={name: {"lr": 0} for name in UNKNOWNS})
    before = _copies(run)
    assert run.engine.run_iteration(1) == run.engine.run_iteration(1)
    assert all(torch.equal(t, before[name]) for name, t in run.model.unknowns.items())


def _orders(monkeypatch: pytest.MonkeyPatch, run: Reconstruction, iterations: int) -> list[Any]:
    """The batches of each iteration, as the forward model is asked for them."""
    seen: list[list[int]] = []
    simulate = passes.simulate_patterns

    def recorded(model: Any, index: torch.Tensor) -> torch.Tensor:
        seen.append(index.tolist())
        return simulate(model, index)

    monkeypatch.setattr(passes, "simulate_patterns", recorded)
    orders = []
    for iteration in range(1, iterations + 1):
        seen.clear()
        run.engine.run_iteration(iteration)
        orders.append([list(batch) for batch in seen])
    monkeypatch.undo()
    return orders


def test_every_pattern_once_an_iteration(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    for batches in _orders(monkeypatch, tiny_run(tiny), 2):
        assert [len(batch) for batch in batches] == [8, 8, 8, 6]
        assert sorted(itertools.chain(*batches)) == list(range(30))


def test_the_order_follows_seed_and_iteration(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _orders(monkeypatch, tiny_run(tiny), 2)
    assert first[0] != first[1]
    assert _orders(monkeypatch, tiny_run(tiny), 2) == first
    assert _orders(monkeypatch, tiny_run(tiny, seed=1), 2) != first


def test_the_loss_is_the_sum_of_its_weighted_terms(tiny: Tiny) -> None:
    """Nothing moves, so the mean over the batches can be taken again, pattern by pattern."""
    frozen: dict[str, Any] = {name: {"lr": 0} for name in UNKNOWNS}
    loss = {"gaussian": {"weight": 2.0}, "sparse": {"weight": 0.3}}
    run = tiny_run(tiny, optimise={**frozen, "batch_size": 1}, loss=loss)
    run.model.phase.fill_(-0.25)
    report = run.engine.run_iteration(1)
    assert set(report.terms) == {"gaussian", "sparse"}
    rel = tolerance("chain", torch.float32)["rtol"]
    assert report.loss == pytest.approx(sum(report.terms.values()), rel=rel)
    # |phase| is 0.25 in both of the slices, and so is the mean over all voxels.
    assert report.terms["sparse"] == pytest.approx(0.3 * 0.25, rel=rel)
    everything = torch.arange(30)
    measured = run.measurements.patterns.batch(everything).sqrt()
    simulated = passes.simulate_patterns(run.model, everything).sqrt()
    misfit = (simulated - measured).square().mean((1, 2)).sqrt() / measured.mean((1, 2))
    assert report.terms["gaussian"] == pytest.approx(2 * float(misfit.mean()), rel=rel)


@pytest.mark.parametrize("name", ["poisson", "pacbed"])
def test_every_misfit_drives_a_fit(tiny: Tiny, name: str) -> None:
    """Alone, and with everything between object and counts switched on."""
    run = tiny_run(
        tiny,
        loss={"gaussian": False, name: True, "sparse": True, "similarity": True},
        probe={"source_size": 0.1, "source_points": 2},
        detector={"blur": 0.5},
    )
    before = _copies(run)
    reports = [run.engine.run_iteration(iteration) for iteration in (1, 2, 3, 4)]
    assert list(reports[0].terms) == [name, "sparse", "similarity"]
    assert reports[-1].terms[name] < reports[0].terms[name]
    assert reports[-1].terms["similarity"] == 0
    for unknown in UNKNOWNS:
        assert not torch.equal(run.model.unknowns[unknown], before[unknown]), unknown


def test_a_short_last_batch_counts_by_its_patterns(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of one pattern beside one of 29, whose losses differ."""
    frozen = {name: {"lr": 0} for name in UNKNOWNS}
    run = tiny_run(tiny, optimise={**frozen, "batch_size": 29})
    (batches,) = _orders(monkeypatch, run, 1)
    losses = []
    for batch in map(torch.tensor, batches):
        measured = run.measurements.patterns.batch(batch).sqrt()
        misfit = passes.simulate_patterns(run.model, batch).sqrt() - measured
        losses.append(float(misfit.square().mean().sqrt() / measured.mean()))
    rel = tolerance("chain", torch.float32)["rtol"]
    assert losses[0] != pytest.approx(losses[1], rel=rel)
    expected = (29 * losses[0] + losses[1]) / 30
    assert run.engine.run_iteration(1).loss == pytest.approx(expected, rel=rel)


def test_masked_pixels_do_not_count(tiny: Tiny, tmp_path: Any) -> None:
    """Whatever the detector shows there: neither the loss nor a step depends on it."""
    good = np.ones((24, 20), bool)
    good[::5, ::3] = False
    np.save(tmp_path / "mask.npy", good)
    results = []
    for value in (0.0, 0.7):
        run = tiny_run(tiny, data={"mask": {"path": str(tmp_path / "mask.npy")}})
        run.measurements.patterns._data[:, ~run.measurements.patterns.mask] = value
        report = run.engine.run_iteration(1)
        results.append((report.loss, run.model.phase.detach()))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
