"""Nothing is read before it is asked for: files far larger than what may be held of them.

The files are sparse: they have a length, but take no room on the disk.
"""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fastpty.io import RawScan, open_scan
from tests.io.writers import merlin_header, write_dm

SIDE = 256
FRAME = SIDE * SIDE * 2
COUNT = 64 * 512  # 4 GiB of uint16
ALLOWED = 64 * 2**20


def extend(path: Path, size: int) -> None:
    with path.open("r+b") as stream:
        stream.truncate(size)


def raw(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    (folder / "scan.bin").touch()
    extend(folder / "scan.bin", count * FRAME)
    return folder / "scan.bin", {"pattern_shape": (SIDE, SIDE), "dtype": "uint16"}


def empad(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    (folder / "scan.raw").touch()
    extend(folder / "scan.raw", 2 * count * 130 * 128 * 4)
    return folder / "scan.raw", {}


def npy(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    path = folder / "scan.npy"
    array = np.lib.format.open_memmap(path, "w+", np.uint16, (count, SIDE, SIDE))
    del array
    return path, {}


def hdf5(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    with h5py.File(folder / "scan.h5", "w") as file:
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((count // 512, 512, SIDE, SIDE))
        h5py.h5d.create(file.id, b"data", h5py.h5t.STD_U16LE, space, creation)
    return folder / "scan.h5", {}


def mib(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    header = merlin_header(1, SIDE, SIDE, "U16")
    stride = len(header) + FRAME
    with (folder / "scan.mib").open("wb") as stream:
        stream.write(header)
        stream.seek((count - 1) * stride)
        stream.write(header)
        stream.truncate(count * stride)
    return folder / "scan.mib", {}


def dm4(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    """The header of a long file before the hole where its values would be."""
    pytest.importorskip("rsciio")

    class Long(np.ndarray):
        shape = (count, SIDE, SIDE)
        size = count * SIDE * SIDE

        def tobytes(self, *_: Any, **__: Any) -> bytes:
            return b"<values>"

    path = folder / "scan.dm4"
    write_dm(path, np.zeros(1, "<u2").view(Long), [(1, "")] * 3)
    content = path.read_bytes()
    before, _, after = content.partition(b"<values>")
    with path.open("wb") as stream:
        stream.write(before)
        stream.seek(count * FRAME, 1)
        stream.write(after)
    return path, {}


def tiff(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    tifffile = pytest.importorskip("tifffile")
    # One page is written; the description says how many follow without pages of their own.
    path = folder / "scan.tif"
    notes = f"ImageJ=1.11a\nimages={count}\nslices={count}\n"
    page = np.zeros((SIDE, SIDE), ">u2")
    tifffile.imwrite(path, page, byteorder=">", description=notes, metadata=None)
    with tifffile.TiffFile(path) as file:
        start = file.pages[0].dataoffsets[0]
    extend(path, start + count * FRAME)
    return path, {}


def ndata(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    """A stored member of a zip, with a hole for its values."""
    short = folder / "short.npy"
    npy(folder, count)[0].rename(short)
    with short.open("rb") as stream:
        header = stream.read(128)
    path = folder / "scan.ndata"
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        archive.writestr("metadata.json", "{}")
        with archive.open("data.npy", "w", force_zip64=True) as member:
            member.write(header)
            hole = count * FRAME
            archive.fp.seek(hole, 1)  # type: ignore[union-attr]
            member._file_size += hole  # type: ignore[attr-defined]
            member._compress_size += hole  # type: ignore[attr-defined]
    return path, {}


def zarr(folder: Path, count: int) -> tuple[Path, dict[str, Any]]:
    package = pytest.importorskip("zarr")
    package.open_array(
        str(folder / "scan.zarr"),
        mode="w",
        shape=(count, SIDE, SIDE),
        chunks=(32, SIDE, SIDE),
        dtype="uint16",
    )
    return folder / "scan.zarr", {}


Make = Callable[[Path, int], tuple[Path, dict[str, Any]]]
EVERY = pytest.mark.parametrize("make", [raw, empad, npy, hdf5, mib, dm4, tiff, ndata, zarr])


@EVERY
def test_a_part_of_a_scan_costs_its_own_size(tmp_path: Path, make: Make) -> None:
    path, options = make(tmp_path, COUNT)
    open_scan(path, **options).close()  # imports are not what is measured
    tracemalloc.start()
    try:
        with open_scan(path, **options) as scan:
            assert np.prod(scan.shape) * scan.dtype.itemsize > 4e9
            middle = scan.shape[0] // 2
            assert not scan.read(middle, middle + 3).any()
            for start, piece in scan.pieces(megabytes=8):
                assert piece.shape[1:] == scan.shape[1:]
                if start > middle // 40:
                    break
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < ALLOWED


STREAM = """
import sys
from pathlib import Path
from fastpty.io import open_scan
from tests.peak_memory import peak_memory
before = peak_memory()
options = {"pattern_shape": (256, 256), "dtype": "uint16"} if sys.argv[1].endswith("bin") else {}
total = 0
with open_scan(Path(sys.argv[1]), **options) as scan:
    for start, piece in scan.pieces():
        total += len(piece) + int(piece[-1].max())
    assert total == scan.shape[0], (total, scan.shape)
print(peak_memory() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sparse files, /proc")
@pytest.mark.parametrize("make", [raw, hdf5])
def test_40_gigabytes_pass_through_less_than_2(tmp_path: Path, make: Make) -> None:
    """Every pattern, in a process of its own whose peak is measured."""
    path, _ = make(tmp_path, 640 * 512)
    assert path.stat().st_size > 40e9
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2e9


def test_pieces_are_given_one_by_one() -> None:
    asked: list[tuple[int, int]] = []

    def read(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        return np.zeros((stop - start, 8, 8), np.uint8)

    scan = RawScan("s", (10, 8, 8), np.dtype("u1"), read)
    pieces = scan.pieces(megabytes=4 * 64 / 2**20)
    next(pieces)
    assert asked == [(0, 4)]
