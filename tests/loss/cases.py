"""Patterns, and every misfit to patterns beside its formula in torch's words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from fastpty.loss import gaussian_loss, pacbed_loss, poisson_loss
from fastpty.loss.misfit import FLOOR

POWERS = [0.2, 0.5, 1.0]
MASK = torch.tensor(np.random.default_rng(1).random((4, 5)) < 0.7)
Mask = torch.Tensor | None


def patterns(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, ...]:
    """Simulated and measured [3, 4, 5], some pixels of each without intensity."""
    rng = np.random.default_rng(seed)
    simulated, measured = rng.gamma(0.5, 0.3, (2, 3, 4, 5))
    measured[0, 1] = 0
    simulated[1, :, 2] = 0
    return torch.from_numpy(simulated).to(dtype), torch.from_numpy(measured).to(dtype)


def good(values: torch.Tensor, mask: Mask) -> torch.Tensor:
    """The values of the good pixels, in one row."""
    return values.flatten() if mask is None else values[:, mask].flatten()


def gaussian(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float,
    mask: Mask = None,
    *,
    eps: float = FLOOR,
    form: str = "rms",
) -> torch.Tensor:
    """sqrt(<(I^p - M^p)^2>) / <M^p>, or sqrt(<(I^p - M^p)^2> / <M^p>)."""
    misfit = good((intensity + eps) ** power - measured**power, mask)
    mean = good(measured**power, mask).mean()
    square = misfit.square().mean()
    return square.sqrt() / mean if form == "rms" else (square / mean).sqrt()


def poisson(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float,
    mask: Mask = None,
    *,
    eps: float = 1e-6,
) -> torch.Tensor:
    """-<M^p log(I^p + eps) - I^p> / <M^p>."""
    simulated, target = (intensity + FLOOR) ** power, measured**power
    terms = target * (simulated + eps).log() - simulated
    return -good(terms, mask).mean() / good(target, mask).mean()


def pacbed(
    intensity: torch.Tensor,
    measured: torch.Tensor,
    power: float,
    mask: Mask = None,
    *,
    eps: float = FLOOR,
) -> torch.Tensor:
    """sqrt(<(mean_B(I)^p - mean_B(M)^p)^2>) / <M^p>."""
    simulated, target = ((i.mean(0, keepdim=True)) for i in (intensity + eps, measured))
    square = good(simulated**power - target**power, mask).square().mean()
    return square.sqrt() / good(measured**power, mask).mean()


@dataclass(frozen=True)
class Case:
    """A loss and its formula; both take intensity, measured, power, mask."""

    loss: Callable[..., torch.Tensor]
    formula: Callable[..., torch.Tensor]


def _case(loss: Any, formula: Any, **settings: Any) -> Case:
    return Case(partial(loss, **settings), partial(formula, **settings))


CASES = {
    "gaussian": _case(gaussian_loss, gaussian),
    "gaussian, ratio": _case(gaussian_loss, gaussian, form="ratio"),
    "gaussian, eps": _case(gaussian_loss, gaussian, eps=1e-3),
    "poisson": _case(poisson_loss, poisson),
    "poisson, eps": _case(poisson_loss, poisson, eps=1e-3),
    "pacbed": _case(pacbed_loss, pacbed),
    "pacbed, eps": _case(pacbed_loss, pacbed, eps=1e-3),
}
