"""A recorded scan, as a reader hands it over: described at once, read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RawScan"]


@dataclass
class RawScan:
    """Patterns in a file.

    Parameters
    ----------
    source : the file and the place in it, for messages.
    shape : (N, Ny, Nx).
    dtype : as recorded.
    read : ``read(start, stop)`` gives patterns [stop - start, Ny, Nx] in scan order.
    scan_shape : (slow, fast) where the file knows it.
    metadata : what else the file says (``energy_kv`` kV, ``pixel_size_A`` Angstrom, ...).
    """

    source: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[int, int], NDArray[Any]]
    scan_shape: tuple[int, int] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def pieces(self, megabytes: float = 64.0) -> Iterator[tuple[int, NDArray[Any]]]:
        """(start, patterns) piece by piece, each of about this size."""
        count, ny, nx = self.shape
        step = max(1, int(megabytes * 2**20 / (ny * nx * self.dtype.itemsize)))
        for start in range(0, count, step):
            yield start, self.read(start, min(start + step, count))
