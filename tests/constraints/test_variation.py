"""Total variation: solutions that are known in closed form, and what no step may do."""

from __future__ import annotations

import pytest
import torch

from fastpty.constraints.variation import lower_variation
from tests.constraints.small_model import apply, small_model, values
from tests.tolerances import bound, tolerance

AXES = {"total_variation_xy": (2, 3), "total_variation_z": (1,)}


def variation(volume: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """sum |grad|, by its definition."""
    squares = torch.zeros_like(volume)
    for axis in axes:
        slope = volume.diff(dim=axis)
        squares.narrow(axis, 0, slope.shape[axis]).add_(slope.square())
    return squares.sqrt().sum()


def objective(u: torch.Tensor, x: torch.Tensor, axes: tuple[int, ...], weight: float) -> float:
    return float((u - x).square().sum() / 2 + weight * variation(u, axes))


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_step_loses_height_on_both_sides(axis: int) -> None:
    """A step between n and m samples: each side moves by weight / its length."""
    low, high, weight = 4, 6, 0.3
    line = torch.cat([torch.zeros(low), torch.ones(high)]).double()
    shape = [1, 1, 1, 1]
    shape[axis] = low + high
    actual = lower_variation(line.reshape(shape), (axis,), weight, 3000).flatten()
    expected = torch.cat([line[:low] + weight / low, line[low:] - weight / high])
    torch.testing.assert_close(actual, expected, rtol=0, atol=bound("converged"))


def test_a_bump_alone_becomes_the_mean() -> None:
    """Where the weight is above the height, nothing is left to vary."""
    x = torch.zeros(1, 1, 6, 7, dtype=torch.float64)
    x[..., 2, 3] = 1.0
    actual = lower_variation(x, (2, 3), 50.0, 3000)
    torch.testing.assert_close(actual, x.mean().expand_as(x), rtol=0, atol=bound("converged"))


@pytest.mark.parametrize("name", list(AXES))
def test_the_objective_comes_down_to_its_minimum(name: str) -> None:
    """Lower after more inner iterations, and no change of a solution lowers it."""
    x = small_model(dtype=torch.float64).phase.detach()
    weight, axes = 0.1, AXES[name]
    steps = [lower_variation(x, axes, weight, inner) for inner in (10, 100, 3000)]
    heights = [objective(u, x, axes, weight) for u in (x, *steps)]
    assert heights == sorted(heights, reverse=True)
    generator = torch.Generator().manual_seed(3)
    for size in (1e-1, 1e-2):
        other = steps[-1] + size * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        assert objective(other, x, axes, weight) > heights[-1]


@pytest.mark.parametrize("name", list(AXES))
def test_the_mean_stays_and_the_variation_falls(name: str) -> None:
    """Of each slice, or of each column along the beam."""
    model = small_model()
    before = values(model)
    apply(model, name, {"weight": 0.05, "inner": 25})
    for part in ("amplitude", "phase"):
        after = model.unknowns[part].detach()
        axes = AXES[name]
        torch.testing.assert_close(
            after.mean(dim=axes), before[part].mean(dim=axes), **tolerance("sum", torch.float32)
        )
        assert variation(after, axes) < 0.9 * variation(before[part], axes)


@pytest.mark.parametrize("name", list(AXES))
def test_weight_and_inner_iterations_are_used(name: str) -> None:
    results = []
    for settings in ({}, {"weight": 0.02}, {"weight": 0.02, "inner": 3}):
        model = small_model()
        apply(model, name, settings)
        results.append(values(model)["phase"])
    assert not torch.equal(results[0], results[1])
    assert not torch.equal(results[1], results[2])


@pytest.mark.parametrize("canvas", [(1, 1), (1, 9), (7, 1)])
def test_a_plane_of_one_row(canvas: tuple[int, int]) -> None:
    model = small_model(canvas=canvas)
    apply(model, "total_variation_xy", {"weight": 0.05})
    assert model.phase.isfinite().all()
