"""EMPAD raw files: frames of 130 x 128 float32, of which 128 rows are the pattern."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

FRAME_BYTES = 130 * 128 * 4


def write(path: Path, frames: int) -> np.ndarray:
    """The frame's number in its pattern, 1e6 in the detector's own two rows."""
    content = np.full((frames, 130, 128), 1e6, "<f4")
    content[:, :128] = np.arange(frames)[:, None, None]
    content[:, 0, 0] += 0.5  # row 0 comes first
    content.tofile(path)
    return content[:, :128]


def test_the_name_says_the_shape(tmp_path: Path) -> None:
    """x is the fast axis."""
    write(tmp_path / "scan_x3_y2.raw", 6)
    assert open_scan(tmp_path / "scan_x3_y2.raw").scan_shape == (2, 3)


def test_another_detectors_frames_are_told_how_to_be_read(tmp_path: Path) -> None:
    """Calibrated frames of the second generation have no rows of their own."""
    patterns = np.arange(3 * 128 * 128, dtype="<f4").reshape(3, 128, 128)
    patterns.tofile(tmp_path / "scan.raw")
    with pytest.raises(DataError, match=r"EMPAD2 .*data\.pattern_shape to \[128, 128\]"):
        open_scan(tmp_path / "scan.raw")
    scan = open_scan(tmp_path / "scan.raw", pattern_shape=(128, 128))
    assert (scan.format, scan.shape) == ("raw", (3, 128, 128))
    np.testing.assert_array_equal(scan.read(0, 3), patterns)


@pytest.mark.parametrize("name", ["scan_x2_y2.raw", "scan.RAW"])
def test_a_square_scan_needs_no_shape(tmp_path: Path, name: str) -> None:
    patterns = write(tmp_path / name, 4)
    scan = open_scan(tmp_path / name)
    assert (scan.shape, scan.scan_shape) == ((4, 128, 128), (2, 2))
    assert scan.metadata == {"format": "empad"}
    np.testing.assert_array_equal(scan.read(1, 3), patterns[1:3])


def test_another_scan_needs_its_shape(tmp_path: Path) -> None:
    write(tmp_path / "scan.raw", 6)
    assert open_scan(tmp_path / "scan.raw").scan_shape is None
    assert open_scan(tmp_path / "scan.raw", scan_shape=(2, 3)).scan_shape == (2, 3)


def test_a_wrong_shape(tmp_path: Path) -> None:
    write(tmp_path / "scan.raw", 4)
    with pytest.raises(
        DataError, match=r"is \[2, 3\], 6 positions, but scan\.raw holds 4 patterns"
    ):
        open_scan(tmp_path / "scan.raw", scan_shape=(2, 3))


@pytest.mark.parametrize("size", [0, 1, FRAME_BYTES - 4, FRAME_BYTES + 1, 128 * 128 * 4])
def test_no_whole_number_of_frames(tmp_path: Path, size: int) -> None:
    path = tmp_path / "scan.raw"
    path.write_bytes(bytes(size))
    with pytest.raises(DataError, match=f"has {size} bytes, no whole number of EMPAD frames"):
        open_scan(path)


def test_there_are_no_datasets(tmp_path: Path) -> None:
    write(tmp_path / "scan.raw", 1)
    with pytest.raises(DataError, match=r"^data\.dataset: is 'x', but has no meaning for an EMP"):
        open_scan(tmp_path / "scan.raw", dataset="x")


def test_the_format_can_be_forced(tmp_path: Path) -> None:
    patterns = write(tmp_path / "scan.bin", 1)
    scan = open_scan(tmp_path / "scan.bin", format="empad")
    np.testing.assert_array_equal(scan.read(0, 1), patterns)
