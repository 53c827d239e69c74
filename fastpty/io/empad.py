"""EMPAD (first generation) raw files: float32 frames of 130 x 128.

The last two rows of a frame are the detector's own data, not the pattern (Tate et al., Microsc.
Microanal. 22 (2016) 237). The file has no header, so the scan's shape comes from the config, or
is a square.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fastpty.errors import DataError
from fastpty.io.rawscan import RawScan

__all__ = ["open_empad", "recognises"]

ROWS, COLUMNS = 128, 128
FRAME_ROWS = 130
FRAME_BYTES = FRAME_ROWS * COLUMNS * 4


def recognises(path: Path) -> bool:
    """True for a .raw file; whether it holds whole frames, ``open_empad`` says."""
    return path.suffix.lower() == ".raw"


def open_empad(path: Path, dataset: str | None, scan_shape: tuple[int, int] | None) -> RawScan:
    """Patterns [N, 128, 128] in counts of the detector's ADU.

    Raises
    ------
    DataError : the size is no whole number of frames, or the scan's shape is unknown or wrong.
    """
    size = path.stat().st_size
    frames, rest = divmod(size, FRAME_BYTES)
    if dataset is not None:
        raise DataError(
            "data.dataset", f"is {dataset!r}, but an EMPAD file has none.", "Remove it."
        )
    if rest or not frames:
        raise DataError(
            str(path),
            f"has {size} bytes, no whole number of EMPAD frames of {FRAME_BYTES} bytes.",
            "Is the file complete, and of the first-generation EMPAD?",
        )
    side = math.isqrt(frames)
    if scan_shape is None:
        if side * side != frames:
            raise DataError(
                "data.scan_shape",
                f"is needed: {path.name} has {frames} frames, which is no square scan.",
                "Set it to [slow, fast]; fastpty init has the option --scan-shape.",
            )
        scan_shape = (side, side)
    elif math.prod(scan_shape) != frames:
        raise DataError(
            "data.scan_shape",
            f"is {list(scan_shape)}, {math.prod(scan_shape)} positions, but {path.name} has "
            f"{frames} frames.",
        )
    data = np.memmap(path, dtype="<f4", mode="r", shape=(frames, FRAME_ROWS, COLUMNS))
    return RawScan(
        path.name,
        (frames, ROWS, COLUMNS),
        data.dtype,
        lambda start, stop: np.asarray(data[start:stop, :ROWS]),
        scan_shape,
        {"format": "empad"},
    )
