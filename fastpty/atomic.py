"""Files written whole or not at all: to a temporary name beside the target, then renamed."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
def atomic_hdf5(target: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Yield an empty HDF5 file that is written to ``target`` when the block ends without an error.

    It is built in memory: HDF5 cannot close a file that the disk has no room for, and what it
    leaves open brings the interpreter down at its end. A plain write just raises ``OSError``.
    """
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.getbuffer())
