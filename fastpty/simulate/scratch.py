"""Patterns on the disk while they are being computed."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import OutputError
from fastpty.scratch import ScratchFile

__all__ = ["Scratch"]


class Scratch:
    """Float32 patterns [P, N, N], zero at first, that are read and written by slices of P.

    They lie in a file without a name, which is gone when the program ends, however it ends. All
    its room is reserved at the start, and with it the room that the result may need: a disk that
    is too small is found before the calculation. Several threads may use different patterns.

    Parameters
    ----------
    output : the result; the file lies in the same folder.
    count, pixels : P and N.
    reserve : bytes for the result, until :meth:`release`.

    Raises
    ------
    OutputError : there is not enough room.
    """

    def __init__(self, output: Path, count: int, pixels: int, reserve: int) -> None:
        self._count, self._pixels = count, pixels
        self._bytes = 4 * pixels**2
        need = count * self._bytes + reserve
        try:
            self._file = ScratchFile(output.parent, need)
        except OSError as error:
            raise OutputError(
                str(output),
                f"the disk has no room for {need / 2**30:.3g} GiB, the patterns before and after "
                f"counting ({error}).",
                "Make room, or choose another with -o.",
            ) from error

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._file.close()

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, part: slice) -> NDArray[np.float32]:
        start, stop, _ = part.indices(self._count)
        values = np.empty((stop - start, self._pixels, self._pixels), np.float32)
        self._file.read(start * self._bytes, values.data.cast("B"))
        return values

    def __setitem__(self, part: slice, values: NDArray[np.float32]) -> None:
        start = part.indices(self._count)[0]
        self._file.write(start * self._bytes, np.ascontiguousarray(values).data.cast("B"))

    def release(self) -> None:
        """Give back the room reserved for the result, which is about to be written."""
        self._file.truncate(self._count * self._bytes)
