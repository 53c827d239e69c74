"""MATLAB: version 5 as scipy writes it, 7.3 as MATLAB lays it out; axes in MATLAB's order."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

scipy_io = pytest.importorskip("scipy.io")

STACK = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)
MATLAB = np.ascontiguousarray(np.moveaxis(STACK, 0, 2))  # size(dp) = 4 5 6


def write_73(path: Path, **variables: np.ndarray) -> Path:
    """HDF5 after a block of 512 bytes, every axis reversed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            file[name] = value.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
        file["#refs#/a"] = np.zeros((2, 2, 2))
    with path.open("r+b") as stream:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Thu Jan  1 00:00:00 2026"
        stream.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")
    return path


def write_5(path: Path, **variables: np.ndarray) -> Path:
    scipy_io.savemat(path, variables, do_compression=True)
    return path


BOTH = pytest.mark.parametrize("write", [write_5, write_73])


@BOTH
@pytest.mark.parametrize("name", ["scan.mat", "scan.h5"])
def test_a_stack(tmp_path: Path, write: object, name: str) -> None:
    path = write(tmp_path / name, dp=MATLAB, mask=np.ones((4, 5)))  # type: ignore[operator]
    with open_scan(path, axes=("y", "x", "n")) as scan:
        assert (scan.format, scan.shape, scan.dtype) == ("mat", STACK.shape, STACK.dtype)
        assert scan.dataset == "dp"
        np.testing.assert_array_equal(scan.read(2, 5), STACK[2:5])


@BOTH
def test_a_raster_that_python_saved(tmp_path: Path, write: object) -> None:
    """The usual order is the same in both versions."""
    path = write(tmp_path / "scan.mat", dp=STACK.reshape(2, 3, 4, 5))  # type: ignore[operator]
    with open_scan(path) as scan:
        assert scan.scan_shape == (2, 3)
        np.testing.assert_array_equal(scan.read(1, 6), STACK[1:])


def test_doubles_stay_doubles(tmp_path: Path) -> None:
    """MATLAB stores whole numbers of a double in fewer bytes."""
    scan = open_scan(write_5(tmp_path / "scan.mat", dp=STACK.astype(float)))
    assert scan.dtype == scan.read(0, 1).dtype == np.float64


@BOTH
@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        (None, r"^data\.dataset: scan\.mat has 2 variables that fit\..*a \[6, 4, 5\], b \[6, 4"),
        ("c", r"^data\.dataset: scan\.mat has no 'c'\. It holds: a"),
    ],
)
def test_the_choice(tmp_path: Path, write: object, dataset: str | None, message: str) -> None:
    path = write(tmp_path / "scan.mat", a=STACK, b=STACK)  # type: ignore[operator]
    with pytest.raises(DataError, match=message):
        open_scan(path, dataset=dataset)
    with open_scan(path, dataset="b") as scan:
        assert scan.shape == STACK.shape


@pytest.mark.parametrize("value", [np.zeros((2, 4, 5), bool), np.zeros((2, 4, 5), object)])
def test_what_is_no_number(tmp_path: Path, value: np.ndarray) -> None:
    path = write_5(tmp_path / "scan.mat", dp=value)
    with pytest.raises(DataError, match=r"^data: scan\.mat:dp (holds bool|is a MATLAB)"):
        open_scan(path)


def test_complex_values_show_when_they_are_read(tmp_path: Path) -> None:
    scan = open_scan(write_5(tmp_path / "scan.mat", dp=STACK * 1j))
    with pytest.raises(DataError, match=r"^data: scan\.mat:dp holds complex128"):
        scan.read(0, 1)


@BOTH
@pytest.mark.parametrize("keep", [150, 700])
def test_a_truncated_file(tmp_path: Path, write: object, keep: int) -> None:
    noise = np.random.default_rng(0).integers(0, 60000, (6, 4, 50))  # does not compress
    path = write(tmp_path / "scan.mat", dp=noise)  # type: ignore[operator]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"scan\.mat.*cannot be (read as MATLAB|opened as HDF5)"):
        open_scan(path).read(0, 1)
