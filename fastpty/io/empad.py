"""EMPAD (first generation) raw files: float32 frames of 130 x 128.

The last two rows of a frame are the detector's own data, not the pattern (Tate et al., Microsc.
Microanal. 22 (2016) 237). The file has no header: the scan's shape is in its name, as the
microscope's software writes it (``scan_x256_y256.raw``), or is a square, or comes from the config.
"""

from __future__ import annotations

import math
import re

import numpy as np

from fastpty.io.frames import Frames, count_frames
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request

__all__ = ["open_empad"]

ROWS, COLUMNS = 128, 128
FRAME_BYTES = 130 * COLUMNS * 4
_NAME = re.compile(r"_x(\d+)_y(\d+)", re.IGNORECASE)


def open_empad(request: Request) -> RawScan:
    """Patterns [N, 128, 128] in the detector's ADU.

    Raises
    ------
    DataError : the size is no whole number of frames.
    """
    path = request.path
    count = count_frames(path, "EMPAD", FRAME_BYTES, _fix(path.stat().st_size), crop=request.crop)
    frames = Frames(path, (ROWS, COLUMNS), np.dtype("<f4"), 0, FRAME_BYTES)
    return RawScan(
        path.name,
        (count, ROWS, COLUMNS),
        frames.dtype,
        frames.read,
        metadata={"format": "empad"},
        scan_hint=_scan(path.name, count),
    )


def _scan(name: str, count: int) -> tuple[int, int] | None:
    if named := _NAME.search(name):
        slow, fast = int(named[2]), int(named[1])
        if slow and fast:
            return slow, fast
    side = math.isqrt(count)
    return (side, side) if side * side == count else None


def _fix(size: int) -> str:
    if size and size % (ROWS * COLUMNS * 4) == 0:
        return (
            "It would hold frames of 128 x 128 float32, as calibration programs of the EMPAD2 "
            "write them: if it does, set data.format to raw and data.pattern_shape to [128, 128]."
        )
    return (
        "Is the file complete, and of the first-generation EMPAD? Another detector's frames want "
        "data.format raw with data.pattern_shape and data.dtype."
    )
