"""LSQ-ML: its directions against autograd, its steps against brute force, and whole runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fastpty import ops
from fastpty.engines.exit_waves import FLOOR, ExitWaves, amplitude_ratio
from fastpty.engines.lsqml import overlaps_of, poisson_step, solve_steps
from fastpty.engines.visits import Visit
from fastpty.model import Model
from fastpty.ops import native
from fastpty.reference import multislice_intensity
from tests.engines.pie_cases import (
    PIXEL,
    WAVELENGTH,
    WINDOW,
    complex_object,
    random_model,
    random_patterns,
)
from tests.recon_cases import Tiny, make_tiny, tiny_run
from tests.tolerances import tolerance

OFF = dict.fromkeys(
    ("orthogonal_modes", "probe_power", "recentre_positions", "blur_xy", "blur_z"), False
)
CASES: dict[str, dict[str, Any]] = {
    "one slice": {},
    "modes": {"modes": 3, "occupancy": [0.7, 0.3]},
    "slices": {"modes": 2, "slices": 3, "tilt": [[30.0, -20.0]]},
}
CORNERS, SHIFTS = [[9, 11], [12, 8]], [[0.31, -0.44], [-0.2, 0.1]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return make_tiny(tmp_path_factory.mktemp("tiny"))


def waves_of(model: Model) -> ExitWaves:
    every = torch.arange(len(model.corner))
    with torch.no_grad():
        return ExitWaves(model, complex_object(model), every, model.corner)


def visit_of(model: Model, ratio: torch.Tensor) -> Visit:
    """All positions of a model, for waves that are to change by a ratio."""
    waves = waves_of(model)
    with torch.no_grad():
        found = waves.products(ratio, apart=True)
    return Visit(slice(len(ratio)), waves, waves.intensity(), ratio, found)


def mean(rows: torch.Tensor) -> torch.Tensor:
    return rows.mean(0)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("noise", ["amplitude", "poisson"])
@pytest.mark.parametrize("case", CASES)
def test_directions_are_the_gradients(case: str, noise: str, backend: Any) -> None:
    """Of sum (sqrt(I) - sqrt(M))^2 with a factor of -1, of sum I - M log I with -1/2: the
    numerators, by autograd of the reference; and they are the sum of the positions' own."""
    model, measured = random_model(CORNERS, shift=SHIFTS, **CASES[case]), random_patterns(2)
    obj = complex_object(model).to(torch.complex128).requires_grad_()
    probe = model.probe.to(torch.complex128).requires_grad_()
    thickness = 0.0 if model.thickness is None else model.thickness.double()
    intensity = FLOOR + multislice_intensity(
        probe,
        obj,
        model.corner,
        model.shift.double(),
        thickness,
        None if model.tilt is None else model.tilt.double(),
        None if model.occupancy is None else model.occupancy.double(),
        wavelength=WAVELENGTH,
        pixel_size=PIXEL,
    )
    there = measured.double()
    if noise == "amplitude":
        ratio = (there / intensity.detach()).sqrt()
        loss = (intensity.sqrt() - there.sqrt()).square().sum()
    else:
        ratio = there / intensity.detach()
        loss = (intensity - there * intensity.log()).sum()
    loss.backward()
    with ops.use_backend(backend), torch.no_grad():
        waves = waves_of(model)
        found = waves.products(ratio.float(), apart=True)
        assert found.product is not None
        assert found.asked is not None
        pairs = [(found.obj, obj.grad), (found.probe, probe.grad)]
        for sums, gradient in pairs:
            assert gradient is not None
            expected = (-gradient / 2).to(torch.complex64)
            close = tolerance("chain", torch.float32, float(expected.abs().max()))
            torch.testing.assert_close(sums, expected, **close)
        own = torch.zeros_like(found.obj)
        for j, (y, x) in enumerate(model.corner.tolist()):
            own[..., y : y + 12, x : x + 10] += found.product[j]
        close = tolerance("chain", torch.float32, float(own.abs().max()))
        torch.testing.assert_close(own, found.obj, **close)
        back = waves.shifted_back(found.asked)
        torch.testing.assert_close(back, found.probe, **close)


