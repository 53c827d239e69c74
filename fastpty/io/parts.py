"""One scan in several files."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Parts"]


class Parts:
    """Patterns of several sources, numbered through.

    Parameters
    ----------
    counts : how many patterns each source has.
    read : ``read(part, start, stop)`` gives patterns of one source.
    """

    def __init__(
        self, counts: Sequence[int], read: Callable[[int, int, int], NDArray[Any]]
    ) -> None:
        self._starts = [0, *accumulate(counts)]
        self._read = read

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Patterns [stop - start, Ny, Nx]."""
        blocks = []
        part = bisect_right(self._starts, start) - 1
        while start < stop:
            first, end = self._starts[part : part + 2]
            upto = min(stop, end)
            if upto > start:  # a part may be empty
                blocks.append(self._read(part, start - first, upto - first))
            start, part = max(start, upto), part + 1
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
