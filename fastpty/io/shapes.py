"""What every reader of arrays does: check the shape once, read by pattern number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError

__all__ = ["RASTER", "STACK", "Layout", "layout_of"]

#: The axes of a stack and of a raster, in the order of a :class:`RawScan`.
STACK = ("n", "y", "x")
RASTER = ("slow", "fast", "y", "x")


@dataclass(frozen=True)
class Layout:
    """Where scan and pattern lie in an array.

    Parameters
    ----------
    order : the array's axis for each of ``STACK`` or ``RASTER``.
    shape : (N, Ny, Nx).
    scan_shape : (slow, fast) of a 4-D array.
    """

    order: tuple[int, ...]
    shape: tuple[int, int, int]
    scan_shape: tuple[int, int] | None

    def read(self, array: Any, start: int, stop: int) -> NDArray[Any]:
        """Patterns [stop - start, Ny, Nx] of anything that can be sliced.

        Only they are read: at most a part of a row, whole rows, and a part of another.
        """
        if self.scan_shape is None:
            return self._block(array, slice(start, stop))
        fast = self.scan_shape[1]
        first, last = -(-start // fast), stop // fast  # whole rows
        if first > last:  # within one row
            return self._row(array, last, start % fast, stop % fast)
        parts = []
        if start % fast:
            parts.append(self._row(array, first - 1, start % fast, fast))
        if last > first:
            rows: NDArray[Any] = self._block(array, slice(first, last), slice(None))
            parts.append(rows.reshape(-1, *rows.shape[2:]))
        if stop % fast:
            parts.append(self._row(array, last, 0, stop % fast))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _row(self, array: Any, row: int, start: int, stop: int) -> NDArray[Any]:
        block: NDArray[Any] = self._block(array, slice(row, row + 1), slice(start, stop))[0]
        return block

    def _block(self, array: Any, *scan: slice) -> NDArray[Any]:
        index: list[slice | int] = [slice(None)] * len(self.order)
        chunks = getattr(array, "chunks", None)
        if self.scan_shape is None and self.order[0] and chunks and chunks[self.order[0]] == 1:
            # A frame a chunk, and frames not first: HDF5 would scatter them value by value.
            whole = np.empty((scan[0].stop - scan[0].start, *self.shape[1:]), array.dtype)
            for k, frame in enumerate(range(scan[0].start, scan[0].stop)):
                index[self.order[0]] = frame
                pattern = np.asarray(array[tuple(index)])
                whole[k] = pattern if self.order[1] < self.order[2] else pattern.T
            return whole
        for axis, part in zip(self.order, scan, strict=False):
            index[axis] = part
        return np.asarray(array[tuple(index)]).transpose(self.order)


def layout_of(
    source: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    axes: tuple[str, ...] | None = None,
) -> Layout:
    """The layout of a 3-D or 4-D array.

    Parameters
    ----------
    axes : names of the array's axes, in its order; None: those of ``STACK`` or ``RASTER``.

    Raises
    ------
    DataError : another rank, an empty array, values that are no real numbers, or other axes.
    """
    if dtype.kind not in "uif":
        raise DataError("data", f"{source} holds {dtype}, but patterns are real numbers.")
    if len(shape) not in (3, 4):
        raise DataError(
            "data",
            f"{source} has shape {shape}; patterns are [N, Ny, Nx] or [slow, fast, Ny, Nx].",
            "Name another dataset with data.dataset.",
        )
    names = STACK if len(shape) == 3 else RASTER
    if axes is None:
        axes = names
    elif len(axes) != len(shape):
        raise DataError(
            "data.axes", f"names {len(axes)} axes, but {source} has {len(shape)}: {list(shape)}."
        )
    order = tuple(axes.index(name) for name in names)
    moved = tuple(shape[axis] for axis in order)
    if math.prod(moved) == 0 or min(moved[-2:]) < 2:
        raise DataError("data", f"{source} has shape {shape}, which holds no patterns.")
    stack = (math.prod(moved[:-2]), moved[-2], moved[-1])
    return Layout(order, stack, (moved[0], moved[1]) if len(moved) == 4 else None)