@pytest.mark.parametrize("backend", ["auto", "reference"])
@pytest.mark.parametrize("case", ["one slice", "modes"])
def test_steps_explain_the_change_best(case: str, backend: Any) -> None:
    """Of the linear misfit of one position, by least squares over all pixels and modes."""
    model, measured = random_model(CORNERS[:1], shift=SHIFTS[:1], **CASES[case]), random_patterns(1)
    ratio = amplitude_ratio(waves_of(model).intensity(), measured, None)
    with ops.use_backend(backend):
        visit = visit_of(model, ratio)
    waves, found = visit.waves, visit.found
    assert waves.on_native_kernels is (backend == "auto" and native.AVAILABLE)
    generator = torch.Generator().manual_seed(8)
    of_object = torch.randn(found.obj.shape, dtype=torch.complex64, generator=generator)
    of_probe = torch.randn(found.probe.shape, dtype=torch.complex64, generator=generator)
    # So that both steps are positive.
    of_object += found.obj / found.obj.abs().max()
    of_probe += found.probe / found.probe.abs().max()
    with torch.no_grad():
        a, b = solve_steps(overlaps_of(visit, of_object, of_probe), 0.0, mean)
        chain = waves.chain
        change = chain.change(amplitude_ratio(chain.intensity(), measured, None))
        lit = waves.lit_by(of_probe)
        incident = waves.lit_by(model.probe)
        weight = torch.tensor(CASES[case].get("occupancy", [1.0])).sqrt()[:, None, None]
        of_a = incident[:, :, None] * waves.windows(of_object[:, 0])[:, None]
        of_b = lit[:, :, None] * waves.windows(complex_object(model)[:, 0])[:, None]
        columns = [torch.view_as_real(weight * part).flatten().double() for part in (of_a, of_b)]
        wanted = torch.view_as_real(weight * change).flatten().double()
    best = np.linalg.lstsq(torch.stack(columns, 1).numpy(), wanted.numpy(), rcond=None)[0]
    assert (best > 0).all()
    np.testing.assert_allclose([float(a[0, 0]), float(b[0])], best, rtol=1e-4)


def test_one_step_is_exact_where_the_problem_is_quadratic() -> None:
    """One position, and a change of the exit wave that some object makes: a whole step along the
    direction over the bare illumination leaves nothing."""
    model = random_model(CORNERS[:1])
    visit = visit_of(model, torch.full((1, *WINDOW), 1.3))
    waves, found = visit.waves, visit.found
    with torch.no_grad():
        light = waves.illuminated(found.power)
        direction = found.obj / light.clamp(min=1e-6)
        a, _ = solve_steps(overlaps_of(visit, direction, None), 0.0, mean)
        after = ExitWaves(
            model, complex_object(model) + a[0, 0] * direction, torch.tensor([0]), model.corner
        )
        close = tolerance("chain", torch.float32, float(waves.intensity().max()))
        torch.testing.assert_close(after.intensity(), 1.3**2 * waves.intensity(), **close)
    assert float(a[0, 0]) == pytest.approx(1, rel=1e-4)


def test_the_damping_is_a_share_of_the_mean_diagonal() -> None:
    """Two positions; (a, b) are at the minimum of the misfit with its penalty."""
    generator = torch.Generator().manual_seed(2)
    matrix = torch.randn(2, 6, 2, generator=generator, dtype=torch.float64)
    gram = torch.einsum("bki,bkj->bij", matrix, matrix)

    def solved(overlaps: torch.Tensor, damping: float) -> tuple[torch.Tensor, torch.Tensor]:
        a, b = solve_steps(overlaps, damping, mean)
        return a[:, 0], b

    ask = torch.einsum("bij,j->bi", gram, torch.tensor([1.0, 2.0]).double())
    parts = [gram[:, 0, 0], gram[:, 0, 1], gram[:, 1, 1], ask[:, 0], ask[:, 1]]
    overlaps = torch.stack(parts, 1)[:, None]
    plain = torch.stack(solved(overlaps, 0.0), 1)
    torch.testing.assert_close(plain, torch.tensor([[1.0, 2.0]] * 2).double())
    damped = gram + 0.3 * torch.diag(torch.diagonal(gram.mean(0)))
    expected = torch.linalg.solve(damped, ask[..., None])[..., 0]
    torch.testing.assert_close(torch.stack(solved(overlaps, 0.3), 1), expected.clamp(min=0))


