"""Frames of one size, one after another in a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError

__all__ = ["Frames", "count_frames"]


@dataclass(frozen=True)
class Frames:
    """Where the patterns of a file begin, and how they are written.

    They are read, not mapped: a mapped file counts as memory for as long as the machine has some.

    Parameters
    ----------
    shape : of a frame's values.
    offset : bytes before the first value.
    stride : bytes from frame to frame.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    stride: int

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Frames [stop - start, ...].

        Raises
        ------
        DataError : the file ends before them.
        """
        strides = np.empty(self.shape, self.dtype).strides if self.shape else ()
        size = int(np.prod(self.shape)) * self.dtype.itemsize
        wanted = (stop - start - 1) * self.stride + size
        where = self.offset + start * self.stride
        content = np.fromfile(self.path, np.uint8, wanted, offset=where)
        if len(content) < wanted:
            raise DataError(
                self.path.name,
                f"ends at byte {where + len(content)}; frame {stop - 1} ends at {where + wanted}.",
                "Has it become shorter since it was opened?",
            )
        return np.ndarray(
            (stop - start, *self.shape), self.dtype, content, 0, (self.stride, *strides)
        )


def count_frames(
    path: Path, kind: str, frame: int, fix: str, *, offset: int = 0, gap: int = 0, crop: bool
) -> int:
    """How many frames of so many bytes a file holds; the gap after the last may be missing.

    Parameters
    ----------
    kind : of the frames, for the message.
    crop : leave out a last frame that is not whole.

    Raises
    ------
    DataError : none, or no whole number of them.
    """
    size = path.stat().st_size
    frames, rest = divmod(max(0, size - offset), frame + gap)
    if gap and rest == frame:
        frames, rest = frames + 1, 0
    if frames and (rest == 0 or crop):
        return frames
    before = f" after the first {offset}" if offset else ""
    between = f" with {gap} between them" if gap else ""
    raise DataError(
        path.name,
        f"has {size} bytes, no whole number of {kind} frames of {frame} bytes{between}{before}: "
        f"{frames} frames and {rest} bytes more.",
        fix,
    )
