"""The detector that the model sees, larger or finer than the one that was recorded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "pad_matrix", "resample_matrix"]

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Canvas:
    """pattern -> rows (factor pattern) columns^T + fill, zero frequency at N//2 on both sides.

    Parameters
    ----------
    rows, columns : [Ny', Ny], [Nx', Nx], none of them negative; None: as they are.
    factor : positive.
    fill : [Ny', Nx'] added to every pattern; None: nothing.
    measured : [Ny', Nx'], false where no recorded pixel says anything; None: true everywhere.
    """

    factor: float = 1.0
    rows: Matrix | None = None
    columns: Matrix | None = None
    fill: NDArray[np.float64] | None = None
    measured: NDArray[np.bool_] | None = None

    @property
    def changes(self) -> bool:
        """Whether a pattern comes out as another one."""
        return self.factor != 1 or any(
            part is not None for part in (self.rows, self.columns, self.fill, self.measured)
        )

    def shape(self, before: tuple[int, int]) -> tuple[int, int]:
        """(Ny', Nx') of a pattern of the shape ``before``."""
        if self.rows is None or self.columns is None:
            return before
        return len(self.rows), len(self.columns)

    def apply(self, patterns: NDArray[Any]) -> NDArray[np.float64]:
        """Patterns [..., Ny, Nx] -> [..., Ny', Nx'] in double precision."""
        values = patterns * self.factor
        if self.rows is not None and self.columns is not None:
            values = self.rows @ values @ self.columns.T
        return np.asarray(values if self.fill is None else values + self.fill, np.float64)

    def good(self, before: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
        """Good pixels [Ny', Nx']: those on which no bad pixel has an influence. None: all are."""
        if before is None or self.rows is None or self.columns is None:
            after = before
        else:
            after = self.rows @ (~before).astype(np.float64) @ self.columns.T == 0
        if after is None or self.measured is None:
            return self.measured if after is None else after
        return np.asarray(after & self.measured)

    def then(self, other: Canvas) -> Canvas:
        """Both, one after the other."""
        fill = other.fill
        if self.fill is not None:
            fill = other.apply(self.fill)
        joined = replace(
            other, factor=self.factor * other.factor, fill=fill, measured=other.good(self.measured)
        )
        if self.rows is None or self.columns is None:
            return joined
        if other.rows is None or other.columns is None:
            return replace(joined, rows=self.rows, columns=self.columns)
        return replace(joined, rows=other.rows @ self.rows, columns=other.columns @ self.columns)

    def keeps(self, dtype: np.dtype[Any]) -> bool:
        """Whether whole numbers of an unsigned type stay so: pixels are only moved and copied."""
        if dtype.kind != "u" or self.factor != 1:
            return False
        matrices = [m for m in (self.rows, self.columns) if m is not None]
        copies = all(((m == 0) | (m == 1)).all() and m.sum(axis=1).max() <= 1 for m in matrices)
        largest = float(np.iinfo(dtype).max)
        filled = self.fill is None or bool(
            (self.fill == np.rint(self.fill)).all() and self.fill.max() <= largest
        )
        return copies and filled


def pad_matrix(before: int, after: int, edge: str = "none") -> Matrix:
    """[after, before]: puts index before//2 at after//2.

    Parameters
    ----------
    edge : what goes outside: nothing, copies of the ``edge`` value, or a ``ramp`` that falls
        linearly from it, to zero at the border of the larger detector.
    """
    matrix = np.zeros((after, before))
    start = after // 2 - before // 2
    inside = np.arange(before)
    matrix[start + inside, inside] = 1
    if edge == "none":
        return matrix
    low, high = np.arange(start), np.arange(start + before, after)
    matrix[low, 0] = low / start if edge == "ramp" else 1
    matrix[high, -1] = (after - 1 - high) / len(high) if edge == "ramp" else 1
    return matrix


def resample_matrix(before: int, after: int) -> Matrix:
    """[after, before]: the share of each recorded pixel that falls into each new one.

    Pixels are boxes of evenly spread counts, before / after wide in units of the recorded ones, and
    the centre of pixel after//2 is that of before//2. Every column sums to one, so counts are kept:
    what would lie outside goes to the edge pixel.
    """
    width = before / after
    border = before // 2 + (np.arange(after + 1) - after // 2 - 0.5) * width
    border[0], border[-1] = min(border[0], -0.5), max(border[-1], before - 0.5)
    place = np.arange(before)
    overlap = np.minimum(border[1:, None], place + 0.5) - np.maximum(border[:-1, None], place - 0.5)
    return np.asarray(np.clip(overlap, 0, None))
