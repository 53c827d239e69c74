"""Files written whole or not at all: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

__all__ = ["atomic_hdf5", "atomic_path"]


@contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path that becomes ``target`` when the block ends without an error.

    On an error (a full disk, Ctrl-C) the temporary file is removed and an earlier ``target``
    stays as it was. The suffix is kept, for writers that choose a format by it.
    """
    target = Path(target)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}-", suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        # mkstemp makes the file private; give it the mode that a plain open() would have.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_hdf5(
    target: str | os.PathLike[str],
) -> Iterator[tuple[h5py.File, Callable[[], None]]]:
    """Yield an empty HDF5 file that becomes ``target`` when the block ends without an error, and
    a function that raises what has gone wrong with the disk so far.

    HDF5 cannot close a file that the disk has no room for, and what it leaves open brings the
    interpreter down at its end. So it writes to a file that takes everything: after the first
    error the rest is kept in memory, and the error is raised at the end of the block, or when the
    function is called, as a block that writes much does from time to time.
    """
    with atomic_path(target) as temporary, temporary.open("r+b", buffering=0) as raw:
        disk = _PatientFile(raw.fileno())
        with h5py.File(disk, "w") as file:
            yield file, disk.check
        disk.check()


class _PatientFile(io.RawIOBase):
    """A file that fails at no write: see :func:`atomic_hdf5`."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._place = 0
        self._end = 0
        self._error: BaseException | None = None
        self._late: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the first error, if there has been one."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        content = memoryview(data).cast("B")
        start, self._place = self._place, self._place + len(content)
        self._end = max(self._end, self._place)
        if self._error is None:
            try:
                done = 0
                while done < len(content):
                    done += os.pwrite(self._handle, content[done:], start + done)
            except BaseException as error:  # Ctrl-C too: this runs inside HDF5
                self._error = error
        if self._error is not None:
            self._late.append((start, bytes(content)))
        return len(content)

    def readinto(self, buffer: Any) -> int:
        content = memoryview(buffer).cast("B")
        start, stop = self._place, self._place + len(content)
        found = os.pread(self._handle, len(content), start)
        content[: len(found)] = found
        content[len(found) :] = bytes(len(content) - len(found))
        for place, late in self._late:
            first, last = max(place, start), min(place + len(late), stop)
            if first < last:
                content[first - start : last - start] = late[first - place : last - place]
        self._place = stop
        return len(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place}.get(whence, self._end)
        return self._place

    def tell(self) -> int:
        return self._place

    def truncate(self, size: int | None = None) -> int:
        self._end = self._place if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._handle, self._end)
            except BaseException as error:
                self._error = error
        return self._end
