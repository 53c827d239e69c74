"""Names and options of the optimisers: what torch has, and what of it a fit can use."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch

from fastpty.config.messages import unknown_key

__all__ = ["OptimiserName", "option_faults", "options_of"]

OptimiserName = Literal[
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ASGD",
    "LBFGS",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
]

# Arguments of torch's that are no options: rates have fields of their own, how a step is computed
# is the engine's choice, and a misfit is not to be made larger. Nor are the bounds of L-BFGS, which
# are absolute numbers, whatever the scale of the unknowns.
_NOT_OFFERED = frozenset(
    (
        *("params", "lr", "foreach", "fused", "capturable", "differentiable", "maximize"),
        *("max_iter", "max_eval", "tolerance_grad", "tolerance_change", "line_search_fn"),
    )
)
# Options that count something.
_COUNTS = frozenset(("history_size",))


def options_of(name: str) -> dict[str, Any]:
    """Options of an optimiser and their defaults, from the signature in the torch installed.

    Raises
    ------
    ValueError : this torch is too old for the optimiser.
    """
    optimiser = getattr(torch.optim, name, None)
    if optimiser is None:
        raise ValueError(f"{name} is not in torch {torch.__version__}; update torch")
    arguments = inspect.signature(optimiser).parameters.values()
    return {a.name: a.default for a in arguments if a.name not in _NOT_OFFERED}


def option_faults(
    name: str,
    options: Mapping[str, Any],
    *,
    common: Mapping[str, Any] | None = None,
    beside: Sequence[str] = (),
) -> dict[str, str]:
    """What is wrong with each option that is at fault; {} if torch takes them all.

    Parameters
    ----------
    common : sound options, before which these go.
    beside : names that stand beside the options, to be named with them.
    """
    known = options_of(name)
    faults = {}
    for key, value in options.items():
        if key not in known:
            faults[key] = unknown_key(key, [*beside, *known])
        elif key in _COUNTS and not _is_count(value):
            faults[key] = f"must be a whole number, at least 1; found {value!r}"
        elif not _alike(value, known[key]):
            faults[key] = f"must be {_kind(known[key])}; found {value!r}"
    common = common or {}
    if faults or not options or not (refused := _refused(name, {**common, **options})):
        return faults
    # torch names no option: the one that is refused without the others, or else the first.
    alone = (key for key in options if _refused(name, {**common, key: options[key]}))
    key = next(alone, next(iter(options)))
    return {key: f"is refused by {name}: {refused}"}


def _alike(value: Any, default: Any) -> bool:
    """Whether a value may stand where torch has this default."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, tuple):
        fits = isinstance(value, list | tuple) and len(value) == len(default)
        return fits and all(map(_alike, value, default))
    if value is None:
        return default is None
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _kind(default: Any) -> str:
    if isinstance(default, bool):
        return "true or false"
    if isinstance(default, tuple):
        return f"a list like {list(default)}"
    return f"a number like {default}"


def _refused(name: str, options: Mapping[str, Any]) -> str:
    """torch's own words, if it refuses the values."""
    try:
        getattr(torch.optim, name)([torch.zeros(1, requires_grad=True)], **options)
    except (ValueError, RuntimeError) as error:
        return " ".join(str(error).split()).rstrip(".")
    return ""
