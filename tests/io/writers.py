"""Files of other programs' formats, written byte by byte from their descriptions.

Slow and plain on purpose: each value is put where the description says, without the vectorised
shuffles that the readers use.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import h5py
import numpy as np

__all__ = ["merlin_header", "raw_bytes", "write_dectris", "write_dm", "write_mib"]


def merlin_header(
    sequence: int,
    width: int,
    height: int,
    kind: str,
    *,
    bits: int = 12,
    chips: int = 1,
    layout: str = "   1x1",
    size: int = 384,
) -> bytes:
    """The header of a frame: Merlin user manual, section on the file format."""
    dacs = ",".join(["3RX", *["175"] * 26]) if chips == 1 else ",".join(["3RX"] * 4)
    text = (
        f"MQ1,{sequence:06d},{size:05d},{chips:02d},{width:04d},{height:04d},{kind},{layout},"
        f"{2**chips - 1:02X},2026-01-02 03:04:05.678901,0.000500,0,0,0,1.0E+1,2.0E+1,{dacs},"
        f"MQ1A,2026-01-02T03:04:05.678901234Z,500000ns,{bits}"
    )
    return text.encode().ljust(size, b"\0")


def raw_bytes(pixels: np.ndarray[Any, Any], bits: int) -> bytes:
    """One frame [Ny, Nx] as R64: 64-bit words, big-endian, whose last pixel comes first."""
    if bits == 24:
        return raw_bytes(pixels >> 12, 12) + raw_bytes(pixels & 0xFFF, 12)
    width = {1: 1, 6: 8, 12: 16}[bits]
    out = b""
    for row in pixels:
        for start in range(0, len(row), 64 // width):
            word = 0
            for place, value in enumerate(row[start : start + 64 // width]):
                word |= int(value) << (width * place)
            out += struct.pack(">Q", word)
    return out


def quad_rows(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """A 2x2 pattern as its four chips send it: 4, 3, 2, 1 side by side, 3 and 4 upside down."""
    half = len(pixels) // 2
    rows = np.empty((half, 4 * half), pixels.dtype)
    for y in range(half):
        for x in range(half):
            rows[y, 3 * half + x] = pixels[y, x]
            rows[y, 2 * half + x] = pixels[y, half + x]
            rows[y, half + x] = pixels[2 * half - 1 - y, half - 1 - x]
            rows[y, x] = pixels[2 * half - 1 - y, 2 * half - 1 - x]
    return rows


def write_mib(path: Path, patterns: np.ndarray[Any, Any], kind: str, **header: Any) -> Path:
    """Patterns [N, Ny, Nx] as frames of U08, U16 or U32."""
    content = b""
    for number, pattern in enumerate(patterns, 1):
        content += merlin_header(number, pattern.shape[1], pattern.shape[0], kind, **header)
        content += pattern.astype(f">u{int(kind[1:]) // 8}").tobytes()
    path.write_bytes(content)
    return path


def write_dectris(
    folder: Path,
    parts: list[np.ndarray[Any, Any]],
    mask: np.ndarray[Any, Any] | None = None,
    **values: Any,
) -> Path:
    """A master with a link to each part, compressed as by the detector where that is installed."""
    try:
        import hdf5plugin

        packed = dict(hdf5plugin.Bitshuffle(cname="lz4"))
    except ImportError:
        packed = {}
    master = folder / "scan_master.h5"
    with h5py.File(master, "w") as file:
        for number, part in enumerate(parts, 1):
            name = f"scan_data_{number:06d}.h5"
            with h5py.File(folder / name, "w") as linked:
                linked.create_dataset(
                    "entry/data/data", data=part, chunks=(1, *part.shape[1:]), **packed
                )
            file[f"entry/data/data_{number:06d}"] = h5py.ExternalLink(name, "entry/data/data")
        if mask is not None:
            file["entry/instrument/detector/detectorSpecific/pixel_mask"] = mask
        for name, value in values.items():
            file[f"entry/instrument/{name.replace('__', '/')}"] = value
    return master


# Gatan's tag files: http://www.er-c.org/cbb/info/dmformat/ (C. Boothroyd).

_TYPES = {"u2": (10, 4), "f4": (2, 6), "u4": (11, 5), "i2": (1, 2)}  # of the image, of a tag


def write_dm(
    path: Path,
    data: np.ndarray[Any, Any],
    scales: list[tuple[float, str]],
    *,
    version: int = 4,
    kilovolts: float = 200.0,
) -> Path:
    """A dm3 or dm4 file with one image; dimensions and scales go from the fastest axis up."""
    image_type, tag_type = _TYPES[data.dtype.str[1:]]
    dimensions = [
        ("", _group([("Origin", _single(0)), ("Scale", _single(s)), ("Units", _string(u))]))
        for s, u in reversed(scales)
    ]
    brightness = [("Origin", _single(0)), ("Scale", _single(1)), ("Units", _string(""))]
    image_data = _group(
        [
            (
                "Calibrations",
                _group([("Brightness", _group(brightness)), ("Dimension", _group(dimensions))]),
            ),
            ("Data", _array(tag_type, data.tobytes(), data.size)),
            ("DataType", _simple(5, struct.pack("<I", image_type))),
            (
                "Dimensions",
                _group([("", _simple(5, struct.pack("<I", n))) for n in reversed(data.shape)]),
            ),
            ("PixelDepth", _simple(5, struct.pack("<I", data.dtype.itemsize))),
        ]
    )
    info = _group(
        [
            ("Voltage", _simple(7, struct.pack("<d", kilovolts * 1e3))),
            ("STEM Camera Length", _simple(7, struct.pack("<d", 115.0))),
        ]
    )
    image = _group(
        [
            ("ImageData", image_data),
            ("ImageTags", _group([("Microscope Info", info)])),
            ("Name", _string("scan")),
        ]
    )
    body = _group([("ImageList", _group([("", image)]))])(version)
    length = ">I" if version == 3 else ">Q"
    path.write_bytes(
        struct.pack(">I", version)
        + struct.pack(length, len(body))
        + struct.pack(">I", 1)
        + body
        + bytes(8)
    )
    return path


def _size(version: int, value: int) -> bytes:
    return struct.pack(">I" if version == 3 else ">Q", value)


def _group(tags: list[tuple[str, Any]]) -> Any:
    def encode(version: int) -> bytes:
        out = b"\1\0" + _size(version, len(tags))
        for name, content in tags:
            body = content(version)
            kind = 20 if getattr(content, "is_group", False) else 21
            out += struct.pack(">BH", kind, len(name)) + name.encode()
            if version == 4:
                out += struct.pack(">Q", len(body))
            out += body
        return out

    encode.is_group = True  # type: ignore[attr-defined]
    return encode


def _tag(info: list[int], content: bytes) -> Any:
    def encode(version: int) -> bytes:
        numbers = b"".join(_size(version, value) for value in info)
        return b"%%%%" + _size(version, len(info)) + numbers + content

    return encode


def _simple(kind: int, content: bytes) -> Any:
    return _tag([kind], content)


def _single(value: float) -> Any:
    return _simple(6, struct.pack("<f", value))


def _array(kind: int, content: bytes, count: int) -> Any:
    return _tag([20, kind, count], content)


def _string(text: str) -> Any:
    return _array(4, text.encode("utf-16-le"), len(text))
