"""Adam by tiles on CUDA, its kernels emulated, against the reference."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch

from fastpty import ops, reference
from tests.adam_cases import BETAS, EPS, Fit, fit
from tests.ops.test_adam_step import SINGLE, assert_near

# Tiles cut at both edges, and a volume of a part of one.
CASES = [Fit((37, 50), steps=12), Fit((21, 34), scale=EPS, decades=1, steps=12)]


@pytest.fixture(autouse=True)
def on_cuda(emulated: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("fastpty.ops.adam_step")
    monkeypatch.setattr(module, "_core", emulated)
    monkeypatch.setattr(module, "_device_type", "cpu")


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(case: Fit, monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setenv("FASTPTY_EMULATOR_ORDER", order)
    assert_near(fit(case, ops, SINGLE, settle_every=5), fit(case, reference, settle_every=5))


def test_more_planes_than_a_block_takes() -> None:
    """Nineteen of them: two blocks that are full, and one that is not."""
    results = []
    for adam in (ops, reference):
        value = torch.zeros(19, 20, 20)
        tiles = adam.AdamTiles(value, value.clone(), value.clone(), BETAS, EPS)
        gradient = torch.arange(1.0, 20)[:, None, None].expand(19, 20, 20)
        for number, corner in enumerate(([0, 0], [12, 12], [0, 12], [0, 0]), 1):
            adam.adam_catch_up(tiles, torch.tensor([corner]), (8, 8))
            rate, step = torch.tensor(1e-3), torch.tensor(float(number))
            adam.adam_step(tiles, gradient, rate, step)
        adam.adam_settle(tiles)
        results.append((tiles.value, tiles.first, tiles.second))
    assert_near(results[0], tuple(tensor.double() for tensor in results[1]))


def test_windows_beyond_the_edge_are_cut() -> None:
    corner = torch.tensor([[-5, 30], [60, -50], [33, 38]])
    states = []
    for adam in (ops, reference):
        value = torch.zeros(1, 50, 50)
        tiles = adam.AdamTiles(value, value.clone(), value.clone(), BETAS, EPS)
        adam.adam_catch_up(tiles, corner, (10, 10), (2, 1))
        states.append(tiles.state)
    assert torch.equal(*states)
