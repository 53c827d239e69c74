"""Which positions of a scan a stage visits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpty.config.plan import SubsetConfig
from fastpty.errors import ConfigError

__all__ = ["Visited", "visited_positions"]


@dataclass(frozen=True)
class Visited:
    """Scan positions: their numbers [K], and (slow, fast) of the raster that they are, or None."""

    index: NDArray[np.int64]
    scan_shape: tuple[int, int] | None

    def __len__(self) -> int:
        return len(self.index)


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
