"""Adam by tiles against torch's Adam, which takes every step everywhere, and against its bound."""

from __future__ import annotations

import pytest
import torch

from fastpty import reference
from tests.adam_cases import BETAS, EPS, RATE, Fit, fit
from tests.tolerances import bound, tolerance

DOUBLE = torch.float64


def moved(value: torch.Tensor, case: Fit) -> torch.Tensor:
    return value - case.start()


FAR_ABOVE, FAR_BELOW = Fit(eps=1e-30), Fit(eps=1e12, rate=1e12)


@pytest.mark.parametrize("case", [FAR_ABOVE, FAR_BELOW], ids=["far above eps", "far below eps"])
@pytest.mark.parametrize("settle_every", [7, 1000])
def test_equal_to_torch_but_near_eps(case: Fit, settle_every: int) -> None:
    found = fit(case, reference, settle_every=settle_every)
    assert moved(found[0], case).abs().median() > 1e-4
    for mine, torchs in zip(found, case.torchs(), strict=True):
        torch.testing.assert_close(mine, torchs, **tolerance("chain", DOUBLE))


def test_near_eps_the_moves_agree_as_stated() -> None:
    """Every voxel's gradient within a factor of ten of eps: the least favourable case."""
    case = Fit((34, 40), scale=EPS, decades=1.0, steps=300)
    value, first, second = fit(case, reference, settle_every=50)
    expected, torchs_first, torchs_second = case.torchs()
    torch.testing.assert_close(first, torchs_first, **tolerance("chain", DOUBLE))
    torch.testing.assert_close(second, torchs_second, **tolerance("chain", DOUBLE))
    difference = moved(value, case) - moved(expected, case)
    assert difference.norm() < bound("tiles") * moved(expected, case).norm()
    # Far less than what one batch moves a voxel by.
    assert difference.abs().max() < 0.1 * RATE


@pytest.mark.parametrize("missed", [1, 2, 5, 40, 400])
@pytest.mark.parametrize("first_step", [1, 10, 1000])
def test_catching_up_is_within_its_bound(first_step: int, missed: int) -> None:
    """Never less than the steps themselves, and more by no more than the page's bound."""
    root = torch.logspace(-13, -3, 41, dtype=DOUBLE)
    value = torch.zeros(1, 41, dtype=DOUBLE)
    tiles = reference.AdamTiles(value, root[None].clone(), root[None] ** 2, BETAS, EPS)
    numbers = range(first_step, first_step + missed)
    for number in numbers:
        reference.adam_step(tiles, torch.zeros_like(value), RATE, float(number))
    reference.adam_catch_up(tiles, torch.zeros(1, 2, dtype=torch.int64), (1, 41))
    expected, scales = torch.zeros_like(root), []
    for k, number in enumerate(numbers, 1):
        a = RATE / (1 - BETAS[0] ** number) * BETAS[0] ** k
        b = (BETAS[1] ** k / (1 - BETAS[1] ** number)) ** 0.5
        expected -= a * root / (b * root + EPS)
        scales.append(b)
    r = max(scales) / min(scales)
    excess = value[0] / expected - 1
    rounding = tolerance("chain", DOUBLE)["rtol"]
    assert excess.min() > -rounding
    assert excess.max() < ((r**0.5 + r**-0.5) / 2 - 1) / 2 + rounding


def test_what_no_batch_has_touched_stays() -> None:
    value = torch.randn(2, 40, 40)
    tiles = reference.AdamTiles(
        value.clone(), torch.zeros_like(value), torch.zeros_like(value), BETAS, EPS
    )
    gradient = torch.zeros_like(value)
    gradient[:, :8, :8] = 1
    for number in range(1, 30):
        reference.adam_catch_up(tiles, torch.zeros(1, 2, dtype=torch.int64), (8, 8))
        reference.adam_step(tiles, gradient, RATE, float(number))
    reference.adam_settle(tiles)
    changed = tiles.value != value
    assert changed[:, :8, :8].all()
    assert changed.sum() == 2 * 8 * 8


def test_batches_of_one_step_are_united() -> None:
    """Caught up with once, stepped once: as one batch with all windows."""
    corner = torch.tensor([[0, 0], [30, 30], [3, 0]])
    results = []
    for groups in ([corner], corner.split(1)):
        case = Fit(size=(48, 48), steps=5)
        value = case.start()
        tiles = reference.AdamTiles(
            value, torch.zeros_like(value), torch.zeros_like(value), BETAS, EPS
        )
        for number in range(1, 6):
            for group in groups if number != 3 else [corner[:1]]:  # the others fall behind
                reference.adam_catch_up(tiles, group, (12, 12))
            reference.adam_step(tiles, torch.ones_like(value), RATE, float(number))
        results.append(tiles.value)
    assert torch.equal(*results)


def test_a_rate_of_zero_moves_the_moments_alone() -> None:
    value = torch.ones(1, 16, 16)
    tiles = reference.AdamTiles(
        value.clone(), torch.zeros_like(value), torch.zeros_like(value), BETAS, EPS
    )
    reference.adam_catch_up(tiles, torch.zeros(1, 2, dtype=torch.int64), (16, 16))
    reference.adam_step(tiles, torch.ones_like(value), 0.0, 1.0)
    assert torch.equal(tiles.value, value)
    assert (tiles.first > 0).all()
    assert (tiles.second > 0).all()
    reference.adam_settle(tiles)
    assert torch.equal(tiles.value, value)


@pytest.mark.parametrize("reach", [(0, 0), (3, 1)])
def test_reach_belongs_to_the_windows(reach: tuple[int, int]) -> None:
    tiles = reference.AdamTiles(*torch.zeros(3, 1, 64, 64), BETAS, EPS)
    reference.adam_catch_up(tiles, torch.tensor([[16, 16]]), (14, 16), reach)
    rows, columns = (tiles.state.reshape(4, 4) > 0).nonzero().unbind(1)
    reached = sorted({(int(r), int(c)) for r, c in zip(rows, columns, strict=True)})
    assert reached == (
        [(1, 1)] if reach == (0, 0) else [(r, c) for r in range(3) for c in range(3)]
    )
