"""What every reader of arrays does: check the shape once, read by pattern number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError

__all__ = ["read_patterns", "scan_and_stack"]


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


def read_patterns(array: Any, start: int, stop: int) -> NDArray[Any]:
    """Patterns [stop - start, Ny, Nx] of an array [N, Ny, Nx] or [slow, fast, Ny, Nx].

    Only the rows of the scan that hold them are read, whatever the array's memory order.
    """
    if len(array.shape) == 3:
        return np.asarray(array[start:stop])
    fast = array.shape[1]
    rows = np.asarray(array[start // fast : -(-stop // fast)])
    first = start % fast
    return rows.reshape(-1, *rows.shape[2:])[first : first + stop - start]
