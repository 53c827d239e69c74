"""The terms that a config switches on, weighted and added."""

from __future__ import annotations

import torch

from fastpty.config.solve import LossConfig
from fastpty.loss.gaussian import gaussian_loss
from fastpty.loss.sparse import sparse_loss
from fastpty.model import Model

__all__ = ["total_loss"]


def total_loss(
    config: LossConfig,
    model: Model,
    index: torch.Tensor,
    intensity: torch.Tensor,
    measured: torch.Tensor,
    mask: torch.Tensor | None,
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """(sum, weighted terms by name) for the batch ``index``."""
    gaussian = config.gaussian
    terms = {"gaussian": gaussian.weight * gaussian_loss(intensity, measured, gaussian.power, mask)}
    if config.sparse is not None:
        window = (model.probe.shape[-2], model.probe.shape[-1])
        terms["sparse"] = config.sparse.weight * sparse_loss(
            model.phase, model.corner[index], window
        )
    return torch.stack(list(terms.values())).sum(), terms
