"""The similarity of object modes against patches cut out one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from fastpty.loss import similarity_loss
from fastpty.loss.similarity import similarity_reach
from tests.loss.test_sparse import some_corners
from tests.tolerances import tolerance

SHAPE, WINDOW = (3, 4, 11, 9), (4, 5)
CORNER = some_corners(5, WINDOW, SHAPE[-2:], 0)
OCCUPANCY = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)


def some_object(
    shape: tuple[int, ...] = SHAPE, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, ...]:
    """Amplitude and phase."""
    generator = torch.Generator().manual_seed(0)
    amplitude, phase = torch.randn(2, *shape, dtype=dtype, generator=generator)
    return (1 + 0.1 * amplitude).requires_grad_(), phase.requires_grad_()


def blurred(volume: torch.Tensor, std: float) -> torch.Tensor:
    """By scipy, along y and x; its "reflect" mirrors between the edge pixel and what follows."""
    for axis, letters in ((-2, "ij,nzjx->nzix"), (-1, "ij,nzyj->nzyi")):
        identity = np.eye(volume.shape[axis])
        matrix = gaussian_filter1d(identity, std, axis=0, mode="reflect", radius=2)
        volume = torch.einsum(letters, torch.from_numpy(matrix).to(volume.dtype), volume)
    return volume


def in_blocks(volume: torch.Tensor, blocks: tuple[int, int, int]) -> torch.Tensor:
    """Block by block; the last ones may be smaller."""
    result = torch.empty_like(volume)
    bz, by, bx = blocks
    _, nz, ny, nx = volume.shape
    for z in range(0, nz, bz):
        for y in range(0, ny, by):
            for x in range(0, nx, bx):
                block = (..., slice(z, z + bz), slice(y, y + by), slice(x, x + bx))
                result[block] = volume[block].mean((-3, -2, -1), keepdim=True)
    return result


def average_over_patches(
    amplitude: torch.Tensor,
    phase: torch.Tensor,
    *,
    parts: str = "both",
    blur: float = 1.0,
    blocks: tuple[int, int, int] = (1, 1, 1),
    occupancy: torch.Tensor | None = None,
) -> torch.Tensor:
    loss = torch.zeros((), dtype=amplitude.dtype)
    for name, volume in (("amplitude", amplitude), ("phase", phase)):
        if parts not in (name, "both"):
            continue
        smooth = in_blocks(blurred(volume, blur) if blur else volume, blocks)
        if occupancy is not None:
            smooth = smooth * occupancy[:, None, None, None]
        patches = torch.stack(
            [smooth[..., y : y + WINDOW[0], x : x + WINDOW[1]] for y, x in CORNER.tolist()]
        )
        loss = loss + patches.std(1).mean()
    return loss


@pytest.mark.parametrize(
    "settings",
    [
        {"blur": 0.0},
        {"blur": 0.0, "occupancy": OCCUPANCY},
        {},
        {"parts": "amplitude"},
        {"parts": "phase"},
        {"blur": 0.6, "occupancy": OCCUPANCY},
        {"blur": 0.0, "blocks": (2, 3, 2)},
        {"blocks": (3, 2, 5), "occupancy": OCCUPANCY},
        {"blocks": (9, 20, 20)},
    ],
    ids=str,
)
def test_value_and_gradient(settings: dict[str, Any]) -> None:
    inputs = some_object()
    actual = similarity_loss(*inputs, CORNER, WINDOW, **settings)
    expected = average_over_patches(*inputs, **settings)
    torch.testing.assert_close(actual, expected, **tolerance("sum", torch.float64))
    found = torch.autograd.grad(actual, inputs, allow_unused=True)
    gradients = torch.autograd.grad(expected, inputs, allow_unused=True)
    for one, other in zip(found, gradients, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, **tolerance("sum", torch.float64))


def test_the_gradient_is_the_slope() -> None:
    inputs = some_object((2, 2, 5, 6))
    corner = torch.tensor([[0, 0], [1, 1]])
    assert torch.autograd.gradcheck(
        lambda a, p: similarity_loss(a, p, corner, WINDOW, blocks=(1, 2, 2)), inputs
    )


def test_single_precision() -> None:
    inputs = some_object(dtype=torch.float32)
    loss = similarity_loss(*inputs, CORNER, WINDOW)
    wide = [tensor.detach().double().requires_grad_() for tensor in inputs]
    expected = similarity_loss(*wide, CORNER, WINDOW)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss.double(), expected, **tolerance("sum", torch.float32))
    for one, other in zip(
        torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, wide), strict=True
    ):
        torch.testing.assert_close(one.double(), other, **tolerance("sum", torch.float32))


@pytest.mark.parametrize("settings", [{}, {"blocks": (2, 2, 2)}, {"blur": 0.0}], ids=str)
@pytest.mark.parametrize("modes", [1, 3])
def test_modes_that_are_equal(modes: int, settings: dict[str, Any]) -> None:
    """No deviation, and no direction that would reduce it: of one mode, or at the start."""
    single = [tensor[:1].detach().float() for tensor in some_object()]
    inputs = [tensor.expand(modes, -1, -1, -1).clone().requires_grad_() for tensor in single]
    loss = similarity_loss(*inputs, CORNER, WINDOW, **settings)
    if modes == 1:
        assert loss == 0
    assert float(loss.detach()) <= tolerance("sum", torch.float32)["atol"]
    for gradient in torch.autograd.grad(loss, inputs):
        if modes == 1:
            assert not gradient.any()
        assert torch.isfinite(gradient).all()


def test_nothing_waits_for_the_device() -> None:
    """On torch's device without values, whatever needs one on the host raises."""
    inputs = [tensor.detach().to("meta").requires_grad_() for tensor in some_object()]
    loss = similarity_loss(
        *inputs,
        CORNER.to("meta"),
        WINDOW,
        blocks=(2, 2, 3),
        occupancy=OCCUPANCY.to("meta"),
    )
    loss.backward()
    assert all(tensor.grad.is_meta for tensor in inputs)


@pytest.mark.parametrize("blur", [0.0, 1.0])
@pytest.mark.parametrize("blocks", [(1, 1, 1), (2, 3, 4)])
def test_how_far_beyond_a_window_it_reaches(blur: float, blocks: tuple[int, int, int]) -> None:
    """The gradient, which goes where the loss looks, and no window lies worse to the blocks."""
    reach = similarity_reach(blur, blocks)
    found = [0, 0]
    for at in range(6, 12):
        amplitude, phase = some_object((2, 2, 24, 24))
        similarity_loss(
            amplitude, phase, torch.tensor([[at, at]]), (5, 5), blur=blur, blocks=blocks
        ).backward()
        assert phase.grad is not None
        for axis in (0, 1):
            lit = phase.grad.abs().sum((0, 1, 3 - axis)).nonzero()
            beyond = max(at - int(lit.min()), int(lit.max()) - (at + 4))
            found[axis] = max(found[axis], beyond)
    assert tuple(found) == reach
