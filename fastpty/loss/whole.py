"""What of a batch is here, where several processes share it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["Whole", "count_of", "mean_of", "once", "sum_of"]


@dataclass(frozen=True)
class Whole:
    """A batch of which this process has some patterns, and others the others.

    A loss takes it beside the patterns that are here; None: these are all.

    Parameters
    ----------
    index : [B] scan positions of all of it.
    add : the sum of a tensor over all processes.
    parts : how many processes there are.
    """

    index: torch.Tensor
    add: Callable[[torch.Tensor], torch.Tensor]
    parts: int


def count_of(patterns: torch.Tensor, whole: Whole | None) -> int:
    """How many patterns the batch has."""
    return len(patterns if whole is None else whole.index)


def sum_of(value: torch.Tensor, whole: Whole | None) -> torch.Tensor:
    """What the patterns of the batch add up to, of what those here do."""
    return value if whole is None else whole.add(value)


def mean_of(patterns: torch.Tensor, whole: Whole | None) -> torch.Tensor:
    """[1, Ny, Nx] the mean pattern of the batch."""
    if whole is None:
        return patterns.mean(0, keepdim=True)
    return whole.add(patterns.sum(0, keepdim=True)) / len(whole.index)


def once(term: torch.Tensor, whole: Whole | None) -> torch.Tensor:
    """A term that each process knows whole, with a gradient whose sum over them is the term's."""
    if whole is None:
        return term
    fixed = term.detach()
    return fixed + (term - fixed) / whole.parts
