"""A value whose gradient is found with it, in the same pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable

__all__ = ["Compute", "prepared", "total"]

# (value, its gradient in each wanted input: of the input's shape, or of one that is expanded to it)
Result = tuple[torch.Tensor, Sequence[torch.Tensor | None]]
Compute = Callable[[Sequence[bool]], Result]


def prepared(compute: Compute, *inputs: torch.Tensor) -> torch.Tensor:
    """The value of ``compute``, differentiable once in ``inputs``.

    Parameters
    ----------
    compute : takes which of the inputs want a gradient. It runs once, without autograd; the
        gradients are kept as they are, and the backward only scales them.
    """
    value: torch.Tensor = _Prepared.apply(compute, *inputs)  # type: ignore[no-untyped-call]
    return value


def total(terms: torch.Tensor) -> torch.Tensor:
    """The sum, by rows, then by columns: a sum of everything at once has other roundings for
    another number of threads."""
    return terms.sum(-1).sum(-1).sum()


class _Prepared(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, compute: Compute, *inputs: torch.Tensor) -> torch.Tensor:
        value, gradients = compute(ctx.needs_input_grad[1:])
        ctx.shapes = [tensor.shape for tensor in inputs]
        ctx.save_for_backward(*gradients)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return None, *(
            None if gradient is None else (gradient * upstream).expand(shape)
            for gradient, shape in zip(ctx.saved_tensors, ctx.shapes, strict=True)
        )
