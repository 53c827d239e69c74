"""The model's bookkeeping of positions: corners, shifts, the edge of the object."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fastpty.forward import simulate_patterns
from tests.recon_cases import bare_model
from tests.tolerances import tolerance


def test_positions_are_summed_in_double_precision() -> None:
    """A float32 sum would round 1000 + 0.1 to 1000.09998."""
    model = bare_model([[1000, 2000]], [[0.1, -0.3]])
    expected = np.array([[1000, 2000]]) + np.float32([[0.1, -0.3]]).astype(np.float64)
    assert model.positions.dtype == np.float64
    assert np.array_equal(model.positions, expected)


def test_displacement_is_from_the_start() -> None:
    model = bare_model([[3, 4], [5, 6]], [[0.0, 0.0], [0.25, 0.0]])
    model.shift += torch.tensor([0.5, -0.25])
    assert np.array_equal(model.displacement, [[0.5, -0.25], [0.5, -0.25]])


@pytest.mark.parametrize(
    ("shift", "corner", "rest"),
    [
        ([0.75, -0.75], [6, 4], [-0.25, 0.25]),
        ([0.5, -0.5], [5, 5], [0.5, -0.5]),  # half a pixel is as near to one as to the other
        ([2.25, 0.25], [7, 5], [0.25, 0.25]),  # several pixels at once
    ],
)
def test_a_shift_past_half_a_pixel_changes_the_corner(
    shift: list[float], corner: list[int], rest: list[float]
) -> None:
    model = bare_model([[5, 5]], [shift])
    before = model.positions
    assert model.rechoose_corners() == 0
    assert model.corner.tolist() == [corner]
    assert model.shift.tolist() == [rest]
    assert np.array_equal(model.positions, before)


def test_the_pattern_does_not_depend_on_the_choice_of_corner() -> None:
    model = bare_model([[5, 5], [6, 3]], [[0.7, -1.3], [0.1, 1.9]])
    everything = torch.arange(2)
    before = simulate_patterns(model, everything)
    model.rechoose_corners()
    assert model.shift.abs().max() <= 0.5
    scale = float(before.max())
    after = simulate_patterns(model, everything)
    torch.testing.assert_close(after, before, **tolerance("chain", torch.float32, scale=scale))


def test_positions_are_held_at_the_edge_and_counted() -> None:
    """Canvas 40 x 36, window 24 x 20: the last corner is [16, 16]."""
    model = bare_model([[0, 8], [16, 16], [8, 8]], [[-3.25, 0.0], [0.75, 2.0], [0.75, 0.0]])
    assert model.rechoose_corners() == 2
    assert model.corner.tolist() == [[0, 8], [16, 16], [9, 8]]
    assert model.shift.tolist() == [[-0.5, 0.0], [0.5, 0.5], [-0.25, 0.0]]


def test_a_position_half_a_pixel_from_the_edge_is_not_held() -> None:
    model = bare_model([[0, 16]], [[-0.25, 0.25]])
    assert model.rechoose_corners() == 0
    assert model.shift.tolist() == [[-0.25, 0.25]]


def test_unknowns_are_named_like_the_optimise_section() -> None:
    model = bare_model([[0, 0]], [[0.0, 0.0]])
    assert list(model.unknowns) == ["amplitude", "phase", "probe", "positions"]
    assert model.unknowns["positions"] is model.shift


def test_windows_that_may_be_left_further() -> None:
    """Beyond one pixel each axis goes to the nearest window, as beyond half a one otherwise."""
    model = bare_model([[5, 5], [5, 5]], [[0.9, -1.25], [1.5, 0.6]])
    positions = model.positions
    model.rechoose_corners(1.0)
    assert model.corner.tolist() == [[5, 4], [7, 5]]
    np.testing.assert_allclose(model.positions, positions, **tolerance("product", torch.float32))
    model.rechoose_corners()
    assert model.corner.tolist() == [[6, 4], [7, 6]]
