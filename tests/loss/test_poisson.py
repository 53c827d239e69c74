"""What the Poisson loss is beside its formula: the likelihood of counts."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from fastpty.loss import poisson_loss
from tests.loss.cases import patterns
from tests.tolerances import tolerance


def test_differences_are_those_of_the_likelihood() -> None:
    """Between two simulations of the same counts, log k! cancels."""
    generator = torch.Generator().manual_seed(0)
    rates = 0.5 + 20 * torch.rand(2, 3, 4, 5, generator=generator, dtype=torch.float64)
    counts = torch.poisson(rates[0], generator=generator)
    likelihoods = [float(stats.poisson.logpmf(counts.numpy(), r.numpy()).sum()) for r in rates]
    losses = [float(poisson_loss(rate, counts, eps=1e-15)) for rate in rates]
    limit = tolerance("chain", torch.float64)["rtol"] * 1e6  # FLOOR is added to every rate
    assert losses[1] - losses[0] == pytest.approx(
        (likelihoods[0] - likelihoods[1]) / float(counts.sum()), rel=limit
    )


def test_a_perfect_fit_is_its_minimum() -> None:
    """Where there are counts; the softening of the logarithm is far below them."""
    _, measured = patterns()
    measured += 0.1
    simulated = measured.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(poisson_loss(simulated, measured, eps=1e-15), simulated)
    slope_of_one_pixel = 1 / float(measured.sum())
    assert float(gradient.abs().max()) < 1e-8 * slope_of_one_pixel
