"""What the Gaussian loss is beside its formula: free of the data's scale."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpty.loss import gaussian_loss
from fastpty.loss.misfit import FLOOR
from tests.loss.cases import POWERS, patterns


@settings(derandomize=True, max_examples=20)
@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_the_scale_of_the_data_does_not_matter(scale: float, seed: int) -> None:
    """Up to the floor, which is far below these intensities."""
    simulated, measured = patterns(seed)
    simulated += 1
    once = gaussian_loss(simulated, measured)
    scaled = gaussian_loss(simulated * scale, measured * scale)
    assert abs(float(scaled / once) - 1) < FLOOR / scale + 1e-9


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_perfect_fit_is_about_zero(dtype: torch.dtype, power: float) -> None:
    _, measured = patterns(dtype=dtype)
    assert 0 <= float(gaussian_loss(measured, measured, power)) <= 10 * FLOOR**power
