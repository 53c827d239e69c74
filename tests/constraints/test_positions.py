"""What belongs to each scan position: place and tilt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from tests.constraints.small_model import apply, small_model
from tests.tolerances import tolerance


def test_recentre_positions() -> None:
    model = small_model()
    before = model.displacement
    apply(model, "recentre_positions")
    after = model.displacement
    assert np.abs(before.mean(axis=0)).max() > 0.01
    np.testing.assert_allclose(after.mean(axis=0), 0, atol=1e-7)
    np.testing.assert_allclose(after, before - before.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(model.corner.numpy(), model.positions_start)


def test_recentre_positions_counts_the_pixels_of_the_corners() -> None:
    """A window chosen anew has moved by a whole pixel that its shift does not show."""
    model = small_model()
    model.corner += 1
    apply(model, "recentre_positions")
    np.testing.assert_allclose(model.displacement.mean(axis=0), 0, atol=1e-6)


@pytest.mark.parametrize("grid", [(4, 5), (1, 20), (20, 1)])
@pytest.mark.parametrize("std", [0.5, 2.0])
def test_smooth_tilt(grid: tuple[int, int], std: float) -> None:
    model = small_model()
    model.scan_shape = grid
    tilt = torch.randn(20, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    model.tilt = tilt.clone()
    apply(model, "smooth_tilt", {"std": std})
    for axis in (0, 1):
        array = tilt[:, axis].reshape(grid).numpy()
        array = gaussian_filter(array, std, mode="nearest", radius=2)
        expected = torch.from_numpy(array).flatten()
        torch.testing.assert_close(model.tilt[:, axis], expected, **tolerance("sum", torch.float64))


@pytest.mark.parametrize("case", ["common", "none", "no raster"])
def test_a_tilt_that_has_no_neighbours_stays(case: str) -> None:
    model = small_model()
    if case == "no raster":
        model.scan_shape = None
    else:
        model.tilt = torch.tensor([[3.0, 4.0]]) if case == "common" else None
    before = None if model.tilt is None else model.tilt.clone()
    apply(model, "smooth_tilt")
    if before is None:
        assert model.tilt is None
    else:
        assert torch.equal(model.tilt, before)
