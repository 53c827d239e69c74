"""What the loss of the mean pattern is beside its formula: blind to the single patterns."""

from __future__ import annotations

import torch

from fastpty.loss import gaussian_loss, pacbed_loss
from tests.loss.cases import MASK, patterns
from tests.tolerances import tolerance


def test_a_single_pattern_is_its_own_mean() -> None:
    simulated, measured = (tensor[:1] for tensor in patterns())
    torch.testing.assert_close(
        pacbed_loss(simulated, measured, 0.5, MASK),
        gaussian_loss(simulated, measured, 0.5, MASK),
        **tolerance("sum", torch.float64),
    )


def test_exchanged_patterns_are_the_same() -> None:
    simulated, measured = patterns()
    torch.testing.assert_close(
        pacbed_loss(simulated[[2, 0, 1]], measured, 0.5),
        pacbed_loss(simulated, measured, 0.5),
        **tolerance("sum", torch.float64),
    )
