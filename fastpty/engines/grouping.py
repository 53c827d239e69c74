"""Which positions make a batch: any, neighbours, or distant ones; another choice every time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["batch_order"]

Order = NDArray[np.int64]

# Digits of a Hilbert index along either axis: cells far smaller than any step of a scan.
_BITS = 16


def batch_order(
    grouping: str,
    positions: NDArray[np.float64],
    size: int,
    generator: np.random.Generator,
    scan_shape: tuple[int, int] | None = None,
) -> Order:
    """[N] every position once; ``size`` at a time they are the batches.

    Parameters
    ----------
    grouping : random, compact or sparse.
    positions : [N, 2] px.
    size : positions in a batch; those that are left make the last one.
    generator : decides members and order of the batches; nothing else does.
    scan_shape : (slow, fast) of a raster whose positions stand row by row.
    """
    count = len(positions)
    if grouping == "random" or size >= count:
        return generator.permutation(count)
    if grouping == "compact":
        line = _along_hilbert_curve(positions, generator)
    else:
        line = _class_by_class(positions, -(-count // size), generator, scan_shape)
    return _cut(line, size, generator)


def _cut(line: Order, size: int, generator: np.random.Generator) -> Order:
    """Pieces of a line in random order; the short one is cut out anywhere, and goes last."""
    whole, rest = divmod(len(line), size)
    before = size * int(generator.integers(whole + 1))
    short = line[before : before + rest]
    pieces = np.concatenate([line[:before], line[before + rest :]]).reshape(whole, size)
    return np.concatenate([generator.permutation(pieces).ravel(), short])


def _along_hilbert_curve(positions: NDArray[np.float64], generator: np.random.Generator) -> Order:
    """Positions as a Hilbert curve meets them, which lies differently every time."""
    angle = generator.uniform(0, 2 * np.pi)
    turned = positions @ np.array(
        [[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]
    )
    turned -= turned.min(axis=0)
    # A square that is larger than the scan, by which much the curve may be shifted.
    side = 1.5 * float(turned.max()) or 1.0
    turned += generator.uniform(0, side - turned.max(axis=0))
    cells = np.minimum((turned / side * 2**_BITS).astype(np.int64), 2**_BITS - 1)
    return np.argsort(_hilbert_index(cells), kind="stable")


def _hilbert_index(cells: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] distance along the curve of cells [N, 2] of a square of 2^16 cells each way.

    The quadrant's number is two binary digits of the index; what is in the quadrant is mirrored
    and exchanged so that the curve within it begins where the one before ends (Hilbert,
    *Math. Ann.* **38** (1891) 459).
    """
    y, x = cells[:, 0].copy(), cells[:, 1].copy()
    index = np.zeros(len(cells), np.int64)
    for bit in reversed(range(_BITS)):
        side = 1 << bit
        right, upper = (x & side) > 0, (y & side) > 0
        index += side * side * ((3 * right) ^ upper)
        x &= side - 1
        y &= side - 1
        mirrored, exchanged = right & ~upper, ~upper
        x, y = np.where(mirrored, side - 1 - x, x), np.where(mirrored, side - 1 - y, y)
        x, y = np.where(exchanged, y, x), np.where(exchanged, x, y)
    return index


def _class_by_class(
    positions: NDArray[np.float64],
    classes: int,
    generator: np.random.Generator,
    scan_shape: tuple[int, int] | None,
) -> Order:
    """Positions by their class, where a class is a coarse lattice within the fine one of the scan.

    The position in row r and column c is of the class (c + a r) mod n: with a good a, those of a
    class are as far from each other as so many can be. Classes follow each other in random order,
    each from the same edge of the scan to the opposite one, and the line begins anywhere: so where
    a piece of it holds the end of one class and the beginning of the next, these are far apart.
    """
    row, column, steps = _rows_and_columns(positions, scan_shape)
    factor = _best_factor(classes, *steps)
    if generator.integers(2):
        factor = -factor
    kind = generator.permutation(classes)[(column + factor * row) % classes]
    sweep = generator.choice([-1, 1]) * positions[:, generator.integers(2)]
    line = np.lexsort([sweep, kind])
    return np.roll(line, int(generator.integers(len(line))))


def _rows_and_columns(
    positions: NDArray[np.float64], scan_shape: tuple[int, int] | None
) -> tuple[Order, Order, tuple[float, float]]:
    """(row [N], column [N], their distances in px) of a raster, or of strips of another scan."""
    count = len(positions)
    if scan_shape is not None and math.prod(scan_shape) == count:
        row, column = np.divmod(np.arange(count), scan_shape[1])
        grid = positions.reshape(*scan_shape, 2)
        return row, column, (_mean_step(np.diff(grid, axis=0)), _mean_step(np.diff(grid, axis=1)))
    height, width = np.ptp(positions, axis=0)
    # The step d of a square raster of so many positions: (height / d + 1) (width / d + 1) = N.
    both = height + width
    step = both + math.sqrt(both**2 + 4 * (count - 1) * height * width)
    step = step / (2 * (count - 1)) or 1.0
    row = np.rint((positions[:, 0] - positions[:, 0].min()) / step).astype(np.int64)
    across = (positions[:, 1] - positions[:, 1].min()) / step
    column = np.empty(count, np.int64)
    for strip in np.unique(row):
        # Numbered, so that no two are the same, and the numbers are the places on average.
        inside = np.flatnonzero(row == strip)
        inside = inside[np.argsort(across[inside], kind="stable")]
        numbers = np.arange(len(inside))
        column[inside] = numbers + round(float((across[inside] - numbers).mean()))
    return row, column, (step, step)


def _mean_step(steps: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(steps, axis=-1).mean()) or 1.0 if steps.size else 1.0


def _best_factor(classes: int, row_step: float, column_step: float) -> int:
    """The a for which the shortest vector of the lattice {(r, c): c + a r = 0 mod n} is longest."""
    factors = np.arange(classes)
    # No lattice of n cells a point has a shortest vector beyond sqrt(2 / sqrt(3) n) cells.
    reach = math.ceil(math.sqrt(1.16 * classes * column_step / row_step))
    # r = 0: c = n.
    shortest = np.full(classes, (classes * column_step) ** 2)
    for row in range(1, reach + 1):
        residue = factors * row % classes
        column = np.minimum(residue, classes - residue)
        distance = (row * row_step) ** 2 + (column * column_step) ** 2
        np.minimum(shortest, distance, out=shortest)
    return int(np.argmax(shortest))
