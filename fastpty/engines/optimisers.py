"""torch's optimisers, made for the unknowns: with what they need to run in a CUDA graph."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from fastpty.config.optimise import OptimiseConfig
from fastpty.engines.tiled_adam import TiledAdam, Tiling

__all__ = ["can_be_recorded", "make_optimiser", "set_rate", "without_device_counters"]

# Their steps ask the device for no value, and take a learning rate that lies there. torch's SGD
# and Adagrad take the rate as a number, which a graph would keep; Adafactor asks for norms.
_CAPTURABLE = frozenset(
    ("Adadelta", "Adam", "AdamW", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop")
)


def can_be_recorded(name: str) -> bool:
    """Whether a CUDA graph may hold the optimiser's step."""
    return name in _CAPTURABLE


def make_optimiser(
    config: OptimiseConfig, unknowns: Mapping[str, torch.Tensor], tiling: Tiling | None = None
) -> torch.optim.Optimizer:
    """The optimiser that a config names, with a group for each unknown, in their order.

    Parameters
    ----------
    tiling : what Adam steps by tiles.
    """
    name = config.optimiser.name
    make = getattr(torch.optim, name)
    groups: list[dict[str, Any]] = []
    state: dict[Any, Any] = {}
    for unknown, tensor in unknowns.items():
        options = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in config.options_for(unknown).items()
        }
        lr = _rate(config, name, unknown, tensor)
        groups.append({"params": [tensor], "lr": lr, **options, **_how(name, tensor)})
        # Adagrad begins its sums when it is made, and by the options of all groups alone.
        state.update(make([dict(groups[-1])], **options).state)
    optimiser: torch.optim.Optimizer = (
        make(groups) if tiling is None else TiledAdam(groups, list(unknowns), tiling)
    )
    optimiser.state.update(state)
    return optimiser


def _rate(
    config: OptimiseConfig, name: str, unknown: str, tensor: torch.Tensor
) -> float | torch.Tensor:
    """On CUDA in the device's memory, as a number would be the same in all replays of a graph."""
    rate = config.parameter(unknown).lr
    on_device = tensor.is_cuda and can_be_recorded(name)
    return torch.tensor(rate, device=tensor.device) if on_device else rate


def _how(name: str, unknown: torch.Tensor) -> dict[str, Any]:
    """One kernel, or few, read and write all that a step touches; on CUDA graphs may hold them."""
    fused = name in ("Adam", "AdamW") and torch.is_floating_point(unknown)
    if not (unknown.is_cuda and can_be_recorded(name)):
        return {"fused": True} if fused else {}
    # Every step before the first graph is one that torch warns of.
    warnings.filterwarnings("ignore", message=".* is running without CUDA graph capture")
    return {"capturable": True, "fused": True} if fused else {"capturable": True, "foreach": True}


def set_rate(group: dict[str, Any], rate: float) -> None:
    """Change a group's learning rate; one that lies on the device stays where it is, and the host
    does not wait."""
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate


def without_device_counters(name: str, state: Mapping[Any, Any]) -> dict[Any, Any]:
    """The state of an optimiser from a checkpoint, wherever that was read to: counters of steps
    are asked for by the host, but for those that can be recorded, whose place torch sees to."""
    if can_be_recorded(name):
        return dict(state)
    return {
        unknown: {
            key: value.cpu() if key == "step" and isinstance(value, torch.Tensor) else value
            for key, value in values.items()
        }
        for unknown, values in state.items()
    }
