"""Which patterns of a stack belong to which position of a raster."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import DataError
from fastpty.io.rawscan import RawScan
from fastpty.io.request import Request

__all__ = ["with_raster"]


def with_raster(scan: RawScan, request: Request) -> RawScan:
    """The scan without the patterns that belong to no position, and with its shape.

    A stack is ``skip`` patterns, then rows of ``fast`` patterns, each followed by ``flyback``
    patterns; those after the last row may be missing.

    Raises
    ------
    DataError : the patterns do not fill the shape, or a field that has no meaning here.
    """
    if scan.scan_shape is not None:
        return _check_array(scan, scan.scan_shape, request)
    skip, flyback = request.skip or 0, request.flyback or 0
    count = scan.shape[0] - skip
    if count < 1:
        raise DataError(
            "data.skip", f"is {skip}, but {scan.source} holds {scan.shape[0]} patterns."
        )
    wanted = request.scan_shape or scan.scan_hint
    if wanted is None:
        if flyback:
            raise DataError(
                "data.scan_shape", "is needed to tell rows from flyback.", "Set it to [slow, fast]."
            )
        return _select(scan, skip, count, count, 0, None)
    slow, fast = wanted
    period = fast + flyback
    needed = slow * period - flyback
    rows = slow
    if count not in (needed, needed + flyback):
        if not request.crop:
            raise _mismatch(scan, request, wanted, count)
        rows = min(slow, (count + flyback) // period)
        if rows < 1:
            raise DataError(
                "data.scan_shape",
                f"is {list(wanted)}, but {scan.source} holds only {count} patterns.",
                "That is not even one row.",
            )
    return _select(scan, skip, rows * fast, fast, flyback, (rows, fast))


def _check_array(scan: RawScan, found: tuple[int, int], request: Request) -> RawScan:
    if request.scan_shape is not None and request.scan_shape != found:
        raise DataError(
            "data.scan_shape",
            f"is {list(request.scan_shape)}, but {scan.source} is {list(found)}.",
            "Remove the field or correct it.",
        )
    for name in ("skip", "flyback", "scan_mismatch"):
        if name in request.given:
            raise DataError(
                f"data.{name}",
                f"has no meaning: {scan.source} is a full raster of {list(found)}.",
                "Remove it.",
            )
    return scan


def _mismatch(scan: RawScan, request: Request, wanted: tuple[int, int], count: int) -> DataError:
    fix = "Correct it, or set data.scan_mismatch to crop: whole rows are kept, the rest left out."
    places = wanted[0] * wanted[1]
    flyback = f" with {request.flyback} of flyback a row" if request.flyback else ""
    after = f" after the first {request.skip}" if request.skip else ""
    if request.scan_shape is None:
        return DataError(
            "data.scan_shape",
            f"is needed: {scan.source} says that it is a scan of {wanted[0]} x {wanted[1]}, "
            f"{places} positions{flyback}, but holds {count} patterns{after}.",
            fix.replace("Correct it", "Set it"),
        )
    return DataError(
        "data.scan_shape",
        f"is {list(wanted)}, {places} positions{flyback}, but {scan.source} holds "
        f"{count} patterns{after}.",
        fix,
    )


def _select(
    scan: RawScan, skip: int, count: int, fast: int, flyback: int, shape: tuple[int, int] | None
) -> RawScan:
    def place(index: int) -> int:
        return skip + index + index // fast * flyback

    def read(start: int, stop: int) -> NDArray[Any]:
        first = place(start)
        block = scan.read(first, place(stop - 1) + 1)
        if flyback == 0:
            return block
        inside = np.arange(start, stop)
        return np.asarray(block[inside + inside // fast * flyback + skip - first])

    if (skip, flyback, count) == (0, 0, scan.shape[0]):
        return replace(scan, scan_shape=shape)
    return replace(scan, scan_shape=shape, shape=(count, *scan.shape[1:]), read=read)
