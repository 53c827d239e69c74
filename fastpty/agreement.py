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
"""A pixel whose expected counts are below this is left out of chi-square, where a single electron
in a dark pixel would outweigh all others, and has this many in the likelihood."""


@dataclass(frozen=True)
class PatternAgreement:
    """Of some patterns with the model, over good pixels.

    Parameters
    ----------
    patterns : how many.
    r_factor : ``sum |sqrt(I_measured) - sqrt(I_simulated)| / sum sqrt(I_measured)``.
    poisson_nll : negative logarithm of the counts' probability in a pixel, its mean, in nats.
    chi_square : mean of ``(counts - expected)^2 / expected``, over pixels where
        :data:`LEAST_COUNTS` or more are expected; 1 for the true model if the recorded values are
        counts.
    """

    patterns: int
    r_factor: float
    poisson_nll: float
    chi_square: float


@torch.no_grad()
def pattern_agreement(
    model: Model, patterns: Patterns, index: NDArray[np.int64], batch: int
) -> PatternAgreement:
    """Compare the patterns ``index`` [K], ``batch`` at a time; each of several processes those that
    it has.

    All is in double precision: the terms of the likelihood nearly cancel.
    """
    # Added up on the device: the host waits for it once.
    sums = torch.zeros(5, dtype=torch.float64, device=model.probe.device)
    good = torch.ones((), dtype=torch.float64) if patterns.mask is None else patterns.mask.double()
    good = good.to(model.probe.device)
    for part in PatternSource(patterns).batches(index, batch):
        measured = patterns.counts_of(part.recorded).double().clamp_(min=0) * good
        simulated = simulate_patterns(model, part.index).double() / patterns.scale * good
        root = measured.sqrt()
        expected = simulated.clamp(min=LEAST_COUNTS)
        nats = expected - measured * expected.log() + torch.lgamma(measured + 1)
        bright = (simulated >= LEAST_COUNTS).double()
        terms = (
            (root - simulated.sqrt()).abs(),
            root,
            nats * good,
            (measured - expected).square() / expected * bright,
            bright,
        )
        sums += torch.stack([values.sum() for values in terms])
    patterns.share.processes.add(sums)
    difference, total, unlikely, deviation, bright_pixels = sums.tolist()
    pixels = math.prod(patterns.shape[1:]) if patterns.mask is None else int(good.sum())
    return PatternAgreement(
        patterns=len(index),
        r_factor=_ratio(difference, total),
        poisson_nll=unlikely / (len(index) * pixels),
        chi_square=_ratio(deviation, bright_pixels),
    )


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan
