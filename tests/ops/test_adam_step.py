"""The kernels of Adam by tiles against their reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from fastpty import ops, reference
from fastpty.ops import native
from fastpty.ops.adam_step import TILE, runs_native
from tests.adam_cases import BETAS, EPS, Fit, fit
from tests.tolerances import tolerance

SINGLE = torch.float32

needs_core = pytest.mark.skipif(not native.AVAILABLE, reason="the native core is not built")

# Tiles cut at both edges, whole ones, and a volume of a part of one.
CASES = [Fit((70, 101)), Fit((64, 96)), Fit((34, 34), scale=EPS, decades=1), Fit((21, 130))]


def assert_near(found: tuple[torch.Tensor, ...], expected: tuple[torch.Tensor, ...]) -> None:
    """Values are about 1, and moments of the size of the gradients."""
    for mine, theirs in zip(found, expected, strict=True):
        scale = float(theirs.abs().max())
        torch.testing.assert_close(mine.double(), theirs, **tolerance("sum", SINGLE, scale))


@needs_core
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(case: Fit) -> None:
    assert_near(fit(case, ops, SINGLE, settle_every=25), fit(case, reference, settle_every=25))


@needs_core
def test_variants_and_threads() -> None:
    """Every variant is right, and gives the same bits on any number of threads."""
    from fastpty import _core

    case, before = Fit(steps=20), torch.get_num_threads()
    expected = fit(case, reference)
    try:
        for variant in _core.available_simd():
            _core.set_simd(variant)
            results = []
            for threads in (1, 3):
                torch.set_num_threads(threads)
                results.append(fit(case, ops, SINGLE))
            assert_near(results[0], expected)
            assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
    finally:
        _core.set_simd(None)
        torch.set_num_threads(before)


@needs_core
def test_the_core_has_the_same_tiles() -> None:
    from fastpty import _core

    assert _core.ADAM_TILE == TILE


@needs_core
def test_windows_beyond_the_edge_are_cut() -> None:
    corner = torch.tensor([[-5, 30], [60, -50], [33, 38]])
    states = []
    for adam in (ops, reference):
        value = torch.zeros(1, 50, 50)
        tiles = adam.AdamTiles(value, value.clone(), value.clone(), BETAS, EPS)
        adam.adam_catch_up(tiles, corner, (10, 10), (2, 1))
        states.append(tiles.state)
    assert torch.equal(*states)
    assert states[0].reshape(4, 4).tolist() == [[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1], [0] * 4]


def test_double_precision_is_the_references() -> None:
    case = Fit(steps=5)
    assert not runs_native(case.start())
    for mine, theirs in zip(fit(case, ops), fit(case, reference), strict=True):
        assert torch.equal(mine, theirs)


def test_the_backend_is_obeyed() -> None:
    value = torch.zeros(1, 16, 16)
    assert runs_native(value) == native.AVAILABLE
    with ops.use_backend("reference"):
        assert not runs_native(value)


@needs_core
def test_torch_is_told_of_what_the_kernels_write() -> None:
    value = torch.ones(1, 16, 16, requires_grad=True)
    tiles = ops.AdamTiles(value, torch.zeros(1, 16, 16), torch.zeros(1, 16, 16), BETAS, EPS)
    loss = value.square().sum()
    ops.adam_catch_up(tiles, torch.tensor([[0, 0]]), (4, 4))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def call(**changed: Any) -> None:
    """A step; the arguments are those of the tiles, the batch and the step."""
    given: dict[str, Any] = {
        "value": torch.zeros(2, 20, 20),
        "corner": torch.zeros(1, 2, dtype=torch.int64),
        "window": (8, 8),
        "gradient": torch.zeros(2, 20, 20),
    } | changed
    value = given["value"]
    moments = torch.zeros_like(value), torch.zeros_like(value)
    tiles = ops.AdamTiles(value, *moments, BETAS, EPS)
    ops.adam_catch_up(tiles, given["corner"], given["window"])
    ops.adam_step(tiles, given["gradient"], 1e-3, torch.ones(()))


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"corner": torch.zeros(1, 2)}, TypeError, "corner: must be int64, found float32"),
        (
            {"corner": torch.zeros(2, dtype=torch.int64)},
            ValueError,
            r"corner: must have the shape \[B, 2\], found 1 axes",
        ),
        (
            {"gradient": torch.zeros(2, 20, 20, dtype=torch.float64)},
            TypeError,
            "gradient: must be float32, found float64",
        ),
        (
            {"gradient": torch.zeros(2, 20, 21)},
            ValueError,
            r"gradient: must have the value's shape \[2, 20, 20\], found \[2, 20, 21\]",
        ),
        (
            {"gradient": torch.zeros(2, 20, 20, device="meta")},
            ValueError,
            "gradient: must be on the device of value, cpu, found meta",
        ),
        pytest.param(
            {"value": torch.zeros(2, 20, 20).mT},
            ValueError,
            r"value: must be contiguous, found strides \(400, 1, 20\)",
            marks=needs_core,
        ),
        pytest.param(
            {"window": (0, 8)},
            ValueError,
            r"window\[0\]: must be from 1 to 2147483647, found 0",
            marks=needs_core,
        ),
    ],
)
def test_refusals(changed: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(**changed)
