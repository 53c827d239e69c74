"""The same values as they may lie in memory."""

from __future__ import annotations

import torch

__all__ = ["LAYOUTS"]


def as_slice_of_object(x: torch.Tensor) -> torch.Tensor:
    return torch.stack([torch.zeros_like(x), x, torch.zeros_like(x)], dim=-3).select(-3, 1)


def as_transposed(x: torch.Tensor) -> torch.Tensor:
    return x.mT.contiguous().mT


def as_strided_columns(x: torch.Tensor) -> torch.Tensor:
    return x.repeat_interleave(2, dim=-1)[..., ::2]


def as_conjugate_view(x: torch.Tensor) -> torch.Tensor:
    return x.conj().resolve_conj().conj()


def as_negative_view(x: torch.Tensor) -> torch.Tensor:
    return torch._neg_view(-x)


LAYOUTS = [
    as_slice_of_object,
    as_transposed,
    as_strided_columns,
    as_conjugate_view,
    as_negative_view,
]
