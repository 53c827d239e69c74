"""Constraints on the scan positions."""

from __future__ import annotations

import torch

from fastpty.config.solve import ConstraintConfig
from fastpty.model import Model

__all__ = ["recentre_positions"]


def recentre_positions(model: Model, config: ConstraintConfig) -> None:
    """Remove the mean displacement: object and scan may drift together without a trace in the
    data."""
    mean = torch.as_tensor(model.displacement.mean(axis=0), dtype=model.shift.dtype)
    model.shift -= mean.to(model.shift.device)
