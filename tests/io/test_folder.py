"""A folder with a file for each pattern."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan
from tests.io.writers import write_dm, write_mib

STACK = np.arange(12 * 4 * 8, dtype=np.uint16).reshape(12, 4, 8)


def write_npy(path: Path, pattern: np.ndarray) -> None:
    np.save(path, pattern)


def write_tif(path: Path, pattern: np.ndarray) -> None:
    pytest.importorskip("tifffile").imwrite(path, pattern)


def write_dm4(path: Path, pattern: np.ndarray) -> None:
    pytest.importorskip("rsciio")
    write_dm(path, pattern.astype("<u2"), [(1, ""), (1, "")])


def write_one_mib(path: Path, pattern: np.ndarray) -> None:
    write_mib(path, pattern[None], "U16")


def fill(folder: Path, suffix: str, write: Callable[[Path, np.ndarray], None]) -> Path:
    folder.mkdir()
    for number, pattern in enumerate(STACK, 1):
        write(folder / f"scan_{number}{suffix}", pattern)
    (folder / "notes.txt").write_text("by hand")
    (folder / ".hidden.npy").write_text("")
    return folder


@pytest.mark.parametrize(
    ("suffix", "write"),
    [
        (".npy", write_npy),
        (".tif", write_tif),
        (".TIFF", write_tif),
        (".dm4", write_dm4),
        (".mib", write_one_mib),
    ],
)
def test_files_in_the_order_of_their_numbers(
    tmp_path: Path, suffix: str, write: Callable[[Path, np.ndarray], None]
) -> None:
    """Without padding, 10 would come before 2."""
    folder = fill(tmp_path / "scan", suffix, write)
    scan = open_scan(folder, scan_shape=(3, 4))
    assert (scan.format, scan.shape, scan.scan_shape) == ("folder", STACK.shape, (3, 4))
    np.testing.assert_array_equal(scan.read(0, 12), STACK)
    np.testing.assert_array_equal(scan.read(8, 11), STACK[8:11])


def test_raw_values(tmp_path: Path) -> None:
    def write(path: Path, pattern: np.ndarray) -> None:
        path.write_bytes(b"head" + pattern.astype(">u2").tobytes())

    folder = fill(tmp_path / "scan", ".raw", write)
    scan = open_scan(folder, pattern_shape=(4, 8), dtype=">u2", offset=4)
    np.testing.assert_array_equal(scan.read(1, 12), STACK[1:])
    with pytest.raises(DataError, match=r"^data\.pattern_shape: is needed: scan_1\.raw has no"):
        open_scan(folder)


def test_fields_of_raw_values_for_others(tmp_path: Path) -> None:
    folder = fill(tmp_path / "scan", ".npy", write_npy)
    with pytest.raises(DataError, match=r"^data\.gap: is 4, but has no meaning for \.npy files"):
        open_scan(folder, gap=4)


def test_a_file_that_differs(tmp_path: Path) -> None:
    folder = fill(tmp_path / "scan", ".npy", write_npy)
    np.save(folder / "scan_7.npy", np.zeros((4, 4), np.uint16))
    scan = open_scan(folder)
    message = r"^scan_7\.npy: holds \(1, 4, 4\) uint16, but scan_1\.npy \(1, 4, 8\) uint16"
    with pytest.raises(DataError, match=message):
        scan.read(0, 12)


def test_a_truncated_file(tmp_path: Path) -> None:
    folder = fill(tmp_path / "scan", ".npy", write_npy)
    path = folder / "scan_7.npy"
    path.write_bytes(path.read_bytes()[:140])
    with pytest.raises(DataError, match=r"scan_7\.npy: cannot be read as npy"):
        open_scan(folder).read(0, 12)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], r"^data\.path: .*is a folder with files of 0 kinds: none"),
        (["a.txt"], "files of 0 kinds"),
        (["a.npy", "b.tif"], r"files of 2 kinds: \.npy and \.tif"),
    ],
)
def test_no_folder_of_patterns(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path)
