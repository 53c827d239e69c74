"""Adam by tiles on CUDA: against the reference, without waiting, and in a graph."""

from __future__ import annotations

import pytest
import torch

from fastpty import ops, reference
from tests.adam_cases import BETAS, EPS, Fit, fit
from tests.gpu.on_device import no_wait, recorded
from tests.ops.test_adam_step import CASES, SINGLE, assert_near

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_the_reference(device: torch.device, case: Fit) -> None:
    found = fit(case, ops, SINGLE, settle_every=25, device=device)
    assert all(tensor.device == device for tensor in found)
    expected = fit(case, reference, settle_every=25)
    assert_near(tuple(tensor.cpu() for tensor in found), expected)


class Steps:
    """The same step again and again: two windows that lie apart, in turn by a shift of the corner.

    All that it uses stays where it is.
    """

    def __init__(self, device: torch.device) -> None:
        self.value = torch.zeros(2, 50, 70, device=device)
        moments = torch.zeros_like(self.value), torch.zeros_like(self.value)
        self.tiles = ops.AdamTiles(self.value, *moments, BETAS, EPS)
        self.corner = torch.tensor([[0, 0], [0, 3]], device=device)
        self.gradient = torch.ones_like(self.value)
        self.rate = torch.full((), 1e-3, device=device)
        self.number = torch.zeros((), device=device)

    def __call__(self) -> None:
        ops.adam_catch_up(self.tiles, self.corner, (16, 16))
        self.number += 1
        ops.adam_step(self.tiles, self.gradient, self.rate, self.number)
        self.corner += 17
        self.corner %= 34


def test_nothing_waits(device: torch.device) -> None:
    step = Steps(device)
    step()
    with no_wait():
        step()
        ops.adam_settle(step.tiles)


def test_a_graph_goes_on_with_the_steps(cuda: torch.device) -> None:
    """Rate, number, windows and sums are those of the replay, not of the recording."""
    replayed, plain = Steps(cuda), Steps(cuda)
    graph, _ = recorded(replayed)  # three steps, then one that is recorded and not taken
    for _ in range(3):
        plain()
    for steps in (replayed, plain):
        steps.rate.fill_(3e-3)
    for _ in range(5):
        graph.replay()
        plain()
    for steps in (replayed, plain):
        ops.adam_settle(steps.tiles)
    assert float(replayed.number) == 8
    assert torch.equal(replayed.value, plain.value)
    assert (replayed.value != 0).any()
