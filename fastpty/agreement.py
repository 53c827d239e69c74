"""How well the model's patterns agree with the recorded ones: docs/metrics.md has the formulas."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from fastpty.forward import simulate_patterns
from fastpty.measurements import Patterns, PatternSource
from fastpty.model import Model

__all__ = ["LEAST_COUNTS", "PatternAgreement", "pattern_agreement"]

LEAST_COUNTS = 1e-3
"""Expected counts of a pixel below this are taken for this, where likelihood and chi-square divide
by them: a single electron in a pixel that the model leaves dark would outweigh all others."""


@dataclass(frozen=True)
class PatternAgreement:
    """Of some patterns with the model, over good pixels.

    Parameters
    ----------
    patterns : how many.
    r_factor : ``sum |sqrt(I_measured) - sqrt(I_simulated)| / sum sqrt(I_measured)``.
    poisson_nll : negative logarithm of the counts' probability in a pixel, its mean, in nats.
    chi_square : ``(counts - expected)^2 / expected``, its mean; 1 for the true model if the
        recorded values are counts.
    """

    patterns: int
    r_factor: float
    poisson_nll: float
    chi_square: float


@torch.no_grad()
def pattern_agreement(
    model: Model, patterns: Patterns, index: NDArray[np.int64], batch: int
) -> PatternAgreement:
    """Compare the patterns ``index`` [K], ``batch`` at a time.

    All is in double precision: the terms of the likelihood nearly cancel.
    """
    # Added up on the device: the host waits for it once.
    sums = torch.zeros(4, dtype=torch.float64, device=model.probe.device)
    for part in PatternSource(patterns).batches(index, batch):
        measured = patterns.counts_of(part.recorded).double().clamp_(min=0)
        simulated = simulate_patterns(model, part.index).double() / patterns.scale
        if patterns.mask is not None:  # gather no pixels: how many would have to be waited for
            measured, simulated = measured * patterns.mask, simulated * patterns.mask
        root = measured.sqrt()
        sums[0] += (root - simulated.sqrt()).abs().sum()
        sums[1] += root.sum()
        expected = simulated.clamp_(min=LEAST_COUNTS)
        unlikely = expected - measured * expected.log() + torch.lgamma(measured + 1)
        deviation = (measured - expected).square_().div_(expected)
        for number, values in ((2, unlikely), (3, deviation)):
            sums[number] += (values if patterns.mask is None else values * patterns.mask).sum()
    difference, total, unlikely_sum, chi_sum = sums.tolist()
    good = math.prod(patterns.shape[1:]) if patterns.mask is None else int(patterns.mask.sum())
    return PatternAgreement(
        patterns=len(index),
        r_factor=difference / total if total > 0 else math.nan,
        poisson_nll=unlikely_sum / (len(index) * good),
        chi_square=chi_sum / (len(index) * good),
    )