def test_no_step_is_negative_and_the_other_is_best_then() -> None:
    """Of two directions that do nearly the same one may want to undo the other."""
    oo = pp = torch.ones(4, dtype=torch.float64)
    op = torch.tensor([0.9, 0.9, -0.9, 0.9]).double()
    ask_o, ask_p = torch.tensor([[0.5, 1, 0.5, -1], [1, 0.5, -1, -1]]).double()
    of_object, of_probe = solve_steps(
        torch.stack([oo, op, pp, ask_o, ask_p], 1)[:, None], 0.0, mean
    )
    found = torch.stack([of_object[:, 0], of_probe])
    grid = torch.linspace(0, 4, 401).double()
    a, b = grid[:, None, None], grid[:, None]
    values = a**2 * oo + 2 * a * b * op + b**2 * pp - 2 * (a * ask_o + b * ask_p)
    lowest = values.flatten(0, 1).argmin(0)
    best = torch.stack([grid[lowest // 401], grid[lowest % 401]])
    torch.testing.assert_close(found, best, rtol=0, atol=0.006)


def test_the_step_along_the_poisson_likelihood() -> None:
    """The best of many; among them counts far above and below what is expected, and none."""
    generator = torch.Generator().manual_seed(5)
    intensity = 3 * torch.rand(4, 8, 8, generator=generator) + 1e-3
    measured = torch.poisson(intensity, generator=generator)
    measured[1] *= 30
    measured[2] = 0
    measured[2, 0, 0] = 1e3
    excess = 1 - measured / intensity
    found = poisson_step(intensity, measured, excess)
    steps = torch.linspace(0, 1, 2001)[:-1, None, None, None].double()
    left = 1 - steps * excess.double()
    values = (intensity * left.square() - 2 * torch.special.xlogy(measured, left)).sum((-2, -1))
    best = steps.flatten()[values.argmin(0)]
    assert float((found - best).abs().max()) < 6e-4
    close = poisson_step(intensity, intensity * 1.001, torch.full_like(intensity, -1e-3))
    torch.testing.assert_close(close, torch.full_like(close, 0.5), rtol=1e-3, atol=0)


def losses(tiny: Tiny, engine: str, **changes: Any) -> list[float]:
    optimise = {"engine": engine, "iterations": 8, "batch_size": 10, **changes.pop("optimise", {})}
    run = tiny_run(tiny, optimise=optimise, constraints=OFF, output={"snapshots": []}, **changes)
    run.run()
    return run.history.loss


def test_it_is_faster_than_epie(tiny: Tiny) -> None:
    assert losses(tiny, "lsqml")[-1] < losses(tiny, "epie")[-1]


@pytest.mark.parametrize("grouping", ["compact", "sparse"])
def test_batches_of_neighbours_and_of_distant_positions(tiny: Tiny, grouping: str) -> None:
    found = losses(tiny, "lsqml", optimise={"grouping": grouping})
    assert found[-1] < 0.7 * found[0]


def test_counts_are_fitted_by_their_likelihood(tiny: Tiny) -> None:
    """The loss in the history is that one, and falls."""
    found = losses(tiny, "lsqml", loss={"gaussian": False, "poisson": True})
    assert np.diff(found).max() < 0


def test_a_plan_from_lsqml_to_adam(tiny: Tiny) -> None:
    plan = [{"iterations": 4, "optimise": {"engine": "lsqml"}}, {"iterations": 4}]
    rates = {"phase": {"lr": 2e-3}, "amplitude": {"lr": 1e-3}, "batch_size": 10}
    run = tiny_run(tiny, plan=plan, constraints=OFF, optimise=rates)
    run.run()
    assert run.history.loss[-1] < run.history.loss[3] < run.history.loss[0]
