"""Room on a disk for what does not fit into memory."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["ScratchFile"]


class ScratchFile:
    """Bytes in a file without a name, which is gone when the program ends, however it ends.

    All its room is reserved at the start, so that a disk that is too small is found then. Several
    threads may read and write different places.

    Parameters
    ----------
    folder : in which it lies.
    size : bytes.

    Raises
    ------
    OSError : there is not enough room, or the folder cannot be written.
    """

    def __init__(self, folder: Path, size: int) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        try:
            # Not on macOS: there, as in any sparse file, the room is taken when it is written.
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(self._file.fileno(), 0, size)
            else:
                self._file.truncate(size)
        except OSError:
            self._file.close()
            raise

    def read(self, place: int, into: memoryview) -> None:
        """Fill bytes with those from ``place`` on."""
        done = 0
        while done < len(into):
            count = os.preadv(self._file.fileno(), [into[done:]], place + done)
            if count == 0:
                raise OSError("a scratch file has become shorter")
            done += count

    def write(self, place: int, content: memoryview) -> None:
        """Bytes, from ``place`` on."""
        done = 0
        while done < len(content):
            done += os.pwrite(self._file.fileno(), content[done:], place + done)

    def truncate(self, size: int) -> None:
        """Give back the room behind so many bytes."""
        self._file.truncate(size)

    def close(self) -> None:
        """Give back all."""
        self._file.close()
