"""Values without a header: frames of one shape and type, as the config describes them."""

from __future__ import annotations

import math

import numpy as np

from fastpty.errors import DataError
from fastpty.io.frames import Frames, count_frames
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request

__all__ = ["open_raw"]


def open_raw(request: Request) -> RawScan:
    """Patterns [N, Ny, Nx] of ``dtype``, ``offset`` bytes into the file, ``gap`` bytes apart.

    Raises
    ------
    DataError : the shape is not given, or the size is no whole number of frames.
    """
    path = request.path
    if request.pattern_shape is None:
        raise DataError(
            "data.pattern_shape",
            f"is needed: {path.name} has no header that says it.",
            "Set it to [Ny, Nx], and data.dtype, data.offset and data.gap where they are not "
            "float32, 0 and 0.",
        )
    dtype = np.dtype(request.dtype or "float32")
    offset, gap = request.offset or 0, request.gap or 0
    frame = math.prod(request.pattern_shape) * dtype.itemsize
    shape = request.pattern_shape
    count = count_frames(
        path,
        f"{shape[0]} x {shape[1]} {dtype.name}",
        frame,
        "Correct data.pattern_shape, data.dtype, data.offset or data.gap; or is the file cut?",
        offset=offset,
        gap=gap,
        crop=request.crop,
    )
    frames = Frames(path, shape, dtype, offset, frame + gap)
    return RawScan(path.name, (count, *shape), dtype, frames.read)
