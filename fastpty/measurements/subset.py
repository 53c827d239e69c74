"""Which positions of a scan a stage visits, and which no stage does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fastpty.config.data import DataConfig, HalfConfig
from fastpty.config.plan import SubsetConfig
from fastpty.errors import ConfigError

__all__ = ["Visited", "visited_positions", "withheld_positions"]


@dataclass(frozen=True)
class Visited:
    """Scan positions: their numbers [K], and (slow, fast) of the raster that they are, or None;
    beside them the numbers of those that would belong to them and are left out of the fit."""

    index: NDArray[np.int64]
    scan_shape: tuple[int, int] | None
    left_out: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.index)

    def without(self, withheld: NDArray[np.bool_], name: str) -> Visited:
        """The same, less the positions that are ``withheld`` [N].

        Parameters
        ----------
        name : of the subset's field in the config, for messages.

        Raises
        ------
        ConfigError : none is left.
        """
        out = withheld[self.index]
        if not out.any():
            return self
        if out.all():
            raise ConfigError(
                name,
                f"visits {len(self)} position{'s' * (len(self) != 1)}, all of which data.leave_out "
                "or data.half leaves out.",
                "Visit more, or lower data.leave_out.",
            )
        return Visited(self.index[~out], None, self.index[out])


def visited_positions(
    subset: SubsetConfig, count: int, scan_shape: tuple[int, int] | None, field: str
) -> Visited:
    """Those of ``count`` positions that a subset names, row by row.

    ``center`` leaves as many rows before as after, or one fewer. ``sub`` takes the middle of each
    of so many equal parts: row ``floor((i + 1/2) N / n)``.

    Parameters
    ----------
    scan_shape : (slow, fast) of the raster; None for another scan.
    field : of the subset in the config, for messages.

    Raises
    ------
    ConfigError : the scan is no raster, or smaller than the subset.
    """
    if subset.full:
        return Visited(np.arange(count), scan_shape)
    if scan_shape is None or math.prod(scan_shape) != count:
        raise ConfigError(
            field,
            f"names rows and columns, but the scan is a list of {count} positions.",
            "Use scan: full, or give data.scan_shape if it is a raster.",
        )
    chosen = []
    for axis, total in enumerate(scan_shape):
        bounds = (subset.rows, subset.columns)[axis]
        if subset.center is not None:
            wanted = subset.center[axis]
            lines = np.arange(wanted) + (total - wanted) // 2
        elif subset.sub is not None:
            wanted = subset.sub[axis]
            lines = (2 * np.arange(wanted) + 1) * total // (2 * wanted)
        else:
            lines = np.arange(*(bounds or (0, total)))
            wanted = int(lines[-1]) + 1
        if wanted > total:
            raise ConfigError(
                field,
                f"asks for {wanted} {('rows', 'columns')[axis]}; the scan is {scan_shape[0]} x "
                f"{scan_shape[1]}.",
                "Ask for less.",
            )
        chosen.append(lines)
    index = (chosen[0][:, None] * scan_shape[1] + chosen[1]).ravel()
    return Visited(index, (len(chosen[0]), len(chosen[1])))


def withheld_positions(
    data: DataConfig, count: int, scan_shape: tuple[int, int] | None, seed: int
) -> NDArray[np.bool_]:
    """[N] true for positions that no stage visits: of the other half, and those left out.

    ``leave_out`` is rounded to whole positions, at least one; which ones depends on the number of
    positions and on ``seed`` alone.

    Raises
    ------
    ConfigError : a chessboard is asked for, and the scan is no raster.
    """
    withheld = np.zeros(count, bool)
    if data.leave_out > 0:
        number = max(1, round(data.leave_out * count))
        withheld[_drawn(seed, count)[:number]] = True
    if data.half is not None:
        withheld |= _second_half(data.half, count, scan_shape) != (data.half.part == 2)
    return withheld


def _drawn(seed: int, count: int) -> NDArray[np.int64]:
    """Positions in random order."""
    return np.random.default_rng([seed, count]).permutation(count)


def _second_half(
    half: HalfConfig, count: int, scan_shape: tuple[int, int] | None
) -> NDArray[np.bool_]:
    """[N] true for positions of part 2: the smaller one, if their number is odd."""
    if half.split == "random":
        second = np.zeros(count, bool)
        second[_drawn(half.seed, count)[: count // 2]] = True
        return second
    if scan_shape is None or math.prod(scan_shape) != count:
        raise ConfigError(
            "data.half.split",
            f"is chessboard, but the scan is a list of {count} positions.",
            "Use random, or give data.scan_shape if it is a raster.",
        )
    row, column = np.divmod(np.arange(count), scan_shape[1])
    return np.asarray((row + column) % 2 == 1)
