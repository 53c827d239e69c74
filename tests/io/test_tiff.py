"""TIFF stacks as tifffile writes them: contiguous, compressed, BigTIFF, ImageJ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan

tifffile = pytest.importorskip("tifffile")

STACK = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bigtiff": True, "byteorder": ">"},
        {"compression": "zlib"},
        {"imagej": True},
        {"compression": "zlib", "tile": (16, 16)},
        {"metadata": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["scan.tif", "scan.dat"])
def test_a_stack(tmp_path: Path, options: dict[str, Any], name: str) -> None:
    tifffile.imwrite(tmp_path / name, STACK, photometric="minisblack", **options)
    with open_scan(tmp_path / name) as scan:
        assert (scan.format, scan.shape, scan.scan_shape) == ("tiff", STACK.shape, None)
        np.testing.assert_array_equal(scan.read(1, 4), STACK[1:4])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}], ids=str)
def test_a_raster(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "scan.tif"
    tifffile.imwrite(path, STACK.reshape(2, 3, 4, 5), photometric="minisblack", **options)
    with open_scan(path) as scan:
        assert scan.scan_shape == (2, 3)
        np.testing.assert_array_equal(scan.read(2, 5), STACK[2:5])


@pytest.mark.parametrize(
    ("array", "options", "message"),
    [
        (STACK[0], {}, r"^data: scan\.tif has shape \(4, 5\); patterns are"),
        (
            np.zeros((4, 5, 3), "u1"),
            {"photometric": "rgb"},
            r"^scan\.tif: holds colours \(axes YXS\)",
        ),
    ],
)
def test_what_is_no_stack(
    tmp_path: Path, array: np.ndarray, options: dict[str, Any], message: str
) -> None:
    tifffile.imwrite(tmp_path / "scan.tif", array, **options)
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path / "scan.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("keep", [6, 200, 0.5, 0.95])
def test_a_truncated_file(tmp_path: Path, compression: str | None, keep: float) -> None:
    path = tmp_path / "scan.tif"
    noise = np.random.default_rng(0).integers(0, 60000, (6, 40, 50)).astype("u2")
    tifffile.imwrite(path, noise, photometric="minisblack", compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else int(keep)])
    with pytest.raises(
        DataError, match=r"scan\.tif.*(cannot be read as TIFF|needs \d+ bytes|that there are more)"
    ):
        open_scan(path)
