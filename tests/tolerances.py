"""The one table of tolerances. A test asks it by kind of arithmetic and carries no number itself.

Use: ``torch.testing.assert_close(actual, expected, **tolerance("sum", dtype, scale=terms))``.
"""

from __future__ import annotations

import torch

__all__ = ["tolerance"]

# In units of the dtype's machine epsilon.
EPSILONS = {
    # The same operations in the same order: threads, or a gradient computed alone.
    "identical": 0,
    # One complex product. Its error is at most sqrt(5) epsilon, with or without fused
    # multiply-adds; both sides have one.
    "product": 5,
    # A sum of up to a thousand products, taken in another order or with other roundings: the
    # errors of the terms add like a random walk, sqrt(1000).
    "sum": 32,
}


def tolerance(kind: str, dtype: torch.dtype, scale: float = 1.0) -> dict[str, float]:
    """Give ``rtol`` and ``atol`` for values whose terms are about ``scale`` in size.

    Parameters
    ----------
    kind : a key of ``EPSILONS``.
    dtype : the dtype, real or complex, that the less exact side computed in.
    scale : the size of the terms. A sum may cancel, so its error is relative to them.
    """
    epsilons = EPSILONS[kind] * torch.finfo(dtype).eps
    return {"rtol": epsilons, "atol": epsilons * scale}
