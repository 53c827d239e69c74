"""The one check of a data array's shape that every reader makes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastpty.errors import DataError

__all__ = ["scan_and_stack"]


def scan_and_stack(
    source: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    scan_shape: tuple[int, int] | None,
) -> tuple[tuple[int, int] | None, tuple[int, int, int]]:
    """((slow, fast) or None, (N, Ny, Nx)) of a 3-D or 4-D array.

    Raises
    ------
    DataError : another rank, an empty array, values that are no real numbers, or a
        ``scan_shape`` that does not match.
    """
    if dtype.kind not in "uif":
        raise DataError("data", f"{source} holds {dtype}, but patterns are real numbers.")
    if len(shape) not in (3, 4):
        raise DataError(
            "data",
            f"{source} has shape {shape}; patterns are [N, Ny, Nx] or [slow, fast, Ny, Nx].",
            "Name another dataset with data.dataset.",
        )
    if math.prod(shape) == 0 or min(shape[-2:]) < 2:
        raise DataError("data", f"{source} has shape {shape}, which holds no patterns.")
    stack = (math.prod(shape[:-2]), shape[-2], shape[-1])
    if len(shape) == 4:
        found = (shape[0], shape[1])
        if scan_shape is not None and scan_shape != found:
            raise DataError(
                "data.scan_shape",
                f"is {list(scan_shape)}, but {source} is {list(found)}.",
                "Remove the field or correct it.",
            )
        return found, stack
    if scan_shape is not None and math.prod(scan_shape) != stack[0]:
        raise DataError(
            "data.scan_shape",
            f"is {list(scan_shape)}, {math.prod(scan_shape)} positions, but {source} holds "
            f"{stack[0]} patterns.",
            "Correct it.",
        )
    return scan_shape, stack
