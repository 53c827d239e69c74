"""Merlin files: every type of pixel, one chip and four, sequences, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fastpty.errors import DataError
from fastpty.io import open_scan
from tests.io.writers import merlin_header, quad_rows, raw_bytes, write_mib

RNG = np.random.default_rng(1)
PATTERNS = RNG.integers(0, 200, (6, 5, 7))
HDR = "HDR,\t\nFrames in Acquisition (Number):\t6\nFrames per Trigger (Number):\t3\nEnd\t\n"


@pytest.mark.parametrize(("kind", "dtype"), [("U08", "u1"), ("U16", ">u2"), ("U32", ">u4")])
@pytest.mark.parametrize("name", ["scan.mib", "scan.dat"])
def test_pixels(tmp_path: Path, kind: str, dtype: str, name: str) -> None:
    path = write_mib(tmp_path / name, PATTERNS, kind, bits=12)
    scan = open_scan(path)
    assert (scan.format, scan.shape, scan.scan_shape) == ("mib", PATTERNS.shape, None)
    assert scan.dtype == np.dtype(dtype)
    assert scan.metadata == {"detector": "Merlin", "bit_depth": 12, "exposure_ms": 0.5}
    np.testing.assert_array_equal(scan.read(1, 4), PATTERNS[1:4])


def test_four_chips_in_pixels_are_one_pattern(tmp_path: Path) -> None:
    header = {"chips": 4, "layout": "  2x2G", "size": 768}
    scan = open_scan(write_mib(tmp_path / "scan.mib", PATTERNS, "U16", **header))
    np.testing.assert_array_equal(scan.read(0, 6), PATTERNS)


@pytest.mark.parametrize(("bits", "dtype"), [(1, "u1"), (6, "u1"), (12, "u2"), (24, "u4")])
def test_raw(tmp_path: Path, bits: int, dtype: str) -> None:
    patterns = RNG.integers(0, 2**bits, (3, 4, 64))
    width = 128 if bits == 24 else 64  # 24 bits are counted as two frames
    content = b"".join(
        merlin_header(i, width, 4, "R64", bits=bits) + raw_bytes(p, bits)
        for i, p in enumerate(patterns, 1)
    )
    (tmp_path / "scan.mib").write_bytes(content)
    scan = open_scan(tmp_path / "scan.mib")
    assert (scan.shape, scan.dtype) == (patterns.shape, np.dtype(dtype))
    np.testing.assert_array_equal(scan.read(0, 3), patterns)


@pytest.mark.parametrize("bits", [1, 6, 12])
def test_raw_of_four_chips(tmp_path: Path, bits: int) -> None:
    patterns = RNG.integers(0, 2**bits, (2, 128, 128))
    content = b"".join(
        merlin_header(i, 256, 64, "R64", bits=bits, chips=4, layout="   2x2", size=768)
        + raw_bytes(quad_rows(p), bits)
        for i, p in enumerate(patterns, 1)
    )
    (tmp_path / "scan.mib").write_bytes(content)
    scan = open_scan(tmp_path / "scan.mib")
    assert scan.shape == patterns.shape
    np.testing.assert_array_equal(scan.read(0, 2), patterns)


@pytest.mark.parametrize("name", ["scan.mib", "scan.hdr"])
def test_the_text_file_says_the_scan(tmp_path: Path, name: str) -> None:
    write_mib(tmp_path / "scan.mib", PATTERNS, "U16")
    (tmp_path / "scan.hdr").write_text(HDR)
    assert open_scan(tmp_path / name).scan_shape == (2, 3)


def test_a_sequence_goes_by_the_numbers_in_the_headers(tmp_path: Path) -> None:
    """Names would put 10 before 9."""
    for number, part in (("9", PATTERNS[:4]), ("10", PATTERNS[4:])):
        content = write_mib(tmp_path / f"scan{number}.mib", part, "U16").read_bytes()
        if number == "10":
            content = content.replace(b"MQ1,000001", b"MQ1,000005")
        (tmp_path / f"scan{number}.mib").write_bytes(content)
    (tmp_path / "scan.hdr").write_text(HDR)
    write_mib(tmp_path / "scandal.mib", PATTERNS, "U16")  # another scan
    scan = open_scan(tmp_path / "scan.hdr")
    assert scan.scan_shape == (2, 3)
    np.testing.assert_array_equal(scan.read(2, 6), PATTERNS[2:6])


def test_files_of_two_scans(tmp_path: Path) -> None:
    write_mib(tmp_path / "scan1.mib", PATTERNS, "U16")
    write_mib(tmp_path / "scan2.mib", PATTERNS, "U08")
    (tmp_path / "scan.hdr").write_text(HDR)
    with pytest.raises(DataError, match=r"^scan2\.mib: holds frames of \(5, 7\) U08 .*U16 of 12"):
        open_scan(tmp_path / "scan.hdr")


def test_a_text_file_alone(tmp_path: Path) -> None:
    (tmp_path / "scan.hdr").write_text(HDR)
    with pytest.raises(DataError, match=r"^scan\.hdr: goes with scan\*\.mib, but there is no"):
        open_scan(tmp_path / "scan.hdr")


def test_a_truncated_file(tmp_path: Path) -> None:
    path = write_mib(tmp_path / "scan.mib", PATTERNS, "U16")
    frame = 384 + 5 * 7 * 2
    path.write_bytes(path.read_bytes()[:-10])
    message = (
        rf"^scan\.mib: has {6 * frame - 10} bytes, no whole number of Merlin 5 x 7 U16 frames of "
        rf"{frame} bytes: 5 frames and {frame - 10} bytes more.*scan_mismatch to crop"
    )
    with pytest.raises(DataError, match=message):
        open_scan(path)
    assert open_scan(path, scan_mismatch="crop").shape == (5, 5, 7)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((b"MQ1,000001", b"MQX,000001"), "has no Merlin header"),
        ((b",U16,", b",F32,"), r"holds Merlin frames of type 'F32'. Known: U08, U16, U32, R64"),
        ((b",00384,", b",0a384,"), "whose field 2, size of the header, is '0a384'"),
        ((b",0007,", b",0000,"), "whose field 4, width, is '0000'"),
        ((b",00384,", b",99999,"), r"is cut: its header has 99999 bytes, the file 2724"),
        ((b"MQ1,000006", b"MQX,000006"), "has no Merlin header where frame 5 should begin"),
        ((b",U16,", b",R64,"), "raw Merlin rows of 7 pixels of 12 bits, no whole number of 64-bit"),
    ],
)
def test_damaged_headers(tmp_path: Path, change: tuple[bytes, bytes], message: str) -> None:
    path = write_mib(tmp_path / "scan.mib", PATTERNS, "U16")
    path.write_bytes(path.read_bytes().replace(*change))
    with pytest.raises(DataError, match=message) as caught:
        open_scan(path)
    assert caught.value.field == "scan.mib"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"bits": 24, "chips": 4, "layout": "2x2"}, "4 chips, layout 2x2, 24 bits, .* documented"),
        ({"bits": 12, "chips": 4, "layout": "Nx1"}, "4 chips, layout Nx1"),
        ({"bits": 5}, "raw Merlin frames of 5 bits. Known: 1, 6, 12, 24"),
    ],
)
def test_raw_layouts_that_nobody_describes(
    tmp_path: Path, header: dict[str, object], message: str
) -> None:
    content = merlin_header(1, 256, 64, "R64", size=768, **header)  # type: ignore[arg-type]
    (tmp_path / "scan.mib").write_bytes(content + bytes(256 * 64 * 2))
    with pytest.raises(DataError, match=message):
        open_scan(tmp_path / "scan.mib")
