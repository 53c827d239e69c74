"""Merlin's raw frames (R64): 64-bit words in the order in which the chip gives its pixels.

A word is big-endian and its last pixel comes first, so that the bytes of each word, reversed, are
the pixels in order, little-endian: a bit (lowest first), a byte (6 bits) or two bytes (12 bits)
each. 24 bits are two frames of 12 bits, the more significant first. Four chips as 2x2 lie side by
side in a row of the file as 4, 3, 2, 1: 1 and 2 are the upper half from left to right, 3 and 4 the
lower half, turned by 180 degrees. (As LiberTEM documents and reads it,
https://libertem.github.io/LiberTEM/reference/dataset.html, module ``io.dataset.mib``.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["RAW_TYPES", "decode_raw"]

#: Type of the decoded values by bits per pixel.
RAW_TYPES = {1: "u1", 6: "u1", 12: "u2", 24: "u4"}


def decode_raw(words: NDArray[Any], shape: tuple[int, int], bits: int, chips: int) -> NDArray[Any]:
    """Patterns [n, Ny, Nx] from the words [n, K] of raw frames."""
    count = len(words)
    stream = np.ascontiguousarray(words.astype("<u8")).view(np.uint8).reshape(count, -1)
    values: NDArray[Any]
    if bits == 1:
        values = np.unpackbits(stream, axis=-1, bitorder="little")
    elif bits == 6:
        values = stream
    else:
        values = stream.view("<u2")
    if bits == 24:
        high, low = np.split(values.astype(np.uint32), 2, axis=-1)
        values = high << 12 | low
    if chips == 1:
        return values.reshape(count, *shape)
    half = shape[0] // 2
    rows = values.reshape(count, half, 4, half)
    out = np.empty((count, *shape), values.dtype)
    out[:, :half, :half] = rows[:, :, 3]
    out[:, :half, half:] = rows[:, :, 2]
    out[:, half:, :half] = rows[:, ::-1, 1, ::-1]
    out[:, half:, half:] = rows[:, ::-1, 0, ::-1]
    return out
