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


def average_over_patches(
    phase: torch.Tensor, corner: torch.Tensor, window: tuple[int, int]
) -> torch.Tensor:
    patches = torch.stack(
        [phase[..., y : y + window[0], x : x + window[1]] for y, x in corner.tolist()]
    )
    return patches.abs().sum(1).mean()  # summed over object modes, mean over the rest


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    ("shape", "window"),
    [
        ((1, 1, 9, 8), (4, 5)),
        ((2, 3, 7, 11), (3, 4)),
        ((1, 2, 4, 4), (4, 4)),
        ((1, 1, 5, 5), (1, 1)),
    ],
)
def test_value_and_gradient(
    shape: tuple[int, ...], window: tuple[int, int], dtype: torch.dtype
) -> None:
    phase = torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(0))
    phase[..., 0] = 0  # |phase| has a kink there, and torch's sign(0) = 0 on both sides
    phase.requires_grad_()
    corner = some_corners(6, window, shape[-2:], 1)
    actual = sparse_loss(phase, corner, window)
    expected = average_over_patches(phase, corner, window)
    torch.testing.assert_close(actual, expected, **tolerance("sum", dtype))
    (grad_actual,) = torch.autograd.grad(actual, phase)
    (grad_expected,) = torch.autograd.grad(expected, phase)
    torch.testing.assert_close(grad_actual, grad_expected, **tolerance("sum", dtype))
    assert grad_actual.dtype == dtype
