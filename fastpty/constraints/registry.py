"""Every constraint by its name in the config, in the order in which they act."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch

from fastpty.config.constraints import (
    ConstraintConfig,
    ConstraintsConfig,
    CustomConstraintConfig,
    resolve_call,
)
from fastpty.constraints.depth import recentre_depth
from fastpty.constraints.filters import blur_xy, blur_z, lowpass_xy, missing_wedge, sparse_dct
from fastpty.constraints.leakage import remove_leakage
from fastpty.constraints.obj import (
    amplitude_clamp,
    complex_ratio,
    mirrored_amplitude,
    positive_phase,
)
from fastpty.constraints.positions import recentre_positions, smooth_tilt
from fastpty.constraints.probe import orthogonal_modes, probe_power
from fastpty.constraints.probe_masks import probe_aperture, probe_support
from fastpty.constraints.variation import total_variation_xy, total_variation_z
from fastpty.errors import ConfigError
from fastpty.model import Model

__all__ = ["ACTS_ON", "CONSTRAINTS", "apply_constraints"]

CONSTRAINTS: dict[str, Callable[[Model, Any], None]] = {
    "probe_aperture": probe_aperture,
    "probe_support": probe_support,
    "orthogonal_modes": orthogonal_modes,
    "probe_power": probe_power,
    "blur_xy": blur_xy,
    "blur_z": blur_z,
    "lowpass_xy": lowpass_xy,
    "missing_wedge": missing_wedge,
    "sparse_dct": sparse_dct,
    "total_variation_xy": total_variation_xy,
    "total_variation_z": total_variation_z,
    "remove_leakage": remove_leakage,
    "complex_ratio": complex_ratio,
    "mirrored_amplitude": mirrored_amplitude,
    "recentre_depth": recentre_depth,
    "amplitude_clamp": amplitude_clamp,
    "positive_phase": positive_phase,
    "recentre_positions": recentre_positions,
    "smooth_tilt": smooth_tilt,
}

_OBJECT = ("amplitude", "phase")

ACTS_ON: dict[str, tuple[str, ...]] = {
    "probe_aperture": ("probe",),
    "probe_support": ("probe",),
    "orthogonal_modes": ("probe",),
    "probe_power": ("probe",),
    "blur_xy": _OBJECT,
    "blur_z": _OBJECT,
    "lowpass_xy": _OBJECT,
    "missing_wedge": _OBJECT,
    "sparse_dct": _OBJECT,
    "total_variation_xy": _OBJECT,
    "total_variation_z": _OBJECT,
    "remove_leakage": (*_OBJECT, "probe"),
    "complex_ratio": _OBJECT,
    "mirrored_amplitude": ("amplitude",),
    "recentre_depth": (*_OBJECT, "probe"),
    "amplitude_clamp": ("amplitude",),
    "positive_phase": ("phase",),
    "recentre_positions": ("positions",),
    "smooth_tilt": ("tilt",),
}
"""The unknowns that each may change."""


def _acts(config: ConstraintConfig, iteration: int) -> bool:
    if iteration < config.start or (config.stop is not None and iteration > config.stop):
        return False
    return (iteration - config.start) % config.every == 0


@torch.no_grad()
def apply_constraints(
    model: Model, config: ConstraintsConfig, iteration: int
) -> dict[str, torch.Tensor]:
    """Apply, in place, those that are on and due after this iteration (counted from 1).

    Returns
    -------
    By ``<constraint>/<unknown>`` how much it changed what it acts on: |x' - x| / |x| with 2-norms,
    a scalar on the model's device.

    Raises
    ------
    ConfigError : a custom constraint has put another tensor in the place of an unknown.
    """
    changes: dict[str, torch.Tensor] = {}

    def apply(name: str, unknowns: Iterable[str], action: Callable[[], None]) -> None:
        tensors = {u: model.unknowns[u] for u in unknowns if u in model.unknowns}
        before = {unknown: tensor.clone() for unknown, tensor in tensors.items()}
        action()
        for unknown, tensor in tensors.items():
            size = before[unknown].norm()
            changes[f"{name}/{unknown}"] = before[unknown].sub_(tensor).norm() / size

    for name, constraint in CONSTRAINTS.items():
        section: ConstraintConfig | None = getattr(config, name)
        if section is not None and _acts(section, iteration):
            of = getattr(section, "of", "both")
            unknowns = ACTS_ON[name] if of == "both" else (of,)
            apply(name, unknowns, partial(constraint, model, section))
    for index, entry in enumerate(config.custom):
        if _acts(entry, iteration):
            field = f"constraints.custom.{index}.call"
            action = partial(_apply_custom, model, entry, field)
            apply(f"custom.{index}", model.unknowns, action)
    return changes


def _apply_custom(model: Model, entry: CustomConstraintConfig, field: str) -> None:
    """The optimiser holds the tensors of the unknowns: another in their place would never move."""
    before = model.unknowns
    resolve_call(entry.call)(model, **entry.options)
    after = model.unknowns
    replaced = [name for name, tensor in before.items() if after.get(name) is not tensor]
    if replaced:
        raise ConfigError(
            field,
            f"{entry.call} has put a new tensor in the place of {', '.join(replaced)}.",
            "Write into the tensor that is there, as in model.phase.copy_(...).",
        )
