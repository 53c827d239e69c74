"""Every constraint by its name in the config, in the order in which they act."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from fastpty.config.solve import ConstraintConfig, ConstraintsConfig
from fastpty.constraints.obj import amplitude_clamp, blur_xy, blur_z, positive_phase
from fastpty.constraints.positions import recentre_positions
from fastpty.constraints.probe import orthogonal_modes, probe_power
from fastpty.model import Model

__all__ = ["CONSTRAINTS", "apply_constraints"]

CONSTRAINTS: dict[str, Callable[[Model, Any], None]] = {
    "orthogonal_modes": orthogonal_modes,
    "probe_power": probe_power,
    "blur_xy": blur_xy,
    "blur_z": blur_z,
    "amplitude_clamp": amplitude_clamp,
    "positive_phase": positive_phase,
    "recentre_positions": recentre_positions,
}


def _acts(config: ConstraintConfig, iteration: int) -> bool:
    if iteration < config.start or (config.stop is not None and iteration > config.stop):
        return False
    return (iteration - config.start) % config.every == 0


@torch.no_grad()
def apply_constraints(model: Model, config: ConstraintsConfig, iteration: int) -> None:
    """Apply, in place, those that are on and due after this iteration (counted from 1)."""
    for name, constraint in CONSTRAINTS.items():
        section: ConstraintConfig | None = getattr(config, name)
        if section is not None and _acts(section, iteration):
            constraint(model, section)
