"""Values without a header, as the config describes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

STACK = np.arange(6 * 3 * 5).reshape(6, 3, 5)


def write(path: Path, dtype: str, offset: int = 0, gap: int = 0, last: bool = True) -> Path:
    frames = [frame.astype(dtype).tobytes() for frame in STACK]
    content = (b"g" * gap).join(frames) + (b"g" * gap if last else b"")
    path.write_bytes(b"o" * offset + content)
    return path


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "<i4", "float32", "float64"])
@pytest.mark.parametrize(("offset", "gap", "last"), [(0, 0, True), (7, 3, True), (1, 1024, False)])
def test_any_layout(tmp_path: Path, dtype: str, offset: int, gap: int, last: bool) -> None:
    path = write(tmp_path / "scan.bin", dtype, offset, gap, last)
    options: dict[str, Any] = {"dtype": dtype, "offset": offset or None, "gap": gap or None}
    scan = open_scan(path, pattern_shape=(3, 5), **options)
    assert (scan.format, scan.shape, scan.dtype) == ("raw", STACK.shape, np.dtype(dtype))
    np.testing.assert_array_equal(scan.read(1, 5), STACK[1:5])
    np.testing.assert_array_equal(scan.read(5, 6), STACK[5:])


def test_values_are_float32_unless_said(tmp_path: Path) -> None:
    scan = open_scan(write(tmp_path / "scan.bin", "f4"), format="raw", pattern_shape=(3, 5))
    assert scan.dtype == np.float32


def test_a_raster(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.raw", "u2")
    scan = open_scan(path, pattern_shape=(3, 5), dtype="u2", scan_shape=(2, 3))
    assert scan.scan_shape == (2, 3)


def test_the_shape_is_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.raw", "u2")
    with pytest.raises(DataError, match=r"^data\.pattern_shape: is needed: scan\.raw has no head"):
        open_scan(path, dtype="u2")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"has 191 bytes, .* of 3 x 5 uint16 frames of 30 bytes: 6 frames and 11 bytes more"),
        (
            {"offset": 7, "gap": 3},
            r"of 30 bytes with 3 between them after the first 7: 5 frames and 19 bytes more",
        ),
        ({"offset": 500}, r"after the first 500: 0 frames and 0 bytes more"),
    ],
)
def test_no_whole_number_of_frames(tmp_path: Path, options: dict[str, int], message: str) -> None:
    (tmp_path / "scan.raw").write_bytes(bytes(191))
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path / "scan.raw", pattern_shape=(3, 5), dtype="u2", **options)


def test_a_cut_frame_can_be_left_out(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.raw", "u2")
    path.write_bytes(path.read_bytes()[:-1])
    scan = open_scan(path, pattern_shape=(3, 5), dtype="u2", scan_mismatch="crop")
    np.testing.assert_array_equal(scan.read(0, 5), STACK[:5])


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    path = write(tmp_path / "scan.raw", "u2")
    scan = open_scan(path, pattern_shape=(3, 5), dtype="u2")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"^scan\.raw: ends at byte 100; frame 5 ends at 180"):
        scan.read(2, 6)
