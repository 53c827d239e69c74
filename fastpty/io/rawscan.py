"""A recorded scan, as a reader hands it over: described at once, read in pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RawScan"]


@dataclass
class RawScan:
    """Patterns in a file, which stays open until :meth:`close` or the end of a ``with`` block.

    Parameters
    ----------
    source : the file and the place in it, for messages.
    shape : (N, Ny, Nx).
    dtype : as recorded.
    read : ``read(start, stop)`` gives patterns [stop - start, Ny, Nx] in scan order.
    scan_shape : (slow, fast) where the file knows it.
    metadata : what else the file says (``energy_kv`` kV, ``pixel_size_A`` Angstrom, ...).
    dataset : the place in the file, None where it holds one array.
    release : closes the file.
    mask : [Ny, Nx], true where a pixel is good, from the detector's own list; None: no list.
    scan_hint : (slow, fast) that a stack's header or name suggests; the config may say otherwise.
    format : the reader's name, a key of ``READERS``.
    """

    source: str
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    read: Callable[[int, int], NDArray[Any]]
    scan_shape: tuple[int, int] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    dataset: str | None = None
    release: Callable[[], None] | None = None
    mask: NDArray[np.bool_] | None = None
    scan_hint: tuple[int, int] | None = None
    format: str = ""

    def close(self) -> None:
        """Close the file; nothing can be read afterwards. A second call does nothing."""
        if self.release is not None:
            self.release()

    def __enter__(self) -> RawScan:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def pieces(self, megabytes: float = 64.0) -> Iterator[tuple[int, NDArray[Any]]]:
        """(start, patterns) piece by piece, each of about this size."""
        count, ny, nx = self.shape
        step = max(1, int(megabytes * 2**20 / (ny * nx * self.dtype.itemsize)))
        for start in range(0, count, step):
            yield start, self.read(start, min(start + step, count))
