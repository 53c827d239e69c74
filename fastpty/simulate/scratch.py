"""Patterns on the disk while they are being computed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from fastpty.errors import OutputError

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
        self._file = tempfile.TemporaryFile(dir=output.parent, buffering=0)  # noqa: SIM115
        try:
            # Not on macOS: there, as in any sparse file, the room is taken when it is written.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, need)
            else:
                self._file.truncate(need)
        except OSError as error:
            self._file.close()
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
        content, done = values.data.cast("B"), 0
        while done < len(content):
            place = start * self._bytes + done
            done += os.preadv(self._file.fileno(), [content[done:]], place)
        return values

    def __setitem__(self, part: slice, values: NDArray[np.float32]) -> None:
        start = part.indices(self._count)[0]
        content, done = np.ascontiguousarray(values).data.cast("B"), 0
        while done < len(content):
            place = start * self._bytes + done
            done += os.pwrite(self._file.fileno(), content[done:], place)

    def release(self) -> None:
        """Give back the room reserved for the result, which is about to be written."""
        self._file.truncate(self._count * self._bytes)
