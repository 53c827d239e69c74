"""The sparse loss against patches cut out one by one."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.loss import coverage, sparse_loss
from tests.tolerances import tolerance


def some_corners(
    count: int, window: tuple[int, int], canvas: tuple[int, int], seed: int
) -> torch.Tensor:
    """Corners of windows inside the canvas, the extreme ones among them."""
    generator = torch.Generator().manual_seed(seed)
    last = torch.tensor(canvas) - torch.tensor(window)
    corner = (torch.rand(count, 2, generator=generator) * (last + 1)).long()
    corner[:1] = 0
    corner[1:2] = last
    return corner


SIZES = st.integers(1, 6)


@settings(derandomize=True, max_examples=40)
@given(
    window=st.tuples(SIZES, SIZES),
    margin=st.tuples(st.integers(0, 5), st.integers(0, 5)),
    count=st.integers(0, 9),
    seed=st.integers(0, 99),
)
def test_coverage(window: tuple[int, int], margin: tuple[int, int], count: int, seed: int) -> None:
    canvas = (window[0] + margin[0], window[1] + margin[1])
    corner = some_corners(count, window, canvas, seed)
    expected = torch.zeros(canvas, dtype=torch.int64)
    for y, x in corner.tolist():
        expected[y : y + window[0], x : x + window[1]] += 1
    assert torch.equal(coverage(corner, window, canvas), expected)


def test_one_corner_many_times() -> None:
    corner = torch.tensor([[1, 2]]).expand(1000, 2)
    assert coverage(corner, (2, 2), (4, 5))[1:3, 2:4].eq(1000).all()


SHAPES = [
    ((1, 1, 9, 8), (4, 5)),
    ((2, 3, 7, 11), (3, 4)),
    ((1, 2, 4, 4), (4, 4)),
    ((1, 1, 5, 5), (1, 1)),
]
N = [1, 1.5, 2, 3]


def average_over_patches(
    phase: torch.Tensor,
    corner: torch.Tensor,
    window: tuple[int, int],
    n: float = 1,
    occupancy: torch.Tensor | None = None,
) -> torch.Tensor:
    patches = torch.stack(
        [phase[..., y : y + window[0], x : x + window[1]] for y, x in corner.tolist()]
    )
    norms = patches.abs().pow(n).mean((0, 2, 3, 4)) ** (1 / n)  # of each object mode
    return norms.sum() if occupancy is None else (occupancy * norms).sum()


def some_phase(shape: tuple[int, ...], dtype: torch.dtype = torch.float64) -> torch.Tensor:
    phase = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    phase[..., 0] = 0  # |phase| has a kink there, and torch's sign(0) = 0 on both sides
    return phase.requires_grad_()


@pytest.mark.parametrize("n", N)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("shape", "window"), SHAPES)
def test_value_and_gradient(
    shape: tuple[int, ...], window: tuple[int, int], dtype: torch.dtype, n: float
) -> None:
    phase = some_phase(shape, dtype)
    corner = some_corners(6, window, shape[-2:], 1)
    actual = sparse_loss(phase, corner, window, n)
    expected = average_over_patches(phase, corner, window, n)
    torch.testing.assert_close(actual, expected, **tolerance("sum", dtype))
    (grad_actual,) = torch.autograd.grad(actual, phase)
    (grad_expected,) = torch.autograd.grad(expected, phase)
    torch.testing.assert_close(grad_actual, grad_expected, **tolerance("sum", dtype))
    assert grad_actual.dtype == dtype


@pytest.mark.parametrize("n", N)
def test_object_modes_count_by_their_occupancy(n: float) -> None:
    phase = some_phase((3, 2, 6, 7))
    occupancy = torch.tensor([0.7, 0.0, 0.3], dtype=torch.float64)
    corner = some_corners(4, (3, 4), (6, 7), 1)
    (found,) = torch.autograd.grad(sparse_loss(phase, corner, (3, 4), n, occupancy), phase)
    expected = average_over_patches(phase, corner, (3, 4), n, occupancy)
    torch.testing.assert_close(
        sparse_loss(phase, corner, (3, 4), n, occupancy),
        expected,
        **tolerance("sum", torch.float64),
    )
    (gradient,) = torch.autograd.grad(expected, phase)
    torch.testing.assert_close(found, gradient, **tolerance("sum", torch.float64))


@pytest.mark.parametrize("n", N)
@pytest.mark.parametrize("scale", [1e-30, 1e-8, 1e8])
def test_small_and_large_phases(n: float, scale: float) -> None:
    """Their powers would leave the range of single precision; the gradient knows no scale."""
    phase = some_phase((2, 2, 6, 7), torch.float32).detach()
    phase[..., -1, -1] = 1e10  # no patch holds it
    corner = torch.tensor([[0, 0], [1, 2], [2, 1]])
    once, scaled = phase.clone().requires_grad_(), (phase * scale).requires_grad_()
    losses = [sparse_loss(p, corner, (3, 4), n) for p in (once, scaled)]
    torch.testing.assert_close(
        losses[1], losses[0] * scale, rtol=tolerance("sum", torch.float32)["rtol"], atol=0
    )
    gradients = [
        torch.autograd.grad(loss, p)[0] for loss, p in zip(losses, (once, scaled), strict=True)
    ]
    torch.testing.assert_close(*gradients, **tolerance("sum", torch.float32))


@pytest.mark.parametrize("n", N)
def test_an_empty_object(n: float) -> None:
    """At its start, where the root of the sum has an infinite slope."""
    phase = torch.zeros(1, 2, 5, 6)
    phase[..., 4, 5] = 0.1  # no patch holds it
    phase.requires_grad_()
    loss = sparse_loss(phase, torch.tensor([[0, 0]]), (3, 3), n)
    (gradient,) = torch.autograd.grad(loss, phase)
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("n", N)
def test_nothing_waits_for_the_device(n: float) -> None:
    """On torch's device without values, whatever needs one on the host raises."""
    phase = some_phase((2, 2, 6, 7)).detach().to("meta").requires_grad_()
    corner = torch.tensor([[0, 0], [1, 2]], device="meta")
    occupancy = torch.ones(2, dtype=torch.float64, device="meta")
    sparse_loss(phase, corner, (3, 4), n, occupancy).backward()
    assert phase.grad.is_meta
